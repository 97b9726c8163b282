//! ATTACKS 1 to 9 through the real verifier: what a host refuses for what it is, or for who has signed it.
//!
//! Every case starts from a repository that a host accepts, spoils one thing, signs again what has to be signed again, and asks a
//! host that was set up before the spoiling. A refusal changes nothing on the host.

use data_encoding::BASE64;
use proofmark_core::Digest;
use proofmark_core::json;
use proofmark_core::key::PublicKey;
use proofmark_core::signature::Kind;
use proofmark_core::trust::{Key, Trust};
use proofmark_tests::story::{Story, standard};
use proofmark_tests::world::{role, t};
use proofmark_tests::{Host, World};

const CODES_OF_DAMAGE: [i32; 5] = [80, 81, 84, 90, 92];

#[test]
fn a_host_accepts_what_is_in_order_and_says_so() {
    let mut story = Story::new();
    story.next_index(|group| group.freshness.activate_seconds = 3600, &["ci-1", "bob-1"]);
    story.host.update().ok();
    story.host.run().ok();
}

#[test]
fn attack_1_one_byte_changed_in_any_file_is_refused() {
    let (world, bundle, group) = standard();
    let digest = Digest::of(&bundle.bytes);
    let bundle_file = format!("bundles/{digest}/{}", bundle.file());
    let group_file = format!("group/{}.group.json", Digest::of(&json::print(&group)));
    let files = ["trust/1.trust.json", "index/1.index.json", "head/1.head.json", &group_file, &bundle_file];
    let signatures = [
        "trust/1.trust.json.root-1.minisig",
        "index/1.index.json.ci-1.minisig",
        "index/1.index.json.alice-1.minisig",
        "head/1.head.json.head-1.minisig",
        &format!("{bundle_file}.ci-1.minisig"),
    ];
    for path in files.into_iter().chain(signatures) {
        let good = world.read(path);
        // Of a signature, line 1 says nothing; the other three lines are tried each.
        let places: Vec<usize> = if path.ends_with(".minisig") {
            let line = |n: usize| good.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(n).unwrap().0;
            vec![line(0) + 20, line(1) + 30, line(2) + 20]
        } else {
            vec![good.len() / 2]
        };
        for at in places {
            let mut bad = good.clone();
            bad[at] = if bad[at] == b'1' { b'2' } else { b'1' };
            world.write(path, &bad);
            let host = Host::new();
            let outcome = host.init_as(&world, "rtr-1", "prod", "prod/router");
            let outcome = if outcome.code == 0 { host.update() } else { outcome };
            assert!(CODES_OF_DAMAGE.contains(&outcome.code), "{path} at {at}: {outcome:#?}");
        }
        world.write(path, &good);
    }
    Host::of(&world).update().ok();
}

#[test]
fn attack_2_every_key_group_must_sign_and_a_count_is_not_enough() {
    let mut story = Story::new();
    story.next_index(|_| {}, &["ci-1"]);
    story.refused(80, "threshold");
    let mut story = Story::new();
    story.next_index(|_| {}, &["alice-1", "bob-1"]);
    story.refused(80, "threshold");
}

#[test]
fn attack_2_two_ci_keys_are_not_a_reviewer() {
    let mut story = Story::new();
    let mut trust = story.world.trust.clone();
    let public = story.world.new_key("ci-2");
    trust.version = 2;
    trust.keys.insert(t("ci-2"), Key { holder: t("ci-other"), public });
    trust.roles.index = role(&[("ci", 1, &["ci-1", "ci-2"]), ("reviewers", 1, &["alice-1", "bob-1"])]);
    story.world.publish_trust(&trust, &["root-1"]);
    story.next_index(|_| {}, &["ci-1", "ci-2"]);
    story.refused(80, "threshold");
}

#[test]
fn attack_2_the_proposer_is_no_second_person() {
    let mut story = Story::new();
    let group = story.group.clone();
    story.world.publish_index(&[group], |index| index.proposer = t("alice"), &["ci-1", "alice-1"]);
    story.world.publish_head(|_| {}, &["head-1"]);
    story.refused(80, "second-person");
}

#[test]
fn attack_2_a_proposer_whom_trust_does_not_know_is_refused() {
    let mut story = Story::new();
    let group = story.group.clone();
    story.world.publish_index(&[group], |index| index.proposer = t("mallory"), &["ci-1", "alice-1"]);
    story.world.publish_head(|_| {}, &["head-1"]);
    story.refused(80, "second-person");
}

#[test]
fn attack_3_one_signature_under_two_names_counts_once() {
    let mut story = Story::new();
    story.next_index(|_| {}, &["ci-1"]);
    let copy = story.world.read("index/2.index.json.ci-1.minisig");
    story.world.write("index/2.index.json.alice-1.minisig", &copy);
    story.refused(80, "bad-signature");
}

/// Trust 2 as spoiled by `edit`, signed by the right key: refused at load.
#[track_caller]
fn trust_refused(edit: impl FnOnce(&mut World, &mut Trust)) {
    let mut story = Story::new();
    let mut trust = story.world.trust.clone();
    trust.version = 2;
    edit(&mut story.world, &mut trust);
    let keep = story.world.trust.clone();
    story.world.publish_trust(&trust, &["root-1"]);
    story.world.publish_head(|_| {}, &["head-1"]);
    story.world.trust = keep;
    story.refused(92, "trust");
}

#[test]
fn attack_3_a_key_under_two_names_and_a_holder_twice_in_a_role_are_refused_at_load() {
    trust_refused(|_, trust| {
        let same = trust.keys[&t::<proofmark_core::name::Name>("alice-1")].public.clone();
        trust.keys.insert(t("alice-2"), Key { holder: t("eve"), public: same });
        trust.roles.index = role(&[("ci", 1, &["ci-1"]), ("reviewers", 2, &["alice-1", "alice-2"])]);
    });
    // The same 32 bytes behind another key id.
    trust_refused(|_, trust| {
        let same = trust.keys[&t::<proofmark_core::name::Name>("alice-1")].public.to_string();
        let mut bytes = BASE64.decode(same.as_bytes()).unwrap();
        bytes[2] ^= 1;
        let public = PublicKey::from_base64(&BASE64.encode(&bytes)).unwrap();
        trust.keys.insert(t("alice-2"), Key { holder: t("eve"), public });
        trust.roles.index = role(&[("ci", 1, &["ci-1"]), ("reviewers", 2, &["alice-1", "alice-2"])]);
    });
    trust_refused(|world, trust| {
        let public = world.new_key("alice-2");
        trust.keys.insert(t("alice-2"), Key { holder: t("alice"), public });
        trust.roles.index = role(&[("ci", 1, &["ci-1"]), ("reviewers", 2, &["alice-1", "alice-2"])]);
    });
    trust_refused(|_, trust| trust.roles.index = role(&[("ci", 1, &["ci-1"]), ("reviewers", 1, &["alice-1", "ci-1"])]));
}

#[test]
fn attack_4_impossible_and_empty_thresholds_are_refused_at_load() {
    trust_refused(|_, trust| trust.roles.index = role(&[("ci", 0, &["ci-1"]), ("reviewers", 1, &["alice-1", "bob-1"])]));
    trust_refused(|_, trust| trust.roles.index = role(&[("ci", 2, &["ci-1"]), ("reviewers", 1, &["alice-1", "bob-1"])]));
    trust_refused(|_, trust| trust.roles.index = role(&[("ci", 1, &["ci-1"]), ("reviewers", 1, &[])]));
    trust_refused(|_, trust| trust.roles.index = role(&[]));
    trust_refused(|_, trust| trust.roles.index = role(&[("reviewers", 1, &["alice-1", "bob-1"])]));
}

#[test]
fn trust_rules_that_separate_duties_are_checked_at_load() {
    trust_refused(|_, trust| trust.second_person = t("nobody"));
    trust_refused(|_, trust| trust.roles.bundle = role(&[("ci", 1, &["head-1"])]));
    trust_refused(|world, trust| {
        let public = world.new_key("idle-1");
        trust.keys.insert(t("idle-1"), Key { holder: t("idle"), public });
    });
    trust_refused(|_, trust| trust.roles.bundle = role(&[("ci", 1, &["stranger-1"])]));
}

#[test]
fn a_rotation_needs_the_old_and_the_new_trust_keys_and_may_not_rebind_a_name() {
    let rotation = |signers: &[&str], code: i32, word: &str| {
        let mut story = Story::new();
        let mut trust = story.world.trust.clone();
        let public = story.world.new_key("root-2");
        trust.version = 2;
        trust.keys.remove("root-1");
        trust.keys.insert(t("root-2"), Key { holder: t("root-other"), public });
        trust.roles.trust = role(&[("owners", 1, &["root-2"])]);
        story.world.publish_trust(&trust, signers);
        story.world.publish_head(|_| {}, &["head-1"]);
        if code == 0 {
            story.host.update().ok();
        } else {
            story.refused(code, word);
        }
    };
    rotation(&["root-1"], 80, "threshold");
    rotation(&["root-2"], 80, "threshold");
    rotation(&["root-1", "root-2"], 0, "");
    trust_refused(|world, trust| {
        let public = world.new_key("bob-1");
        trust.keys.insert(t("bob-1"), Key { holder: t("bob"), public });
    });
}

#[test]
fn attack_5_a_foreign_key_with_our_key_id_is_refused() {
    let mut story = Story::new();
    story.world.new_key("mallory");
    story.next_index(|_| {}, &["ci-1"]);
    let bytes = story.world.read("index/2.index.json");
    let comment = story.world.comment(Kind::Index, Some(2), "2.index.json");
    let forged = String::from_utf8(story.world.sign("mallory", &comment, &bytes)).unwrap();
    let id = *story.world.trust.keys[&t::<proofmark_core::name::Name>("alice-1")].public.id();
    let forged = edit_line(&forged, 1, |line| {
        let mut raw = BASE64.decode(line.as_bytes()).unwrap();
        raw[2..10].copy_from_slice(&id);
        BASE64.encode(&raw)
    });
    story.world.write("index/2.index.json.alice-1.minisig", forged.as_bytes());
    story.refused(80, "bad-signature");
}

fn edit_line(text: &str, number: usize, edit: impl Fn(&str) -> String) -> String {
    text.lines().enumerate().map(|(n, line)| if n == number { edit(line) } else { line.to_owned() } + "\n").collect()
}

#[test]
fn attack_6_a_key_of_another_role_another_kind_and_another_repository_are_refused() {
    // The head's key under a reviewer's name.
    let mut story = Story::new();
    story.next_index(|_| {}, &["ci-1"]);
    let bytes = story.world.read("index/2.index.json");
    let comment = story.world.comment(Kind::Index, Some(2), "2.index.json");
    story.world.write("index/2.index.json.head-1.minisig", &story.world.sign("head-1", &comment, &bytes));
    story.refused(80, "threshold");

    // An index, signed as an index by the key of the head, in the head's place.
    let mut story = Story::new();
    let bytes = story.world.read("index/1.index.json");
    story.world.write("head/2.head.json", &bytes);
    let as_index = story.world.comment(Kind::Index, Some(1), "1.index.json");
    story.world.write("head/2.head.json.head-1.minisig", &story.world.sign("head-1", &as_index, &bytes));
    story.world.head_version = 2;
    story.world.write_latest(|_| {});
    story.refused(80, "signed-for-something-else");

    // The same, with the right comment: the document itself says what it is.
    let mut story = Story::new();
    let bytes = story.world.read("index/1.index.json");
    story.world.publish_head_bytes(2, &bytes, &["head-1"]);
    story.refused(90, "malformed");

    // A document of another repository, signed for this one by mistake.
    let mut story = Story::new();
    let group = story.group.clone();
    story.world.publish_index(&[group], |index| index.repository = t(&"f".repeat(32)), &["ci-1", "alice-1"]);
    story.world.publish_head(|_| {}, &["head-1"]);
    story.refused(80, "wrong-document");

    // A document that says another version than its place.
    let mut story = Story::new();
    let group = story.group.clone();
    let index = story.world.draft_index(&[group], |index| {
        index.version = 3;
        index.prev.as_mut().unwrap().version = 2;
    });
    let bytes = json::print(&index);
    story.world.publish_index_bytes(2, &bytes, &["ci-1", "alice-1"]);
    let pin = proofmark_core::head::IndexPin { version: 2, size: bytes.len() as u64, sha256: Digest::of(&bytes) };
    story.world.publish_head(|head| head.index = pin, &["head-1"]);
    story.refused(80, "wrong-document");
}

/// Replaces the reviewer's signature of index 2 by what `edit` makes of it.
#[track_caller]
fn signature_refused(code: i32, word: &str, edit: impl FnOnce(String) -> Vec<u8>) {
    let mut story = Story::new();
    story.next_index(|_| {}, &["ci-1", "alice-1"]);
    let path = "index/2.index.json.alice-1.minisig";
    let good = String::from_utf8(story.world.read(path)).unwrap();
    story.world.write(path, &edit(good));
    story.refused(code, word);
}

#[test]
fn attack_7_the_legacy_algorithm_is_refused() {
    signature_refused(90, "malformed", |text| {
        edit_line(&text, 1, |line| {
            let mut raw = BASE64.decode(line.as_bytes()).unwrap();
            assert_eq!(&raw[..2], b"ED");
            raw[..2].copy_from_slice(b"Ed");
            BASE64.encode(&raw)
        })
        .into_bytes()
    });
}

#[test]
fn attack_8_signature_files_that_are_not_exactly_four_lines_are_refused() {
    type Edit = fn(String) -> Vec<u8>;
    let edits: [(&str, Edit); 16] = [
        ("a fifth line", |s| (s + "x\n").into_bytes()),
        ("an empty fifth line", |s| (s + "\n").into_bytes()),
        ("no last line end", |s| s.trim_end().into()),
        ("CRLF", |s| s.replace('\n', "\r\n").into_bytes()),
        ("CR", |s| s.replace('\n', "\r").into_bytes()),
        ("space before base64", |s| edit_line(&s, 1, |l| format!(" {l}")).into_bytes()),
        ("space after base64", |s| edit_line(&s, 3, |l| format!("{l} ")).into_bytes()),
        ("no untrusted prefix", |s| s.replace("untrusted comment: ", "").into_bytes()),
        ("no trusted prefix", |s| edit_line(&s, 2, |l| l.replace("trusted comment: ", "")).into_bytes()),
        ("ESC", |s| edit_line(&s, 0, |l| format!("{l}\x1b[2J")).into_bytes()),
        ("not ASCII", |s| edit_line(&s, 0, |l| format!("{l}ä")).into_bytes()),
        ("not UTF-8", |s| [s.as_bytes(), b"\xff"].concat()),
        ("padding dropped", |s| edit_line(&s, 1, |l| l.trim_end_matches('=').to_owned()).into_bytes()),
        ("non-canonical base64", |s| {
            // 64 bytes end in one character with four unused bits and two of padding.
            edit_line(&s, 3, |l| {
                let at = l.len() - 3;
                let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
                let index = alphabet.find(&l[at..at + 1]).unwrap();
                format!("{}{}==", &l[..at], &alphabet[index + 1..index + 2])
            })
            .into_bytes()
        }),
        ("empty", |_| vec![]),
        ("long untrusted comment", |s| edit_line(&s, 0, |l| format!("{l}{}", "x".repeat(1024))).into_bytes()),
    ];
    for (name, edit) in edits {
        println!("{name}");
        signature_refused(90, "malformed", edit);
    }
    signature_refused(90, "limit", |s| edit_line(&s, 0, |l| format!("{l}{}", "x".repeat(4096))).into_bytes());
}

#[test]
fn attack_9_a_comment_of_another_file_kind_version_or_repository_is_refused() {
    for wrong in [
        "proofmark1 repo=0123456789abcdef0123456789abcdef kind=index version=1 file=1.index.json",
        "proofmark1 repo=0123456789abcdef0123456789abcdef kind=index version=2 file=1.index.json",
        "proofmark1 repo=0123456789abcdef0123456789abcdef kind=head version=2 file=2.index.json",
        "proofmark1 repo=ffffffffffffffffffffffffffffffff kind=index version=2 file=2.index.json",
        "proofmark1 repo=0123456789abcdef0123456789abcdef kind=index version=2 file=2.index.json ",
        "proofmark1  repo=0123456789abcdef0123456789abcdef kind=index version=2 file=2.index.json",
        "timestamp:1600000000\tfile:2.index.json",
        "",
    ] {
        let mut story = Story::new();
        story.next_index(|_| {}, &["ci-1"]);
        let bytes = story.world.read("index/2.index.json");
        story.world.write("index/2.index.json.alice-1.minisig", &story.world.sign("alice-1", wrong, &bytes));
        let outcome = story.host.update();
        // A tab is not printable ASCII, so that one does not even parse.
        let word = if wrong.contains('\t') { (90, "malformed") } else { (80, "signed-for-something-else") };
        outcome.refused(word.0, word.1);
    }
}
