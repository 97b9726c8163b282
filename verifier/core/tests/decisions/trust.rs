//! Section 5.1: what a trust document must hold, and how one follows another.

use crate::world::*;
use proofmark_core::json;
use proofmark_core::trust::{Role, Trust};
use proofmark_core::{Digest, Reason};
use std::collections::BTreeSet;

#[track_caller]
fn load(reason: Reason, edit: impl FnOnce(&mut Trust)) {
    let mut trust = trust();
    edit(&mut trust);
    refused(json::parse::<Trust>(&json::print(&trust), "trust"), reason);
}

#[test]
fn attack_4_thresholds_that_cannot_be_or_need_nobody_are_refused_at_load() {
    assert!(json::parse::<Trust>(&json::print(&trust()), "trust").is_ok());
    load(Reason::Trust, |trust| trust.roles.bundle = role(&[("ci", 0, &["ci-1"])]));
    load(Reason::Trust, |trust| trust.roles.bundle = role(&[("ci", 2, &["ci-1"])]));
    load(Reason::Trust, |trust| trust.roles.bundle = role(&[("ci", 0, &[])]));
    load(Reason::Trust, |trust| trust.roles.bundle = Role(Default::default()));
    let mut all = trust();
    all.roles.index = role(&[("ci", 1, &["ci-1"]), ("reviewers", 2, &["alice-1", "bob-1"])]);
    assert!(json::parse::<Trust>(&json::print(&all), "trust").is_ok());
}

#[test]
fn attack_3_one_key_or_one_holder_twice_is_refused_at_load() {
    load(Reason::Trust, |trust| {
        let public = trust.keys[&t::<proofmark_core::name::Name>("alice-1")].public.clone();
        trust.keys.get_mut(&t::<proofmark_core::name::Name>("bob-1")).unwrap().public = public;
    });
    load(Reason::Trust, |trust| {
        add_key(trust, "ci-2", "alice");
        trust.roles.index = role(&[("ci", 1, &["ci-1", "ci-2"]), ("reviewers", 1, &["alice-1", "bob-1"])]);
    });
    load(Reason::Trust, |trust| {
        trust.roles.index = role(&[("ci", 1, &["alice-1", "ci-1"]), ("reviewers", 1, &["alice-1", "bob-1"])]);
    });
}

#[test]
fn duties_are_separate() {
    for other in ["bundle", "halt", "go", "trust", "index"] {
        load(Reason::Trust, |trust| {
            let head = role(&[("x", 1, &["head-1"])]);
            match other {
                "bundle" => trust.roles.bundle = head,
                "halt" => trust.roles.halt = head,
                "go" => trust.roles.go = head,
                "trust" => trust.roles.trust = role(&[("owners", 1, &["root-1"]), ("x", 1, &["head-1"])]),
                _ => trust.roles.index = role(&[("ci", 1, &["ci-1", "head-1"]), ("reviewers", 1, &["alice-1", "bob-1"])]),
            }
        });
    }
    load(Reason::Trust, |trust| trust.roles.index = role(&[("reviewers", 1, &["alice-1", "bob-1"])]));
    load(Reason::Trust, |trust| trust.second_person = t("nobody"));
    load(Reason::Trust, |trust| add_key(trust, "idle-1", "idle"));
    load(Reason::Trust, |trust| trust.roles.bundle = role(&[("ci", 1, &["stranger-1"])]));
    load(Reason::Trust, |trust| trust.version = 0);
    load(Reason::Malformed, |trust| trust.roles.halt = role(&[("operators", 1, &["bob-1", "alice-1"])]));
    load(Reason::Malformed, |trust| trust.roles.halt = role(&[("operators", 1, &["bob-1", "bob-1"])]));
}

#[test]
fn any_one_key_of_role_halt_stops_and_trust_cannot_say_otherwise() {
    load(Reason::Trust, |trust| trust.roles.halt = role(&[("operators", 2, &["alice-1", "bob-1"])]));
    load(Reason::Trust, |trust| trust.roles.halt = role(&[("a", 1, &["alice-1"]), ("b", 1, &["bob-1"])]));
}

#[test]
fn a_trust_document_is_bounded() {
    let many = |count: usize| {
        let mut trust = trust();
        let groups: Vec<(String, String)> = (0..count).map(|n| (format!("g{n}"), format!("k{n}"))).collect();
        let _ = &groups;
        trust.roles.go = Role(
            groups
                .iter()
                .map(|(group, _)| (t(group), proofmark_core::trust::KeyGroup { threshold: 1, keys: vec![t("alice-1")] }))
                .collect(),
        );
        json::parse::<Trust>(&json::print(&trust), "trust")
    };
    refused(many(9), Reason::Limit);
    // Eight are allowed; that one key stands in all of them is not.
    refused(many(8), Reason::Trust);
    // 64 KiB.
    let padded = |size: usize| {
        let mut bytes = json::print(&trust());
        bytes.resize(size, b' ');
        json::parse::<Trust>(&bytes, "trust")
    };
    assert!(padded(64 << 10).is_ok());
    refused(padded((64 << 10) + 1), Reason::Limit);
}

#[test]
fn the_first_trust_is_the_pinned_one_and_signed_by_its_own_owners() {
    let file = sign_trust(&trust(), &["root-1"]);
    assert_eq!(first(&file).version, 1);
    refused(Trust::pinned(Digest::of(b"another"), &file), Reason::TrustPin);
    refused(Trust::self_signed(&sign_trust(&trust(), &[])), Reason::Threshold);
    refused(Trust::self_signed(&sign_trust(&trust(), &["ci-1", "alice-1"])), Reason::Threshold);
}

#[test]
fn attack_16_a_rotation_is_the_next_version_of_this_repository_signed_by_old_and_new() {
    let current = first(&sign_trust(&trust(), &["root-1"]));
    let rotate = |edit: &dyn Fn(&mut Trust), signers: &[&str]| {
        let mut next = trust();
        next.version = 2;
        edit(&mut next);
        let file = sign(proofmark_core::Kind::Trust, Some(2), "2.trust.json", json::print(&next), signers);
        Trust::rotate(&current, &file)
    };
    assert_eq!(rotate(&|_| {}, &["root-1"]).unwrap().version, 2);
    refused(rotate(&|_| {}, &["ci-1"]), Reason::Threshold);
    refused(rotate(&|next| next.version = 3, &["root-1"]), Reason::Trust);
    refused(rotate(&|next| next.version = 1, &["root-1"]), Reason::Trust);
    refused(rotate(&|next| next.repository = t(&"f".repeat(32)), &["root-1"]), Reason::Trust);
    let owners = |next: &mut Trust| {
        add_key(next, "root-2", "root");
        next.keys.remove("root-1");
        next.roles.trust = role(&[("owners", 1, &["root-2"])]);
    };
    refused(rotate(&owners, &["root-1"]), Reason::Threshold);
    refused(rotate(&owners, &["root-2"]), Reason::Threshold);
    assert!(rotate(&owners, &["root-1", "root-2"]).is_ok());
    // A name keeps its bytes and its holder.
    refused(rotate(&|next| next.keys.get_mut("bob-1").unwrap().public = public("carol-1"), &["root-1"]), Reason::Trust);
    refused(rotate(&|next| next.keys.get_mut("bob-1").unwrap().holder = t("carol"), &["root-1"]), Reason::Trust);
    // Dropping one and adding another is what a rotation is for.
    let moved = |next: &mut Trust| {
        next.keys.remove("bob-1");
        add_key(next, "carol-1", "carol");
        next.roles.index = role(&[("ci", 1, &["ci-1"]), ("reviewers", 1, &["alice-1", "carol-1"])]);
        next.roles.halt = role(&[("operators", 1, &["alice-1"])]);
        next.roles.go = role(&[("operators", 1, &["alice-1"])]);
    };
    assert!(rotate(&moved, &["root-1"]).is_ok());
}

#[test]
fn attack_2_every_group_is_met_and_the_proposer_is_not_the_second_person() {
    let trust = trust();
    let met = |signers: &[&str], proposer: &str| {
        let signers: BTreeSet<_> = signers.iter().map(|key| t(key)).collect();
        trust.check_second_person(&t(proposer), &signers)
    };
    assert!(met(&["ci-1", "alice-1"], "ci").is_ok());
    assert!(met(&["ci-1", "alice-1"], "bob").is_ok());
    refused(met(&["ci-1"], "ci"), Reason::Threshold);
    refused(met(&["alice-1", "bob-1"], "ci"), Reason::Threshold);
    refused(met(&["ci-1", "alice-1"], "alice"), Reason::SecondPerson);
    assert!(met(&["ci-1", "alice-1", "bob-1"], "alice").is_ok());
    refused(met(&["ci-1", "alice-1"], "mallory"), Reason::SecondPerson);
    // Missing altogether is a threshold, not a second person.
    refused(met(&["ci-1"], "alice"), Reason::Threshold);
    let refusal = met(&["ci-1"], "ci").unwrap_err();
    assert!(refusal.have().contains("alice-1") && refusal.have().contains("bob-1") && !refusal.have().contains("ci-1"), "{refusal}");
    let refusal = met(&["ci-1", "alice-1"], "alice").unwrap_err();
    assert!(refusal.have().contains("alice-1") && !refusal.have().contains("bob-1"), "{refusal}");
}

#[test]
fn a_holder_may_have_keys_in_several_roles_and_all_of_them_are_his() {
    let mut trust = trust();
    add_key(&mut trust, "root-2", "alice");
    assert_eq!(trust.keys_of(&t("alice")), [t("alice-1"), t("root-2")].into());
    assert_eq!(trust.keys_of(&t("nobody")), BTreeSet::new());
}
