//! Halts: one is written at once and needs nobody else; which are in force is computed from what lies in the repository.
//!
//! Stopping is cheap: writing a halt takes no lock, reads no index, and waits for no other writer. A halt ends by its own resume and by
//! nothing else, least of all by the loss of the key that signed it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use proofmark_core::group::Group;
use proofmark_core::halt::{Halt, Mode, Scope};
use proofmark_core::head::Head;
use proofmark_core::json::{self, Document};
use proofmark_core::name::{GroupName, Name};
use proofmark_core::resume::Resume;
use proofmark_core::signature::{Kind, SignedFile, Verified, digest_name};
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Time, limits};

use crate::repository::{Repository, RepositoryError};
use crate::signing::{Signer, SigningError};

/// A halt in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// SHA-256 of its file: its name.
    pub digest: Digest,
    /// What it says.
    pub halt: Halt,
    /// Keys that signed it; empty where only the head vouches.
    pub signers: BTreeSet<Name>,
    /// Whether the newest head lists it.
    pub listed: bool,
}

/// No halt was made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each is documented where it is declared")]
pub enum HaltError {
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    Refused(#[from] proofmark_core::Refusal),
}

impl crate::exit::Refuse for HaltError {
    fn refusal(&self) -> crate::exit::Refusal {
        match self {
            Self::Repository(error) => error.refusal(),
            Self::Signing(error) => error.refusal(),
            Self::Refused(refusal) => refusal.refusal(),
        }
    }
}

/// What is to be stopped, how, and why.
#[derive(Clone, Debug)]
pub struct Order {
    /// What.
    pub scope: Scope,
    /// `None`: at once; else the seconds that it may take to end by itself.
    pub drain_seconds: Option<u64>,
    /// For people.
    pub reason: String,
}

/// Writes a halt and points `latest` at it: two small files, then `latest`. Returns its digest, and whether `latest` had room for it.
pub fn halt(repository: &Repository, signer: &Signer<'_>, order: Order, now: Time) -> Result<(Digest, bool), HaltError> {
    let trust = repository.trust();
    let holder = |name| trust.keys.get(name).map(|key| key.holder.clone());
    let by = holder(signer.name()).unwrap_or_else(|| signer.name().clone());
    let halt = Halt {
        format: 1,
        kind: Halt::KIND.into(),
        repository: trust.repository.clone(),
        scope: order.scope,
        mode: if order.drain_seconds.is_some() { Mode::Drain } else { Mode::Kill },
        drain_seconds: order.drain_seconds,
        reason: order.reason,
        by,
        issued: now,
    };
    let bytes = json::print(&halt);
    let digest = Digest::of(&bytes);
    let name = digest_name(Kind::Halt, digest);
    json::parse::<Halt>(&bytes, &name)?;
    let signature = signer.sign(Kind::Halt, None, &name, &mut Cursor::new(&bytes))?;
    let file = SignedFile { bytes, signatures: vec![(signer.name().clone(), signature)] };
    Halt::verify(trust, &file)?;
    let path = format!("halt/{name}");
    for (key, signature) in &file.signatures {
        repository.write(&format!("{path}.{key}.minisig"), signature)?;
    }
    repository.write(&path, &file.bytes)?;
    let latest = repository.update_latest()?;
    Ok((digest, latest.halts.contains(&digest)))
}

/// Halts in force, by digest: those that the newest head lists, and those that a key of the newest trust signed, but for the lifted ones.
///
/// # Errors
/// [`RepositoryError::Missing`] where the head lists one that is not there: a halt is never lost in silence.
pub fn in_force(repository: &Repository) -> Result<Vec<InForce>, RepositoryError> {
    let (found, missing) = gather(repository, repository.heads()?.current.as_ref())?;
    match missing {
        Some(digest) => Err(repository.missing(&path(digest))),
        None => Ok(found),
    }
}

/// What `latest` is to name: what is in force and there to be read. One that the head lists and that is missing needs no word in `latest`,
/// and must not stand in the way of a new one.
pub(crate) fn for_latest(repository: &Repository, head: Option<&Verified<Head>>) -> Result<Vec<Digest>, RepositoryError> {
    Ok(most_urgent(&gather(repository, head)?.0))
}

/// Halts in force, and the first that the head lists and that is not there.
fn gather(repository: &Repository, head: Option<&Verified<Head>>) -> Result<(Vec<InForce>, Option<Digest>), RepositoryError> {
    let listed: BTreeSet<Digest> = head.map(|head| head.halts.iter().copied().collect()).unwrap_or_default();
    // A head of a key that was taken away still holds back what it lists, and can no longer get in the way by listing what is not there.
    let has_key = head.is_some_and(|head| head.signers().iter().all(|key| repository.trust().roles.head.has_key(key)));
    let mut digests = listed.clone();
    digests.extend(repository.list("halt")?.iter().filter_map(|name| name.strip_suffix(".halt.json")?.parse::<Digest>().ok()));
    let (mut found, mut missing) = (Vec::new(), None);
    for digest in digests {
        let is_listed = listed.contains(&digest);
        if is_lifted(repository, digest, is_listed)? {
            continue;
        }
        let Some(file) = read(repository, digest, repository.trust())? else {
            missing = missing.or((is_listed && has_key).then_some(digest));
            continue;
        };
        let (halt, signers) = match Halt::verify(repository.trust(), &file) {
            Ok(halt) => (Some((*halt).clone()), halt.signers().clone()),
            // The head has vouched for it, whatever has happened to its key since.
            Err(_) if is_listed => (Halt::listed(&repository.trust().repository, digest, &file.bytes), BTreeSet::new()),
            Err(_) => (None, BTreeSet::new()),
        };
        found.extend(halt.map(|halt| InForce { digest, halt, listed: is_listed, signers }));
    }
    Ok((found, missing))
}

/// A halt's bytes and signatures by keys of `trust`; `None` where there is no file of that name with that digest.
pub fn read(repository: &Repository, digest: Digest, trust: &Trust) -> Result<Option<SignedFile>, RepositoryError> {
    let path = path(digest);
    let bytes = repository.read(&path, limits::HALT)?.filter(|bytes| Digest::of(bytes) == digest);
    let Some(bytes) = bytes else { return Ok(None) };
    Ok(Some(SignedFile { bytes, signatures: repository.signatures_under(trust, &path, Kind::Halt)? }))
}

fn path(digest: Digest) -> String {
    format!("halt/{}", digest_name(Kind::Halt, digest))
}

/// Whether a resume lifts it. One that the newest head still lists is lifted only by people whom the newest trust names: keys that were
/// taken away lift nothing. One that a head has let go stays lifted, whoever has left since.
fn is_lifted(repository: &Repository, digest: Digest, listed: bool) -> Result<bool, RepositoryError> {
    let newest = [repository.trust()];
    let trusts: Vec<&Verified<Trust>> = if listed { newest.to_vec() } else { repository.trusts().iter().rev().collect() };
    Ok(resume(repository, digest, &trusts)?.is_some())
}

/// The resume of a halt that lies in the repository, as the first of `trusts` accepts it.
pub fn resume(repository: &Repository, digest: Digest, trusts: &[&Verified<Trust>]) -> Result<Option<Verified<Resume>>, RepositoryError> {
    let path = format!("resume/{}", digest_name(Kind::Resume, digest));
    let Some(bytes) = repository.read(&path, limits::HALT)? else { return Ok(None) };
    for trust in trusts {
        let signatures = repository.signatures_under(trust, &path, Kind::Resume)?;
        if let Ok(resume) = Resume::verify(trust, digest, &SignedFile { bytes: bytes.clone(), signatures }) {
            return Ok(Some(resume));
        }
    }
    Ok(None)
}

/// Whether halts in force stop the whole of a group, so that nothing of it runs: by the group, by its bundle, or everything.
pub fn stop_group(halts: &[InForce], group: &Group) -> bool {
    let bundle = group.bundle.digest().ok();
    halts.iter().any(|in_force| match &in_force.halt.scope {
        Scope::Everything => true,
        Scope::Group(name) => *name == group.name(),
        Scope::Bundle(digest) => Some(*digest) == bundle,
        Scope::Host(_) => false,
    })
}

/// Whether a halt concerns hosts of a group at all.
pub fn concerns(in_force: &InForce, name: &GroupName, group: &Group) -> bool {
    let bundle = group.bundle.digest().ok();
    group.hosts.keys().any(|host| in_force.halt.scope.stops(name, host, bundle))
}

/// What `latest` has room for: those first that the head does not list yet; of each key the latest, then of each the one before, so that no
/// key alone can fill it. In byte order at the end.
fn most_urgent(in_force: &[InForce]) -> Vec<Digest> {
    let mut order: Vec<&InForce> = in_force.iter().collect();
    order.sort_by_key(|halt| (halt.listed, std::cmp::Reverse(halt.halt.issued), halt.digest));
    let mut of_key: BTreeMap<&BTreeSet<Name>, usize> = BTreeMap::new();
    let mut ranked: Vec<(bool, usize, &InForce)> = Vec::new();
    for halt in order {
        let rank = of_key.entry(&halt.signers).or_default();
        ranked.push((halt.listed, *rank, halt));
        *rank += 1;
    }
    ranked.sort_by_key(|(listed, rank, _)| (*listed, *rank));
    let mut digests: Vec<Digest> = ranked.into_iter().take(limits::LATEST_HALTS).map(|(_, _, halt)| halt.digest).collect();
    digests.sort();
    digests
}
