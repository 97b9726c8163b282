//! Index N+1 in the making: drafted from the newest index, signed by whoever proposes it, read again by reviewers, put in place.
//!
//! Where a proposal lies is the [`Desk`]'s business: in the repository, or in directories that came by mail. This file must never write
//! an index to `index/` that the core has not verified with the signatures that will stand beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use proofmark_core::group::Group;
use proofmark_core::index::{GroupPin, Index};
use proofmark_core::json;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::signature::{self, Kind, SignedFile, file_name};
use proofmark_core::trust::{Role, Trust};
use proofmark_core::{Digest, Reason, limits};

use crate::assignment::Assignment;
use crate::contents;
use crate::repository::{RepositoryError, group_path};
use crate::signing::Signer;

mod desk;
mod draft;
mod error;
mod subject;

pub use desk::{Desk, Judge};
pub use draft::{Draft, draft};
pub use error::ProposalError;
pub use subject::Subject;

/// Name of the file with what the ledger says of each flag, for the reviewer: FORMAT.md section 2.
pub const FLAGS: &str = "flags.json";

/// A proposal of an index, as far as it is signed.
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
    /// The other files of the proposal, by name: group files that are new, texts.
    pub others: BTreeMap<String, Vec<u8>>,
}

/// Signs a draft and writes it as the first of its version. Returns where it lies.
///
/// # Errors
/// `ProposalError::Taken` (84) when another proposal has the version.
pub fn write(desk: &Desk<'_>, draft: &Draft, signer: &Signer<'_>) -> Result<String, ProposalError> {
    let trust = desk.repository().trust();
    let version = draft.next.index.version;
    let subject = Subject::Index(version);
    desk.check_free(subject, &draft.bytes)?;
    let signature = signer.sign(Kind::Index, Some(version), &subject.file(), &mut Cursor::new(&draft.bytes))?;
    let file = SignedFile { bytes: draft.bytes.clone(), signatures: vec![(signer.name().clone(), signature)] };
    check_author(trust, &subject.file(), &draft.next.index.proposer, &signers(trust, version, &file)?)?;
    desk.write(subject, &[(trust, &trust.roles.index)], &file, &draft.others)
}

/// Reads a proposal and checks everything but whether the role is met: signatures so far, group files, rules.
pub fn read(desk: &Desk<'_>, version: u64) -> Result<Proposal, ProposalError> {
    let repository = desk.repository();
    let trust = repository.trust();
    let subject = file_name(Kind::Index, version);
    let file = desk.signed(Subject::Index(version), &[(trust, &trust.roles.index)])?;
    let signers = signers(trust, version, &file)?;
    if signers.is_empty() {
        let want = format!("a signature of {}", key_groups(&trust.roles.index, None));
        return Err(proofmark_core::Refusal::new(Reason::Threshold, subject, want, "signed by nobody").into());
    }
    let index: Index = json::parse(&file.bytes, &subject)?;
    if index.version != version {
        return Err(proofmark_core::Refusal::new(Reason::WrongDocument, subject, format_args!("version {version}"), index.version).into());
    }
    check_author(trust, &subject, &index.proposer, &signers)?;
    let previous = match version {
        0 | 1 => None,
        _ => Some(Assignment::from(&repository.published_version(version - 1)?)),
    };
    let (mut groups, mut others) = (BTreeMap::new(), BTreeMap::new());
    for (name, pin) in &index.groups {
        let before = previous.as_ref().filter(|previous| previous.index.groups.get(name) == Some(pin));
        let group = match before.and_then(|previous| previous.groups.get(name)) {
            Some(group) => group.clone(),
            None => {
                let (group, bytes) = group_file(desk, version, name, pin)?;
                others.insert(draft::group_file(pin.sha256), bytes);
                group
            }
        };
        groups.insert(name.clone(), group);
    }
    others.extend(desk.read(Subject::Index(version), FLAGS, limits::GROUP)?.map(|bytes| (FLAGS.to_owned(), bytes)));
    let next = Assignment { index, digest: Digest::of(&file.bytes), groups };
    next.check(trust, previous.as_ref())?;
    Ok(Proposal { version, file, next, previous, signers, others })
}

/// A group file that a proposal adds: digest, size, format, name.
fn group_file(desk: &Desk<'_>, version: u64, name: &GroupName, pin: &GroupPin) -> Result<(Group, Vec<u8>), ProposalError> {
    let path = draft::group_file(pin.sha256);
    let repository = desk.repository();
    let missing = || RepositoryError::Missing { path: format!("proposals/{version}/{path}"), place: repository.place() };
    let bytes = desk.read(Subject::Index(version), &path, limits::GROUP)?.ok_or_else(missing)?;
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
    Ok((group, bytes))
}

/// Keys that signed the index of a proposal. A signature that is there must be valid.
fn signers(trust: &Trust, version: u64, file: &SignedFile) -> proofmark_core::Result<BTreeSet<Name>> {
    let name = file_name(Kind::Index, version);
    let comment = signature::comment(&trust.repository, Kind::Index, Some(version), &name);
    let role = &trust.roles.index;
    let bytes = &mut file.bytes.as_slice();
    Ok(signature::verify_signatures(trust, role, &comment, &name, &file.signatures, bytes, &|_, _| Ok(()))?.signers)
}

/// Whoever is named as proposer wrote it, or a machine vouches that he asked for it. Otherwise a reviewer could write an index, name
/// somebody else as its proposer, and be his own second person.
pub(crate) fn check_author(trust: &Trust, file: &str, proposer: &Name, signers: &BTreeSet<Name>) -> proofmark_core::Result<()> {
    let by_machine =
        trust.roles.index.0.iter().any(|(group, keys)| *group != trust.second_person && keys.keys.iter().any(|key| signers.contains(key)));
    let by_proposer = signers.iter().all(|key| trust.keys.get(key).is_some_and(|key| key.holder == *proposer));
    if by_machine || by_proposer {
        return Ok(());
    }
    let want =
        format!("a signature of {}, or of the proposer {} alone", key_groups(&trust.roles.index, Some(&trust.second_person)), proposer);
    Err(proofmark_core::Refusal::new(Reason::Threshold, file, want, format_args!("signed by: {}", join(signers))))
}

fn key_groups(role: &Role, without: Option<&Name>) -> String {
    role.0.keys().filter(|name| Some(*name) != without).map(Name::as_str).collect::<Vec<_>>().join(" or ")
}

fn join(names: &BTreeSet<Name>) -> String {
    if names.is_empty() { "nobody".into() } else { names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ") }
}

/// Whether a key may approve: it is the second person's, or of a group that is not met yet, and not the proposer's.
pub fn check_approver(trust: &Trust, proposal: &Proposal, key: &Name) -> proofmark_core::Result<()> {
    check_signer(trust, &Subject::Index(proposal.version).file(), &proposal.next.index.proposer, &proposal.signers, key)
}

/// The same for whatever role `index` signs.
pub(crate) fn check_signer(trust: &Trust, file: &str, proposer: &Name, signers: &BTreeSet<Name>, key: &Name) -> proofmark_core::Result<()> {
    let subject = format!("approval of {file} by {key}");
    let groups = &trust.roles.index.0;
    let holder = trust.keys.get(key).map(|key| &key.holder);
    let in_second_person = groups.get(&trust.second_person).is_some_and(|group| group.keys.contains(key));
    if holder == Some(proposer) && in_second_person {
        let want = format!("a holder other than {proposer}, who proposed it");
        return Err(proofmark_core::Refusal::new(Reason::SecondPerson, subject, want, format_args!("key {key} of the same holder")));
    }
    let open = groups.iter().any(|(name, group)| {
        let signed = group.keys.iter().filter(|key| signers.contains(*key)).count() as u64;
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

/// Adds a signature to the very bytes that were shown, whatever has happened to the files since. Returns where it lies.
pub fn approve(desk: &Desk<'_>, shown: &Proposal, signer: &Signer<'_>) -> Result<String, ProposalError> {
    let trust = desk.repository().trust();
    let subject = Subject::Index(shown.version);
    let signature = signer.sign(Kind::Index, Some(shown.version), &subject.file(), &mut Cursor::new(&shown.file.bytes))?;
    let mut file = shown.file.clone();
    file.signatures.retain(|(key, _)| key != signer.name());
    file.signatures.push((signer.name().clone(), signature));
    signers(trust, shown.version, &file)?;
    desk.write(subject, &[(trust, &trust.roles.index)], &file, &shown.others)
}

/// Puts a proposal in place: group files, signatures, index, `latest`. The core must accept all of it first. Run again, it heals.
///
/// Returns the digest of the index, and whether it was there already.
pub fn publish(desk: &Desk<'_>, version: u64) -> Result<(Digest, bool), ProposalError> {
    let repository = desk.repository();
    let newest = repository.newest_index()?;
    let proposal = read(desk, version)?;
    if version < newest {
        return Err(ProposalError::AlreadyPublished(Subject::Index(version)));
    }
    let trust = repository.trust();
    let index = Index::verify(trust, version, &proposal.file)?;
    let mut new = Vec::new();
    for (name, pin) in &index.groups {
        let Some(bytes) = proposal.others.get(&draft::group_file(pin.sha256)) else { continue };
        let group = Group::verify(trust, &index, name, bytes)?;
        contents::check_published(repository, &group)?;
        new.push((pin.sha256, bytes));
    }
    for (digest, bytes) in new {
        repository.write(&group_path(digest), bytes)?;
    }
    let check = |file: &SignedFile| Index::verify(trust, version, file).map(drop);
    repository.write_signed(Kind::Index.word(), Kind::Index, version, &proposal.file, &check)?;
    repository.update_latest()?;
    Ok((index.digest(), version == newest))
}
