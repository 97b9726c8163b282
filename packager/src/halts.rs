//! Halts: one is written at once and needs nobody else; which are in force is computed from what lies in the repository.
//!
//! Stopping is cheap: writing a halt takes no lock, reads no index, and waits for no other writer. A halt ends by its own resume and by
//! nothing else, least of all by the loss of the key that signed it.

use std::collections::BTreeSet;
use std::io::Cursor;

use proofmark_core::group::Group;
use proofmark_core::halt::{Halt, Mode, Scope};
use proofmark_core::head::Head;
use proofmark_core::json::{self, Document};
use proofmark_core::name::GroupName;
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

/// Writes a halt and points `latest` at it: two small files, then `latest`. Returns its digest.
pub fn halt(repository: &Repository, signer: &Signer<'_>, order: Order, now: Time) -> Result<Digest, HaltError> {
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
    repository.update_latest()?;
    Ok(digest)
}

/// Halts in force, by digest: those that the newest head lists, and those that a key of the newest trust signed, but for the lifted ones.
pub fn in_force(repository: &Repository) -> Result<Vec<InForce>, RepositoryError> {
    in_force_beside(repository, repository.heads()?.current.as_ref())
}

/// The same for a head that is known already.
pub(crate) fn in_force_beside(repository: &Repository, head: Option<&Verified<Head>>) -> Result<Vec<InForce>, RepositoryError> {
    let listed: BTreeSet<Digest> = head.map(|head| head.halts.iter().copied().collect()).unwrap_or_default();
    // A head of a key that was taken away still holds back what it lists, and can no longer get in the way by listing what is not there.
    let has_key = head.is_some_and(|head| head.signers().iter().all(|key| repository.trust().roles.head.has_key(key)));
    let mut digests = listed.clone();
    digests.extend(repository.list("halt")?.iter().filter_map(|name| name.strip_suffix(".halt.json")?.parse::<Digest>().ok()));
    let mut found = Vec::new();
    for digest in digests {
        let is_listed = listed.contains(&digest);
        if is_lifted(repository, digest, is_listed)? {
            continue;
        }
        let Some(file) = read(repository, digest, repository.trust())? else {
            if is_listed && has_key {
                return Err(repository.missing(&path(digest)));
            }
            continue;
        };
        let halt = match Halt::verify(repository.trust(), &file) {
            Ok(halt) => Some((*halt).clone()),
            // The head has vouched for it, whatever has happened to its key since.
            Err(_) if is_listed => Halt::listed(&repository.trust().repository, digest, &file.bytes),
            Err(_) => None,
        };
        found.extend(halt.map(|halt| InForce { digest, halt, listed: is_listed }));
    }
    Ok(found)
}

/// A halt's bytes and signatures by keys of `trust`.
pub fn read(repository: &Repository, digest: Digest, trust: &Trust) -> Result<Option<SignedFile>, RepositoryError> {
    let path = path(digest);
    let Some(bytes) = repository.read(&path, limits::HALT)? else { return Ok(None) };
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

/// What `latest` has room for: those first that the head does not list yet, the latest of them first, in byte order at the end.
pub(crate) fn for_latest(in_force: &[InForce]) -> Vec<Digest> {
    let mut order: Vec<&InForce> = in_force.iter().collect();
    order.sort_by_key(|halt| (halt.listed, std::cmp::Reverse(halt.halt.issued), halt.digest));
    let mut digests: Vec<Digest> = order.into_iter().take(limits::LATEST_HALTS).map(|halt| halt.digest).collect();
    digests.sort();
    digests
}
