//! What people and machines propose, sign and stop, through the real program: rotation, verbs, halts, and signatures by mail.

use std::path::Path;
use std::process::Output;

use common::{CONFIG, LEDGER, World, ok, refused};
use serde_json::Value;

mod common;

const CI: [&str; 2] = ["--key", "keys/ci-1.key"];

impl World {
    /// `proofmark ARGUMENTS --repository releases`.
    fn on(&self, arguments: &[&str]) -> Output {
        self.proofmark(&[arguments, &["--repository", "releases"]].concat())
    }

    /// A verb that CI signs and nobody else has asked for.
    fn ci(&self, arguments: &[&str]) -> Output {
        self.on(&[arguments, &CI].concat())
    }

    /// Bob approves what is open, and it is published.
    fn land(&self) {
        ok(self.approve("bob-1"));
        ok(self.publish());
    }

    fn head(&self) -> Value {
        ok(self.on(&["head", "--key", "keys/head-1.key"]));
        self.json_of(&format!("head/{}.head.json", self.latest()["head"]))
    }

    fn latest(&self) -> Value {
        self.json_of("latest")
    }

    fn json_of(&self, path: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("releases").join(path)).unwrap()).unwrap()
    }

    /// The group file of prod/router that the newest index pins.
    fn group(&self) -> Value {
        let index = self.json_of(&format!("index/{}.index.json", self.latest()["index"]));
        self.json_of(&format!("group/{}.group.json", index["groups"]["prod/router"]["sha256"].as_str().unwrap()))
    }

    fn bundle(&self) -> String {
        self.group()["bundle"]["sha256sum"].as_str().unwrap()[..64].to_owned()
    }

    /// Another release of prod, published.
    fn next_release(&mut self, release: &str) {
        self.release = release.into();
        self.program.push(b'+');
        self.release(&["prod"], None).unwrap();
        self.land();
    }
}

/// Release 1.2 of prod and uat, published, and a head.
fn published() -> World {
    let world = World::new();
    world.release(&["prod", "uat"], None).unwrap();
    world.land();
    world.head();
    world
}

#[test]
fn attack_16_a_rotation_that_would_leave_something_unverifiable_cannot_be_published() {
    let world = published();
    ok(world.proofmark(&["key", "new", "ci-2", "--out", "keys", "--dangerous-no-password"]));
    let rotate = ["trust", "rotate", "--add", "ci=ci:ci-2=keys/ci-2.pub", "--remove", "ci-1"];
    refused(world.on(&[&rotate[..], &["--key", "keys/alice-1.key"]].concat()), 80, "key-not-in-role");
    ok(world.on(&[&rotate[..], &["--key", "keys/root-1.key"]].concat()));
    let text = refused(world.on(&["publish", "trust-2"]), 92, "unverifiable");
    for part in ["index 1", "bundle of prod/router", "bundle of uat/router", "proofmark sign --under trust-2"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!world.path("releases/trust/2.trust.json").exists());

    // A key that the rotation does not name signs nothing; ci-2 signs index and both bundles, once.
    refused(world.on(&["sign", "--under", "trust-2", "--key", "keys/mallory-1.key", "--yes"]), 80, "key-not-in-trust");
    let signed = ok(world.on(&["sign", "--under", "trust-2", "--key", "keys/ci-2.key", "--yes"]));
    assert_eq!(signed.lines().count(), 3, "{signed}");
    assert_eq!(ok(world.on(&["sign", "--under", "trust-2", "--key", "keys/ci-2.key", "--yes"])), "");
    ok(world.on(&["publish", "trust-2"]));
    // Hosts still get trust 1 with the head that pins it; the next head brings trust 2.
    assert_eq!(world.latest()["trust"], 1);
    assert_eq!(world.head()["trust"]["version"], 2);
    assert_eq!(world.latest()["trust"], 2);

    // What was ci-1 is never another key, however long ago it was dropped.
    ok(world.on(&["trust", "rotate", "--threshold", "index/reviewers=2", "--key", "keys/root-1.key"]));
    ok(world.on(&["sign", "--under", "trust-3", "--key", "keys/alice-1.key", "--yes"]));
    ok(world.on(&["publish", "trust-3"]));
    for reused in ["reviewers=mallory:ci-1=keys/mallory-1.pub", "owners=mallory:ci-1=keys/ci-1.pub"] {
        refused(world.on(&["trust", "rotate", "--add", reused, "--key", "keys/root-1.key"]), 92, "key-name-used");
    }
    refused(world.on(&["trust", "rotate", "--remove", "carol-1", "--key", "keys/root-1.key"]), 92, "no-such-key");
    refused(world.on(&["trust", "rotate", "--threshold", "builders=2", "--key", "keys/root-1.key"]), 92, "no-such-group");
    refused(world.on(&["trust", "rotate", "--threshold", "reviewers=3", "--key", "keys/root-1.key"]), 92, "trust");
    refused(world.on(&["trust", "rotate", "--threshold", "halt/reviewers=2", "--key", "keys/root-1.key"]), 92, "trust");
    refused(world.on(&["trust", "rotate", "--key", "keys/root-1.key"]), 2, "no-change");
    let shown = ok(world.on(&["trust", "show"]));
    assert!(shown.contains("2 of 2: alice-1 (alice), bob-1 (bob)") && shown.contains("ci-2 (ci)"), "{shown}");
}

#[test]
fn attack_16_old_owners_and_new_owners_must_both_sign_each_on_their_own_machine() {
    let world = published();
    for name in ["eve-1", "zoe-1"] {
        ok(world.proofmark(&["key", "new", name, "--out", "keys", "--dangerous-no-password"]));
    }
    let add = ["trust", "rotate", "--add", "owners=eve:eve-1=keys/eve-1.pub", "--threshold", "owners=2", "--key", "keys/root-1.key"];
    ok(world.on(&[&add[..], &["--out", "for-eve"]].concat()));
    assert!(!world.path("releases/proposals/trust-2").exists(), "a mailed proposal is not in the repository");
    refused(world.on(&["publish", "--proposal", "for-eve"]), 80, "threshold");
    refused(world.on(&["approve", "--proposal", "for-eve", "--key", "keys/zoe-1.key", "--yes"]), 80, "key-not-in-trust");
    ok(world.on(&["approve", "--proposal", "for-eve", "--out", "from-eve", "--key", "keys/eve-1.key", "--yes"]));
    refused(world.on(&["publish", "--proposal", "for-eve"]), 80, "threshold");
    ok(world.on(&["publish", "--proposal", "from-eve"]));
    // From now on two of two sign.
    ok(world.on(&["trust", "rotate", "--add", "reviewers=zoe:zoe-1=keys/zoe-1.pub", "--key", "keys/eve-1.key"]));
    refused(world.on(&["publish", "trust-3"]), 80, "threshold");
    ok(world.on(&["approve", "trust-3", "--key", "keys/root-1.key", "--yes"]));
    ok(world.on(&["publish", "trust-3"]));
    // A second proposal of one version is refused wherever it lies.
    ok(world.on(&["trust", "rotate", "--remove", "zoe-1", "--key", "keys/root-1.key"]));
    refused(world.on(&["trust", "rotate", "--threshold", "index/reviewers=2", "--key", "keys/root-1.key"]), 84, "second-proposal");
    refused(
        world.on(&["trust", "rotate", "--threshold", "index/reviewers=2", "--key", "keys/root-1.key", "--out", "mail"]),
        84,
        "second-proposal",
    );
}

#[test]
fn signers_on_several_machines_need_nothing_of_each_other() {
    let mut world = published();
    world.next_release("1.3");
    // CI mails a rollback; Alice signs on a machine that can write nowhere else; whoever publishes has both directories and no key.
    ok(world.ci(&["rollback", "prod/router", "--out", "from-ci"]));
    let mirror = world.path("mirror");
    copy(&world.path("releases"), &mirror);
    let before = files_of(&mirror);
    let signed = world.proofmark(&[
        "approve",
        "--repository",
        "mirror",
        "--proposal",
        "from-ci",
        "--out",
        "from-alice",
        "--key",
        "keys/alice-1.key",
        "--yes",
    ]);
    ok(signed);
    assert_eq!(files_of(&mirror), before, "the mirror was only read");
    refused(world.on(&["publish", "--proposal", "from-ci"]), 80, "threshold");
    // Signatures of several directories are put together.
    std::fs::remove_file(world.path("from-alice/3.index.json.ci-1.minisig")).unwrap();
    refused(world.on(&["publish", "--proposal", "from-alice"]), 80, "threshold");
    ok(world.on(&["publish", "--proposal", "from-ci", "--proposal", "from-alice"]));
    assert_eq!(world.group()["mode"], "rollback");
}

fn copy(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn files_of(directory: &Path) -> Vec<String> {
    let found = std::process::Command::new("find").arg(directory).args(["-type", "f", "!", "-name", ".lock"]).output().unwrap();
    let mut lines: Vec<String> = String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn attack_2_whoever_wrote_an_index_cannot_be_its_second_person_under_another_name() {
    let world = published();
    // Alice proposes with her own key: CI and Bob sign, she does not count.
    ok(world.on(&["host", "admit", "prod/router", "rtr-3", "--key", "keys/alice-1.key"]));
    refused(world.publish(), 80, "threshold");
    ok(world.approve("ci-1"));
    refused(world.publish(), 80, "second-person");
    refused(world.approve("alice-1"), 80, "second-person");
    world.land();
    assert!(world.group()["hosts"].get("rtr-3").is_some());
    // In CI's name with her own key: she would be proposer and second person.
    let forged = ["host", "admit", "prod/router", "rtr-4", "--key", "keys/alice-1.key", "--proposer", "ci"];
    refused(world.on(&forged), 80, "threshold");
    refused(world.on(&["host", "admit", "prod/router", "rtr-4", "--key", "keys/ci-1.key", "--proposer", "nobody"]), 80, "second-person");
    refused(world.on(&["host", "admit", "prod/router", "rtr-4", "--key", "keys/head-1.key"]), 80, "key-not-in-role");
}

#[test]
fn attack_14_a_second_proposal_of_one_version_is_refused_wherever_it_lies() {
    let world = published();
    ok(world.ci(&["host", "admit", "prod/router", "rtr-3"]));
    refused(world.ci(&["host", "admit", "prod/router", "rtr-4"]), 84, "second-proposal");
    refused(world.ci(&["host", "admit", "prod/router", "rtr-4", "--out", "mail"]), 84, "second-proposal");
    // One that was made elsewhere, and comes by mail.
    copy(&world.path("releases"), &world.path("other"));
    std::fs::remove_dir_all(world.path("other/proposals/2")).unwrap();
    let elsewhere = ["host", "admit", "prod/router", "rtr-4", "--repository", "other", "--key", "keys/ci-1.key", "--out", "mail"];
    ok(world.proofmark(&elsewhere));
    refused(world.on(&["approve", "--proposal", "mail", "--key", "keys/bob-1.key", "--yes"]), 84, "second-proposal");
    refused(world.on(&["publish", "--proposal", "mail"]), 84, "second-proposal");
    // Both by mail, on a machine whose mirror knows of neither: whoever has signed one does not sign the other.
    let one = ["host", "admit", "prod/router", "rtr-3", "--repository", "other", "--key", "keys/ci-1.key", "--out", "mail-1"];
    ok(world.proofmark(&one));
    let approve = |mail| ["approve", "--repository", "other", "--proposal", mail, "--key", "keys/bob-1.key", "--yes"];
    ok(world.proofmark(&approve("mail-1")));
    refused(world.proofmark(&approve("mail")), 84, "second-proposal");
    assert!(!world.path("mail/2.index.json.bob-1.minisig").exists());
    // A directory by mail that holds no proposal is not mistaken for what is published.
    std::fs::create_dir(world.path("empty")).unwrap();
    refused(world.on(&["publish", "--proposal", "empty"]), 2, "no-proposal");
}

#[test]
fn attack_20_revoked_bundles_do_not_come_back_and_an_assigned_one_cannot_be_revoked() {
    let mut world = published();
    let first = world.bundle();
    world.next_release("1.3");
    let second = world.bundle();
    refused(world.ci(&["revoke", &second]), 83, "assigned");
    refused(world.ci(&["revoke", &"0".repeat(64)]), 82, "no-bundle");
    refused(world.ci(&["rollback", "prod/router", "--to", "1.1"]), 82, "no-bundle");
    refused(world.ci(&["rollback", "prod/other"]), 89, "no-group");

    // Back to 1.2, and 1.3 never again.
    ok(world.ci(&["rollback", "prod/router", "--revoke-current"]));
    world.land();
    let group = world.group();
    assert_eq!((group["mode"].as_str(), group["from"][0].as_str(), world.bundle()), (Some("rollback"), Some(&*second), first.clone()));
    assert_eq!((&group["revoked"][0], &group["rollback_targets"][0]), (&Value::from(second.clone()), &Value::from(first.clone())));
    refused(world.ci(&["rollback", "prod/router", "--to", "1.3"]), 83, "revoked");
    refused(world.ci(&["assign", &second, "prod/router"]), 83, "revoked");

    // On to 1.4; then the first one is revoked too, and both revocations stay through every verb.
    world.next_release("1.4");
    ok(world.ci(&["revoke", &first]));
    world.land();
    refused(world.ci(&["revoke", &first]), 2, "no-change");
    ok(world.ci(&["host", "remove", "prod/router", "rtr-2"]));
    world.land();
    assert_eq!(world.group()["revoked"].as_array().unwrap().len(), 2);
    refused(world.ci(&["host", "remove", "prod/router", "rtr-1"]), 89, "last-host");
    refused(world.ci(&["host", "remove", "prod/router", "rtr-9"]), 89, "host-not-in-group");
}

#[test]
fn attack_21_a_bundle_goes_to_groups_of_its_own_environment_only_and_a_host_into_one_group() {
    let world = published();
    let index = world.json_of("index/1.index.json");
    let uat = world.json_of(&format!("group/{}.group.json", index["groups"]["uat/router"]["sha256"].as_str().unwrap()));
    let uat = &uat["bundle"]["sha256sum"].as_str().unwrap()[..64];
    refused(world.ci(&["assign", uat, "prod/router"]), 96, "wrong-environment");
    refused(world.ci(&["host", "admit", "prod/router", "uat-1"]), 86, "host-in-two-groups");
    refused(world.ci(&["assign", "1.2", "prod/spare", "--host", "rtr-1"]), 86, "host-in-two-groups");
    ok(world.ci(&["assign", "1.2", "prod/spare", "--host", "spr-1"]));
    world.land();
    let text = ok(world.on(&["host", "policy", "prod/spare", "--restart", "72h", "--stop", "never", "--key", "keys/ci-1.key"]));
    assert_eq!(text, "proposals/3\n");
}

#[test]
fn attack_49_a_group_goes_back_as_a_whole_and_across_wire_epochs_only_when_halted() {
    let mut world = published();
    let text = CONFIG.replace("wire_epoch = 2", "wire_epoch = 3");
    world.release = "1.3".into();
    world.release_of(&text, &["prod"], None).unwrap();
    world.land();
    world.head();
    let text = refused(world.ci(&["rollback", "prod/router", "--host", "rtr-1"]), 88, "part-of-a-group");
    assert!(text.contains("left out: rtr-2") && text.contains("proofmark halt prod/router"), "{text}");
    let text = refused(world.ci(&["rollback", "prod/router"]), 88, "wire-epoch");
    assert!(text.contains("proofmark halt prod/router") && text.contains("epoch 3"), "{text}");
    // A halt of something else does not help; one of the group does.
    ok(world.on(&["halt", "--host", "rtr-1", "--reason", "one of two", "--key", "keys/alice-1.key"]));
    refused(world.ci(&["rollback", "prod/router"]), 88, "wire-epoch");
    ok(world.on(&["halt", "prod/router", "--reason", "rollback to wire epoch 2", "--key", "keys/alice-1.key"]));
    ok(world.ci(&["rollback", "prod/router", "--host", "rtr-1", "--host", "rtr-2"]));
    world.land();
    assert_eq!(world.group()["bundle"]["wire_epoch"], 2);
}

#[test]
fn attack_22_a_halt_needs_one_key_and_nothing_else_and_only_two_people_lift_it() {
    let world = World::new();
    // Before there is an index or a head, and while another publisher is stuck with the lock.
    let stuck = world.repository();
    let _lock = stuck.lock().unwrap();
    let halt = |key: &str, reason: &str| {
        let key = format!("keys/{key}.key");
        world.on(&["halt", "prod/router", "--reason", reason, "--key", &key])
    };
    let first = ok(halt("alice-1", "child orders without parent")).trim().to_owned();
    // Two operators in the same second: both hold.
    let second = ok(halt("bob-1", "child orders without parent")).trim().to_owned();
    assert_ne!(first, second);
    refused(halt("ci-1", "not an operator"), 80, "key-not-in-role");
    refused(halt("alice-1", ""), 90, "malformed");
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    assert_eq!(world.latest()["halts"], serde_json::json!(both));
    drop(_lock);

    world.release(&["prod"], None).unwrap();
    world.land();
    assert_eq!(world.head()["halts"], serde_json::json!(both));
    // A key that halts does not lift: alone, nor as its own second person.
    let resume = |key: &str| world.on(&["resume", "prod/router", "--reason", "looked into it", "--key", &format!("keys/{key}.key")]);
    ok(resume("alice-1"));
    let name = format!("resume-{}", &first[..16]);
    refused(world.on(&["publish", &name]), 80, "threshold");
    refused(world.on(&["approve", &name, "--key", "keys/alice-1.key", "--yes"]), 80, "second-person");
    ok(world.on(&["approve", &name, "--key", "keys/ci-1.key", "--yes"]));
    refused(world.on(&["publish", &name]), 80, "second-person");
    refused(world.on(&["resume", "prod/router", "--reason", "another text", "--key", "keys/ci-1.key"]), 84, "second-proposal");
    assert_eq!(world.head()["halts"], serde_json::json!(both), "not lifted yet");
    ok(world.on(&["approve", &name, "--key", "keys/bob-1.key", "--yes"]));
    ok(world.on(&["publish", &name]));
    assert_eq!(world.head()["halts"], serde_json::json!([second.clone()]), "the other one stays");
    refused(world.on(&["resume", &first[..12], "--reason", "again", "--key", "keys/ci-1.key"]), 2, "no-halt");

    // Bob, who signed the other, leaves: it stays in force, and what was lifted stays lifted.
    let rotate =
        ["trust", "rotate", "--add", "reviewers=carol:mallory-1=keys/mallory-1.pub", "--remove", "bob-1", "--key", "keys/root-1.key"];
    ok(world.on(&rotate));
    ok(world.on(&["sign", "--under", "trust-2", "--key", "keys/alice-1.key", "--yes"]));
    ok(world.on(&["publish", "trust-2"]));
    assert_eq!(world.head()["halts"], serde_json::json!([second]));
}

#[test]
fn a_host_that_lost_its_state_comes_back_with_two_signatures_and_the_halts_in_force() {
    let world = published();
    refused(world.ci(&["adopt", "rtr-9"]), 89, "host-not-in-group");
    ok(world.on(&["halt", "--host", "rtr-1", "--reason", "disk replaced", "--key", "keys/alice-1.key"]));
    ok(world.on(&["halt", "--host", "uat-1", "--reason", "another host", "--key", "keys/alice-1.key"]));
    ok(world.ci(&["adopt", "rtr-1", "--proposer", "alice", "--out", "carry"]));
    refused(world.on(&["publish", "--proposal", "carry"]), 80, "threshold");
    refused(world.on(&["approve", "--proposal", "carry", "--key", "keys/alice-1.key", "--yes"]), 80, "second-person");
    ok(world.on(&["approve", "--proposal", "carry", "--key", "keys/bob-1.key", "--yes"]));
    ok(world.on(&["publish", "--proposal", "carry"]));
    let names = files_of(&world.path("carry"));
    let document = names.iter().find(|name| name.ends_with(".adopt.json")).unwrap();
    let adopt: Value = serde_json::from_slice(&std::fs::read(document).unwrap()).unwrap();
    assert_eq!((adopt["host"].as_str(), &adopt["groups"]), (Some("rtr-1"), &serde_json::json!(["prod/router"])));
    assert_eq!((&adopt["index"]["version"], &adopt["head"]["version"]), (&1.into(), &1.into()));
    assert_eq!(adopt["halts"].as_array().unwrap().len(), 1, "the halt of this host, and not that of another");
    // What is carried is what was signed.
    let bytes = std::fs::read(document).unwrap();
    std::fs::write(document, String::from_utf8(bytes).unwrap().replace("rtr-1", "rtr-2")).unwrap();
    refused(world.on(&["publish", "--proposal", "carry"]), 80, "bad-signature");
}

#[test]
fn knight_release_1_1_reuses_flag_7_and_is_refused_also_when_the_row_was_deleted_first() {
    let mut world = World::new();
    let row_7 = LEDGER.split("[[flag]]").nth(1).unwrap().replace("retired", "active");
    world.ledger = format!("[[flag]]{row_7}");
    world.program = b"\x7fELF power peg".to_vec();
    let config = |flag: &str| CONFIG.replace("flags = [9]", &format!("flags = [{flag}]"));
    world.release = "1.0".into();
    world.release_of(&config("7"), &["prod"], None).unwrap();
    world.land();
    world.release = "1.1".into();
    world.program = b"\x7fELF rlp: order".to_vec();
    // The row deleted, and a new one written under the number that looked free.
    world.ledger = LEDGER.split("[[flag]]").nth(2).map(|row| format!("[[flag]]{}", row.replace("id = 9", "id = 7"))).unwrap();
    let refusal = proofmark::exit::Refuse::refusal(&world.release_of(&config("7"), &["prod"], None).unwrap_err());
    assert_eq!((refusal.code as u8, refusal.reason), (79, "flag-reused"));
    let text = refusal.to_string();
    for part in ["flag 7 power_peg, now as rlp", "A host that misses this release would run power_peg", "state = \"retired\"", "never used"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Deleted, and not used again yet: that is how 7 would come to look free.
    world.ledger = LEDGER.split("[[flag]]").nth(2).map(|row| format!("[[flag]]{row}")).unwrap();
    let refusal = proofmark::exit::Refuse::refusal(&world.release_of(&config("9"), &["prod"], None).unwrap_err());
    assert_eq!((refusal.code as u8, refusal.reason), (79, "flag-lost"));
    // 1.2: retired, its code gone, a new number.
    world.ledger = LEDGER.into();
    world.release = "1.2".into();
    world.release_of(&config("9"), &["prod"], None).unwrap();
    world.land();
}
