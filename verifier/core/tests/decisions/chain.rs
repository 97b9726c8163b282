//! Section 7.1, steps 1 to 9: trust, clock, head, floors, expiry, index.

use crate::world::*;
use proofmark_core::admission::Intent;
use proofmark_core::json;
use proofmark_core::{Digest, Reason, limits};

/// A host that has accepted version 1 of everything, staged it, and is offered index 2 under head 2.
fn offered() -> Scene {
    let mut scene = Scene::new();
    scene.accept();
    scene.publish(2, 2);
    scene
}

#[test]
fn a_chain_in_order_is_accepted_and_remembered() {
    let mut scene = offered();
    scene.accept();
    let head = scene.state.head.clone().unwrap();
    assert_eq!((scene.state.trust.version, scene.state.index.unwrap().version, head.version), (1, 2, 2));
    assert_eq!((head.issued, head.keys), (at(0), vec![t("head-1")]));
    assert_eq!(head.sha256, Digest::of(&scene.head.1.bytes));
    assert_eq!(scene.state.index.unwrap().sha256, Digest::of(&scene.index.bytes));
    let chain = scene.chain().unwrap();
    assert_eq!((chain.trust().version, chain.head().version, chain.index().version), (1, 2, 2));
}

#[test]
fn attack_16_a_walk_takes_one_version_after_the_other_and_no_more_than_it_may() {
    let mut scene = Scene::new();
    scene.rotate(|_| {}, &["root-1"]);
    scene.rotate(|_| {}, &["root-1"]);
    scene.publish_head(1, |_| {}, &["head-1"]);
    assert_eq!(scene.chain().unwrap().trust().version, 3);
    // N+2 for N.
    let second = scene.trusts.remove(1);
    refused(scene.session(), Reason::WrongComment);
    scene.trusts.insert(1, second);
    // The bound counts from the first trust on.
    let file = scene.trusts[1].clone();
    scene.trusts.truncate(1);
    let mut session = scene.session().unwrap();
    session.rotate(&file).unwrap();
    let mut far = trust();
    far.version = 5;
    let mut scene = Scene::new();
    let first_far = sign_trust(&far, &["root-1"]);
    scene.state = proofmark_core::admission::State::first(t("rtr-1"), t("prod"), &first(&first_far), [t("prod/router")]);
    scene.trusts = vec![first_far];
    for version in 6..=5 + limits::ROTATIONS {
        let mut next = trust();
        next.version = version;
        scene.trusts.push(sign_trust(&next, &["root-1"]));
    }
    assert_eq!(scene.session().unwrap().trust().version, 5 + limits::ROTATIONS);
    far.version = 6 + limits::ROTATIONS;
    scene.trusts.push(sign_trust(&far, &["root-1"]));
    refused(scene.session(), Reason::Limit);
}

#[test]
fn attack_12_a_walk_that_ends_before_the_accepted_trust_is_refused() {
    let mut scene = Scene::new();
    scene.rotate(|_| {}, &["root-1"]);
    scene.publish_head(1, |_| {}, &["head-1"]);
    scene.accept();
    scene.trusts.truncate(1);
    scene.publish_head(2, |_| {}, &["head-1"]);
    refused(scene.chain(), Reason::TrustMissing);
}

#[test]
fn attack_14_another_trust_of_the_accepted_version_is_equivocation() {
    let mut scene = Scene::new();
    scene.rotate(|_| {}, &["root-1"]);
    scene.publish_head(1, |_| {}, &["head-1"]);
    scene.accept();
    scene.trusts.truncate(1);
    scene.rotate(|trust| trust.roles.halt = role(&[("operators", 1, &["alice-1"])]), &["root-1"]);
    refused(scene.session(), Reason::Equivocation);
    // Also when more follows.
    scene.rotate(|_| {}, &["root-1"]);
    refused(scene.session(), Reason::Equivocation);
    // The pinned one is the pinned one.
    let mut scene = Scene::new();
    scene.state.trust.sha256 = Digest::of(b"another trust 1");
    refused(scene.session(), Reason::Equivocation);
    let mut scene = Scene::new();
    scene.trusts[0] = sign_trust(
        &{
            let mut other = trust();
            other.roles.go = role(&[("o", 1, &["bob-1"])]);
            other
        },
        &["root-1"],
    );
    refused(scene.session(), Reason::TrustPin);
}

#[test]
fn attack_19_a_clock_before_signed_times_is_refused_and_a_clock_ahead_poisons_nothing() {
    let mut scene = offered();
    scene.now = at(-600);
    assert!(scene.chain().is_ok());
    scene.now = at(-601);
    refused(scene.chain(), Reason::Clock);
    scene.now = t("1970-01-01T00:00:00Z");
    refused(scene.chain(), Reason::Clock);
    // Before anything is said of the head: one of an older time is no way round it.
    scene.now = at(-601);
    scene.publish_head(2, |head| head.issued = at(-700), &["head-1"]);
    refused(scene.chain(), Reason::Clock);
    scene.publish_head(2, |_| {}, &["head-1"]);
    // In 2099 everything has expired, nothing is stored, and the right time is right again.
    scene.now = t("2099-01-01T00:00:00Z");
    refused(scene.chain(), Reason::Expired);
    scene.now = at(60);
    assert!(scene.chain().is_ok());
}

#[test]
fn attack_17_a_head_of_the_future_is_refused() {
    let mut scene = offered();
    scene.publish_head(2, |head| head.issued = scene_time(660), &["head-1"]);
    assert!(scene.chain().is_ok());
    scene.publish_head(2, |head| head.issued = scene_time(661), &["head-1"]);
    refused(scene.chain(), Reason::Clock);
    scene.intent = Intent::Start;
    refused(scene.chain(), Reason::Clock);
}

fn scene_time(seconds: i64) -> proofmark_core::Time {
    at(seconds)
}

#[test]
fn attack_12_an_older_head_is_refused_by_version_and_by_time() {
    let mut scene = Scene::new();
    scene.publish_head(5, |head| head.issued = at(30), &["head-1"]);
    scene.accept();
    scene.publish_head(4, |head| head.issued = at(40), &["head-1"]);
    refused(scene.chain(), Reason::Rollback);
    scene.publish_head(6, |head| head.issued = at(29), &["head-1"]);
    refused(scene.chain(), Reason::Rollback);
    scene.publish_head(6, |head| head.issued = at(30), &["head-1"]);
    assert!(scene.chain().is_ok());
    scene.publish_head(5, |head| head.issued = at(31), &["head-1"]);
    refused(scene.chain(), Reason::Equivocation);
    scene.publish_head(5, |head| head.issued = at(30), &["head-1"]);
    assert!(scene.chain().is_ok());
}

#[test]
fn attack_17_a_trust_that_drops_a_head_key_ends_its_floors_and_no_other_does() {
    let mut scene = Scene::new();
    scene.publish_head((1 << 53) - 1, |head| head.issued = at(600), &["head-1"]);
    scene.accept();
    scene.publish_head(2, |_| {}, &["head-1"]);
    refused(scene.chain(), Reason::Rollback);
    // The key stays, another one is added: its floors stay.
    scene.rotate(
        |trust| {
            add_key(trust, "head-2", "clock-2");
            trust.roles.head = role(&[("head", 1, &["head-1", "head-2"])]);
        },
        &["root-1"],
    );
    scene.publish_head(2, |_| {}, &["head-2"]);
    refused(scene.chain(), Reason::Rollback);
    scene.rotate(
        |trust| {
            trust.keys.remove("head-1");
            trust.roles.head = role(&[("head", 1, &["head-2"])]);
        },
        &["root-1"],
    );
    scene.publish_head(2, |_| {}, &["head-2"]);
    assert!(scene.chain().is_ok());
    // The time floor ends as well.
    scene.now = at(-30);
    assert!(scene.chain().is_ok());
    scene.accept();
    assert_eq!(scene.state.head.as_ref().unwrap().version, 2);
}

#[test]
fn attack_18_an_expired_head_changes_nothing_and_a_start_is_judged_later() {
    let mut scene = offered();
    scene.now = at(86_400);
    assert!(scene.chain().is_ok());
    scene.now = at(86_401);
    refused(scene.chain(), Reason::Expired);
    scene.intent = Intent::Start;
    assert!(scene.chain().is_ok());
}

#[test]
fn attack_15_the_head_pins_the_newest_trust_by_version_and_digest() {
    let mut scene = offered();
    scene.publish_head(2, |head| head.trust.sha256 = Digest::of(b"x"), &["head-1"]);
    refused(scene.chain(), Reason::TrustMissing);
    scene.publish_head(2, |head| head.trust.version = 2, &["head-1"]);
    refused(scene.chain(), Reason::TrustMissing);
    // Yesterday's head under today's trust.
    scene.publish_head(2, |_| {}, &["head-1"]);
    scene.rotate(|_| {}, &["root-1"]);
    refused(scene.chain(), Reason::TrustMissing);
}

#[test]
fn attack_15_the_head_pins_the_index_by_size_and_digest() {
    let mut scene = offered();
    let good = scene.index.clone();
    scene.index.bytes.push(b' ');
    refused(scene.chain(), Reason::Size);
    scene.index = good.clone();
    scene.index.bytes.pop();
    scene.index.bytes.push(b' ');
    refused(scene.chain(), Reason::Digest);
    scene.index = good;
    assert!(scene.chain().is_ok());
}

#[test]
fn attack_12_14_17_an_index_goes_up_in_reachable_steps_and_each_version_is_one_document() {
    let mut scene = Scene::new();
    scene.publish(7, 1);
    scene.accept();
    scene.publish(6, 2);
    refused(scene.chain(), Reason::Rollback);
    scene.publish_index(7, |index| index.min_verifier = 2, &SIGNERS);
    scene.publish_head(2, |_| {}, &["head-1"]);
    refused(scene.chain(), Reason::Equivocation);
    // The next higher one heals, whatever its `prev` says.
    scene.publish(8, 2);
    assert!(scene.chain().is_ok());
    scene.publish(7 + limits::INDEX_STEP, 2);
    assert!(scene.chain().is_ok());
    scene.publish(8 + limits::INDEX_STEP, 2);
    refused(scene.chain(), Reason::Limit);
    let mut fresh = Scene::new();
    fresh.publish(limits::INTEGER, 1);
    refused(fresh.chain(), Reason::Limit);
    fresh.publish(limits::INDEX_STEP, 1);
    assert!(fresh.chain().is_ok());
}

#[test]
fn an_index_that_needs_a_better_verifier_is_refused() {
    let mut scene = offered();
    for (level, good) in [(proofmark_core::LEVEL, true), (proofmark_core::LEVEL + 1, false)] {
        scene.publish_index(2, |index| index.min_verifier = level, &SIGNERS);
        scene.publish_head(2, |_| {}, &["head-1"]);
        assert_eq!(scene.chain().map(drop).map_err(|e| e.reason()), if good { Ok(()) } else { Err(Reason::VerifierTooOld) });
    }
}

#[test]
fn attack_2_6_who_signs_what() {
    let mut scene = offered();
    for signers in [&["ci-1"][..], &["alice-1", "bob-1"], &["ci-1", "head-1"], &[]] {
        scene.publish_index(2, |_| {}, signers);
        scene.publish_head(2, |_| {}, &["head-1"]);
        refused(scene.chain(), Reason::Threshold);
    }
    scene.publish_index(2, |index| index.proposer = t("alice"), &SIGNERS);
    scene.publish_head(2, |_| {}, &["head-1"]);
    refused(scene.chain(), Reason::SecondPerson);
    scene.publish(2, 2);
    scene.publish_head(2, |_| {}, &["ci-1", "alice-1"]);
    refused(scene.chain(), Reason::Threshold);
}

#[test]
fn attack_6_documents_say_the_repository_and_the_version_of_their_place() {
    let mut scene = offered();
    let other = || t(&"f".repeat(32));
    scene.publish_index(2, |index| index.repository = other(), &SIGNERS);
    scene.publish_head(2, |_| {}, &["head-1"]);
    refused(scene.chain(), Reason::WrongDocument);
    scene.publish(2, 2);
    scene.publish_head(2, |head| head.repository = other(), &["head-1"]);
    refused(scene.chain(), Reason::WrongDocument);
    // Signed as version 2, saying 3.
    let mut head: proofmark_core::head::Head = json::parse(
        &{
            scene.publish(2, 2);
            scene.head.1.bytes.clone()
        },
        "head",
    )
    .unwrap();
    head.version = 3;
    scene.head.1 = sign(proofmark_core::Kind::Head, Some(2), "2.head.json", json::print(&head), &["head-1"]);
    refused(scene.chain(), Reason::WrongDocument);
    scene.publish(2, 2);
    let mut index: proofmark_core::index::Index = json::parse(&scene.index.bytes, "index").unwrap();
    (index.version, index.prev.as_mut().unwrap().version) = (3, 2);
    scene.index = sign(proofmark_core::Kind::Index, Some(2), "2.index.json", json::print(&index), &SIGNERS);
    let (size, sha256) = (scene.index.bytes.len() as u64, Digest::of(&scene.index.bytes));
    let pin = proofmark_core::head::IndexPin { version: 2, size, sha256 };
    scene.publish_head(2, |head| head.index = pin, &["head-1"]);
    refused(scene.chain(), Reason::WrongDocument);
}
