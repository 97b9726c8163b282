//! Which bundle runs where: an index with its group files, and the rules by which one may follow another.
//!
//! The same rules judge a proposal when it is written, approved and published. They say nothing about signatures, and must never
//! depend on who asks.

use std::collections::BTreeMap;

use proofmark_core::group::{Group, LedgerEntry, Mode};
use proofmark_core::index::{Index, Pin};
use proofmark_core::name::{GroupName, Name};
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
        for (name, old) in previous.iter().flat_map(|previous| &previous.groups) {
            let new = self.groups.get(name).ok_or_else(|| {
                // Its revocations and its ledger would be gone with it, and both only grow.
                let want = format!("group {name}, as in index {}", self.index.version - 1);
                Refusal::new(Reason::NotInIndex, format_args!("index {}", self.index.version), want, "no such group")
            })?;
            if !self.is_unchanged(name, previous) {
                check_successor(name, old, new)?;
            }
        }
        self.check_ledgers()
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

    /// A flag id means the same in every group of a product, whichever of them is ahead.
    fn check_ledgers(&self) -> Result<()> {
        let mut known: BTreeMap<(&Name, u64), (&GroupName, &LedgerEntry)> = BTreeMap::new();
        for (name, group) in &self.groups {
            for entry in &group.ledger {
                let (other, first) = *known.entry((&group.bundle.product, entry.id)).or_insert((name, entry));
                if first.name != entry.name || first.meaning != entry.meaning {
                    let want = format!("flag {} as {other} has it: {}, meaning {}", entry.id, first.name, first.meaning);
                    let have = format!("{}, meaning {}", entry.name, entry.meaning);
                    return Err(Refusal::new(Reason::FlagLedger, format_args!("ledger of {name}"), want, have));
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::{Member, Party, first_trust};
    use crate::proposal::draft;
    use crate::verbs::{Plan, Policy, assign};
    use proofmark_core::group::{Entry, FlagState};
    use proofmark_core::index::GroupPin;
    use proofmark_core::json;
    use proofmark_core::key::PublicKey;
    use std::collections::BTreeSet;

    fn trust() -> Trust {
        let parties = [("root", Party::Owners), ("ci", Party::Ci), ("bob", Party::Reviewers), ("head", Party::Head)];
        let member = |(name, party): (&str, Party)| {
            let name: Name = name.parse().unwrap();
            let key = minisign::KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64();
            Member { party, holder: name.clone(), public: PublicKey::from_base64(&key).unwrap(), name }
        };
        first_trust("0".repeat(32).parse().unwrap(), &parties.map(member), &BTreeMap::new()).unwrap().0
    }

    fn plan(group: &str, hosts: &[&str], release: &str) -> Plan {
        let group: GroupName = group.parse().unwrap();
        let (product, release, target): (Name, _, _) =
            ("router".parse().unwrap(), release.parse().unwrap(), "x86_64-unknown-linux-gnu".parse().unwrap());
        let digest = Digest::of(format!("{release}").as_bytes());
        let sha256sum = Entry::line(digest, &Entry::file_name(&product, &release, &group.environment, &target));
        let bundle = Entry {
            sha256sum,
            size: 1,
            unpacked_size: 1,
            manifest_sha256: digest,
            product,
            release,
            target,
            wire_epoch: 1,
            source_commit: "c".repeat(40).parse().unwrap(),
        };
        let ledger = vec![LedgerEntry { id: 7, name: "peg".parse().unwrap(), meaning: digest_of_meaning(), state: FlagState::Retired }];
        Plan {
            group,
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            bundle,
            ledger,
            also_from: BTreeSet::new(),
            policy: Policy::default(),
        }
    }

    fn digest_of_meaning() -> Digest {
        Digest::of(b"meaning")
    }

    /// Index 2 after index 1, with `change` made to the group file of prod/router.
    fn successor(trust: &Trust, change: impl FnOnce(&mut Group)) -> (Assignment, Assignment) {
        let plans = [plan("prod/router", &["a"], "1"), plan("uat/router", &["b"], "1")];
        let groups = plans.into_iter().map(|plan| assign(trust, None, plan).unwrap()).collect();
        let first = draft(trust, None, &"ci".parse().unwrap(), groups).unwrap().next;
        let mut next = first.clone();
        next.index.version = 2;
        next.index.prev = Some(Pin { version: 1, sha256: first.digest });
        let group = next.groups.get_mut(&"prod/router".parse::<GroupName>().unwrap()).unwrap();
        group.bundle = plan("prod/router", &["a"], "2").bundle;
        group.mode = Mode::Upgrade;
        group.from = vec![Digest::of(b"1")];
        change(group);
        let bytes = json::print(group);
        next.index.groups.insert(group.name(), GroupPin { sha256: Digest::of(&bytes), size: bytes.len() as u64 });
        (first, next)
    }

    #[test]
    fn attack_20_what_may_not_follow_is_refused_with_its_own_reason() {
        type Change = fn(&mut Group);
        let trust = trust();
        let cases: [(Change, Option<Reason>); 9] = [
            (|_| {}, None),
            (|group| group.from = vec![Digest::of(b"other")], Some(Reason::Transition)),
            (|group| (group.mode, group.from) = (Mode::Install, vec![]), Some(Reason::Transition)),
            (|group| group.ledger.clear(), Some(Reason::LedgerShrunk)),
            (|group| group.ledger[0].state = FlagState::Active, Some(Reason::LedgerShrunk)),
            (|group| group.ledger[0].meaning = Digest::of(b"another"), Some(Reason::LedgerShrunk)),
            (|group| group.bundle.product = "other".parse().unwrap(), Some(Reason::Product)),
            (
                |group| {
                    group.hosts.insert("b".parse().unwrap(), proofmark_core::group::Host { record_key: None });
                },
                Some(Reason::HostInTwoGroups),
            ),
            (|group| group.bundle = plan("prod/router", &["a"], "1").bundle, None),
        ];
        for (number, (change, want)) in cases.into_iter().enumerate() {
            let (first, next) = successor(&trust, change);
            assert_eq!(next.check(&trust, Some(&first)).err().map(|refusal| refusal.reason()), want, "case {number}");
        }
    }

    #[test]
    fn attack_20_revocations_and_groups_do_not_disappear() {
        let trust = trust();
        let (mut first, next) = successor(&trust, |_| {});
        let name: GroupName = "prod/router".parse().unwrap();
        first.groups.get_mut(&name).unwrap().revoked = vec![Digest::of(b"bad")];
        assert_eq!(next.check(&trust, Some(&first)).unwrap_err().reason(), Reason::RevokedShrunk);
        let (first, mut next) = successor(&trust, |_| {});
        next.groups.remove(&name);
        next.index.groups.remove(&name);
        assert_eq!(next.check(&trust, Some(&first)).unwrap_err().reason(), Reason::NotInIndex);
    }

    #[test]
    fn attack_14_an_index_follows_the_newest_one_and_no_other() {
        let trust = trust();
        let (first, next) = successor(&trust, |_| {});
        assert_eq!(next.check(&trust, None).unwrap_err().reason(), Reason::Rollback);
        let mut forged = first.clone();
        forged.digest = Digest::of(b"another index 1");
        assert_eq!(next.check(&trust, Some(&forged)).unwrap_err().reason(), Reason::Rollback);
    }
}
