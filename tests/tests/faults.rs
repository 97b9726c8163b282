//! ATTACKS 12, 13, 16 to 18 and 40 to 42 on a host: what fails late, on the way, twice at once, or after its time.

use proofmark_core::head::IndexPin;
use proofmark_core::trust::Key;
use proofmark_core::{Digest, Reason};
use proofmark_tests::world::{GROUP, HOST, now, role, t};
use proofmark_tests::{Host, World};
use proofmark_verifier::durable::{Disk, Step};
use proofmark_verifier::{adopt, host, init, latch, paths::Layout, update};
use std::cell::Cell;
use std::io;
use std::path::Path;
use std::time::Duration;

const SIGNERS: [&str; 2] = ["ci-1", "alice-1"];
/// EIO, ENOSPC, EROFS.
const ERRORS: [i32; 3] = [5, 28, 30];

/// Publishes the next index and head: the standard group file with one number changed.
fn publish_next(world: &mut World, seconds: u64) {
    let bundle = world.bundle(&["report"]);
    world.publish_bundle(&bundle, &["ci-1"]);
    let mut group = world.group(&bundle);
    group.freshness.activate_seconds = seconds;
    world.publish_index(&[group], |_| {}, &SIGNERS);
    world.publish_head(|_| {}, &["head-1"]);
}

/// Runs `work` with a disk that fails at step 0, 1, 2 ... until it does not fail any more; gives the number of steps.
///
/// After each failure `after` looks at what is there.
fn at_every_step(root: &Path, work: impl Fn(&host::Host) -> proofmark_core::Result<()>, mut after: impl FnMut(usize)) -> usize {
    for step in 0.. {
        let count = Cell::new(0);
        let probe = |_: Step, _: &Path| {
            count.set(count.get() + 1);
            if count.get() == step + 1 { Err(io::Error::from_raw_os_error(ERRORS[step % 3])) } else { Ok(()) }
        };
        let outcome = work(&host::Host { layout: Layout::new(root), disk: Disk::with_probe(&probe) });
        if count.get() <= step {
            outcome.unwrap();
            return step;
        }
        let refusal = outcome.expect_err("a fault that nobody notices");
        assert_eq!(refusal.reason(), Reason::Io, "step {step}: {refusal}");
        after(step);
    }
    unreachable!()
}

fn identity(world: &World) -> init::Identity {
    init::Identity {
        trust: world.file("trust/1.trust.json"),
        sha256: world.pin(),
        host: t(HOST),
        environment: t("prod"),
        groups: vec![t(GROUP)],
        repository: vec![world.path().to_str().unwrap().to_owned()],
    }
}

#[test]
fn attack_40_41_a_fault_at_any_step_of_an_update_leaves_old_or_new_and_the_next_one_heals() {
    let mut world = World::standard();
    let host = Host::of(&world);
    let mut versions: Vec<String> = Vec::new();
    let version = |host: &Host| {
        let status = host.verifier(&["status", "--json"]).ok().stdout;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["index"]["version"].to_string()
    };
    let first = at_every_step(host.path(), |host| update::update(host).map(drop), |_| versions.push(version(&host)));
    assert!(versions.windows(2).all(|pair| pair[0] <= pair[1]), "{versions:?}");
    host.run().ok();
    publish_next(&mut world, 3600);
    versions.clear();
    let second = at_every_step(host.path(), |host| update::update(host).map(drop), |_| versions.push(version(&host)));
    assert!(versions.windows(2).all(|pair| pair[0] <= pair[1]) && versions.iter().all(|v| v == "1" || v == "2"), "{versions:?}");
    assert_eq!(version(&host), "2");
    host.run().ok();
    println!("{first} and {second} steps");
    assert!(first > 20 && second > 5, "{first} and {second} steps");
}

#[test]
fn attack_40_41_a_fault_at_any_step_of_init_leaves_a_host_that_is_not_set_up_or_set_up_whole() {
    let world = World::standard();
    let root = tempfile::tempdir().unwrap();
    let given = identity(&world);
    let whole = |root: &Path| proofmark_verifier::state::load(&Layout::new(root));
    let steps = at_every_step(
        root.path(),
        |host| match init::init(host, &given) {
            // The step after the rename failed: it is set up, and says so.
            Err(refusal) if refusal.reason() == Reason::StateExists => Ok(()),
            other => other.map(drop),
        },
        |step| match whole(root.path()) {
            Ok(_) => {}
            Err(refusal) => assert_eq!(refusal.reason(), Reason::NotSetUp, "step {step}: {refusal}"),
        },
    );
    whole(root.path()).unwrap();
    assert!(steps > 10, "{steps}");
}

#[test]
fn attack_40_41_a_fault_at_any_step_of_halt_and_adopt_leaves_the_old_state_or_the_new() {
    let mut world = World::standard();
    let host = Host::of(&world);
    host.update().ok();
    let digest = world.publish_halt(&world.halt(proofmark_core::halt::Scope::Everything, "alice"), &["alice-1"]);
    let file = world.file(&format!("halt/{digest}.halt.json"));
    let load = || proofmark_verifier::state::load(&Layout::new(host.path()));
    let steps = at_every_step(host.path(), |host| latch::halt(host, &file).map(drop), |_| drop(load().unwrap()));
    assert!(steps > 3 && load().unwrap().state.latched.contains_key(&digest), "{steps}");

    std::fs::remove_file(host.file("var/lib/proofmark/state.json")).unwrap();
    let document = world.publish_adopt(|adopt| adopt.halts = vec![digest], &SIGNERS);
    world.publish_head(|_| {}, &["head-1"]);
    let given = identity(&world);
    let steps = at_every_step(
        host.path(),
        |host| match adopt::adopt(host, &given, &document) {
            Err(refusal) if refusal.reason() == Reason::StateExists => Ok(()),
            other => other.map(drop),
        },
        |step| match load() {
            Ok(whole) => assert!(whole.state.latched.contains_key(&digest)),
            Err(refusal) => assert_eq!(refusal.reason(), Reason::State, "step {step}: {refusal}"),
        },
    );
    assert!(steps > 5, "{steps}");
    host.run().refused(87, "halted");
}

#[test]
fn attack_13_a_check_that_fails_last_leaves_nothing_behind_and_the_next_run_is_as_the_first() {
    let mut world = World::standard();
    let host = Host::of(&world);
    host.update().ok();
    // Everything is new and in order, but for the last byte of the bundle's content.
    let mut bundle = world.bundle(&["report", "again"]);
    let good = bundle.bytes.clone();
    let mut tar = zstd::decode_all(good.as_slice()).unwrap();
    let end = tar.len();
    tar[end - 1] = 1;
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.set_pledged_src_size(Some(end as u64)).unwrap();
    io::Write::write_all(&mut encoder, &tar).unwrap();
    bundle.bytes = encoder.finish().unwrap();
    let old = host.verifier(&["status", "--json"]).ok().stdout;
    let old: serde_json::Value = serde_json::from_str(&old).unwrap();
    let from: Digest = old["groups"][GROUP]["bundle"].as_str().unwrap().parse().unwrap();
    let publish = |world: &mut World, bundle: &proofmark_tests::Bundle| {
        world.publish_bundle(bundle, &["ci-1"]);
        let mut group = world.group(bundle);
        (group.mode, group.from) = (proofmark_core::group::Mode::Upgrade, vec![from]);
        world.publish_index(&[group], |_| {}, &SIGNERS);
        world.publish_head(|_| {}, &["head-1"]);
    };
    publish(&mut world, &bundle);
    let before = host.state();
    for _ in 0..2 {
        host.update().refused(90, "malformed");
        assert_eq!(before, host.state());
    }
    assert!(!host.run().ok().stdout.contains("argument=again"));
    bundle.bytes = good;
    publish(&mut world, &bundle);
    host.update().ok();
    assert!(host.run().ok().stdout.contains("argument=again"));
}

#[test]
fn attack_12_the_floor_survives_the_expiry_of_what_is_cached() {
    let mut world = World::standard();
    let host = Host::of(&world);
    host.update().ok();
    let old = world.read("latest");
    world.publish_head(|head| head.expires = now().plus(1), &["head-1"]);
    host.update().ok();
    std::thread::sleep(Duration::from_secs(3));
    // The cached head has expired; the older one has not, and is older all the same.
    world.write("latest", &old);
    host.update().refused(84, "rollback");
}

#[test]
fn attack_18_what_ran_restarts_aloud_within_the_grace_and_what_never_ran_does_not_start() {
    let mut world = World::standard();
    let (ran, idle) = (Host::of(&world), Host::of(&world));
    ran.update().ok();
    ran.run().ok();
    world.publish_head(|head| head.expires = now().plus(2), &["head-1"]);
    ran.update().ok();
    idle.update().ok();
    std::thread::sleep(Duration::from_secs(4));
    let outcome = ran.run().ok();
    assert!(outcome.stderr.contains("WARNING: prod/router: the head expired at "), "{outcome:#?}");
    idle.run().refused(85, "expired");
    // The same head for ever: nothing new is accepted.
    ran.update().refused(85, "expired");
}

#[test]
fn attack_17_a_stolen_head_keys_wild_numbers_end_with_the_key() {
    let mut world = World::standard();
    let host = Host::of(&world);
    host.update().ok();
    let wild = (1 << 53) - 1;
    world.publish_head(|head| head.version = wild, &["head-1"]);
    host.update().ok();
    world.head_version = 1;
    world.publish_head(|_| {}, &["head-1"]);
    host.update().refused(84, "rollback");
    let mut trust = world.trust.clone();
    trust.version = 2;
    let public = world.new_key("head-2");
    trust.keys.remove("head-1");
    trust.keys.insert(t("head-2"), Key { holder: t("clock-2"), public });
    trust.roles.head = role(&[("head", 1, &["head-2"])]);
    world.publish_trust(&trust, &["root-1"]);
    world.publish_head(|_| {}, &["head-2"]);
    host.update().ok();
    host.run().ok();
}

#[test]
fn attack_17_an_index_out_of_reach_is_refused() {
    let mut world = World::standard();
    let host = Host::of(&world);
    host.update().ok();
    let group: proofmark_core::group::Group = {
        let pin = world.index.as_ref().unwrap().0.groups.values().next().unwrap().sha256;
        proofmark_core::json::parse(&world.read(&format!("group/{pin}.group.json")), "group").unwrap()
    };
    let wild = (1 << 53) - 1;
    let index = world.draft_index(&[group], |index| {
        index.version = wild;
        index.prev.as_mut().unwrap().version = wild - 1;
    });
    let bytes = proofmark_core::json::print(&index);
    world.publish_index_bytes(wild, &bytes, &SIGNERS);
    let pin = IndexPin { version: wild, size: bytes.len() as u64, sha256: Digest::of(&bytes) };
    world.publish_head(|head| head.index = pin, &["head-1"]);
    let before = host.state();
    host.update().refused(90, "limit");
    assert_eq!(before, host.state());
}

#[test]
fn attack_16_a_trust_out_of_turn_or_of_ten_thousand_versions_is_refused() {
    let mut world = World::standard();
    let host = Host::of(&world);
    host.update().ok();
    let before = host.state();
    world.write_latest(|latest| latest.trust = 10_000);
    host.update().refused(92, "trust-missing");
    // Version 3, in the place of 2.
    let mut trust = world.trust.clone();
    trust.version = 3;
    let bytes = proofmark_core::json::print(&trust);
    let comment = world.comment(proofmark_core::Kind::Trust, Some(2), "2.trust.json");
    world.write("trust/2.trust.json.root-1.minisig", &world.sign("root-1", &comment, &bytes));
    world.write("trust/2.trust.json", &bytes);
    world.write_latest(|latest| latest.trust = 2);
    host.update().refused(92, "trust");
    // Another repository's.
    let mut trust = world.trust.clone();
    (trust.version, trust.repository) = (2, t(&"f".repeat(32)));
    let bytes = proofmark_core::json::print(&trust);
    world.write("trust/2.trust.json.root-1.minisig", &world.sign("root-1", &comment, &bytes));
    world.write("trust/2.trust.json", &bytes);
    host.update().refused(92, "trust");
    assert_eq!(before, host.state());
    // A rotation that the index does not satisfy: the old trust stays.
    let mut trust = world.trust.clone();
    trust.version = 2;
    let public = world.new_key("carol-1");
    trust.keys.insert(t("carol-1"), Key { holder: t("carol"), public });
    trust.roles.index = role(&[("ci", 1, &["ci-1"]), ("reviewers", 1, &["carol-1"])]);
    world.publish_trust(&trust, &["root-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    host.update().refused(80, "threshold");
    assert_eq!(before, host.state());
    host.run().ok();
}

#[test]
fn attack_42_updates_take_turns_and_a_start_sees_old_or_new_whole() {
    let mut world = World::standard();
    let host = Host::of(&world);
    host.update().ok();
    for round in 0..4 {
        publish_next(&mut world, 3600 + round);
        let updates: Vec<_> = (0..3).map(|_| host.command(&["update"]).output_later()).collect();
        // A start that an update overtakes says 95, and may be tried again; nothing else may be said.
        let outcome = host.run();
        assert!(outcome.code == 0 || (outcome.code == 95 && outcome.stderr.contains("state-moved")), "{outcome:#?}");
        for update in updates {
            update.join().unwrap().ok();
        }
        host.run().ok();
    }
}

trait Later {
    fn output_later(self) -> std::thread::JoinHandle<proofmark_tests::Outcome>;
}

impl Later for std::process::Command {
    fn output_later(mut self) -> std::thread::JoinHandle<proofmark_tests::Outcome> {
        std::thread::spawn(move || self.output().unwrap().into())
    }
}
