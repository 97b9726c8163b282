//! The review: what a proposal would change, told to the person who signs it, in an order that fits his five minutes.
//!
//! Compared are checked bytes, never claims: bundles are verified as a host does it, before a word about them is written. This file judges
//! nothing and hides nothing: what does not fit on a screen is counted there, and stands whole in `--full` and `--json`.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};

use proofmark_core::Digest;
use proofmark_core::group::{Entry, Group};
use proofmark_core::manifest::{File, FileMode};
use proofmark_core::name::{GroupName, MemberPath, Name};
use serde::Serialize;
use serde_json::Value;

use crate::assignment::Assignment;
use crate::contents::{self, Contents};
use crate::proposal::{Proposal, ProposalError};
use crate::repository::Repository;

mod config;
mod flags;
mod functions;
mod inputs;
mod values;
mod words;

pub use flags::FlagChange;
pub use functions::ProgramChange;

/// A proposal, explained.
#[derive(Debug, Serialize)]
pub struct Review {
    /// Version of the index.
    pub version: u64,
    /// SHA-256 of the index.
    pub sha256: Digest,
    /// Holder who proposed it.
    pub proposer: Name,
    /// Signatures so far, `KEY (HOLDER, GROUP)`.
    pub signatures: Vec<String>,
    /// What is still missing before it can be published; `None` when nothing is.
    pub missing: Option<String>,
    /// Bundles that hosts would still refuse for want of a builder's signature, one a line.
    pub unsigned: Vec<String>,
    /// Groups that change.
    pub changes: Vec<GroupChange>,
    /// Groups that stay as they are.
    pub unchanged: Vec<GroupName>,
}

/// What changes for one group.
#[derive(Debug, Serialize)]
pub struct GroupChange {
    /// The group.
    pub group: GroupName,
    /// It is new.
    pub is_new: bool,
    /// All its hosts.
    pub hosts: Vec<Name>,
    /// Hosts that join.
    pub hosts_added: Vec<Name>,
    /// Hosts that leave: what they run goes on until somebody stops it.
    pub hosts_removed: Vec<Name>,
    /// Hosts with another record key.
    pub record_keys: Vec<Name>,
    /// `install`, `upgrade`, `rollback`.
    pub mode: Value,
    /// Bundles it may replace.
    pub from: Vec<Digest>,
    /// The bundle before.
    pub before: Option<Entry>,
    /// The bundle after.
    pub after: Entry,
    /// Flags switched on, off, and ledger entries added or retired.
    pub flags: Vec<FlagChange>,
    /// Differences of configuration files by key, and of other files by line.
    pub files: Vec<FileChange>,
    /// Programs that differ: functions that came and went.
    pub programs: Vec<ProgramChange>,
    /// Groups of other environments that are to run these very programs.
    pub same_programs_as: Vec<String>,
    /// Groups of other environments that run the same release, built otherwise: this should never be.
    pub other_programs_than: Vec<String>,
    /// Crates that came, went or have another version.
    pub crates: Vec<String>,
    /// How many crates there are.
    pub crate_count: usize,
    /// Differences of compilers, flags and environment of the build.
    pub build: Vec<String>,
    /// Differences of the launch, one fact a line: `PATH: OLD -> NEW`.
    pub launch: Vec<String>,
    /// Revocations and rollback targets that came.
    pub revoked: Vec<Digest>,
    /// Other differences of the group file: gate, freshness, silence, rollback targets.
    pub policy: Vec<String>,
}

/// One file that differs and is no program.
#[derive(Debug, Serialize)]
pub struct FileChange {
    /// Path in the payload's root, or `hosts/NAME/PATH`.
    pub path: String,
    /// `new`, `gone`, `changed`, `mode`.
    pub what: &'static str,
    /// One line of facts.
    pub summary: String,
    /// By key where both sides are TOML or JSON, else by line; one fact a line.
    pub lines: Vec<String>,
}

/// Checks every bundle of the proposal that is new, and tells what changes.
///
/// # Errors
/// What the core says of a bundle, its signatures, or the one before it; a meaning that has not the signed digest.
pub fn review(repository: &Repository, proposal: &Proposal) -> Result<Review, ProposalError> {
    let trust = repository.trust();
    let told = flags::told(proposal)?;
    let (mut changes, mut unchanged, mut unsigned) = (Vec::new(), Vec::new(), Vec::new());
    let mut programs = Programs::default();
    for (name, group) in &proposal.next.groups {
        if proposal.next.is_unchanged(name, proposal.previous.as_ref()) {
            unchanged.push(name.clone());
            continue;
        }
        let old = proposal.previous.as_ref().and_then(|previous| previous.groups.get(name));
        let (after, missing) = contents::read_proposed(repository, group)?;
        unsigned.extend(missing.map(|missing| format!("bundle of {name}: {}; have {}", missing.want(), missing.have())));
        let before = match old {
            Some(old) if old.bundle != group.bundle => Some(contents::read_pinned(repository, old)?),
            _ => None,
        };
        let mut change = change(name, old, before.as_ref(), group, &after, &told)?;
        programs.compare(repository, &proposal.next, proposal.previous.as_ref(), name, group, &after, &mut change)?;
        changes.push(change);
    }
    let holder = |key: &Name| {
        let group = trust.roles.index.0.iter().find(|(_, group)| group.keys.contains(key)).map_or("?", |(group, _)| group.as_str());
        format!("{key} ({}, {group})", trust.keys.get(key).map_or("?", |key| key.holder.as_str()))
    };
    let missing = trust.check_second_person(&proposal.next.index.proposer, &proposal.signers).err();
    Ok(Review {
        version: proposal.version,
        sha256: proposal.next.digest,
        proposer: proposal.next.index.proposer.clone(),
        signatures: proposal.signers.iter().map(holder).collect(),
        missing: missing.map(|refusal| format!("{}; have {}", refusal.want(), refusal.have())),
        unsigned,
        changes,
        unchanged,
    })
}

fn change(
    name: &GroupName,
    old: Option<&Group>,
    before: Option<&Contents>,
    new: &Group,
    after: &Contents,
    told: &flags::Told,
) -> Result<GroupChange, ProposalError> {
    let hosts: BTreeSet<Name> = new.hosts.keys().cloned().collect();
    let old_hosts: BTreeSet<Name> = old.map(|old| old.hosts.keys().cloned().collect()).unwrap_or_default();
    let same_bundle = old.is_some_and(|old| old.bundle == new.bundle);
    // The same bundle has the same content: only what is compared with nothing, or with another bundle, has differences.
    let compared = if same_bundle { Some(after) } else { before };
    let revoked = new.revoked.iter().filter(|digest| old.is_none_or(|old| old.revoked.binary_search(digest).is_err()));
    let record_key = |host: &&Name| old.and_then(|old| old.hosts.get(*host)).is_some_and(|old| *old != new.hosts[*host]);
    Ok(GroupChange {
        group: name.clone(),
        is_new: old.is_none(),
        hosts_added: hosts.difference(&old_hosts).cloned().collect(),
        hosts_removed: old_hosts.difference(&hosts).cloned().collect(),
        record_keys: hosts.iter().filter(record_key).cloned().collect(),
        hosts: hosts.into_iter().collect(),
        mode: values::json(&new.mode),
        from: new.from.clone(),
        before: old.map(|old| old.bundle.clone()),
        after: new.bundle.clone(),
        flags: flags::changes(old, compared, new, after, told),
        files: config::changes(compared, after),
        programs: functions::changes(compared, after, told),
        same_programs_as: Vec::new(),
        other_programs_than: Vec::new(),
        crates: inputs::crates(compared, after),
        crate_count: inputs::crate_count(after),
        build: inputs::build(compared, after),
        launch: values::launch(compared.map(|contents| &contents.manifest.launch), &after.manifest.launch),
        revoked: revoked.copied().collect(),
        policy: values::policy(old, new),
    })
}

/// Programs of a bundle, by member path and digest.
type List = BTreeMap<MemberPath, Digest>;

/// Programs of the groups with which others are compared, each bundle read once.
#[derive(Default)]
struct Programs {
    known: BTreeMap<Digest, List>,
}

impl Programs {
    /// Whether groups of other environments have the very programs that this one gets: those of the index that is in force, and of the proposal.
    #[allow(clippy::too_many_arguments, reason = "two sides of a comparison, and where both are found")]
    fn compare(
        &mut self,
        repository: &Repository,
        next: &Assignment,
        previous: Option<&Assignment>,
        name: &GroupName,
        group: &Group,
        after: &Contents,
        change: &mut GroupChange,
    ) -> Result<(), ProposalError> {
        let own = programs(after);
        self.known.insert(group.bundle.digest()?, own.clone());
        for (other_name, other) in &next.groups {
            let same_release = other.bundle.product == group.bundle.product && other.bundle.release == group.bundle.release;
            if other_name.environment == name.environment || !same_release {
                continue;
            }
            let digest = other.bundle.digest()?;
            let list = match self.known.entry(digest) {
                Slot::Occupied(known) => known.into_mut(),
                Slot::Vacant(open) => open.insert(programs(&contents::check_pinned(repository, other)?)),
            };
            let same = *list == own;
            let runs = next.is_unchanged(other_name, previous);
            let text = format!("{other_name}{}", if runs { ", as it is published" } else { ", in this proposal" });
            match same {
                true => change.same_programs_as.push(text),
                false => change.other_programs_than.push(text),
            }
        }
        Ok(())
    }
}

fn programs(contents: &Contents) -> List {
    let programs = contents.manifest.files.iter().filter(|file| file.mode == FileMode::Program);
    programs.map(|File { path, sha256, .. }| (path.clone(), *sha256)).collect()
}
