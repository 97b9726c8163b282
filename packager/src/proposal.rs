//! Index N+1 in the making: drafted from the newest index, written with CI's signature, read again by reviewers, put in place.
//!
//! A draft carries forward all that it does not change: other groups' pins, revocations, ledgers. This file must never write an index
//! to `index/` that the core has not verified with the signatures that will stand beside it.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_core::group::Group;
use proofmark_core::index::{GroupPin, Index};
use proofmark_core::json;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::signature::{self, Kind, SignedFile, file_name};
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Reason, limits};

use crate::assignment::Assignment;
use crate::contents;
use crate::repository::{Repository, RepositoryError, group_path, proposal_directory};

mod draft;
mod error;

pub use draft::{Draft, Plan, draft};
pub use error::ProposalError;

/// A proposal as it lies in the repository. CI's signature is there; whether the role is met is for [`publish`].
#[derive(Debug)]
pub struct Proposal {
    /// Version.
    pub version: u64,
    /// The index's bytes and the signatures so far.
    pub file: SignedFile,
    /// Index and group files.
    pub next: Assignment,
    /// The index before.
    pub previous: Option<Assignment>,
    /// Keys whose signatures are there and valid.
    pub signers: BTreeSet<Name>,
}

/// Refuses a draft whose version another proposal has.
pub fn check_free(repository: &Repository, draft: &Draft) -> Result<(), ProposalError> {
    let version = draft.next.index.version;
    let path = format!("{}/{}", proposal_directory(version), file_name(Kind::Index, version));
    match repository.read(&path, limits::INDEX)? {
        Some(there) if there != draft.bytes => Err(ProposalError::Taken { version, there: Digest::of(&there), new: draft.next.digest }),
        _ => Ok(()),
    }
}

/// Writes a proposal with the first signature: group files, signature, index.
pub fn write(repository: &Repository, draft: &Draft, key: &Name, signature: &[u8]) -> Result<(), ProposalError> {
    check_free(repository, draft)?;
    let version = draft.next.index.version;
    let directory = proposal_directory(version);
    for (digest, bytes) in &draft.new_groups {
        repository.write(&format!("{directory}/{digest}.group.json"), bytes)?;
    }
    let file = SignedFile { bytes: draft.bytes.clone(), signatures: vec![(key.clone(), signature.to_vec())] };
    let check = |file: &SignedFile| signers(repository, version, file).map(drop);
    Ok(repository.write_signed(&directory, Kind::Index, version, &file, &check)?)
}

/// Version to approve or publish when none is named: the one after the newest index.
pub fn open_version(repository: &Repository) -> Result<u64, ProposalError> {
    Ok(repository.newest(Kind::Index)? + 1)
}

/// Reads a proposal and checks everything but whether the role is met: signatures so far (CI's among them), group files, rules.
pub fn read(repository: &Repository, version: u64) -> Result<Proposal, ProposalError> {
    let directory = proposal_directory(version);
    let file = repository.signed_file(&directory, Kind::Index, version)?.ok_or(ProposalError::None(version))?;
    let trust = repository.trust();
    let subject = file_name(Kind::Index, version);
    let signers = signers(repository, version, &file)?;
    let by_machine = |key: &&Name| trust.roles.index.0.iter().any(|(group, keys)| *group != trust.second_person && keys.keys.contains(key));
    if !signers.iter().any(|key| by_machine(&key)) {
        let wanted: Vec<&str> =
            trust.roles.index.0.iter().filter(|(name, _)| **name != trust.second_person).map(|(name, _)| name.as_str()).collect();
        let want = format!("a signature of {}", wanted.join(" or "));
        return Err(proofmark_core::Refusal::new(Reason::Threshold, subject, want, format_args!("signed by: {}", join(&signers))).into());
    }
    let index: Index = json::parse(&file.bytes, &subject)?;
    if index.version != version {
        return Err(proofmark_core::Refusal::new(Reason::WrongDocument, subject, format_args!("version {version}"), index.version).into());
    }
    let previous = match version {
        0 | 1 => None,
        _ => Some(Assignment::from(&repository.published_version(version - 1)?)),
    };
    let mut groups = BTreeMap::new();
    for (name, pin) in &index.groups {
        let unchanged = previous
            .as_ref()
            .and_then(|previous| previous.groups.get(name))
            .filter(|_| previous.as_ref().and_then(|previous| previous.index.groups.get(name)).is_some_and(|old| old == pin));
        let group = match unchanged {
            Some(group) => group.clone(),
            None => group_file(repository, &directory, name, pin)?,
        };
        groups.insert(name.clone(), group);
    }
    let next = Assignment { index, digest: Digest::of(&file.bytes), groups };
    next.check(trust, previous.as_ref())?;
    Ok(Proposal { version, file, next, previous, signers })
}

/// A group file that a proposal adds: digest, size, format, name.
fn group_file(repository: &Repository, directory: &str, name: &GroupName, pin: &GroupPin) -> Result<Group, ProposalError> {
    let path = format!("{directory}/{}.group.json", pin.sha256);
    let bytes =
        repository.read(&path, limits::GROUP)?.ok_or_else(|| RepositoryError::Missing { path: path.clone(), place: repository.place() })?;
    pin.sha256.check(Digest::of(&bytes), &path)?;
    let group: Group = json::parse(&bytes, &path)?;
    let refuse = |reason: Reason, want: String, have: String| Err(proofmark_core::Refusal::new(reason, &path, want, have).into());
    if bytes.len() as u64 != pin.size {
        return refuse(Reason::Size, format!("{} bytes", pin.size), format!("{} bytes", bytes.len()));
    }
    if group.repository != repository.trust().repository {
        return refuse(Reason::WrongDocument, format!("repository {}", repository.trust().repository), group.repository.to_string());
    }
    if group.name() != *name {
        return refuse(Reason::Environment, format!("group {name}"), group.name().to_string());
    }
    Ok(group)
}

/// Keys that signed the index of a proposal. A signature that is there must be valid.
fn signers(repository: &Repository, version: u64, file: &SignedFile) -> proofmark_core::Result<BTreeSet<Name>> {
    let trust = repository.trust();
    let name = file_name(Kind::Index, version);
    let comment = signature::comment(&trust.repository, Kind::Index, Some(version), &name);
    let signed =
        signature::verify_signatures(trust, &trust.roles.index, &comment, &name, &file.signatures, &mut file.bytes.as_slice(), &|_, _| {
            Ok(())
        })?;
    Ok(signed.signers)
}

fn join(names: &BTreeSet<Name>) -> String {
    if names.is_empty() { "nobody".into() } else { names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ") }
}

/// Whether a key may approve: it is the second person's, or of a group that is not met yet, and not the proposer's.
pub fn check_approver(trust: &Trust, proposal: &Proposal, key: &Name) -> proofmark_core::Result<()> {
    let subject = format!("approval of {}.index.json by {key}", proposal.version);
    let groups = &trust.roles.index.0;
    let holder = trust.keys.get(key).map(|key| &key.holder);
    if holder == Some(&proposal.next.index.proposer) {
        let want = format!("a holder other than {}, who proposed it", proposal.next.index.proposer);
        return Err(proofmark_core::Refusal::new(Reason::SecondPerson, subject, want, format_args!("key {key} of the same holder")));
    }
    let open = groups.iter().any(|(name, group)| {
        let signed = group.keys.iter().filter(|key| proposal.signers.contains(*key)).count() as u64;
        group.keys.contains(key) && (*name == trust.second_person || signed < group.threshold)
    });
    if open {
        return Ok(());
    }
    let want = format!(
        "a key of key group {}: {}",
        trust.second_person,
        groups[&trust.second_person].keys.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
    );
    Err(proofmark_core::Refusal::new(Reason::Threshold, subject, want, key))
}

/// Adds a reviewer's signature.
pub fn approve(repository: &Repository, proposal: &Proposal, key: &Name, signature: &[u8]) -> Result<(), ProposalError> {
    let mut file = proposal.file.clone();
    file.signatures = vec![(key.clone(), signature.to_vec())];
    let check = |file: &SignedFile| signers(repository, proposal.version, file).map(drop);
    Ok(repository.write_signed(&proposal_directory(proposal.version), Kind::Index, proposal.version, &file, &check)?)
}

/// Puts a proposal in place: group files, signatures, index, `latest`. The core must accept all of it first. Run again, it heals.
///
/// Returns the digest of the index, and whether it was there already.
pub fn publish(repository: &Repository, version: u64) -> Result<(Digest, bool), ProposalError> {
    let newest = repository.newest(Kind::Index)?;
    let proposal = read(repository, version)?;
    if version < newest {
        return Err(ProposalError::AlreadyPublished(version));
    }
    let trust = repository.trust();
    let index = Index::verify(trust, version, &proposal.file)?;
    let directory = proposal_directory(version);
    let mut new = Vec::new();
    for (name, pin) in &index.groups {
        if proposal.next.is_unchanged(name, proposal.previous.as_ref()) {
            continue;
        }
        let path = format!("{directory}/{}.group.json", pin.sha256);
        let bytes = repository.read(&path, limits::GROUP)?.ok_or_else(|| RepositoryError::Missing { path, place: repository.place() })?;
        let group = Group::verify(trust, &index, name, &bytes)?;
        contents::check_published(repository, &group)?;
        new.push((pin.sha256, bytes));
    }
    for (digest, bytes) in new {
        repository.write(&group_path(digest), &bytes)?;
    }
    let check = |file: &SignedFile| Index::verify(trust, version, file).map(drop);
    repository.write_signed(Kind::Index.word(), Kind::Index, version, &proposal.file, &check)?;
    repository.update_latest()?;
    Ok((index.digest(), version == newest))
}
