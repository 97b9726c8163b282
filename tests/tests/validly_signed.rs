//! ATTACKS 12, 14 to 18, 20, 21, 25, 26 through the real verifier: what a host refuses although everybody has signed it.

use proofmark_core::Digest;
use proofmark_core::group::{FlagState, Gate, Group, LedgerEntry, Mode};
use proofmark_core::json;
use proofmark_core::trust::Key;
use proofmark_tests::story::{Story, standard};
use proofmark_tests::world::{self, role, t};
use proofmark_tests::{Host, World};

#[test]
fn attack_12_older_documents_are_refused_though_validly_signed() {
    let mut story = Story::new();
    let old_latest = story.world.read("latest");
    story.next_index(|group| group.freshness.activate_seconds = 3600, &["ci-1", "alice-1"]);
    story.host.update().ok();
    // A mirror that shows yesterday's head.
    story.world.write("latest", &old_latest);
    story.refused(84, "rollback");
    // A new head that pins the old index.
    let (index, sha256, size) = {
        let bytes = story.world.read("index/1.index.json");
        (1, Digest::of(&bytes), bytes.len() as u64)
    };
    let pin = proofmark_core::head::IndexPin { version: index, size, sha256 };
    story.world.publish_head(|head| head.index = pin, &["head-1"]);
    story.refused(84, "rollback");
}

#[test]
fn attack_14_two_documents_of_one_version_are_equivocation_and_the_next_version_heals() {
    let mut story = Story::new();
    let mut group = story.group.clone();
    group.freshness.activate_seconds = 3600;
    let index = story.world.draft_index(&[group.clone()], |index| {
        index.version = 1;
        index.prev = None;
    });
    let bytes = json::print(&index);
    story.world.publish_index_bytes(1, &bytes, &["ci-1", "alice-1"]);
    let pin = proofmark_core::head::IndexPin { version: 1, size: bytes.len() as u64, sha256: Digest::of(&bytes) };
    story.world.publish_head(|head| head.index = pin, &["head-1"]);
    story.refused(84, "equivocation");
    // Healed, although `prev` names the half that this host never saw.
    let next = story.world.draft_index(&[group], |index| index.prev.as_mut().unwrap().sha256 = Digest::of(&bytes));
    let bytes = json::print(&next);
    story.world.publish_index_bytes(2, &bytes, &["ci-1", "alice-1"]);
    let pin = proofmark_core::head::IndexPin { version: 2, size: bytes.len() as u64, sha256: Digest::of(&bytes) };
    story.world.publish_head(|head| head.index = pin, &["head-1"]);
    story.host.update().ok();
}

#[test]
fn attack_15_the_head_pins_index_and_trust_and_the_index_pins_group_files() {
    // Today's head, yesterday's index in its place.
    let mut story = Story::new();
    story.next_index(|group| group.freshness.activate_seconds = 3600, &["ci-1", "alice-1"]);
    let padded = |bytes: Vec<u8>, size: usize| {
        let mut bytes = bytes;
        bytes.resize(size.max(bytes.len()), b' ');
        bytes
    };
    let (old, new) = (story.world.read("index/1.index.json"), story.world.read("index/2.index.json"));
    story.world.publish_index_bytes(2, &padded(old.clone(), new.len()), &["ci-1", "alice-1"]);
    let code = if old.len() > new.len() { "size" } else { "digest" };
    story.refused(81, code);

    // Yesterday's group file under today's name.
    let mut story = Story::new();
    let old = json::print(&story.group);
    story.next_index(|group| group.freshness.activate_seconds = 86_401, &["ci-1", "alice-1"]);
    let pin = story.world.index.as_ref().unwrap().0.groups.values().next().unwrap().sha256;
    story.world.write(&format!("group/{pin}.group.json"), &old);
    story.refused(81, "digest");

    // A mirror hides the trust that the head pins.
    let mut story = Story::new();
    let mut trust = story.world.trust.clone();
    trust.version = 2;
    trust.roles.index = role(&[("ci", 1, &["ci-1"]), ("reviewers", 1, &["bob-1"])]);
    story.world.publish_trust(&trust, &["root-1"]);
    story.next_index(|_| {}, &["ci-1", "bob-1"]);
    story.world.write_latest(|latest| latest.trust = 1);
    story.refused(92, "trust-missing");
    story.world.remove("trust/2.trust.json");
    story.world.write_latest(|_| {});
    story.refused(92, "trust-missing");

    // Today's trust with a head that still pins yesterday's.
    let mut story = Story::new();
    let mut trust = story.world.trust.clone();
    trust.version = 2;
    story.world.publish_trust(&trust, &["root-1"]);
    story.refused(92, "trust-missing");
}

#[test]
fn attack_17_a_head_of_the_future_is_refused() {
    let mut story = Story::new();
    story.world.publish_head(
        |head| {
            head.issued = world::now().plus(3600);
            head.expires = world::now().plus(7200);
        },
        &["head-1"],
    );
    story.refused(93, "clock");
}

#[test]
fn attack_18_an_expired_head_changes_nothing_but_does_not_stop_what_ran() {
    let mut story = Story::new();
    let mut group = story.group.clone();
    group.freshness.activate_seconds = 3600;
    story.world.publish_index(&[group], |_| {}, &["ci-1", "alice-1"]);
    story.world.publish_head(
        |head| {
            head.issued = world::now();
            head.expires = world::now().plus(1);
        },
        &["head-1"],
    );
    std::thread::sleep(std::time::Duration::from_secs(2));
    story.refused(85, "expired");
}

#[test]
fn attack_20_a_revoked_bundle_is_refused_and_revocations_only_grow() {
    let mut story = Story::new();
    let digest = Digest::of(&story.bundle.bytes);
    story.next_index(|group| group.revoked = vec![digest], &["ci-1", "alice-1"]);
    story.refused(83, "revoked");

    let mut story = Story::new();
    let other = Digest::of(b"another bundle");
    story.next_index(|group| group.revoked = vec![other], &["ci-1", "alice-1"]);
    story.host.update().ok();
    story.next_index(|group| group.revoked = vec![], &["ci-1", "alice-1"]);
    story.refused(83, "revoked-shrunk");
}

#[test]
fn attack_20_a_ledger_entry_neither_disappears_nor_changes_nor_comes_back() {
    let entry = |id, name: &str, state| LedgerEntry { id, name: t(name), meaning: Digest::of(name.as_bytes()), state };
    let retired = vec![entry(7, "power_peg", FlagState::Retired)];
    for spoiled in [vec![], vec![entry(7, "rlp", FlagState::Active)], vec![entry(7, "power_peg", FlagState::Active)]] {
        let mut story = Story::new();
        story.next_index(|group| group.ledger = retired.clone(), &["ci-1", "alice-1"]);
        story.host.update().ok();
        story.next_index(|group| group.ledger = spoiled, &["ci-1", "alice-1"]);
        story.refused(79, "ledger-shrunk");
    }
}

#[test]
fn attack_20_a_bundle_replaces_another_only_as_the_group_file_says() {
    let transition = |edit: fn(&mut Group, Digest)| {
        let mut story = Story::new();
        let old = Digest::of(&story.bundle.bytes);
        let other = story.world.bundle(&["report", "again"]);
        story.world.publish_bundle(&other, &["ci-1"]);
        let mut group = story.world.group(&other);
        edit(&mut group, old);
        story.world.publish_index(&[group], |_| {}, &["ci-1", "alice-1"]);
        story.world.publish_head(|_| {}, &["head-1"]);
        story
    };
    transition(|_, _| {}).refused(84, "transition");
    transition(|group, _| (group.mode, group.from) = (Mode::Upgrade, vec![Digest::of(b"x")])).refused(84, "transition");
    transition(|group, old| (group.mode, group.from) = (Mode::Rollback, vec![old])).refused(84, "transition");
    let story = transition(|group, old| (group.mode, group.from) = (Mode::Upgrade, vec![old]));
    story.host.update().ok();
    assert!(story.host.run().ok().stdout.contains("argument=again"));
}

#[test]
fn attack_21_the_wrong_environment_role_architecture_and_host_are_refused() {
    // A uat host at the production repository.
    let (world, ..) = standard();
    let host = Host::new();
    host.init_as(&world, "rtr-1", "uat", "prod/router").refused(96, "wrong-environment");

    // A group file of another role or environment under this group's name.
    let spoiled = |edit: fn(&mut Group)| {
        let mut story = Story::new();
        let mut group = story.group.clone();
        edit(&mut group);
        let pin = story.world.write_group(&json::print(&group));
        story.world.publish_index(&[], |index| index.groups = [(t("prod/router"), pin)].into(), &["ci-1", "alice-1"]);
        story.world.publish_head(|_| {}, &["head-1"]);
        story
    };
    spoiled(|group| group.role = t("quoter")).refused(96, "wrong-role");
    // Its bundle's file name follows the environment, so that both are changed.
    spoiled(|group| {
        group.environment = t("uat");
        group.bundle.sha256sum = group.bundle.sha256sum.replace("-prod+", "-uat+");
    })
    .refused(96, "wrong-environment");
    spoiled(|group| {
        group.bundle.target = t("riscv64gc-unknown-linux-gnu");
        group.bundle.sha256sum = group.bundle.sha256sum.replace("x86_64-", "riscv64gc-");
    })
    .refused(96, "wrong-target");
    spoiled(|group| {
        let host = group.hosts.values().next().unwrap().clone();
        group.hosts = [(t("rtr-2"), host)].into();
    })
    .refused(89, "host-not-in-group");

    // Another product under the same group.
    let mut story = Story::new();
    let mut manifest = story.world.manifest(&["report"]);
    manifest.product = t("quoter");
    let other = story.world.bundle_of(manifest, story.world.members());
    story.world.publish_bundle(&other, &["ci-1"]);
    let mut group = story.world.group(&other);
    (group.mode, group.from) = (Mode::Upgrade, vec![Digest::of(&story.bundle.bytes)]);
    story.world.publish_index(&[group], |_| {}, &["ci-1", "alice-1"]);
    story.world.publish_head(|_| {}, &["head-1"]);
    story.refused(96, "wrong-product");
}

#[test]
fn attack_21_a_host_in_no_group_and_in_two_is_refused() {
    let (world, ..) = standard();
    let host = Host::new();
    host.init_as(&world, "rtr-1", "prod", "prod/quoter").ok();
    host.update().refused(82, "not-in-index");

    let (mut world, _, group) = standard();
    let mut second = group.clone();
    second.role = t("quoter");
    world.publish_index(&[group, second], |_| {}, &["ci-1", "alice-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    let host = follows_two(&world);
    host.update().refused(86, "host-in-two-groups");
}

#[test]
fn what_this_verifier_cannot_enforce_it_refuses() {
    let mut story = Story::new();
    story.next_index(|group| group.silence.stop_seconds = Some(60), &["ci-1", "alice-1"]);
    story.refused(91, "verifier-too-old");
    let mut story = Story::new();
    let group = story.group.clone();
    story.world.publish_index(&[group], |index| index.min_verifier = 3, &["ci-1", "alice-1"]);
    story.world.publish_head(|_| {}, &["head-1"]);
    story.refused(91, "verifier-too-old");
    // This is learnt by `update` and refused by `run`.
    let mut story = Story::new();
    story.next_index(|group| group.gate = Gate::All, &["ci-1", "alice-1"]);
    story.host.update().ok();
    story.host.run().refused(88, "gate-closed");
}

/// Index 2 with spoiled JSON, signed by everybody.
#[track_caller]
fn json_refused(word: &str, edit: impl FnOnce(String) -> Vec<u8>) {
    let mut story = Story::new();
    let index = story.world.draft_index(&[story.group.clone()], |_| {});
    let text = String::from_utf8(json::print(&index)).unwrap();
    let bytes = edit(text);
    story.world.publish_index_bytes(2, &bytes, &["ci-1", "alice-1"]);
    let pin = proofmark_core::head::IndexPin { version: 2, size: bytes.len() as u64, sha256: Digest::of(&bytes) };
    story.world.publish_head(|head| head.index = pin, &["head-1"]);
    story.refused(90, word);
}

#[test]
fn attack_25_odd_json_in_a_signed_document_is_refused() {
    type Edit = fn(String) -> Vec<u8>;
    let edits: [(&str, Edit); 14] = [
        ("duplicate key", |s| s.replacen("\"proposer\": \"ci\"", "\"proposer\": \"alice\", \"proposer\": \"ci\"", 1).into()),
        ("escaped duplicate", |s| s.replacen("\"proposer\": \"ci\"", "\"\\u0070roposer\": \"alice\", \"proposer\": \"ci\"", 1).into()),
        ("nested duplicate", |s| s.replacen("\"size\":", "\"size\": 1, \"size\":", 1).into()),
        ("array for a struct", |s| {
            let (at, end) = (s.find("\"prev\": {").unwrap(), s.find("},").unwrap());
            format!("{}\"prev\": [1, \"{}\"]{}", &s[..at], "0".repeat(64), &s[end + 1..]).into()
        }),
        ("float", |s| s.replacen("\"min_verifier\": 1", "\"min_verifier\": 1.0", 1).into()),
        ("minus zero", |s| s.replacen("\"min_verifier\": 1", "\"min_verifier\": -0", 1).into()),
        ("exponent", |s| s.replacen("\"min_verifier\": 1", "\"min_verifier\": 1e0", 1).into()),
        ("huge", |s| s.replacen("\"min_verifier\": 1", "\"min_verifier\": 9007199254740992", 1).into()),
        ("NUL", |s| s.replacen("\"ci\"", "\"ci\\u0000\"", 1).into()),
        ("byte order mark", |s| format!("\u{feff}{s}").into()),
        ("bad UTF-8", |s| [s.as_bytes(), b"\xff"].concat()),
        ("trailing bytes", |s| format!("{s}{{}}").into()),
        ("unknown field", |s| s.replacen('{', "{\"extra\": 1,", 1).into()),
        ("missing field", |s| s.replacen("\"min_verifier\": 1,", "", 1).into()),
    ];
    for (name, edit) in edits {
        println!("{name}");
        json_refused("malformed", edit);
    }
    json_refused("malformed", |s| {
        s.replacen("\"prev\": ", &format!("\"x\": {}{}, \"prev\": ", "[".repeat(100), "]".repeat(100)), 1).into()
    });
    json_refused("unknown-format", |s| s.replacen("\"format\": 1", "\"format\": 2", 1).into());
    json_refused("limit", |s| format!("{s}{}", " ".repeat(1 << 20)).into());
}

#[test]
fn attack_26_hostile_names_reach_no_path_and_no_terminal() {
    json_refused("malformed", |s| s.replacen("prod/router", "../../etc", 1).into());
    json_refused("malformed", |s| s.replacen("\"ci\"", "\"\\u001b[2Jci\"", 1).into());
    let story = Story::new();
    story.world.write("latest", b"{\"format\": 1, \"kind\": \"\x1b]0;owned\x07\"}");
    let outcome = story.host.update();
    assert_eq!(outcome.code, 90, "{outcome:#?}");
    assert!(!outcome.stderr.contains('\x1b') && !outcome.stdout.contains('\x1b'));
    story.world.write_latest(|_| {});
}

/// A host that follows `prod/router` and `prod/quoter`.
fn follows_two(world: &World) -> Host {
    let host = Host::new();
    let (trust, pin, repository) = (world.file("trust/1.trust.json"), world.pin().to_string(), world.path());
    let (trust, repository) = (trust.to_str().unwrap(), repository.to_str().unwrap());
    let identity = ["--host", "rtr-1", "--environment", "prod", "--group", "prod/router", "--group", "prod/quoter"];
    let source = ["init", "--trust", trust, "--sha256", &pin, "--repository", repository];
    host.verifier(&[source.as_slice(), &identity].concat()).ok();
    host
}

#[test]
fn attack_16_a_bundle_of_another_group_is_checked_under_the_new_trust() {
    let (mut world, _, mut router) = standard();
    let other = world.bundle(&["first"]);
    world.publish_bundle(&other, &["ci-1"]);
    let mut quoter = world.group(&other);
    quoter.role = t("quoter");
    let move_to = |world: &mut World, group: &mut Group, from: &mut Group| {
        std::mem::swap(&mut group.hosts, &mut from.hosts);
        world.publish_index(&[group.clone(), from.clone()], |_| {}, &["ci-1", "alice-1"]);
        world.publish_head(|_| {}, &["head-1"]);
    };
    quoter.hosts = [(t("rtr-2"), proofmark_core::group::Host { record_key: None })].into();
    world.publish_index(&[router.clone(), quoter.clone()], |_| {}, &["ci-1", "alice-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    let host = follows_two(&world);
    host.update().ok();

    // The key that signed the router's bundle is no longer good for bundles; the quoter's is signed again.
    let mut trust = world.trust.clone();
    trust.version = 2;
    let public = world.new_key("ci-2");
    trust.keys.insert(t("ci-2"), Key { holder: t("ci"), public });
    trust.roles.bundle = role(&[("ci", 1, &["ci-2"])]);
    world.publish_trust(&trust, &["root-1"]);
    world.publish_bundle(&other, &["ci-2"]);
    move_to(&mut world, &mut quoter, &mut router);
    host.update().ok();

    // The router's bundle is in the store, and in the state, but was never checked under this trust.
    move_to(&mut world, &mut router, &mut quoter);
    host.update().refused(80, "threshold");
}

#[test]
fn a_log_that_is_full_changes_no_exit_code() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = Host::new().command(&["status"]).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(94));
}

#[test]
fn attack_40_what_a_crash_left_beside_the_state_is_removed() {
    let (world, ..) = standard();
    let host = Host::of(&world);
    let left = host.file("var/lib/proofmark/.tmp-crash");
    std::fs::write(&left, "half a state").unwrap();
    host.update().ok();
    assert!(!left.exists());
}
