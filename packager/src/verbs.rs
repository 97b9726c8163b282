//! What a proposal does to a group: each verb makes the next group file from the one before. Pure: no repository, no signature.
//!
//! What a verb does not speak of stays as it is. The rules for what may follow are [`crate::assignment`]'s and the core's; here are those
//! that a person must hear in his own words: no part of a group, no way back across wire epochs while it runs, nothing revoked.

use std::collections::BTreeSet;

use proofmark_core::Digest;
use proofmark_core::group::{Entry, FlagState, Freshness, Gate, Group, Host, Lease, LedgerEntry, Mode, Silence};
use proofmark_core::json::Document;
use proofmark_core::key::PublicKey;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::trust::Trust;

mod error;

pub use error::VerbError;

/// A new group's freshness: a head of a day activates, and what ran before may restart for a week without one.
const FRESHNESS: Freshness = Freshness { activate_seconds: 86_400, restart_seconds: 604_800, lease: Lease::Grace };
/// A new group's silence: an alert after a minute.
const SILENCE: Silence = Silence { alert_seconds: 60, stop_seconds: None };

/// What is to run on a group.
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
    /// What is said of gate, freshness and silence.
    pub policy: Policy,
}

/// What somebody says of a group's gate, freshness and silence; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether a start needs the whole group.
    pub gate: Option<Gate>,
    /// Seconds after a head's `issued` in which it activates.
    pub activate_seconds: Option<u64>,
    /// Seconds after a head's end in which what ran restarts.
    pub restart_seconds: Option<u64>,
    /// What a head's end does to what runs.
    pub lease: Option<Lease>,
    /// Seconds of silence before an alert.
    pub alert_seconds: Option<u64>,
    /// Seconds of silence before a stop; `Some(None)`: never.
    pub stop_seconds: Option<Option<u64>>,
}

impl Policy {
    fn apply(self, group: &mut Group) {
        let set = |to: &mut u64, from: Option<u64>| *to = from.unwrap_or(*to);
        group.gate = self.gate.unwrap_or(group.gate);
        set(&mut group.freshness.activate_seconds, self.activate_seconds);
        set(&mut group.freshness.restart_seconds, self.restart_seconds);
        group.freshness.lease = self.lease.unwrap_or(group.freshness.lease);
        set(&mut group.silence.alert_seconds, self.alert_seconds);
        group.silence.stop_seconds = self.stop_seconds.unwrap_or(group.silence.stop_seconds);
    }
}

/// Puts a bundle on a group, which may be new.
pub fn assign(trust: &Trust, previous: Option<&Group>, plan: Plan) -> proofmark_core::Result<Group> {
    let Plan { group: name, hosts, bundle, ledger, also_from, policy } = plan;
    let mut group = match previous {
        Some(old) => old.clone(),
        None => Group {
            format: 1,
            kind: Group::KIND.into(),
            repository: trust.repository.clone(),
            environment: name.environment,
            role: name.role,
            hosts: Default::default(),
            bundle: bundle.clone(),
            mode: Mode::Install,
            from: Vec::new(),
            rollback_targets: Vec::new(),
            revoked: Vec::new(),
            ledger: Vec::new(),
            gate: Gate::None,
            freshness: FRESHNESS,
            silence: SILENCE,
        },
    };
    let before = group.bundle.digest()?;
    // The same bundle again, with other hosts or a longer ledger: hosts that have not changed over yet still may.
    if before != bundle.digest()? {
        group.mode = Mode::Upgrade;
        group.from = vec![before];
    }
    if group.mode != Mode::Install {
        group.from = sorted(group.from.iter().copied().chain(also_from));
    }
    let old_hosts = std::mem::take(&mut group.hosts);
    let host = |host: Name| (host.clone(), old_hosts.get(&host).cloned().unwrap_or(Host { record_key: None }));
    group.hosts = hosts.into_iter().map(host).collect();
    group.bundle = bundle;
    group.ledger = ledger;
    policy.apply(&mut group);
    Ok(group)
}

/// Takes a whole group back to a bundle that it had before. `halted`: nothing of the group runs.
///
/// The bundle that is left may be revoked in the same step, since it is not assigned any more.
pub fn rollback(
    previous: &Group,
    target: &Entry,
    also_from: &BTreeSet<Digest>,
    revoke_current: bool,
    halted: bool,
) -> Result<Group, VerbError> {
    let (now, to) = (previous.bundle.digest()?, target.digest()?);
    let name = previous.name();
    if now == to {
        return Err(VerbError::Same { group: name, release: target.release.to_string() });
    }
    if previous.revoked.binary_search(&to).is_ok() {
        return Err(VerbError::RevokedTarget { group: name, release: target.release.to_string(), bundle: to });
    }
    if previous.bundle.wire_epoch != target.wire_epoch && !halted {
        return Err(VerbError::WireEpoch { group: name, from: previous.bundle.wire_epoch, to: target.wire_epoch });
    }
    let mut group = previous.clone();
    group.mode = Mode::Rollback;
    group.from = sorted(also_from.iter().copied().chain([now]).filter(|digest| *digest != to));
    if revoke_current {
        group.revoked = sorted(group.revoked.iter().copied().chain([now]));
    }
    let revoked = group.revoked.clone();
    group.rollback_targets =
        sorted(group.rollback_targets.iter().copied().chain([to]).filter(|digest| revoked.binary_search(digest).is_err()));
    group.bundle = target.clone();
    Ok(group)
}

/// Revokes bundles on a group, for ever.
pub fn revoke(previous: &Group, bundles: &BTreeSet<Digest>) -> Result<Group, VerbError> {
    if bundles.contains(&previous.bundle.digest()?) {
        return Err(VerbError::RevokeAssigned { group: previous.name(), release: previous.bundle.release.to_string() });
    }
    let mut group = previous.clone();
    group.revoked = sorted(group.revoked.iter().copied().chain(bundles.iter().copied()));
    group.rollback_targets.retain(|digest| !bundles.contains(digest));
    Ok(group)
}

/// Lists a host, or gives one that is listed another record key.
pub fn admit(previous: &Group, host: &Name, record_key: Option<PublicKey>) -> Group {
    let mut group = previous.clone();
    let entry = group.hosts.entry(host.clone()).or_insert(Host { record_key: None });
    entry.record_key = record_key.or(entry.record_key.take());
    group
}

/// Takes a host out of the list. What it runs is not stopped by that.
pub fn remove(previous: &Group, host: &Name) -> Result<Group, VerbError> {
    let mut group = previous.clone();
    if group.hosts.remove(host).is_none() {
        let hosts = previous.hosts.keys().map(ToString::to_string).collect();
        return Err(VerbError::NoHost { group: previous.name(), host: host.clone(), hosts });
    }
    if group.hosts.is_empty() {
        return Err(VerbError::LastHost { group: previous.name(), host: host.clone() });
    }
    Ok(group)
}

/// Sets gate, freshness and silence.
pub fn set_policy(previous: &Group, policy: Policy) -> Group {
    let mut group = previous.clone();
    policy.apply(&mut group);
    group
}

/// Refuses hosts that are a part of a group: nothing starts, stops or goes back on some of its hosts (K15).
pub fn check_whole(group: &Group, hosts: &BTreeSet<Name>) -> Result<(), VerbError> {
    let all: BTreeSet<Name> = group.hosts.keys().cloned().collect();
    if let Some(host) = hosts.difference(&all).next() {
        let hosts = all.iter().map(ToString::to_string).collect();
        return Err(VerbError::NoHost { group: group.name(), host: host.clone(), hosts });
    }
    if hosts.is_empty() || *hosts == all {
        return Ok(());
    }
    let left = all.difference(hosts).map(ToString::to_string).collect();
    Err(VerbError::Part { group: group.name(), asked: hosts.len(), all: all.len(), left })
}

/// The union of two ledgers of one product: what either has, and retired where either says so.
///
/// # Errors
/// The core's own, when an id has two names or meanings.
pub fn merge_ledgers(group: &GroupName, old: &[LedgerEntry], new: &[LedgerEntry]) -> Result<Vec<LedgerEntry>, VerbError> {
    let mut merged: Vec<LedgerEntry> = new.to_vec();
    for entry in old {
        match merged.iter_mut().find(|other| other.id == entry.id) {
            None => merged.push(entry.clone()),
            Some(other) if other.name != entry.name || other.meaning != entry.meaning => {
                return Err(VerbError::Ledger { group: group.clone(), id: entry.id, old: entry.name.clone(), new: other.name.clone() });
            }
            Some(other) if entry.state == FlagState::Retired => other.state = FlagState::Retired,
            Some(_) => {}
        }
    }
    merged.sort_by_key(|entry| entry.id);
    Ok(merged)
}

fn sorted(digests: impl Iterator<Item = Digest>) -> Vec<Digest> {
    digests.collect::<BTreeSet<_>>().into_iter().collect()
}
