//! What holds for every sequence of documents: too few signatures change nothing, versions never fall, and each signature of a set
//! that just suffices is needed.

use crate::world::*;
use proofmark_core::Reason;
use proofmark_core::admission::State;
use proofmark_core::signature::{Kind, comment, verify_signatures};
use proofmark_core::trust::Role;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::BTreeSet;

/// Everybody who ever holds a key, in any role or in none.
const KEYS: [&str; 9] = ["root-1", "root-2", "ci-1", "ci-2", "alice-1", "bob-1", "head-1", "head-2", "idle-1"];

/// What somebody who can write to the repository offers next, signed by whomever.
#[derive(Clone, Debug)]
enum Offer {
    /// The next trust: its owners, how many of them must sign, its head key.
    Trust { owners: Vec<&'static str>, threshold: u64, head: &'static str, signers: Vec<&'static str> },
    /// An index that many versions on (or back), and a head for it.
    Index { step: i64, signers: Vec<&'static str>, head_step: i64, head_signers: Vec<&'static str> },
}

fn signers() -> impl Strategy<Value = Vec<&'static str>> {
    // Most sets suffice, so that sequences get somewhere; each key is missing often enough.
    prop_oneof![3 => Just(KEYS.to_vec()), 4 => subsequence(KEYS.to_vec(), 0..=KEYS.len())]
}

fn offer() -> impl Strategy<Value = Offer> {
    let owners = prop_oneof![Just((vec!["root-1"], 1)), Just((vec!["root-1", "root-2"], 1)), Just((vec!["root-1", "root-2"], 2))];
    let trust = (owners, select(vec!["head-1", "head-2"]), signers()).prop_map(|((owners, threshold), head, signers)| Offer::Trust {
        owners,
        threshold,
        head,
        signers,
    });
    let index = (-2..4_i64, signers(), -2..4_i64, signers()).prop_map(|(step, signers, head_step, head_signers)| Offer::Index {
        step,
        signers,
        head_step,
        head_signers,
    });
    prop_oneof![1 => trust, 2 => index]
}

/// The oracle: who may decide, counted by hand.
#[derive(Clone)]
struct Law {
    owners: BTreeSet<&'static str>,
    threshold: usize,
    head: &'static str,
}

impl Law {
    fn trust_is_met(&self, signers: &[&str]) -> bool {
        signers.iter().filter(|key| self.owners.contains(*key)).count() >= self.threshold
    }

    fn index_is_met(signers: &[&str]) -> bool {
        signers.contains(&"ci-1") && (signers.contains(&"alice-1") || signers.contains(&"bob-1"))
    }
}

/// Of the keys that come and go; a name is bound to its holder for ever.
fn holder(key: &str) -> &str {
    match key {
        "root-1" => "root",
        "head-1" => "clock",
        other => other,
    }
}

/// (trust, index, head) of a state.
fn versions(state: &State) -> (u64, u64, u64) {
    (state.trust.version, state.index.map_or(0, |pin| pin.version), state.head.as_ref().map_or(0, |head| head.version))
}

fn forward(version: u64, step: i64) -> u64 {
    version.saturating_add_signed(step).max(1)
}

/// A repository whose owners, head key and index are offered anew, and a host that looks after each offer.
struct Play {
    scene: Scene,
    law: Law,
    accepted: usize,
}

impl Play {
    fn new() -> Self {
        let mut scene = Scene::new();
        scene.accept();
        Play { scene, law: Law { owners: ["root-1"].into(), threshold: 1, head: "head-1" }, accepted: 0 }
    }

    /// Offers, and judges what the host makes of it.
    fn offer(&mut self, offer: &Offer) {
        let before = self.scene.state.clone();
        let (trusts, index, head) = (self.scene.trusts.clone(), self.scene.index.clone(), self.scene.head.clone());
        let (_, old_index, old_head) = versions(&before);
        let mut next = self.law.clone();
        let (enough, in_order) = match offer {
            Offer::Trust { owners, threshold, head, signers } => {
                next = Law { owners: owners.iter().copied().collect(), threshold: *threshold as usize, head };
                self.scene.rotate(
                    |trust| {
                        for key in ["root-1", "root-2", "head-1", "head-2"] {
                            trust.keys.remove(&t::<proofmark_core::name::Name>(key));
                        }
                        owners.iter().chain([head]).for_each(|key| add_key(trust, key, holder(key)));
                        trust.roles.trust = role(&[("owners", *threshold, owners)]);
                        trust.roles.head = role(&[("head", 1, &[*head])]);
                    },
                    signers,
                );
                self.scene.publish_head(old_head + 1, |_| {}, &[*head]);
                (self.law.trust_is_met(signers) && next.trust_is_met(signers), true)
            }
            Offer::Index { step, signers, head_step, head_signers } => {
                let (version, head_version) = (forward(old_index, *step), forward(old_head, *head_step));
                self.scene.publish_index(version, |_| {}, signers);
                self.scene.publish_head(head_version, |_| {}, head_signers);
                // The same version again is other bytes: its signatures, or what it pins, are not those of before.
                let head_is_new = head_version > old_head;
                (Law::index_is_met(signers) && head_signers.contains(&self.law.head), version >= old_index && head_is_new)
            }
        };
        let outcome = self.scene.chain().and_then(|chain| chain.advance(&[]));
        match outcome {
            Ok(state) => {
                assert!(enough, "accepted with too few signatures: {offer:?}");
                let (old, new) = (versions(&before), versions(&state));
                assert!(new.0 >= old.0 && new.1 >= old.1 && new.2 >= old.2, "from {old:?} to {new:?}: {offer:?}");
                self.scene.state = state;
                self.law = next;
                self.accepted += 1;
            }
            Err(refusal) => {
                assert!(!(enough && in_order), "refused though all is in order: {offer:?}: {refusal}");
                assert_eq!(self.scene.state, before, "a refusal changed the state");
                (self.scene.trusts, self.scene.index, self.scene.head) = (trusts, index, head);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_documents_with_too_few_signatures_changes_the_state_and_versions_never_fall(
        offers in prop::collection::vec(offer(), 1..12)
    ) {
        let mut play = Play::new();
        for offer in &offers {
            play.offer(offer);
        }
    }

    #[test]
    fn each_signature_of_a_set_that_just_suffices_is_needed(
        // Groups of keys, and how many of each are asked for.
        groups in prop::collection::vec((1..=3_usize, 0..=2_usize), 1..=3)
    ) {
        let mut pool = KEYS.iter();
        let mut named: Vec<(String, u64, Vec<&str>)> = Vec::new();
        for (number, (size, less)) in groups.iter().enumerate() {
            let keys: Vec<&str> = pool.by_ref().take(*size).copied().collect();
            prop_assume!(keys.len() == *size);
            named.push((format!("group-{number}"), size.saturating_sub(*less).max(1) as u64, keys));
        }
        let borrowed: Vec<(&str, u64, &[&str])> = named.iter().map(|(name, threshold, keys)| (name.as_str(), *threshold, &keys[..])).collect();
        let role: Role = role(&borrowed);
        let mut trust = trust();
        KEYS.iter().for_each(|key| add_key(&mut trust, key, key));
        let just: Vec<&str> = named.iter().flat_map(|(_, threshold, keys)| keys.iter().take(*threshold as usize).copied()).collect();
        let judge = |signers: &[&str]| {
            let file = sign(Kind::Bundle, None, "b.tar.zst", b"bundle".to_vec(), signers);
            let comment = comment(&trust.repository, Kind::Bundle, None, "b.tar.zst");
            let signed = verify_signatures(&trust, &role, &comment, "b", &file.signatures, &mut &b"bundle"[..], &|_, _| Ok(())).unwrap();
            role.check_met(&signed.signers, None)
        };
        prop_assert!(judge(&just).is_ok());
        for left_out in &just {
            let fewer: Vec<&str> = just.iter().filter(|key| key != &left_out).copied().collect();
            prop_assert_eq!(judge(&fewer).unwrap_err().reason(), Reason::Threshold, "without {}", left_out);
        }
    }
}

#[test]
fn the_sequences_get_somewhere() {
    // The property above says nothing of refusals alone: most offers with all signatures are accepted.
    let mut play = Play::new();
    let all = KEYS.to_vec();
    for step in 1..=3 {
        play.offer(&Offer::Index { step, signers: all.clone(), head_step: step, head_signers: all.clone() });
        play.offer(&Offer::Trust { owners: vec!["root-1", "root-2"], threshold: 2, head: "head-2", signers: all.clone() });
    }
    assert_eq!(play.accepted, 6);
}
