//! Which bundle runs where: an index with its group files, and the rules by which one may follow another.
//!
//! The same rules judge a proposal when it is written, approved and published. They say nothing about signatures, and must never
//! depend on who asks.

use std::collections::BTreeMap;

use proofmark_core::group::{Group, Mode};
use proofmark_core::index::{Index, Pin};
use proofmark_core::name::GroupName;
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Reason, Refusal, Result};

use crate::repository::Published;

/// An index and the group files that it pins, parsed.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The index.
    pub index: Index,
    /// SHA-256 of its file.
    pub digest: Digest,
    /// Its group files, all of them.
    pub groups: BTreeMap<GroupName, Group>,
}

impl From<&Published> for Assignment {
    fn from(published: &Published) -> Self {
        let groups = published.groups.iter().map(|(name, group)| (name.clone(), (**group).clone())).collect();
        Assignment { index: (*published.index).clone(), digest: published.index.digest(), groups }
    }
}

impl Assignment {
    /// Whether `name` is pinned by the same digest in `previous`.
    pub fn is_unchanged(&self, name: &GroupName, previous: Option<&Assignment>) -> bool {
        let pin = |assignment: &Assignment| assignment.index.groups.get(name).map(|pin| pin.sha256);
        previous.is_some_and(|previous| pin(previous) == pin(self))
    }

    /// Every rule for what may follow `previous`, the newest index.
    pub fn check(&self, trust: &Trust, previous: Option<&Assignment>) -> Result<()> {
        self.check_place(trust, previous)?;
        self.check_hosts()?;
        self.check_entries()?;
        let Some(previous) = previous else { return Ok(()) };
        for (name, old) in &previous.groups {
            let new = self.groups.get(name).ok_or_else(|| {
                // Its revocations and its ledger would be gone with it, and both only grow.
                let want = format!("group {name}, as in index {}", previous.index.version);
                Refusal::new(Reason::NotInIndex, format_args!("index {}", self.index.version), want, "no such group")
            })?;
            if !self.is_unchanged(name, Some(previous)) {
                check_successor(name, old, new)?;
            }
        }
        Ok(())
    }

    /// Repository, version, predecessor, level, proposer.
    fn check_place(&self, trust: &Trust, previous: Option<&Assignment>) -> Result<()> {
        let Index { repository, version, prev, proposer, min_verifier, .. } = &self.index;
        let subject = format!("{version}.index.json");
        if *repository != trust.repository {
            return Err(Refusal::new(Reason::WrongDocument, subject, format_args!("repository {}", trust.repository), repository));
        }
        let want = previous.map(|previous| Pin { version: previous.index.version, sha256: previous.digest });
        if *prev != want {
            let show = |pin: &Option<Pin>| {
                pin.map_or_else(|| "none".to_owned(), |pin| format!("index {} with sha256 {}", pin.version, pin.sha256))
            };
            return Err(Refusal::new(Reason::Rollback, subject, format_args!("prev: {}, the newest", show(&want)), show(prev)));
        }
        if *min_verifier > proofmark_core::LEVEL {
            let want = format!("min_verifier up to {}, which hosts can enforce", proofmark_core::LEVEL);
            return Err(Refusal::new(Reason::VerifierTooOld, subject, want, min_verifier));
        }
        if trust.keys_of(proposer).is_empty() {
            return Err(Refusal::new(Reason::SecondPerson, subject, "a proposer who holds a key", proposer));
        }
        Ok(())
    }

    /// A host is in one group, across the whole index.
    fn check_hosts(&self) -> Result<()> {
        let mut listed = BTreeMap::new();
        for (name, group) in &self.groups {
            for host in group.hosts.keys() {
                if let Some(other) = listed.insert(host, name) {
                    let have = format!("{other} and {name}");
                    return Err(Refusal::new(Reason::HostInTwoGroups, format_args!("host {host}"), "one group that lists this host", have));
                }
            }
        }
        Ok(())
    }

    /// One (product, release, environment, target) is one bundle.
    fn check_entries(&self) -> Result<()> {
        let mut bundles: BTreeMap<String, Digest> = BTreeMap::new();
        for group in self.groups.values() {
            let digest = group.bundle.digest()?;
            let file = group.bundle_file();
            if let Some(other) = bundles.insert(file.clone(), digest)
                && other != digest
            {
                return Err(Refusal::new(
                    Reason::Product,
                    file,
                    "one bundle of this name in an index",
                    format_args!("{other} and {digest}"),
                ));
            }
        }
        Ok(())
    }
}

/// One group's next file: what only grows has grown, the product stays, and the bundle before may be replaced.
fn check_successor(name: &GroupName, old: &Group, new: &Group) -> Result<()> {
    new.check_grown(old)?;
    let subject = format!("group {name}");
    if new.bundle.product != old.bundle.product {
        return Err(Refusal::new(Reason::Product, subject, format_args!("product {}, as before", old.bundle.product), &new.bundle.product));
    }
    let (before, after) = (old.bundle.digest()?, new.bundle.digest()?);
    let may_follow = before == after || (new.mode != Mode::Install && new.from.binary_search(&before).is_ok());
    if !may_follow {
        let want = format!("a group file that may replace bundle {before}, which the hosts have");
        return Err(Refusal::new(Reason::Transition, subject, want, format_args!("mode {:?}, from {:?}", new.mode, new.from)));
    }
    Ok(())
}
