//! Sections 5.5, 5.7 and 7.2: what latches, what lifts, what stops.

use crate::world::*;
use proofmark_core::admission::{Latching, State};
use proofmark_core::halt::{Halt, Scope};
use proofmark_core::json;
use proofmark_core::resume::Resume;
use proofmark_core::{Digest, Kind, Reason, SignedFile, limits};

/// A host that has staged and started the standard bundle.
fn running() -> Scene {
    let mut scene = Scene::new();
    scene.accept();
    scene.started();
    scene
}

fn scopes(content: &str) -> [Scope; 4] {
    [Scope::Everything, Scope::Group(t("prod/router")), Scope::Host(t("rtr-1")), Scope::Bundle(Digest::of(content.as_bytes()))]
}

fn latch(scene: &mut Scene, file: &SignedFile) -> proofmark_core::Result<Latching> {
    let mut next = scene.state.clone();
    let outcome = scene.session()?.latch(&mut next, file);
    scene.state = next;
    outcome
}

fn lift(scene: &mut Scene, halt: Digest, file: &SignedFile) -> proofmark_core::Result<()> {
    let mut next = scene.state.clone();
    let outcome = scene.chain()?.lift(&mut next, halt, file);
    scene.state = next;
    outcome
}

#[test]
fn attack_22_every_scope_stops_what_it_names() {
    for scope in scopes("bundle 1") {
        let mut scene = running();
        assert!(scene.permit().is_ok());
        let file = sign_halt(&halt(scope.clone()), &["alice-1"]);
        assert_eq!(latch(&mut scene, &file).unwrap(), Latching::New, "{scope}");
        refused(scene.permit(), Reason::Halted);
        let refusal = scene.state.check_latched(&scene.name()).unwrap_err();
        assert_eq!(refusal.reason(), Reason::Halted);
        let bundle = Digest::of(b"bundle 1").to_string();
        let what = match &scope {
            Scope::Everything => "of everything by".to_owned(),
            Scope::Group(_) => "of group prod/router by".to_owned(),
            Scope::Host(_) => "of host rtr-1 by".to_owned(),
            Scope::Bundle(_) => format!("of bundle {} by", &bundle[..8]),
        };
        assert!(refusal.have().contains(&what), "{refusal}");
        let long = Scope::Bundle(Digest::of(b"bundle 1")).to_string();
        assert_eq!(long, format!("bundle {bundle}"));
        assert_eq!(latch(&mut scene, &file).unwrap(), Latching::Known);
    }
    let refusal = {
        let mut scene = running();
        latch(&mut scene, &sign_halt(&halt(Scope::Group(t("prod/router"))), &["alice-1"])).unwrap();
        latch(&mut scene, &sign_halt(&halt(Scope::Everything), &["alice-1"])).unwrap();
        scene.permit().unwrap_err()
    };
    assert!(refusal.have().contains("by alice at 2026-11-23T09:00:00Z") && refusal.have().ends_with("(and 1 more)"), "{refusal}");
    assert_eq!(refusal.subject(), "group prod/router on rtr-1");
}

#[test]
fn attack_22_what_is_about_others_is_not_latched_and_another_bundle_stops_nothing() {
    let mut scene = running();
    for scope in [Scope::Group(t("prod/quoter")), Scope::Host(t("rtr-2"))] {
        assert_eq!(latch(&mut scene, &sign_halt(&halt(scope), &["alice-1"])).unwrap(), Latching::Elsewhere);
    }
    assert!(scene.state.latched.is_empty());
    assert_eq!(
        latch(&mut scene, &sign_halt(&halt(Scope::Bundle(Digest::of(b"bundle 2"))), &["bob-1"])).map_err(|e| e.reason()),
        Err(Reason::WrongDocument)
    );
    let mut of_bob = halt(Scope::Bundle(Digest::of(b"bundle 2")));
    of_bob.by = t("bob");
    assert_eq!(latch(&mut scene, &sign_halt(&of_bob, &["bob-1"])).unwrap(), Latching::New);
    assert!(scene.permit().is_ok());
    // It stops when that bundle is what would start.
    scene.groups = [(t("prod/router"), group("bundle 2"))].into();
    scene.state.groups.values_mut().next().unwrap().active = None;
    scene.publish(2, 2);
    scene.accept();
    refused(scene.permit(), Reason::Halted);
    refused(scene.state.check_latched(&scene.name()), Reason::Halted);
}

#[test]
fn attack_22_one_good_signature_gets_through_and_no_bad_one_does() {
    let trust = first(&sign_trust(&trust(), &["root-1"]));
    let good = sign_halt(&halt(Scope::Everything), &["alice-1"]);
    assert!(Halt::verify(&trust, &good).is_ok());
    let mut beside = good.clone();
    beside.signatures.push((t("bob-1"), b"junk".to_vec()));
    beside.signatures.insert(0, (t("ci-1"), b"junk".to_vec()));
    assert!(Halt::verify(&trust, &beside).is_ok());
    let by_others = sign_halt(&halt(Scope::Everything), &["ci-1", "root-1", "head-1"]);
    refused(Halt::verify(&trust, &by_others), Reason::Threshold);
    refused(Halt::verify(&trust, &sign_halt(&halt(Scope::Everything), &[])), Reason::Threshold);
    // Where none is good, the first one by name says why.
    let mut bad = sign_halt(&halt(Scope::Everything), &["bob-1", "alice-1"]);
    bad.signatures[0].1 = b"junk".to_vec();
    bad.signatures[1].1 = sign_raw("alice-1", "another comment", &bad.bytes);
    refused(Halt::verify(&trust, &bad), Reason::WrongComment);
    let mut moved = good;
    moved.bytes.push(b' ');
    refused(Halt::verify(&trust, &moved), Reason::WrongComment);
    let mut foreign = halt(Scope::Everything);
    foreign.repository = t(&"f".repeat(32));
    refused(Halt::verify(&trust, &sign_halt(&foreign, &["alice-1"])), Reason::WrongDocument);
    let mut in_the_name_of_bob = halt(Scope::Everything);
    in_the_name_of_bob.by = t("bob");
    refused(Halt::verify(&trust, &sign_halt(&in_the_name_of_bob, &["alice-1"])), Reason::WrongDocument);
    assert!(Halt::verify(&trust, &sign_halt(&in_the_name_of_bob, &["alice-1", "bob-1"])).is_ok());
    let mut empty = halt(Scope::Everything);
    empty.reason = String::new();
    refused(Halt::verify(&trust, &sign_halt(&empty, &["alice-1"])), Reason::Malformed);
    let mut long = sign_halt(&halt(Scope::Everything), &[]);
    long.bytes.resize(limits::HALT + 1, b' ');
    let long = sign(Kind::Halt, None, &format!("{}.halt.json", Digest::of(&long.bytes)), long.bytes, &["alice-1"]);
    refused(Halt::verify(&trust, &long), Reason::Limit);
}

#[test]
fn attack_22_a_halt_is_latched_without_a_head_but_not_under_a_trust_older_than_the_accepted_one() {
    let mut scene = running();
    scene.now = t("1970-01-01T00:00:00Z");
    let file = sign_halt(&halt(Scope::Everything), &["alice-1"]);
    assert_eq!(latch(&mut scene, &file).unwrap(), Latching::New);

    let mut scene = Scene::new();
    scene.rotate(|trust| trust.roles.halt = role(&[("operators", 1, &["bob-1"])]), &["root-1"]);
    scene.publish_head(1, |_| {}, &["head-1"]);
    scene.accept();
    refused(latch(&mut scene, &file), Reason::Threshold);
    scene.trusts.truncate(1);
    refused(latch(&mut scene, &file), Reason::TrustMissing);
    assert!(scene.state.latched.is_empty());
}

#[test]
fn attack_22_only_the_halts_own_resume_lifts_and_it_lifts_for_ever() {
    let mut scene = running();
    let file = sign_halt(&halt(Scope::Everything), &["alice-1"]);
    let digest = Digest::of(&file.bytes);
    latch(&mut scene, &file).unwrap();
    for signers in [&["alice-1", "bob-1"][..], &["ci-1"], &["head-1"], &["root-1"], &[]] {
        refused(lift(&mut scene, digest, &sign_resume(&resume(digest), digest, signers)), Reason::Threshold);
    }
    let mut own = resume(digest);
    own.proposer = t("alice");
    refused(lift(&mut scene, digest, &sign_resume(&own, digest, &SIGNERS)), Reason::SecondPerson);
    let other = Digest::of(b"another halt");
    refused(lift(&mut scene, digest, &sign_resume(&resume(other), digest, &SIGNERS)), Reason::WrongDocument);
    refused(lift(&mut scene, digest, &sign_resume(&resume(other), other, &SIGNERS)), Reason::WrongComment);
    let mut foreign = resume(digest);
    foreign.repository = t(&"f".repeat(32));
    refused(lift(&mut scene, digest, &sign_resume(&foreign, digest, &SIGNERS)), Reason::WrongDocument);
    let mut silent = resume(digest);
    silent.reason = String::new();
    refused(lift(&mut scene, digest, &sign_resume(&silent, digest, &SIGNERS)), Reason::Malformed);
    refused(scene.permit(), Reason::Halted);

    lift(&mut scene, digest, &sign_resume(&resume(digest), digest, &SIGNERS)).unwrap();
    assert!(scene.permit().is_ok() && scene.state.latched.is_empty());
    assert_eq!(latch(&mut scene, &file).unwrap(), Latching::Lifted);
    // Neither does a head bring it back.
    scene.publish_head(2, |head| head.halts = vec![digest], &["head-1"]);
    assert!(scene.permit().is_ok());
    // Twice is once.
    lift(&mut scene, digest, &sign_resume(&resume(digest), digest, &SIGNERS)).unwrap();
    assert_eq!(scene.state.lifted, [digest]);
}

#[test]
fn attack_22_a_listed_halt_counts_by_its_text_and_as_everything_without() {
    let content = |scope: Scope| json::print(&halt(scope));
    let listed = |bytes: &[u8], found: Option<Vec<u8>>| {
        let mut scene = running();
        scene.publish_head(2, |head| head.halts = vec![Digest::of(bytes)], &["head-1"]);
        scene.permit_with(|digest| found.clone().filter(|_| digest == Digest::of(bytes)))
    };
    for scope in scopes("bundle 1") {
        refused(listed(&content(scope.clone()), Some(content(scope))), Reason::Halted);
    }
    let other = content(Scope::Group(t("prod/quoter")));
    assert!(listed(&other, Some(other.clone())).is_ok());
    refused(listed(&other, None), Reason::Halted);
    // Other bytes than the listed ones, bytes that are no halt, a halt of another repository.
    refused(listed(&other, Some(content(Scope::Host(t("rtr-2"))))), Reason::Halted);
    refused(listed(b"junk", Some(b"junk".to_vec())), Reason::Halted);
    let mut foreign = halt(Scope::Host(t("rtr-2")));
    foreign.repository = t(&"f".repeat(32));
    let foreign = json::print(&foreign);
    refused(listed(&foreign, Some(foreign.clone())), Reason::Halted);
    let refusal = listed(b"junk", None).unwrap_err();
    assert!(refusal.have().contains(&Digest::of(b"junk").to_string()[..8]) && refusal.have().contains("everything"), "{refusal}");
}

#[test]
fn attack_22_what_is_latched_and_listed_counts_once_and_stays_when_it_is_no_longer_listed() {
    let mut scene = running();
    let file = sign_halt(&halt(Scope::Everything), &["alice-1"]);
    let digest = Digest::of(&file.bytes);
    scene.publish_head(2, |head| head.halts = vec![digest], &["head-1"]);
    let mut next = scene.state.clone();
    assert_eq!(scene.chain().unwrap().latch(&mut next, &file).unwrap(), Latching::New);
    refused(scene.chain().unwrap().latch(&mut next, &sign_halt(&halt(Scope::Everything), &["ci-1"])), Reason::Threshold);
    scene.state = next;
    assert!(!scene.permit().unwrap_err().have().contains("more"));
    scene.publish_head(3, |_| {}, &["head-1"]);
    refused(scene.permit(), Reason::Halted);
    // Its key is dropped, the host goes on to the next trust.
    scene.rotate(|trust| trust.roles.halt = role(&[("operators", 1, &["bob-1"])]), &["root-1"]);
    scene.publish_head(4, |_| {}, &["head-1"]);
    scene.accept();
    refused(scene.permit(), Reason::Halted);
}

#[test]
fn more_halts_than_can_be_kept_count_as_everything() {
    let mut scene = running();
    let elsewhere = Scope::Bundle(Digest::of(b"not here"));
    for n in 0..limits::HALTS as u64 - 1 {
        scene.state.latched.insert(Digest::of(&n.to_be_bytes()), Some(halt(elsewhere.clone())));
    }
    assert!(scene.permit().is_ok());
    let file = sign_halt(&halt(elsewhere), &["alice-1"]);
    assert_eq!(latch(&mut scene, &file).unwrap(), Latching::New);
    refused(scene.permit(), Reason::Halted);
    assert_eq!(latch(&mut scene, &sign_halt(&halt(Scope::Everything), &["alice-1"])).unwrap(), Latching::Full);
    assert_eq!(scene.state.latched.len(), limits::HALTS);
    // A state that can be read back.
    assert!(json::parse::<State>(&json::print(&scene.state), "state").is_ok());
    let digest = Digest::of(&file.bytes);
    lift(&mut scene, digest, &sign_resume(&resume(digest), digest, &SIGNERS)).unwrap();
    assert!(scene.permit().is_ok());
}

#[test]
fn lifted_halts_are_remembered_up_to_a_bound_and_the_oldest_is_forgotten_first() {
    let mut scene = running();
    let digest = |n: u64| Digest::of(&n.to_be_bytes());
    scene.state.lifted = (0..limits::LIFTED as u64 - 1).map(digest).collect();
    let one = digest(5000);
    lift(&mut scene, one, &sign_resume(&resume(one), one, &SIGNERS)).unwrap();
    assert_eq!((scene.state.lifted.len(), scene.state.lifted[0]), (limits::LIFTED, digest(0)));
    let two = digest(5001);
    lift(&mut scene, two, &sign_resume(&resume(two), two, &SIGNERS)).unwrap();
    assert_eq!((scene.state.lifted.len(), scene.state.lifted[0]), (limits::LIFTED, digest(1)));
    assert_eq!(scene.state.lifted.last(), Some(&two));
}

#[test]
fn a_latch_without_text_counts_as_everything_until_its_text_is_there() {
    let mut scene = running();
    let file = sign_halt(&halt(Scope::Host(t("rtr-2"))), &["alice-1"]);
    scene.state.latched.insert(Digest::of(&file.bytes), None);
    refused(scene.permit(), Reason::Halted);
    assert_eq!(latch(&mut scene, &file).unwrap(), Latching::Known);
    assert!(scene.permit().is_ok());
    assert_eq!(scene.state.latched.values().next().unwrap().as_ref().unwrap().scope, Scope::Host(t("rtr-2")));
}

#[test]
fn what_is_noted_while_an_update_is_under_way_is_kept_and_what_it_lifted_is_not() {
    let scene = running();
    let (one, two, three) = (Digest::of(b"1"), Digest::of(b"2"), Digest::of(b"3"));
    let mut stored = scene.state.clone();
    stored.latched = [(one, Some(halt(Scope::Everything))), (two, None)].into();
    let mut next = scene.state.clone();
    next.lifted = vec![one];
    next.latched = [(three, None)].into();
    next.groups.values_mut().next().unwrap().active.as_mut().unwrap().started = false;
    next.keep_noted(&stored);
    assert_eq!(next.latched.keys().copied().collect::<std::collections::BTreeSet<_>>(), [two, three].into());
    assert!(next.active(&scene.name()).unwrap().started);
    // A start under another group file says nothing about this one, and one that did not happen is not noted.
    next.groups.values_mut().next().unwrap().active.as_mut().unwrap().started = false;
    stored.groups.values_mut().next().unwrap().active.as_mut().unwrap().group = one;
    next.keep_noted(&stored);
    assert!(!next.active(&scene.name()).unwrap().started);
    let mut idle = scene.state.clone();
    idle.groups.values_mut().next().unwrap().active.as_mut().unwrap().started = false;
    let mut next = idle.clone();
    next.keep_noted(&idle);
    assert!(!next.active(&scene.name()).unwrap().started);
}

#[test]
fn a_resume_is_bounded() {
    let trust = first(&sign_trust(&trust(), &["root-1"]));
    let halt = Digest::of(b"halt");
    let mut long = resume(halt);
    long.reason = "x".repeat(limits::REASON);
    assert!(Resume::verify(&trust, halt, &sign_resume(&long, halt, &SIGNERS)).is_ok());
    long.reason.push('x');
    refused(Resume::verify(&trust, halt, &sign_resume(&long, halt, &SIGNERS)), Reason::Malformed);
}
