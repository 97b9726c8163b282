//! A session of three hosts over HTTP: fifty rotations of trust and an upgrade under thousands of polls without one false alarm, two
//! halts in one second and their resumes, a rollback that is authorised and one that is not, and mirrors of every bad kind.

use proofmark_core::group::{Group, Mode};
use proofmark_core::halt::Scope;
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Refusal};
use proofmark_tests::web::{Answer, Web};
use proofmark_tests::world::{Bundle, GROUP, World, t};
use proofmark_tests::{Host, Outcome};
use proofmark_verifier::update;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const HOSTS: [&str; 3] = ["rtr-1", "rtr-2", "rtr-3"];
/// Rotations of trust during the polls.
const ROTATIONS: u64 = 50;
/// Polls of all hosts together, at least.
const POLLS: usize = 2000;

fn bundle(world: &World, release: &str) -> Bundle {
    let mut manifest = world.manifest(&["report"]);
    manifest.release = t(release);
    let bundle = world.bundle_of(manifest, world.members());
    world.publish_bundle(&bundle, &["ci-1"]);
    bundle
}

fn digest(bundle: &Bundle) -> Digest {
    Digest::of(&bundle.bytes)
}

/// The group of all three hosts with this bundle.
fn group(world: &World, bundle: &Bundle, mode: Mode, from: &[&Bundle], edit: impl FnOnce(&mut Group)) -> Group {
    let mut group = world.group(bundle);
    group.hosts = HOSTS.map(|name| (t(name), proofmark_core::group::Host { record_key: None })).into();
    group.mode = mode;
    group.from = from.iter().map(|bundle| digest(bundle)).collect();
    group.from.sort();
    edit(&mut group);
    group
}

fn publish(world: &mut World, group: Group) {
    world.publish_index(&[group], |_| {}, &["ci-1", "alice-1"]);
    world.publish_head(|_| {}, &["head-1"]);
}

/// Sets a host up for these repositories, in this order.
fn set_up(world: &World, name: &str, repositories: &[&str]) -> Host {
    let host = Host::new();
    let (trust, pin) = (world.file("trust/1.trust.json"), world.pin().to_string());
    let mut arguments =
        vec!["init", "--trust", trust.to_str().unwrap(), "--sha256", &pin, "--host", name, "--environment", "prod", "--group", GROUP];
    for repository in repositories {
        arguments.extend(["--repository", repository]);
    }
    host.verifier(&arguments).ok();
    host
}

/// Changes where a host looks.
fn look_at(host: &Host, repositories: &[&str]) {
    let text = format!("repository = {repositories:?}\n\n[users]\npayload = 61234\n");
    std::fs::write(host.file("etc/proofmark/host.toml"), text).unwrap();
}

/// One version on; reviewers take turns, and the owners' key stays.
fn rotate(world: &mut World) {
    let mut next: Trust = world.trust.clone();
    next.version += 1;
    let reviewers = if next.version.is_multiple_of(2) { vec![t("alice-1")] } else { vec![t("alice-1"), t("bob-1")] };
    next.roles.index.0.get_mut("reviewers").unwrap().keys = reviewers;
    world.publish_trust_quietly(&next, &["root-1"]);
    // The head makes it the current one: `latest` moves once, to both.
    world.publish_head(|_| {}, &["head-1"]);
}

fn halted(outcome: Outcome, halt: &Digest) {
    let outcome = outcome.refused(87, "halted");
    assert!(outcome.stderr.contains(&halt.to_string()[..8]), "{outcome:#?}");
}

#[test]
fn thousands_of_polls_during_fifty_rotations_and_an_upgrade_raise_no_false_alarm() {
    let mut world = World::new();
    let first = bundle(&world, "1.0");
    let assigned = group(&world, &first, Mode::Install, &[], |_| {});
    publish(&mut world, assigned);
    let web = Web::honest(world.path());
    let hosts = HOSTS.map(|name| set_up(&world, name, &[&web.url]));
    let roots = hosts.each_ref().map(Host::path);
    let (done, polls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let alarms: Vec<(String, Refusal)> = std::thread::scope(|scope| {
        let pollers: Vec<_> = roots.map(|root| scope.spawn(|| poll(root, &done, &polls))).into();
        for _ in 0..ROTATIONS / 2 {
            rotate(&mut world);
        }
        let second = bundle(&world, "1.1");
        let next = group(&world, &second, Mode::Upgrade, &[&first], |_| {});
        publish(&mut world, next);
        for _ in ROTATIONS / 2..ROTATIONS {
            rotate(&mut world);
        }
        done.store(true, Ordering::SeqCst);
        pollers.into_iter().flat_map(|poller| poller.join().unwrap()).collect()
    });
    assert!(alarms.is_empty(), "{} false alarms, the first: {}: {}", alarms.len(), alarms[0].0, alarms[0].1);
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls >= POLLS, "only {polls} polls");
    eprintln!("{polls} polls, {} requests", web.requests());
    for host in &hosts {
        host.update().ok();
        let status = host.verifier(&["status"]).ok();
        assert!(status.stdout.contains("router 1.1") && status.stdout.contains(&format!("{}", ROTATIONS + 1)), "{status:#?}");
    }
}

/// Updates until the publisher is done and enough polls were made, and gives what was refused.
fn poll(root: &Path, done: &AtomicBool, polls: &AtomicUsize) -> Vec<(String, Refusal)> {
    let host = proofmark_verifier::host::Host::new(root);
    let mut alarms = Vec::new();
    while !done.load(Ordering::SeqCst) || polls.load(Ordering::SeqCst) < POLLS {
        polls.fetch_add(1, Ordering::SeqCst);
        if let Err(refusal) = update::update(&host) {
            alarms.push((root.display().to_string(), refusal));
        }
    }
    alarms
}

#[test]
fn attack_20_22_two_halts_in_one_second_their_resumes_and_two_rollbacks() {
    let mut world = World::new();
    let first = bundle(&world, "1.0");
    let assigned = group(&world, &first, Mode::Install, &[], |_| {});
    publish(&mut world, assigned);
    let web = Web::honest(world.path());
    let hosts = HOSTS.map(|name| set_up(&world, name, &[&web.url]));
    for host in &hosts {
        look_at(host, &[&web.url]);
        host.update().ok();
    }
    let second = bundle(&world, "1.1");
    let next = group(&world, &second, Mode::Upgrade, &[&first], |_| {});
    publish(&mut world, next);
    hosts.iter().for_each(|host| drop(host.update().ok()));

    // Two operators, one second, no new head: both hold, and each needs its own resume.
    let one = world.publish_halt(&world.halt(Scope::Group(t(GROUP)), "alice"), &["alice-1"]);
    let other = world.publish_halt(&world.halt(Scope::Everything, "bob"), &["bob-1"]);
    world.hint(&[one, other]);
    for host in &hosts {
        host.update().ok();
        host.run().refused(87, "halted");
    }
    world.publish_resume(one, |_| {}, &["ci-1", "bob-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    for host in &hosts {
        host.update().ok();
        halted(host.run(), &other);
    }
    world.publish_resume(other, |_| {}, &["ci-1", "alice-1"]);
    hosts.iter().for_each(|host| drop(host.update().ok()));
    for host in &hosts {
        host.run().ok();
    }

    // Back to 1.0, by an index that says so.
    let back = group(&world, &first, Mode::Rollback, &[&second], |group| group.rollback_targets = vec![digest(&first)]);
    publish(&mut world, back);
    for host in &hosts {
        host.update().ok();
        assert!(host.verifier(&["status"]).ok().stdout.contains("router 1.0"));
    }
    // And to 1.1 again by one that does not: the bundle that runs is not among those it may replace.
    let forbidden = group(&world, &second, Mode::Upgrade, &[&second], |_| {});
    publish(&mut world, forbidden);
    for host in &hosts {
        let before = host.state();
        host.update().refused(84, "transition");
        assert_eq!(host.state(), before, "a refusal changes nothing");
    }
}

#[test]
fn attack_15_18_24_mirrors_that_lie_stall_lag_or_hide_a_rotation_are_passed_over() {
    let mut world = World::new();
    let first = bundle(&world, "1.0");
    let assigned = group(&world, &first, Mode::Install, &[], |_| {});
    publish(&mut world, assigned);
    let honest = Web::honest(world.path());
    let host = set_up(&world, HOSTS[0], &[&honest.url]);
    host.update().ok();

    let frozen = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(world.path().join(".")).arg(frozen.path()).status().unwrap();
    assert!(copied.success());
    let stale = Web::honest(frozen.path());
    rotate(&mut world);
    let second = bundle(&world, "1.1");
    let next = group(&world, &second, Mode::Upgrade, &[&first], |_| {});
    publish(&mut world, next);
    look_at(&host, &[&honest.url]);
    host.update().ok();

    let lying = Web::serve(world.path(), |path, mut bytes| {
        if path.ends_with("head.json") {
            bytes[40] ^= 1;
        }
        Answer::Bytes(bytes)
    });
    let hiding = Web::serve(world.path(), |path, bytes| if path.contains("3.trust.json") { Answer::Absent } else { Answer::Bytes(bytes) });
    let silent = Web::serve(world.path(), |path, bytes| if path.ends_with("head.json") { Answer::Silence } else { Answer::Bytes(bytes) });
    for (mirror, code, word) in [(&stale, 84, "rollback"), (&lying, 80, "bad-signature")] {
        look_at(&host, &[&mirror.url]);
        let before = host.state();
        host.update().refused(code, word);
        assert_eq!(host.state(), before, "a refusal changes nothing");
    }
    // Another rotation, which one mirror hides.
    rotate(&mut world);
    look_at(&host, &[&hiding.url]);
    host.update().refused(92, "trust-missing");
    for mirror in [&lying, &hiding, &stale, &silent] {
        let asked = mirror.requests();
        look_at(&host, &[&mirror.url, &honest.url]);
        world.publish_head(|_| {}, &["head-1"]);
        let outcome = host.update().ok();
        assert!(mirror.requests() > asked, "the mirror was asked first");
        assert!(outcome.stdout.contains(&format!("head {}", world.head_version)), "{outcome:#?}");
    }
}
