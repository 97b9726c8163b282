//! What a proposal changes, for the second person: every difference that decides how something runs, from checked bytes.
//!
//! Text from bundles and documents is escaped before it is shown. This file judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proofmark_core::Digest;
use proofmark_core::group::{Entry, FlagState, Group};
use proofmark_core::manifest::{File, FileMode, Launch};
use proofmark_core::name::{GroupName, MemberPath, Name};
use proofmark_core::text::escape;
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

use crate::contents::{self, Contents};
use crate::proposal::{Proposal, ProposalError};
use crate::repository::Repository;

mod words;

/// Lines of one file's difference that are shown.
const LINES: usize = 200;

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
    /// What else is worth knowing.
    pub notes: Vec<String>,
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
    /// `install`, `upgrade`, `rollback`.
    pub mode: Value,
    /// Bundles it may replace.
    pub from: Vec<Digest>,
    /// The bundle before.
    pub before: Option<Entry>,
    /// The bundle after.
    pub after: Entry,
    /// Flags switched on, off, and ledger entries added or retired, one fact a line.
    pub flags: Vec<String>,
    /// Differences of the launch, one fact a line: `PATH: OLD -> NEW`.
    pub launch: Vec<String>,
    /// Files that come, go, or change, with a difference for small text files.
    pub files: Vec<FileChange>,
    /// Other differences of the group file: gate, freshness, silence, revocations, rollback targets.
    pub policy: Vec<String>,
}

/// One file that differs.
#[derive(Debug, Serialize)]
pub struct FileChange {
    /// Member path.
    pub path: String,
    /// One line.
    pub summary: String,
    /// Unified difference, for small text files.
    pub diff: Option<String>,
}

/// Checks every bundle of the proposal that is new, and tells what changes.
///
/// # Errors
/// What the core says of a bundle, its signatures, or the one before it.
pub fn review(repository: &Repository, proposal: &Proposal) -> Result<Review, ProposalError> {
    let trust = repository.trust();
    let mut changes = Vec::new();
    let mut unchanged = Vec::new();
    let mut unsigned = Vec::new();
    let mut programs: BTreeMap<String, BTreeMap<GroupName, Vec<(String, Digest)>>> = BTreeMap::new();
    for (name, group) in &proposal.next.groups {
        if proposal.next.is_unchanged(name, proposal.previous.as_ref()) {
            unchanged.push(name.clone());
            continue;
        }
        let old = proposal.previous.as_ref().and_then(|previous| previous.groups.get(name));
        let (after, missing) = contents::check_proposed(repository, group)?;
        unsigned.extend(missing.map(|missing| format!("bundle of {name}: {}; have {}", missing.want(), missing.have())));
        let before = old.map(|old| contents::check_pinned(repository, old)).transpose()?;
        let list =
            after.manifest.files.iter().filter(|file| file.mode == FileMode::Program).map(|file| (file.path.to_string(), file.sha256));
        let release = format!("{} {}", group.bundle.product, group.bundle.release);
        programs.entry(release).or_default().insert(name.clone(), list.collect());
        changes.push(change(name, old, before.as_ref(), group, &after)?);
    }
    let holder = |key: &Name| {
        let group = trust.roles.index.0.iter().find(|(_, group)| group.keys.contains(key)).map_or("?", |(group, _)| group.as_str());
        format!("{key} ({}, {group})", trust.keys.get(key).map_or("?", |key| key.holder.as_str()))
    };
    let proposers = trust.keys_of(&proposal.next.index.proposer);
    let met = trust.roles.index.check_met(&proposal.signers, Some((&trust.second_person, &proposers)));
    Ok(Review {
        version: proposal.version,
        sha256: proposal.next.digest,
        proposer: proposal.next.index.proposer.clone(),
        signatures: proposal.signers.iter().map(holder).collect(),
        missing: met.err().map(|refusal| format!("{}; have {}", refusal.want(), refusal.have())),
        unsigned,
        changes,
        unchanged,
        notes: programs.iter().filter_map(|(release, groups)| same_programs(release, groups)).collect(),
    })
}

/// Whether the groups of one release get the same programs: prod is what uat tried.
fn same_programs(release: &str, groups: &BTreeMap<GroupName, Vec<(String, Digest)>>) -> Option<String> {
    let mut lists = groups.values();
    let first = lists.next().filter(|_| groups.len() > 1)?;
    let names = groups.keys().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let same = if lists.all(|list| list == first) { "the same programs, byte for byte" } else { "DIFFERENT programs" };
    Some(format!("{release}: {names} get {same}"))
}

fn change(
    name: &GroupName,
    old: Option<&Group>,
    before: Option<&Contents>,
    new: &Group,
    after: &Contents,
) -> proofmark_core::Result<GroupChange> {
    let hosts: BTreeSet<Name> = new.hosts.keys().cloned().collect();
    let old_hosts: BTreeSet<Name> = old.map(|old| old.hosts.keys().cloned().collect()).unwrap_or_default();
    let launch = |contents: &Contents| json(&contents.manifest.launch);
    let no_launch = Value::Object(serde_json::Map::new());
    let mut launch_lines = Vec::new();
    differences("", &before.map_or(no_launch, launch), &json::<Launch>(&after.manifest.launch), &mut launch_lines);
    if old.is_none() {
        launch_lines.retain(|line| !line.ends_with(": []"));
    }
    Ok(GroupChange {
        group: name.clone(),
        is_new: old.is_none(),
        hosts_added: hosts.difference(&old_hosts).cloned().collect(),
        hosts_removed: old_hosts.difference(&hosts).cloned().collect(),
        hosts: hosts.into_iter().collect(),
        mode: json(&new.mode),
        from: new.from.clone(),
        before: old.map(|old| old.bundle.clone()),
        after: new.bundle.clone(),
        flags: flags(old, before, new, after),
        launch: launch_lines,
        files: files(before, after),
        policy: policy(old, new),
    })
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Leaves of two JSON values that differ, as `PATH: OLD -> NEW`.
fn differences(path: &str, old: &Value, new: &Value, out: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differences(&path, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), out);
            }
        }
        (Value::Null, Value::Object(b)) => {
            b.iter().for_each(|(key, value)| differences(&format!("{path}.{key}"), &Value::Null, value, out))
        }
        (old, new) if old == new => {}
        (Value::Null, new) => out.push(format!("{path}: {new}")),
        (old, new) => out.push(format!("{path}: {old} -> {new}")),
    }
}

fn flags(old: Option<&Group>, before: Option<&Contents>, new: &Group, after: &Contents) -> Vec<String> {
    let mut out = Vec::new();
    let on = |contents: &Contents| contents.manifest.flags.iter().map(|flag| (flag.id, flag.name.clone())).collect::<BTreeMap<_, _>>();
    let (was, is) = (before.map(on).unwrap_or_default(), on(after));
    out.extend(is.iter().filter(|(id, _)| !was.contains_key(id)).map(|(id, name)| format!("ON   flag {id} {name}")));
    out.extend(was.iter().filter(|(id, _)| !is.contains_key(id)).map(|(id, name)| format!("OFF  flag {id} {name}")));
    for entry in &new.ledger {
        let state = if entry.state == FlagState::Active { "active" } else { "retired" };
        match old.and_then(|old| old.ledger.iter().find(|other| other.id == entry.id)) {
            None => out.push(format!("new in the ledger: {} {} ({state})", entry.id, entry.name)),
            Some(other) if other.state != entry.state => out.push(format!("ledger: {} {} is now {state}", entry.id, entry.name)),
            Some(_) => {}
        }
    }
    out
}

fn policy(old: Option<&Group>, new: &Group) -> Vec<String> {
    // Everything of the group file that is not shown elsewhere.
    let rest = |group: &Group| {
        let mut value = json(group);
        if let Value::Object(map) = &mut value {
            for shown in ["format", "kind", "repository", "environment", "role", "hosts", "bundle", "mode", "from", "ledger"] {
                map.remove(shown);
            }
        }
        value
    };
    let mut out = Vec::new();
    differences("", &old.map_or(Value::Object(serde_json::Map::new()), rest), &rest(new), &mut out);
    out.retain(|line| !line.ends_with(": []"));
    out
}

fn files(before: Option<&Contents>, after: &Contents) -> Vec<FileChange> {
    let by_path =
        |contents: &Contents| contents.manifest.files.iter().map(|file| (file.path.clone(), file.clone())).collect::<BTreeMap<_, File>>();
    let (old, new) = (before.map(by_path).unwrap_or_default(), by_path(after));
    let mut out = Vec::new();
    for path in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let show = |file: &File| format!("{} bytes, {:o}, sha256 {}", file.size, file.mode.bits(), file.sha256);
        let summary = match (old.get(path), new.get(path)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(a), Some(b)) => format!("changed: {} -> {}", show(a), show(b)),
            (Some(a), None) => format!("gone: {}", show(a)),
            (None, Some(b)) => format!("new: {}", show(b)),
            (None, None) => continue,
        };
        let sides = (
            if old.contains_key(path) { before.and_then(|before| small_text(before, path)) } else { Some("") },
            if new.contains_key(path) { small_text(after, path) } else { Some("") },
        );
        let diff = match sides {
            (Some(a), Some(b)) => Some(unified(a, b)),
            _ => None,
        };
        out.push(FileChange { path: path.to_string(), summary, diff });
    }
    out
}

fn small_text<'a>(contents: &'a Contents, path: &MemberPath) -> Option<&'a str> {
    contents.small.get(path).and_then(|bytes| std::str::from_utf8(bytes).ok())
}

/// A unified difference, escaped line by line, bounded.
fn unified(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new).unified_diff().context_radius(2).to_string();
    let mut out = String::new();
    for (number, line) in diff.lines().enumerate() {
        if number == LINES {
            let _ = writeln!(out, "... and {} lines more", diff.lines().count() - LINES);
            break;
        }
        let _ = writeln!(out, "{}", escape(line));
    }
    out
}
