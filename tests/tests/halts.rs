//! ATTACKS 22 through the real verifier: a halt gets through by any path, and nothing but its resume ends it.

use proofmark_core::halt::Scope;
use proofmark_core::trust::Key;
use proofmark_core::{Digest, Time};
use proofmark_tests::world::{now, role, t};
use proofmark_tests::{Host, World};
use std::fs;

const SIGNERS: [&str; 2] = ["ci-1", "alice-1"];

/// A host that has started the standard bundle.
fn running() -> (World, Host) {
    let world = World::standard();
    let host = Host::of(&world);
    host.update().ok();
    host.run().ok();
    (world, host)
}

fn group() -> Scope {
    Scope::Group(t("prod/router"))
}

#[track_caller]
fn halted(host: &Host) -> String {
    host.run().refused(87, "halted").stderr
}

#[test]
fn attack_22_a_halt_that_latest_names_counts_before_any_new_head_and_says_who_and_why() {
    let (world, host) = running();
    let digest = world.publish_halt(&world.halt(group(), "alice"), &["alice-1"]);
    world.hint(&[digest]);
    let outcome = host.update().ok();
    assert_eq!(outcome.stderr.matches("ALERT: ").count(), 1, "{outcome:#?}");
    let text = halted(&host);
    assert!(text.contains("group prod/router on rtr-1"), "{text}");
    assert!(text.contains(&format!("halt {} of group prod/router by alice at 20", &digest.to_string()[..8])), "{text}");
    assert!(text.contains("child orders without parent") && text.contains("proofmark resume"), "{text}");
    // One alert for each change, and the next update is none.
    assert!(!host.update().ok().stderr.contains("ALERT"));
    let status = host.verifier(&["status", "--json"]).ok().stdout;
    assert!(status.contains(&format!("\"halt\":\"{digest}\"")) && status.contains("\"latched\":true"), "{status}");
    assert!(status.contains("\"would_start\":false"), "{status}");
}

#[test]
fn attack_22_a_mirror_that_hides_a_halt_cannot_lift_it_and_neither_can_a_head_that_no_longer_lists_it() {
    let (mut world, host) = running();
    let digest = world.publish_halt(&world.halt(Scope::Everything, "bob"), &["bob-1"]);
    world.hint(&[digest]);
    host.update().ok();
    world.hint(&[]);
    world.remove(&format!("halt/{digest}.halt.json"));
    host.update().ok();
    halted(&host);
    world.publish_head(|head| head.halts = vec![digest], &["head-1"]);
    host.update().ok();
    world.publish_head(|_| {}, &["head-1"]);
    host.update().ok();
    halted(&host);
}

#[test]
fn attack_22_two_halts_of_the_same_second_both_hold_and_each_needs_its_own_resume() {
    let (world, host) = running();
    let issued = now();
    let halts = ["alice", "bob"].map(|by| {
        let mut halt = world.halt(group(), by);
        halt.issued = issued;
        world.publish_halt(&halt, &[&format!("{by}-1")])
    });
    world.hint(&halts);
    host.update().ok();
    assert!(halted(&host).contains("(and 1 more)"));
    world.publish_resume(halts[0], |_| {}, &SIGNERS);
    assert!(host.update().ok().stderr.contains(&format!("halt {} is lifted", halts[0])));
    halted(&host);
    world.publish_resume(halts[1], |_| {}, &SIGNERS);
    host.update().ok();
    host.run().ok();
    // Lifted for ever, though `latest` and a mirror still show it.
    host.update().ok();
    host.run().ok();
}

#[test]
fn attack_22_a_halt_key_never_lifts_and_neither_does_the_proposer_alone() {
    let (world, host) = running();
    let digest = world.publish_halt(&world.halt(group(), "alice"), &["alice-1"]);
    world.hint(&[digest]);
    host.update().ok();
    let resume = format!("resume/{digest}.resume.json");
    for signers in [&["alice-1", "bob-1"][..], &["ci-1"], &["head-1"], &[]] {
        world.publish_resume(digest, |_| {}, signers);
        let outcome = host.update().ok();
        assert!(outcome.stderr.contains("lifts nothing") && outcome.stderr.contains("[80 threshold]"), "{outcome:#?}");
        halted(&host);
        for key in signers {
            world.remove(&format!("{resume}.{key}.minisig"));
        }
    }
    world.publish_resume(digest, |resume| resume.proposer = t("alice"), &SIGNERS);
    assert!(host.update().ok().stderr.contains("[80 second-person]"));
    halted(&host);
    // A resume of another halt under this one's name.
    world.publish_resume(digest, |resume| resume.halt = Digest::of(b"another"), &SIGNERS);
    assert!(host.update().ok().stderr.contains("[80 wrong-document]"));
    halted(&host);
    world.publish_resume(digest, |_| {}, &SIGNERS);
    host.update().ok();
    host.run().ok();
}

#[test]
fn attack_22_a_halt_for_others_stops_nothing_here() {
    let (mut world, host) = running();
    let scopes = [Scope::Group(t("prod/quoter")), Scope::Host(t("rtr-2")), Scope::Bundle(Digest::of(b"another"))];
    let mut halts: Vec<Digest> = scopes.map(|scope| world.publish_halt(&world.halt(scope, "alice"), &["alice-1"])).into();
    world.hint(&halts);
    host.update().ok();
    host.run().ok();
    halts.sort();
    world.publish_head(|head| head.halts = halts, &["head-1"]);
    host.update().ok();
    host.run().ok();
}

#[test]
fn attack_22_a_halt_of_this_host_and_of_its_bundle_stop_it() {
    for of_bundle in [false, true] {
        let mut world = World::new();
        let bundle = world.bundle(&["report"]);
        world.publish_bundle(&bundle, &["ci-1"]);
        let group = world.group(&bundle);
        world.publish_index(&[group], |_| {}, &SIGNERS);
        world.publish_head(|_| {}, &["head-1"]);
        let host = Host::of(&world);
        host.update().ok();
        let scope = if of_bundle { Scope::Bundle(Digest::of(&bundle.bytes)) } else { Scope::Host(t("rtr-1")) };
        world.hint(&[world.publish_halt(&world.halt(scope, "alice"), &["alice-1"])]);
        host.update().ok();
        halted(&host);
    }
}

#[test]
fn attack_22_a_halt_that_nobody_may_sign_stops_nothing_and_one_good_signature_among_bad_ones_is_enough() {
    let (world, host) = running();
    let halt = world.halt(group(), "alice");
    let digest = world.publish_halt(&halt, &["ci-1", "head-1"]);
    world.hint(&[digest]);
    let outcome = host.update().ok();
    assert!(outcome.stderr.contains("stops nothing") && outcome.stderr.contains("[80 threshold]"), "{outcome:#?}");
    host.run().ok();
    // A halt in somebody else's name.
    let other = world.publish_halt(&world.halt(Scope::Everything, "bob"), &["alice-1"]);
    world.hint(&[digest, other]);
    assert!(host.update().ok().stderr.contains("[80 wrong-document]"));
    host.run().ok();

    world.publish_halt(&halt, &["alice-1"]);
    world.write(&format!("halt/{digest}.halt.json.bob-1.minisig"), b"junk");
    host.update().ok();
    halted(&host);
}

#[test]
fn attack_22_a_listed_halt_that_cannot_be_had_counts_as_one_of_everything_as_long_as_it_is_listed() {
    let (mut world, host) = running();
    let digest = Digest::of(b"a halt that no mirror has");
    world.publish_head(|head| head.halts = vec![digest], &["head-1"]);
    host.update().ok();
    assert!(halted(&host).contains("counts as a halt of everything"));
    world.publish_head(|_| {}, &["head-1"]);
    host.update().ok();
    host.run().ok();
}

#[test]
fn attack_22_a_halt_outlives_its_key_on_hosts_that_saw_it_and_on_those_that_see_it_listed() {
    let (mut world, host) = running();
    let digest = world.publish_halt(&world.halt(group(), "alice"), &["alice-1"]);
    world.hint(&[digest]);
    host.update().ok();
    let mut trust = world.trust.clone();
    trust.version = 2;
    let public = world.new_key("carol-1");
    trust.keys.insert(t("carol-1"), Key { holder: t("carol"), public });
    trust.roles.halt = role(&[("operators", 1, &["carol-1"])]);
    world.publish_trust(&trust, &["root-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    host.update().ok();
    halted(&host);

    let fresh = Host::of(&world);
    fresh.update().ok();
    fresh.run().ok();
    world.publish_head(|head| head.halts = vec![digest], &["head-1"]);
    fresh.update().ok();
    assert!(halted(&fresh).contains("by alice"));
}

#[test]
fn attack_22_a_halt_is_latched_although_the_rest_of_the_update_is_refused() {
    let (mut world, host) = running();
    world.publish_head(|head| (head.issued, head.expires) = (now(), now().plus(1)), &["head-1"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    world.hint(&[world.publish_halt(&world.halt(group(), "alice"), &["alice-1"])]);
    let outcome = host.update().refused(85, "expired");
    assert!(outcome.stderr.contains("ALERT: "), "{outcome:#?}");
    halted(&host);
}

#[test]
fn attack_22_a_mirror_that_holds_back_a_trust_does_not_hold_back_the_halt() {
    let (world, host) = running();
    let digest = world.publish_halt(&world.halt(group(), "alice"), &["alice-1"]);
    world.write_latest(|latest| (latest.trust, latest.halts) = (2, vec![digest]));
    host.update().refused(92, "trust-missing");
    halted(&host);
}

#[test]
fn attack_22_a_halt_by_hand_works_without_a_repository_and_only_for_whom_it_is_meant() {
    let (world, host) = running();
    let digest = world.publish_halt(&world.halt(group(), "bob"), &["bob-1"]);
    let other = world.publish_halt(&world.halt(Scope::Host(t("rtr-2")), "bob"), &["bob-1"]);
    let unsigned = world.publish_halt(&world.halt(Scope::Everything, "alice"), &["ci-1"]);
    let file = |digest: Digest| world.file(&format!("halt/{digest}.halt.json")).to_str().unwrap().to_owned();
    // As it comes on a stick: another name, and no repository in reach.
    let stick = tempfile::tempdir().unwrap();
    let copy = stick.path().join("halt.json");
    fs::copy(file(digest), &copy).unwrap();
    fs::copy(file(digest) + ".bob-1.minisig", stick.path().join("halt.json.bob-1.minisig")).unwrap();
    let config = host.file("etc/proofmark/host.toml");
    let reachable = fs::read_to_string(&config).unwrap();
    fs::write(&config, "repository = [\"/nowhere\"]\n[users]\npayload = 61234\n").unwrap();
    let before = host.state();
    host.verifier(&["halt", &file(other)]).refused(89, "for-another-host");
    host.verifier(&["halt", &file(unsigned)]).refused(80, "threshold");
    assert_eq!(before, host.state());
    host.run().ok();
    let outcome = host.verifier(&["halt", copy.to_str().unwrap()]).ok();
    assert!(outcome.stdout.contains("latched: halt") && outcome.stderr.contains("ALERT: "), "{outcome:#?}");
    halted(&host);
    assert!(host.verifier(&["halt", copy.to_str().unwrap()]).ok().stdout.contains("latched before"));

    fs::write(&config, reachable).unwrap();
    world.publish_resume(digest, |_| {}, &SIGNERS);
    host.update().ok();
    host.run().ok();
    host.verifier(&["halt", copy.to_str().unwrap()]).refused(84, "halt-lifted");
    host.run().ok();
}

#[test]
fn attack_22_the_latch_holds_when_documents_are_damaged() {
    let (world, host) = running();
    world.hint(&[world.publish_halt(&world.halt(group(), "alice"), &["alice-1"])]);
    host.update().ok();
    fs::remove_dir_all(host.file("var/lib/proofmark/documents")).unwrap();
    halted(&host);
}

#[test]
fn a_host_prepares_the_fix_while_it_is_halted() {
    let (mut world, host) = running();
    let digest = world.publish_halt(&world.halt(group(), "alice"), &["alice-1"]);
    world.hint(&[digest]);
    host.update().ok();
    let fixed = world.bundle(&["report", "fixed"]);
    world.publish_bundle(&fixed, &["ci-1"]);
    let mut next = world.group(&fixed);
    let old = host.verifier(&["status", "--json"]).ok().stdout;
    let old: serde_json::Value = serde_json::from_str(&old).unwrap();
    let old = old["groups"]["prod/router"]["bundle"].as_str().unwrap().parse().unwrap();
    (next.mode, next.from) = (proofmark_core::group::Mode::Upgrade, vec![old]);
    world.publish_index(&[next], |_| {}, &SIGNERS);
    world.publish_head(|head| head.halts = vec![digest], &["head-1"]);
    let outcome = host.update().ok();
    assert!(outcome.stdout.contains("staged, in place of another bundle") && outcome.stdout.contains("latched: halt"), "{outcome:#?}");
    halted(&host);
    let status = host.verifier(&["status"]).ok().stdout;
    assert!(status.contains("  before: router 1.2, bundle"), "{status}");
    world.publish_resume(digest, |_| {}, &SIGNERS);
    world.publish_head(|_| {}, &["head-1"]);
    host.update().ok();
    assert!(host.run().ok().stdout.contains("argument=fixed"));
}

#[test]
fn a_new_host_is_halted_from_its_first_contact_on() {
    let world = World::standard();
    world.hint(&[world.publish_halt(&world.halt(group(), "alice"), &["alice-1"])]);
    let host = Host::of(&world);
    world.hint(&[]);
    host.update().ok();
    halted(&host);
}

#[test]
fn a_reason_with_terminal_escapes_is_shown_escaped() {
    let (world, host) = running();
    let mut halt = world.halt(group(), "alice");
    halt.reason = "\u{202e}desrever \u{9f}".into();
    // A control character does not even parse; a bidirectional mark does.
    let refused = world.publish_halt(&halt, &["alice-1"]);
    world.hint(&[refused]);
    assert!(host.update().ok().stderr.contains("[90 malformed]"));
    host.run().ok();
    halt.reason = "\u{202e}desrever".into();
    world.hint(&[world.publish_halt(&halt, &["alice-1"])]);
    host.update().ok();
    let text = halted(&host);
    assert!(text.contains("\\u{202e}desrever") && text.is_ascii(), "{text}");
    assert!(host.verifier(&["status", "--json"]).ok().stdout.is_ascii());
}

fn lost(damage: impl FnOnce(&Host)) -> (World, Host) {
    let (mut world, host) = running();
    damage(&host);
    world.publish_head(|_| {}, &["head-1"]);
    (world, host)
}

fn remove_state(host: &Host) {
    fs::remove_file(host.file("var/lib/proofmark/state.json")).unwrap();
}

/// A head that is not older than the adopt document, in whole seconds.
fn next_head(world: &mut World) {
    world.publish_head(|_| {}, &["head-1"]);
}

#[test]
fn attack_23_a_lost_state_comes_back_with_a_document_of_the_indexs_groups() {
    let damages: [fn(&Host); 3] = [
        remove_state,
        |host| fs::write(host.file("var/lib/proofmark/state.json"), "{").unwrap(),
        |host| fs::remove_dir_all(host.file("var/lib/proofmark")).unwrap(),
    ];
    for damage in damages {
        let (mut world, host) = lost(damage);
        assert_eq!(host.run().code, 94);
        let document = world.publish_adopt(|_| {}, &SIGNERS);
        next_head(&mut world);
        host.adopt(&world, &document).ok();
        // Nothing is staged by it.
        host.run().refused(94, "not-staged");
        host.update().ok();
        host.run().ok();
        host.adopt(&world, &document).refused(94, "state-exists");
    }
}

#[test]
fn attack_23_adopting_needs_both_groups_a_second_person_the_right_host_and_its_time() {
    let (mut world, host) = lost(remove_state);
    let later = |time: Time| time.plus(3600);
    type Edit<'a> = Box<dyn FnOnce(&mut proofmark_core::adopt::Adopt) + 'a>;
    let cases: Vec<(Edit, &[&str], i32, &str)> = vec![
        (Box::new(|_| {}), &["ci-1"], 80, "threshold"),
        (Box::new(|_| {}), &["alice-1", "bob-1"], 80, "threshold"),
        (Box::new(|adopt| adopt.proposer = t("alice")), &SIGNERS, 80, "second-person"),
        (Box::new(|adopt| adopt.repository = t(&"f".repeat(32))), &SIGNERS, 80, "wrong-document"),
        (Box::new(|adopt| adopt.host = t("rtr-2")), &SIGNERS, 89, "for-another-host"),
        (Box::new(|adopt| adopt.groups = vec![t("prod/quoter")]), &SIGNERS, 89, "for-another-host"),
        (Box::new(|adopt| (adopt.environment, adopt.groups) = (t("uat"), vec![t("uat/router")])), &SIGNERS, 96, "wrong-environment"),
        (Box::new(|adopt| adopt.first_trust.sha256 = Digest::of(b"x")), &SIGNERS, 92, "trust-pin"),
        (Box::new(|adopt| (adopt.issued, adopt.expires) = (now().plus(-7200), now().plus(-3600))), &SIGNERS, 85, "expired"),
        (Box::new(|adopt| (adopt.issued, adopt.expires) = (later(adopt.issued), later(adopt.expires))), &SIGNERS, 93, "clock"),
        (Box::new(|adopt| adopt.expires = adopt.issued.plus(604_801)), &SIGNERS, 90, "malformed"),
        // Floors above what the repository shows.
        (Box::new(|adopt| adopt.head.version += 100), &SIGNERS, 84, "rollback"),
        (Box::new(|adopt| adopt.index.version += 1), &SIGNERS, 84, "rollback"),
        (Box::new(|adopt| adopt.index.sha256 = Digest::of(b"x")), &SIGNERS, 84, "equivocation"),
        (Box::new(|adopt| adopt.trust.version += 1), &SIGNERS, 92, "trust-missing"),
        (Box::new(|adopt| adopt.trust.sha256 = Digest::of(b"x")), &SIGNERS, 84, "equivocation"),
    ];
    for (edit, signers, code, word) in cases {
        let document = world.publish_adopt(edit, signers);
        next_head(&mut world);
        let before = host.state();
        host.adopt(&world, &document).refused(code, word);
        assert_eq!(before, host.state());
    }
    // A head from before the document says nothing about halts since.
    let document = world.publish_adopt(|adopt| adopt.issued = adopt.issued.plus(60), &SIGNERS);
    host.adopt(&world, &document).refused(84, "rollback");
}

#[test]
fn attack_23_an_adopted_host_latches_what_document_and_head_name() {
    let (mut world, host) = lost(remove_state);
    let known = world.publish_halt(&world.halt(group(), "alice"), &["alice-1"]);
    let unknown = Digest::of(b"a halt that only this host had seen");
    let mut halts = vec![known, unknown];
    halts.sort();
    let document = world.publish_adopt(|adopt| adopt.halts = halts, &SIGNERS);
    next_head(&mut world);
    host.adopt(&world, &document).ok();
    host.update().ok();
    halted(&host);
    world.publish_resume(unknown, |_| {}, &SIGNERS);
    host.update().ok();
    assert!(halted(&host).contains("by alice"));
    world.publish_resume(known, |_| {}, &SIGNERS);
    host.update().ok();
    host.run().ok();
}

#[test]
fn attack_23_a_whole_state_from_an_older_copy_is_caught_by_any_fresh_head() {
    let (mut world, host) = running();
    let state = host.file("var/lib/proofmark/state.json");
    let old = fs::read(&state).unwrap();
    let digest = world.publish_halt(&world.halt(group(), "alice"), &["alice-1"]);
    world.publish_head(|head| head.halts = vec![digest], &["head-1"]);
    host.update().ok();
    halted(&host);
    fs::write(&state, old).unwrap();
    // Its documents are still those of the newest heads; the next update finds the halt again.
    host.update().ok();
    halted(&host);
}

#[test]
fn a_host_without_a_configuration_says_so() {
    let host = Host::new();
    host.update().refused(94, "not-set-up");
    let (_world, host) = running();
    fs::remove_file(host.file("etc/proofmark/host.toml")).unwrap();
    host.update().refused(94, "not-configured");
}

#[test]
fn a_repository_without_a_head_says_who_makes_the_first_one() {
    let mut world = World::new();
    let bundle = world.bundle(&["report"]);
    let group = world.group(&bundle);
    world.publish_index(&[group], |_| {}, &SIGNERS);
    let outcome = Host::new().init(&world).refused(98, "no-head");
    assert!(outcome.stderr.contains("proofmark head"), "{outcome:#?}");
}
