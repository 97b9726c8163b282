//! The index after the newest one, and its group files, before anybody has signed.
//!
//! What the plans do not change is carried forward: other groups' pins, record keys, revocations, rollback targets, policy.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_core::Digest;
use proofmark_core::group::{Entry, Freshness, Gate, Group, Host, Lease, LedgerEntry, Mode, Silence};
use proofmark_core::index::{GroupPin, Index, Pin};
use proofmark_core::json::{self, Document};
use proofmark_core::name::{GroupName, Name};
use proofmark_core::signature::{Kind, file_name};
use proofmark_core::trust::Trust;

use crate::assignment::Assignment;
use crate::repository::Published;

/// What a group's next file is to say.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The group.
    pub group: GroupName,
    /// Its exact hosts.
    pub hosts: BTreeSet<Name>,
    /// The bundle.
    pub bundle: Entry,
    /// The product's ledger.
    pub ledger: Vec<LedgerEntry>,
    /// Bundles that hosts may still hold, besides the one that the group has now.
    pub also_from: BTreeSet<Digest>,
}

/// Index N+1, not signed yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The index and all group files.
    pub next: Assignment,
    /// The index's bytes.
    pub bytes: Vec<u8>,
    /// The group files that are new.
    pub new_groups: BTreeMap<Digest, Vec<u8>>,
}

/// Drafts the index after `previous` with the plans' groups changed and all others as they are.
///
/// # Errors
/// Every rule of [`Assignment::check`] and of the formats.
pub fn draft(trust: &Trust, previous: Option<&Published>, proposer: &Name, plans: Vec<Plan>) -> proofmark_core::Result<Draft> {
    let before = previous.map(Assignment::from);
    let mut pins = before.as_ref().map(|before| before.index.groups.clone()).unwrap_or_default();
    let mut groups = before.as_ref().map(|before| before.groups.clone()).unwrap_or_default();
    let mut new_groups = BTreeMap::new();
    for plan in plans {
        let name = plan.group.clone();
        let group = next_group(trust, groups.get(&name), plan)?;
        let bytes = json::print(&group);
        // The core reads back what is written, and its checks are the format's.
        let group: Group = json::parse(&bytes, &format!("group file of {name}"))?;
        let pin = GroupPin { sha256: Digest::of(&bytes), size: bytes.len() as u64 };
        if pins.insert(name.clone(), pin) != Some(pin) {
            new_groups.insert(pin.sha256, bytes);
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
    Ok(Draft { next, bytes, new_groups })
}

fn next_group(trust: &Trust, previous: Option<&Group>, plan: Plan) -> proofmark_core::Result<Group> {
    let Plan { group, hosts, bundle, ledger, also_from } = plan;
    let (mode, from) = match previous {
        None => (Mode::Install, BTreeSet::new()),
        // The same bundle again, with other hosts or a longer ledger: hosts that have not changed over yet still may.
        Some(old) if old.bundle.digest()? == bundle.digest()? => (old.mode, old.from.iter().copied().collect()),
        Some(old) => (Mode::Upgrade, BTreeSet::from([old.bundle.digest()?])),
    };
    let from: Vec<Digest> = if mode == Mode::Install { Vec::new() } else { from.union(&also_from).copied().collect() };
    let record_key = |host: &Name| previous.and_then(|old| old.hosts.get(host)).and_then(|host| host.record_key.clone());
    Ok(Group {
        format: 1,
        kind: Group::KIND.into(),
        repository: trust.repository.clone(),
        environment: group.environment,
        role: group.role,
        hosts: hosts.into_iter().map(|host| (host.clone(), Host { record_key: record_key(&host) })).collect(),
        bundle,
        mode,
        from,
        rollback_targets: previous.map(|old| old.rollback_targets.clone()).unwrap_or_default(),
        revoked: previous.map(|old| old.revoked.clone()).unwrap_or_default(),
        ledger,
        gate: previous.map_or(Gate::None, |old| old.gate),
        freshness: previous.map_or(FRESHNESS, |old| old.freshness.clone()),
        silence: previous.map_or(Silence { alert_seconds: 60, stop_seconds: None }, |old| old.silence.clone()),
    })
}

/// A new group's freshness: a head of a day activates, and what ran before may restart for a week without one.
const FRESHNESS: Freshness = Freshness { activate_seconds: 86_400, restart_seconds: 604_800, lease: Lease::Grace };

impl Draft {
    /// No group changes.
    pub fn is_empty(&self) -> bool {
        self.new_groups.is_empty()
    }
}
