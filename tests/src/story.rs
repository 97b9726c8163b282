//! A host that was set up, and asks a repository again in which one thing was spoiled, and signed again what has to be.

use crate::{Bundle, Host, Outcome, World};
use proofmark_core::group::Group;

/// A published world and the bundle it assigns.
pub fn standard() -> (World, Bundle, Group) {
    let mut world = World::new();
    let bundle = world.bundle(&["report"]);
    world.publish_bundle(&bundle, &["ci-1"]);
    let group = world.group(&bundle);
    world.publish_index(std::slice::from_ref(&group), |_| {}, &["ci-1", "alice-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    (world, bundle, group)
}

/// A host that accepted version 1 of everything and now asks again.
pub struct Story {
    pub world: World,
    pub bundle: Bundle,
    pub group: Group,
    pub host: Host,
}

impl Default for Story {
    fn default() -> Self {
        Self::new()
    }
}

impl Story {
    pub fn new() -> Self {
        let (world, bundle, group) = standard();
        let host = Host::of(&world);
        host.update().ok();
        Story { world, bundle, group, host }
    }

    /// Index 2 and head 2, spoiled by `edit` before they are signed by `signers`.
    pub fn next_index(&mut self, edit: impl FnOnce(&mut Group), signers: &[&str]) {
        let mut group = self.group.clone();
        edit(&mut group);
        self.world.publish_index(&[group], |_| {}, signers);
        self.world.publish_head(|_| {}, &["head-1"]);
    }

    /// The host asks for news: refused, nothing changed, and what it had still starts.
    #[track_caller]
    pub fn refused(&self, code: i32, word: &str) -> Outcome {
        let before = self.host.state();
        let outcome = self.host.update().refused(code, word);
        assert_eq!(before, self.host.state(), "a refusal changes nothing");
        self.host.run().ok();
        outcome
    }
}
