//! The index after the newest one, and its group files, before anybody has signed. Every verb ends here.
//!
//! Groups that no verb changes are carried forward byte for byte.

use std::collections::BTreeMap;

use proofmark_core::Digest;
use proofmark_core::group::Group;
use proofmark_core::index::{GroupPin, Index, Pin};
use proofmark_core::json::{self, Document};
use proofmark_core::name::Name;
use proofmark_core::signature::{Kind, file_name};
use proofmark_core::trust::Trust;

use crate::assignment::Assignment;
use crate::repository::Published;

/// Index N+1, not signed yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The index and all group files.
    pub next: Assignment,
    /// The index's bytes.
    pub bytes: Vec<u8>,
    /// What lies beside it in the proposal, by file name: the group files that are new, and texts for the reviewer.
    pub others: BTreeMap<String, Vec<u8>>,
}

impl Draft {
    /// No group changes.
    pub fn is_empty(&self) -> bool {
        !self.others.keys().any(|name| name.ends_with(".group.json"))
    }
}

/// Drafts the index after `previous`, in which the groups of `changed` are as given and all others as they were.
///
/// # Errors
/// Every rule of [`Assignment::check`] and of the formats.
pub fn draft(trust: &Trust, previous: Option<&Published>, proposer: &Name, changed: Vec<Group>) -> proofmark_core::Result<Draft> {
    let before = previous.map(Assignment::from);
    let mut pins = before.as_ref().map(|before| before.index.groups.clone()).unwrap_or_default();
    let mut groups = before.as_ref().map(|before| before.groups.clone()).unwrap_or_default();
    let mut others = BTreeMap::new();
    for group in changed {
        let name = group.name();
        if groups.get(&name) == Some(&group) {
            continue;
        }
        let bytes = json::print(&group);
        // The core reads back what is written, and its checks are the format's.
        let group: Group = json::parse(&bytes, &format!("group file of {name}"))?;
        let pin = GroupPin { sha256: Digest::of(&bytes), size: bytes.len() as u64 };
        if pins.insert(name.clone(), pin) != Some(pin) {
            others.insert(group_file(pin.sha256), bytes);
        }
        groups.insert(name, group);
    }
    let version = before.as_ref().map_or(0, |before| before.index.version) + 1;
    let index = Index {
        format: 1,
        kind: Index::KIND.into(),
        repository: trust.repository.clone(),
        version,
        min_verifier: proofmark_core::LEVEL,
        proposer: proposer.clone(),
        prev: before.as_ref().map(|before| Pin { version: before.index.version, sha256: before.digest }),
        groups: pins,
    };
    let bytes = json::print(&index);
    let index: Index = json::parse(&bytes, &file_name(Kind::Index, version))?;
    let next = Assignment { index, digest: Digest::of(&bytes), groups };
    next.check(trust, before.as_ref())?;
    Ok(Draft { next, bytes, others })
}

/// Name of a group file in a proposal.
pub(super) fn group_file(digest: Digest) -> String {
    format!("{digest}.group.json")
}
