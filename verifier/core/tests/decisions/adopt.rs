//! Sections 5.8 and 7.5: the way back from a lost state.

use crate::world::*;
use proofmark_core::admission::State;
use proofmark_core::adopt::Adopt;
use proofmark_core::index::Pin;
use proofmark_core::{Digest, Reason, Result, limits};

/// A repository at trust 2, index 7, head 5 of `at(30)`; the host knows its first trust alone.
fn lost() -> Scene {
    let mut scene = Scene::new();
    scene.rotate(|_| {}, &["root-1"]);
    scene.publish_index(7, |_| {}, &SIGNERS);
    scene.publish_head(5, |head| head.issued = at(30), &["head-1"]);
    scene
}

fn document(scene: &Scene) -> Adopt {
    let pin = |version: u64, bytes: &[u8]| Pin { version, sha256: Digest::of(bytes) };
    Adopt {
        format: 1,
        kind: "adopt".into(),
        repository: trust().repository,
        host: t("rtr-1"),
        environment: t("prod"),
        groups: vec![t("prod/router")],
        first_trust: pin(1, &scene.trusts[0].bytes),
        trust: pin(2, &scene.trusts[1].bytes),
        index: pin(7, &scene.index.bytes),
        head: pin(5, &scene.head.1.bytes),
        halts: vec![],
        proposer: t("ci"),
        issued: at(20),
        expires: at(3600),
    }
}

/// The state that the document leads to.
fn adopted(scene: &Scene, edit: impl FnOnce(&mut Adopt), signers: &[&str]) -> Result<State> {
    let mut adopt = document(scene);
    edit(&mut adopt);
    let adopt = Adopt::verify(scene.chain()?.trust(), &sign_adopt(&adopt, signers))?;
    scene.state.adopted(&adopt, scene.now)
}

#[test]
fn attack_23_an_adopted_host_starts_from_the_documents_floors_and_halts_and_nothing_else() {
    let mut scene = lost();
    let halts = {
        let mut halts = vec![Digest::of(b"a"), Digest::of(b"b")];
        halts.sort();
        halts
    };
    let state = adopted(&scene, |adopt| adopt.halts = halts.clone(), &SIGNERS).unwrap();
    assert_eq!(state.identity, scene.state.identity);
    assert_eq!((state.trust.version, state.index.unwrap().version), (2, 7));
    assert_eq!(state.latched.keys().copied().collect::<Vec<_>>(), halts);
    assert!(state.latched.values().all(Option::is_none) && state.lifted.is_empty());
    assert_eq!(state.groups, scene.state.groups);
    scene.state = state;
    assert!(scene.chain().is_ok());
    refused(scene.state.check_latched(&scene.name()), Reason::Halted);
}

#[test]
fn attack_23_floors_of_an_adopted_host_hold_under_any_key() {
    let mut scene = lost();
    scene.state = adopted(&scene, |_| {}, &SIGNERS).unwrap();
    let keep = (scene.index.clone(), scene.head.clone());
    scene.publish_head(4, |head| head.issued = at(40), &["head-1"]);
    refused(scene.chain(), Reason::Rollback);
    // Issued before the document.
    scene.publish_head(6, |head| head.issued = at(19), &["head-1"]);
    refused(scene.chain(), Reason::Rollback);
    scene.publish_head(6, |head| head.issued = at(20), &["head-1"]);
    assert!(scene.chain().is_ok());
    scene.publish_head(5, |head| head.issued = at(31), &["head-1"]);
    refused(scene.chain(), Reason::Equivocation);
    scene.publish(6, 6);
    scene.publish_head(6, |head| head.issued = at(40), &["head-1"]);
    refused(scene.chain(), Reason::Rollback);
    (scene.index, scene.head) = keep;
    scene.trusts.pop();
    refused(scene.chain(), Reason::TrustMissing);
}

#[test]
fn attack_23_an_adopt_document_is_signed_as_an_index_is_and_for_one_host() {
    let scene = lost();
    let is = |edit: &dyn Fn(&mut Adopt), signers: &[&str]| adopted(&scene, edit, signers).map(drop);
    assert!(is(&|_| {}, &SIGNERS).is_ok());
    refused(is(&|_| {}, &["ci-1"]), Reason::Threshold);
    refused(is(&|_| {}, &["alice-1", "bob-1"]), Reason::Threshold);
    refused(is(&|adopt| adopt.proposer = t("alice"), &SIGNERS), Reason::SecondPerson);
    refused(is(&|adopt| adopt.repository = t(&"f".repeat(32)), &SIGNERS), Reason::WrongDocument);
    refused(is(&|adopt| adopt.host = t("rtr-2"), &SIGNERS), Reason::Elsewhere);
    refused(is(&|adopt| adopt.groups = vec![t("prod/quoter")], &SIGNERS), Reason::Elsewhere);
    refused(is(&|adopt| adopt.groups = vec![t("prod/quoter"), t("prod/router")], &SIGNERS), Reason::Elsewhere);
    refused(is(&|adopt| (adopt.environment, adopt.groups) = (t("uat"), vec![t("uat/router")]), &SIGNERS), Reason::Environment);
    refused(is(&|adopt| adopt.first_trust.version = 2, &SIGNERS), Reason::TrustPin);
    refused(is(&|adopt| adopt.first_trust.sha256 = Digest::of(b"x"), &SIGNERS), Reason::TrustPin);
}

#[test]
fn attack_23_an_adopt_document_has_its_time() {
    let mut scene = lost();
    let is = |scene: &Scene, edit: &dyn Fn(&mut Adopt)| adopted(scene, edit, &SIGNERS).map(drop);
    scene.now = at(3600);
    assert!(is(&scene, &|_| {}).is_ok());
    scene.now = at(3601);
    refused(is(&scene, &|_| {}), Reason::Expired);
    scene.now = at(60);
    assert!(is(&scene, &|adopt| adopt.issued = at(660)).is_ok());
    refused(is(&scene, &|adopt| adopt.issued = at(661)), Reason::Clock);
}

#[test]
fn an_adopt_documents_own_rules() {
    let scene = lost();
    let is = |edit: &dyn Fn(&mut Adopt)| adopted(&scene, edit, &SIGNERS).map(drop);
    refused(is(&|adopt| adopt.groups.clear()), Reason::Malformed);
    refused(is(&|adopt| adopt.groups = vec![t("prod/router"), t("prod/router")]), Reason::Malformed);
    refused(is(&|adopt| adopt.groups = vec![t("uat/router")]), Reason::Malformed);
    refused(is(&|adopt| adopt.halts = vec![Digest::of(b"x"); 2]), Reason::Malformed);
    refused(is(&|adopt| adopt.expires = adopt.issued), Reason::Malformed);
    assert!(is(&|adopt| adopt.expires = adopt.issued.plus(limits::ADOPT_SECONDS)).is_ok());
    refused(is(&|adopt| adopt.expires = adopt.issued.plus(limits::ADOPT_SECONDS + 1)), Reason::Malformed);
    let many = |count: usize| (0..count).map(|n| t(&format!("prod/g{n:03}"))).collect();
    refused(is(&|adopt| adopt.groups = many(limits::FOLLOWED + 1)), Reason::Limit);
    refused(is(&|adopt| adopt.groups = many(limits::FOLLOWED)), Reason::Elsewhere);
    let digests = |count: usize| {
        let mut list: Vec<Digest> = (0..count).map(|n| Digest::of(&n.to_be_bytes())).collect();
        list.sort();
        list
    };
    assert!(is(&|adopt| adopt.halts = digests(limits::HALTS)).is_ok());
    refused(is(&|adopt| adopt.halts = digests(limits::HALTS + 1)), Reason::Limit);
}
