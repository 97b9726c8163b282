//! ATTACKS 1 to 9, 12, 14, 15, 20, 21, 25 through the real verifier: what a host refuses to believe.
//!
//! Every case starts from a repository that a host accepts, spoils one thing, signs again what has to be signed again, and asks a
//! host that was set up before the spoiling. A refusal changes nothing on the host.

use data_encoding::BASE64;
use proofmark_core::Digest;
use proofmark_core::group::{FlagState, Gate, Group, LedgerEntry, Mode};
use proofmark_core::json;
use proofmark_core::key::PublicKey;
use proofmark_core::signature::Kind;
use proofmark_core::trust::{Key, Trust};
use proofmark_tests::world::{self, role, t};
use proofmark_tests::{Bundle, Host, Outcome, World};

const CODES_OF_DAMAGE: [i32; 5] = [80, 81, 84, 90, 92];

/// A published world and the bundle it assigns.
fn standard() -> (World, Bundle, Group) {
    let mut world = World::new();
    let bundle = world.bundle(&["report"]);
    world.publish_bundle(&bundle, &["ci-1"]);
    let group = world.group(&bundle);
    world.publish_index(std::slice::from_ref(&group), |_| {}, &["ci-1", "alice-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    (world, bundle, group)
}

/// A host that accepted version 1 of everything and now asks again.
struct Story {
    world: World,
    bundle: Bundle,
    group: Group,
    host: Host,
}

impl Story {
    fn new() -> Self {
        let (world, bundle, group) = standard();
        let host = Host::of(&world);
        host.update().ok();
        Story { world, bundle, group, host }
    }

    /// Index 2 and head 2, spoiled by `edit` before they are signed by `signers`.
    fn next_index(&mut self, edit: impl FnOnce(&mut Group), signers: &[&str]) {
        let mut group = self.group.clone();
        edit(&mut group);
        self.world.publish_index(&[group], |_| {}, signers);
        self.world.publish_head(|_| {}, &["head-1"]);
    }

    /// The host asks for news: refused, nothing changed, and what it had still starts.
    #[track_caller]
    fn refused(&self, code: i32, word: &str) -> Outcome {
        let before = self.host.state();
        let outcome = self.host.update().refused(code, word);
        assert_eq!(before, self.host.state(), "a refusal changes nothing");
        self.host.run().ok();
        outcome
    }
}

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
    let before = story.host.state();
    let outcome = story.host.update();
    assert!([92, 98].contains(&outcome.code), "{outcome:#?}");
    assert_eq!(before, story.host.state());

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
            head.issued = world::now().plus(-60);
            head.expires = world::now().plus(-1);
        },
        &["head-1"],
    );
    let before = story.host.state();
    // Older than the accepted head as well, so that the floor speaks first; a later one expires.
    let outcome = story.host.update();
    assert!([84, 85].contains(&outcome.code), "{outcome:#?}");
    assert_eq!(before, story.host.state());
    story.host.run().ok();
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
