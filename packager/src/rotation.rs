//! Trust N+1: made from N by edits, signed by the old role `trust` and by the new, and put in place only when what hosts are to run
//! verifies under it too.
//!
//! A rotation that left an assigned bundle or the newest index unverifiable would stop every host at its next update. This file must never
//! put such a one in place, nor give a key's name to another key, however long ago the name was dropped.

use std::collections::BTreeSet;
use std::io::Cursor;

use proofmark_core::bundle;
use proofmark_core::json;
use proofmark_core::name::Name;
use proofmark_core::signature::{self, Kind, SignedFile, file_name};
use proofmark_core::trust::{Role, Trust};
use proofmark_core::{Digest, Reason, Verified};

use crate::proposal::{Desk, ProposalError, Subject};
use crate::repository::{Repository, RepositoryError, bundle_path};
use crate::signing::Signer;

mod edit;
mod error;
pub mod words;

pub use edit::{Edit, NewKey, Place, apply};
pub use error::{Obstacle, RotationError};

/// A rotation, as far as it is signed.
#[derive(Debug)]
pub struct Rotation {
    /// The document's bytes and the signatures so far.
    pub file: SignedFile,
    /// Trust N+1.
    pub next: Trust,
    /// Trust N, the newest.
    pub current: Trust,
    /// Keys of N's role `trust` that have signed.
    pub old_signers: BTreeSet<Name>,
    /// Keys of N+1's role `trust` that have signed.
    pub new_signers: BTreeSet<Name>,
    /// What would no longer verify; empty when it can be put in place as soon as it is signed.
    pub obstacles: Vec<Obstacle>,
}

/// Drafts trust N+1: its bytes, read back by the core and held against the whole chain.
pub fn draft(repository: &Repository, edits: &[Edit]) -> Result<(Trust, Vec<u8>), RotationError> {
    let next = apply(repository.trust(), edits)?;
    let bytes = json::print(&next);
    let next: Trust = json::parse(&bytes, &file_name(Kind::Trust, next.version))?;
    check_names(repository, &next)?;
    Ok((next, bytes))
}

/// A name of a key means one key of one holder, in every trust document there ever was.
fn check_names(repository: &Repository, next: &Trust) -> Result<(), RotationError> {
    for (name, key) in &next.keys {
        let other = repository.trusts().iter().find(|trust| trust.keys.get(name).is_some_and(|old| old != key));
        if let Some(old) = other {
            return Err(RotationError::NameUsed { name: name.clone(), version: old.version, holder: old.keys[name].holder.clone() });
        }
    }
    Ok(())
}

/// Signs a draft with a key of the role `trust` of N and writes it as the first of its version. Returns where it lies.
pub fn write(desk: &Desk<'_>, next: &Trust, bytes: &[u8], signer: &Signer<'_>) -> Result<String, RotationError> {
    let subject = Subject::Trust(next.version);
    desk.check_free(subject, bytes)?;
    let file = signed(&SignedFile { bytes: bytes.to_vec(), signatures: Vec::new() }, next.version, signer)?;
    let current = desk.repository().trust();
    let signers = signers(current, &current.roles.trust, next.version, &file)?;
    check_begun(current, next.version, &signers)?;
    Ok(desk.write(subject, &judges(current, next), &file, &Default::default())?)
}

/// Reads a rotation and checks everything but whether both roles are met: signatures so far, rules, and what it would break.
pub fn read(desk: &Desk<'_>, version: u64) -> Result<Rotation, RotationError> {
    let repository = desk.repository();
    let subject = Subject::Trust(version);
    if version <= repository.trust().version {
        return Err(ProposalError::AlreadyPublished(subject).into());
    }
    let bytes = desk.document(subject)?.ok_or(ProposalError::None(subject))?;
    let current = repository.trust();
    let old = desk.signed(subject, &[(current, &current.roles.trust)])?;
    let old_signers = signers(current, &current.roles.trust, version, &old)?;
    // Nothing of it is parsed before somebody whom trust N knows has signed it.
    check_begun(current, version, &old_signers)?;
    let next: Trust = json::parse(&bytes, &subject.file())?;
    let refuse = |want: String, have: String| Err(proofmark_core::Refusal::new(Reason::Trust, subject.file(), want, have).into());
    if next.version != version || version != current.version + 1 {
        return refuse(format!("version {}, the one after the newest", current.version + 1), next.version.to_string());
    }
    if next.repository != current.repository {
        return refuse(format!("repository {}", current.repository), next.repository.to_string());
    }
    check_names(repository, &next)?;
    let file = desk.signed(subject, &judges(current, &next))?;
    let new_signers = signers(&next, &next.roles.trust, version, &file)?;
    let obstacles = obstacles(repository, &next)?;
    Ok(Rotation { file, current: (**current).clone(), old_signers, new_signers, obstacles, next })
}

fn judges<'a>(current: &'a Trust, next: &'a Trust) -> [(&'a Trust, &'a Role); 2] {
    [(current, &current.roles.trust), (next, &next.roles.trust)]
}

fn signers(trust: &Trust, role: &Role, version: u64, file: &SignedFile) -> proofmark_core::Result<BTreeSet<Name>> {
    let name = file_name(Kind::Trust, version);
    let comment = signature::comment(&trust.repository, Kind::Trust, Some(version), &name);
    let bytes = &mut file.bytes.as_slice();
    Ok(signature::verify_signatures(trust, role, &comment, &name, &file.signatures, bytes, &|_, _| Ok(()))?.signers)
}

fn check_begun(current: &Trust, version: u64, signers: &BTreeSet<Name>) -> proofmark_core::Result<()> {
    if !signers.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = current.roles.trust.keys().map(Name::as_str).collect();
    let want = format!("a signature by a key of role trust of version {}: {}", current.version, keys.join(", "));
    Err(proofmark_core::Refusal::new(Reason::Threshold, file_name(Kind::Trust, version), want, "none"))
}

fn signed(file: &SignedFile, version: u64, signer: &Signer<'_>) -> Result<SignedFile, RotationError> {
    let name = file_name(Kind::Trust, version);
    let signature = signer.sign(Kind::Trust, Some(version), &name, &mut Cursor::new(&file.bytes))?;
    let mut file = file.clone();
    file.signatures.retain(|(key, _)| key != signer.name());
    file.signatures.push((signer.name().clone(), signature));
    Ok(file)
}

impl Rotation {
    /// What is still missing before both roles are met: the core's words.
    pub fn missing(&self) -> Option<String> {
        let of = |trust: &Trust, signers| {
            let refusal = trust.roles.trust.check_met(signers, None).err()?;
            Some(format!("by trust {}: {}, have {}", trust.version, refusal.want(), refusal.have()))
        };
        let missing: Vec<String> =
            [of(&self.current, &self.old_signers), of(&self.next, &self.new_signers)].into_iter().flatten().collect();
        (!missing.is_empty()).then(|| missing.join("; "))
    }

    /// The trust document under whose role `trust` a key signs: the old one, or the new where only that has the key.
    pub fn trust_for(&self, key: &proofmark_core::key::PublicKey) -> &Trust {
        let in_old = self.current.roles.trust.keys().any(|name| self.current.keys.get(name).is_some_and(|entry| entry.public == *key));
        if in_old { &self.current } else { &self.next }
    }

    /// Adds a signature to the very bytes that were shown. Returns where it lies.
    pub fn approve(&self, desk: &Desk<'_>, signer: &Signer<'_>) -> Result<String, RotationError> {
        let file = signed(&self.file, self.next.version, signer)?;
        Ok(desk.write(Subject::Trust(self.next.version), &judges(&self.current, &self.next), &file, &Default::default())?)
    }

    /// Puts it in place: signatures, then the document. Hosts follow with the next head.
    pub fn publish(&self, desk: &Desk<'_>) -> Result<Digest, RotationError> {
        let repository = desk.repository();
        if let Some(missing) = self.missing() {
            let subject = file_name(Kind::Trust, self.next.version);
            return Err(proofmark_core::Refusal::new(
                Reason::Threshold,
                subject,
                "role trust met in the old document and in the new",
                missing,
            )
            .into());
        }
        if !self.obstacles.is_empty() {
            return Err(RotationError::Unverifiable { version: self.next.version, obstacles: self.obstacles.clone() });
        }
        let next: Verified<Trust> = Trust::rotate(repository.trust(), &self.file)?;
        repository.write_rotation(&next, &self.file)?;
        Ok(next.digest())
    }
}

/// What would no longer verify under `next`: the newest index, and every bundle that it assigns.
pub fn obstacles(repository: &Repository, next: &Trust) -> Result<Vec<Obstacle>, RotationError> {
    let Some(published) = repository.published()? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    match repository.published_under(next, published.index.version) {
        Ok(_) => {}
        Err(RepositoryError::Refused(refusal)) => found.push(Obstacle { what: format!("index {}", published.index.version), refusal }),
        Err(error) => return Err(error.into()),
    }
    let mut seen = BTreeSet::new();
    for (name, group) in &published.groups {
        if !seen.insert(group.bundle.digest()?) {
            continue;
        }
        let path = bundle_path(group.bundle.digest()?, &group.bundle_file());
        let signatures = repository.signatures_under(next, &path, Kind::Bundle)?;
        if let Err(refusal) = bundle::verify(next, group, &signatures, &mut repository.open_file(&path)?) {
            found.push(Obstacle { what: format!("bundle of {name}, {}", group.bundle.release), refusal });
        }
    }
    Ok(found)
}
