//! Section 7.3: gate, what was staged, freshness and grace.

use crate::world::*;
use proofmark_core::admission::{Intent, Permit};
use proofmark_core::group::Gate;
use proofmark_core::{Digest, Reason};

/// Staged under head 1: issued at 0, ends at 1000; a first start within 3600 s of `issued`, a restart within 7200 s of the end.
fn staged(end: i64) -> Scene {
    let mut scene = Scene::new();
    scene.publish_head(1, |head| head.expires = at(end), &["head-1"]);
    scene.accept();
    scene.intent = Intent::Start;
    scene
}

#[test]
fn attack_18_a_first_start_needs_a_fresh_head_and_a_restart_has_its_grace() {
    let mut scene = staged(1000);
    scene.now = at(1000);
    assert_eq!(scene.permit().unwrap(), Permit::Fresh);
    scene.now = at(1001);
    refused(scene.permit(), Reason::Expired);
    scene.started();
    assert_eq!(scene.permit().unwrap(), Permit::Grace(at(1000)));
    scene.now = at(8200);
    assert_eq!(scene.permit().unwrap(), Permit::Grace(at(1000)));
    scene.now = at(8201);
    refused(scene.permit(), Reason::Expired);
}

#[test]
fn attack_18_a_long_lived_head_is_fresh_no_longer_than_the_group_says() {
    let mut scene = staged(86_400);
    scene.now = at(3600);
    assert_eq!(scene.permit().unwrap(), Permit::Fresh);
    scene.now = at(3601);
    refused(scene.permit(), Reason::Expired);
    scene.started();
    assert_eq!(scene.permit().unwrap(), Permit::Grace(at(86_400)));
}

#[test]
fn a_gate_is_refused_before_freshness() {
    let mut group = group("bundle 1");
    group.gate = Gate::All;
    let mut scene = Scene::of([group]);
    scene.accept();
    refused(scene.permit(), Reason::GateClosed);
}

#[test]
fn only_what_was_staged_under_this_group_file_starts() {
    let mut scene = Scene::new();
    scene.accept();
    scene.groups.values_mut().next().unwrap().freshness.activate_seconds = 3601;
    scene.publish(2, 2);
    refused(scene.permit(), Reason::NotStaged);
    let mut empty = Scene::new();
    empty.intent = Intent::Start;
    refused(empty.permit(), Reason::NotStaged);
}

#[test]
fn a_new_group_file_for_the_same_bundle_is_a_first_start_again_and_the_same_file_is_not() {
    let mut scene = staged(1000);
    scene.started();
    scene.intent = Intent::Change;
    scene.now = at(60);
    scene.publish(2, 2);
    scene.accept();
    assert!(scene.state.active(&scene.name()).unwrap().started, "an index that leaves the group file alone changes nothing");
    scene.groups.values_mut().next().unwrap().freshness.restart_seconds = 1;
    scene.publish(3, 3);
    scene.accept();
    let active = scene.state.active(&scene.name()).unwrap();
    assert!(!active.started && active.bundle == Digest::of(b"bundle 1"));
    assert_eq!(scene.state.groups[&scene.name()].previous, None, "the same bundle is not what was before");
}
