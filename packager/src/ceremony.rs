//! The first trust document: who may sign what, made from public key files and signed by the owners.
//!
//! This file must never hold a default for *who*: every key is named by the person who calls.

use std::collections::BTreeMap;
use std::io::Cursor;

use proofmark_core::json::{self, Document};
use proofmark_core::key::PublicKey;
use proofmark_core::name::{Name, RepositoryId};
use proofmark_core::signature::{Kind, file_name};
use proofmark_core::trust::{Key, KeyGroup, Role, Roles, Trust};

use crate::exit::{Exit, Refusal, Refuse};
use crate::keys::SecretKey;
use crate::signing::{Signer, SigningError};

/// The key groups that a first trust document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// Sign trust documents.
    Owners,
    /// The machine that builds: signs bundles, and proposes indexes.
    Ci,
    /// Build the same again and sign the same bytes, each by itself.
    Builders,
    /// The second person: signs indexes.
    Reviewers,
    /// Signs heads.
    Head,
    /// Halt, and say go.
    Operators,
}

impl Party {
    /// Name of the key group.
    pub fn word(self) -> &'static str {
        match self {
            Party::Owners => "owners",
            Party::Ci => "ci",
            Party::Builders => "builders",
            Party::Reviewers => "reviewers",
            Party::Head => "head",
            Party::Operators => "operators",
        }
    }
}

/// A key that is to be in trust.
#[derive(Clone, Debug)]
pub struct Member {
    /// In which group.
    pub party: Party,
    /// Who holds it: a person or a machine.
    pub holder: Name,
    /// Its name, for ever.
    pub name: Name,
    /// The key.
    pub public: PublicKey,
}

/// No trust document was made.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// The document breaks a rule of the core.
    #[error(transparent)]
    Refused(#[from] proofmark_core::Refusal),
    /// An owner's key did not sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// One key name, two keys or holders.
    #[error("key {0} is given twice, with other bytes or another holder")]
    Twice(Name),
    /// A threshold for a group that nobody is in.
    #[error("threshold for {0}, which has no key")]
    Nobody(&'static str),
    /// The machine gave no randomness.
    #[error("no random numbers: {0}")]
    Random(String),
}

impl Refuse for CeremonyError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal.refusal(),
            Self::Signing(error) => error.refusal(),
            Self::Twice(name) => Refusal::new(Exit::Trust, "key-twice", "a key name means one key of one holder", name)
                .want("the same file and holder wherever the name stands")
                .have("two")
                .next("give each key a name of its own"),
            Self::Nobody(group) => Refusal::new(Exit::Trust, "threshold-of-nobody", "a threshold for a key group without keys", group)
                .want("keys for that group, or no threshold")
                .have("no key")
                .next("name its keys with the option of that name, or drop the threshold"),
            Self::Random(why) => Refusal::new(Exit::Platform, "random", "this machine gave no random numbers", why).next("try again"),
        }
    }
}

/// 16 random bytes as a repository id.
pub fn new_repository() -> Result<RepositoryId, CeremonyError> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            .map_err(|e| CeremonyError::Random(e.to_string()))?;
    }
    data_encoding::HEXLOWER.encode(&bytes).parse().map_err(|why: &str| CeremonyError::Random(why.into()))
}

/// The first trust document. Bundles are signed by CI and, where there are any, by builders; halt and go are the operators' or,
/// without operators, the reviewers'. `thresholds` holds what is not 1.
///
/// # Errors
/// Every rule of FORMAT.md section 5.1, from the core.
pub fn first_trust(
    repository: RepositoryId,
    members: &[Member],
    thresholds: &BTreeMap<Party, u64>,
) -> Result<(Trust, Vec<u8>), CeremonyError> {
    let mut keys: BTreeMap<Name, Key> = BTreeMap::new();
    let mut groups: BTreeMap<Party, KeyGroup> = BTreeMap::new();
    for Member { party, holder, name, public } in members {
        let key = Key { holder: holder.clone(), public: public.clone() };
        if keys.insert(name.clone(), key.clone()).is_some_and(|other| other != key) {
            return Err(CeremonyError::Twice(name.clone()));
        }
        let threshold = thresholds.get(party).copied().unwrap_or(1);
        let group = groups.entry(*party).or_insert(KeyGroup { threshold, keys: Vec::new() });
        group.keys.push(name.clone());
        group.keys.sort();
    }
    if let Some(party) = thresholds.keys().find(|party| !groups.contains_key(party)) {
        return Err(CeremonyError::Nobody(party.word()));
    }
    let role = |parties: &[Party]| {
        // A group that nobody is in stays out; the core says which role is then without one.
        let named = |party: &Party| Some((party.word().parse().ok()?, groups.get(party)?.clone()));
        Role(parties.iter().filter_map(named).collect())
    };
    let stop = if groups.contains_key(&Party::Operators) { Party::Operators } else { Party::Reviewers };
    let trust = Trust {
        format: 1,
        kind: Trust::KIND.into(),
        repository,
        version: 1,
        keys,
        roles: Roles {
            trust: role(&[Party::Owners]),
            index: role(&[Party::Ci, Party::Reviewers]),
            bundle: role(&[Party::Ci, Party::Builders]),
            head: role(&[Party::Head]),
            // Any one key stops, whatever the group needs elsewhere.
            halt: Role(role(&[stop]).0.into_iter().map(|(name, group)| (name, KeyGroup { threshold: 1, ..group })).collect()),
            go: role(&[stop]),
        },
        second_person: Party::Reviewers.word().parse().map_err(|why: &str| CeremonyError::Random(why.into()))?,
    };
    let bytes = json::print(&trust);
    Ok((json::parse(&bytes, &file_name(Kind::Trust, 1))?, bytes))
}

/// The owners' signatures.
pub fn sign(trust: &Trust, bytes: &[u8], owners: &[SecretKey]) -> Result<Vec<(Name, Vec<u8>)>, CeremonyError> {
    let mut signatures = Vec::new();
    for key in owners {
        let signer = Signer::new(trust, Kind::Trust, key)?;
        let file = file_name(Kind::Trust, trust.version);
        let signature = signer.sign(Kind::Trust, Some(trust.version), &file, &mut Cursor::new(bytes))?;
        signatures.push((signer.name().clone(), signature));
    }
    Ok(signatures)
}
