//! What a host remembers can be read back, is bounded, and changes only as the chain says.

use crate::world::*;
use proofmark_core::admission::{Followed, State};
use proofmark_core::{Digest, Reason, json, limits};

#[test]
fn a_state_is_read_back_as_it_was_written() {
    let mut scene = Scene::new();
    scene.accept();
    scene.state.latched.insert(Digest::of(b"a"), Some(halt(proofmark_core::halt::Scope::Everything)));
    scene.state.latched.insert(Digest::of(b"b"), None);
    scene.state.lifted.push(Digest::of(b"c"));
    let bytes = json::print(&scene.state);
    assert_eq!(json::parse::<State>(&bytes, "state").unwrap(), scene.state);
    let active = scene.state.active(&scene.name()).unwrap();
    assert_eq!(
        (active.bundle, active.product.as_str(), active.release.as_str(), active.started),
        (Digest::of(b"bundle 1"), "router", "1.2", false)
    );
    assert_eq!(scene.state.all_active().count(), 1);
    assert_eq!(scene.state.active(&t("prod/quoter")), None);
}

#[test]
fn a_state_is_bounded() {
    let state = Scene::new().state;
    let digest = |n: usize| Digest::of(&n.to_be_bytes());
    let load = |edit: &dyn Fn(&mut State)| {
        let mut state = state.clone();
        edit(&mut state);
        json::parse::<State>(&json::print(&state), "state").map(drop)
    };
    let groups = |count: usize| (0..count).map(|n| (t(&format!("prod/g{n}")), Followed::default())).collect();
    assert!(load(&|state| state.groups = groups(limits::FOLLOWED)).is_ok());
    refused(load(&|state| state.groups = groups(limits::FOLLOWED + 1)), Reason::Limit);
    assert!(load(&|state| state.latched = (0..limits::HALTS).map(|n| (digest(n), None)).collect()).is_ok());
    refused(load(&|state| state.latched = (0..=limits::HALTS).map(|n| (digest(n), None)).collect()), Reason::Limit);
    assert!(load(&|state| state.lifted = (0..limits::LIFTED).map(digest).collect()).is_ok());
    refused(load(&|state| state.lifted = (0..=limits::LIFTED).map(digest).collect()), Reason::Limit);
    // All bounds reached at once still fit.
    let fullest = load(&|state| {
        state.groups = groups(limits::FOLLOWED);
        let mut long = halt(proofmark_core::halt::Scope::Bundle(digest(0)));
        (long.reason, long.by) = ("x".repeat(limits::REASON), t(&"b".repeat(64)));
        state.latched = (0..limits::HALTS).map(|n| (digest(n), Some(long.clone()))).collect();
        state.lifted = (0..limits::LIFTED).map(digest).collect();
    });
    assert!(fullest.is_ok(), "{fullest:?}");
}

#[test]
fn a_host_that_is_not_assigned_anything_still_moves_on() {
    let scene = Scene::new();
    let next = scene.chain().unwrap().advance(&[]).unwrap();
    assert_eq!((next.index.unwrap().version, next.head.unwrap().version), (1, 1));
    assert_eq!(next.groups, scene.state.groups);
    assert_eq!(next.identity, scene.state.identity);
}
