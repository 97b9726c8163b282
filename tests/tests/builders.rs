//! Independent builders as hosts see them (ATTACKS 2 to 5 for role `bundle`): CI and k of n builders sign the bundle's own bytes.
//!
//! Every case is a repository that is in order but for the bundle's signatures, or for the trust document that names who gives them.

use data_encoding::BASE64;
use proofmark_core::Digest;
use proofmark_core::signature::Kind;
use proofmark_core::trust::{Key, Trust};
use proofmark_tests::world::{role, t};
use proofmark_tests::{Bundle, Host, Outcome, World};

const BUILDERS: [(&str, &str); 3] = [("carol-1", "carol"), ("dave-1", "dave"), ("erin-1", "erin")];

/// Trust that demands CI and two of three builders; `edit` may spoil it.
fn demanding(world: &mut World, edit: impl FnOnce(&mut World, &mut Trust)) -> Trust {
    let mut trust = world.trust.clone();
    for (name, holder) in BUILDERS {
        let public = world.new_key(name);
        trust.keys.insert(t(name), Key { holder: t(holder), public });
    }
    trust.roles.bundle = role(&[("builders", 2, &["carol-1", "dave-1", "erin-1"]), ("ci", 1, &["ci-1"])]);
    edit(world, &mut trust);
    trust
}

/// A repository whose bundle these keys have signed.
fn signed_by(signers: &[&str]) -> (World, Bundle) {
    let mut world = World::new();
    let trust = demanding(&mut world, |_, _| {});
    world.publish_trust(&trust, &["root-1"]);
    let bundle = world.bundle(&["report"]);
    world.publish_bundle(&bundle, signers);
    let group = world.group(&bundle);
    world.publish_index(&[group], |_| {}, &["ci-1", "alice-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    (world, bundle)
}

fn signature(bundle: &Bundle, key: &str) -> String {
    format!("bundles/{}/{}.{key}.minisig", Digest::of(&bundle.bytes), bundle.file())
}

/// A new host asks for the bundle, is refused, keeps nothing and starts nothing.
#[track_caller]
fn refused(world: &World, word: &str) -> Outcome {
    let host = Host::of(world);
    let before = host.state();
    let outcome = host.update().refused(80, word);
    assert_eq!(before, host.state(), "a refusal changes nothing");
    host.run().refused(94, "not-staged");
    outcome
}

#[test]
fn two_of_three_builders_sign_and_the_host_starts_and_without_one_of_them_it_names_who_is_missing() {
    let (world, bundle) = signed_by(&["ci-1", "carol-1", "erin-1"]);
    let host = Host::of(&world);
    host.update().ok();
    host.run().ok();
    host.verifier(&["verify", "--full"]).ok();

    // On a host that has it already, and in the repository, for one that has not.
    let kept = host.file(&format!("var/lib/proofmark/store/{}/sigs/carol-1.minisig", Digest::of(&bundle.bytes)));
    std::fs::remove_file(kept).unwrap();
    host.verifier(&["verify", "--full"]).refused(80, "threshold");
    world.remove(&signature(&bundle, "carol-1"));
    let says = refused(&world, "threshold").stderr;
    for part in ["2 of 3 signatures of key group builders", "1; not signed by: carol-1, dave-1"] {
        assert!(says.contains(part), "{part}: {says}");
    }
    world.remove(&signature(&bundle, "erin-1"));
    refused(&world, "threshold");
}

#[test]
fn attack_2_builders_without_ci_and_ci_with_a_reviewer_are_not_enough() {
    for signers in [&["carol-1", "dave-1", "erin-1"][..], &["ci-1", "alice-1", "bob-1"], &["ci-1"], &["ci-1", "carol-1", "alice-1"]] {
        let (world, _) = signed_by(signers);
        refused(&world, "threshold");
    }
    let (world, _) = signed_by(&["ci-1", "carol-1", "dave-1"]);
    Host::of(&world).update().ok();
}

#[test]
fn attack_3_a_builders_signature_under_another_builders_name_does_not_count() {
    let (world, bundle) = signed_by(&["ci-1", "carol-1"]);
    let copy = world.read(&signature(&bundle, "carol-1"));
    world.write(&signature(&bundle, "dave-1"), &copy);
    refused(&world, "bad-signature");
}

/// A trust document as spoiled by `edit`: refused when the host is set up.
#[track_caller]
fn trust_refused(edit: impl FnOnce(&mut World, &mut Trust)) {
    let mut world = World::standard();
    let trust = demanding(&mut world, edit);
    world.publish_trust(&trust, &["root-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    Host::new().init(&world).refused(92, "trust");
}

#[test]
fn attack_3_one_holder_and_one_key_are_one_builder() {
    // Carol holds two builders' keys.
    trust_refused(|world, trust| {
        let public = world.new_key("carol-2");
        trust.keys.insert(t("carol-2"), Key { holder: t("carol"), public });
        trust.roles.bundle = role(&[("builders", 2, &["carol-1", "carol-2"]), ("ci", 1, &["ci-1"])]);
        trust.keys.remove("dave-1");
        trust.keys.remove("erin-1");
    });
    // CI is its own independent builder.
    trust_refused(|world, trust| {
        let public = world.new_key("ci-2");
        trust.keys.insert(t("ci-2"), Key { holder: t("ci"), public });
        trust.roles.bundle = role(&[("builders", 2, &["carol-1", "ci-2", "dave-1", "erin-1"]), ("ci", 1, &["ci-1"])]);
    });
    trust_refused(|_, trust| trust.roles.bundle = role(&[("builders", 2, &["carol-1", "ci-1", "dave-1", "erin-1"]), ("ci", 1, &["ci-1"])]));
    // The same 32 bytes under two names.
    trust_refused(|_, trust| {
        let public = trust.keys["carol-1"].public.clone();
        trust.keys.insert(t("dave-1"), Key { holder: t("dave"), public });
    });
}

#[test]
fn attack_4_impossible_and_empty_thresholds_of_builders_are_refused_at_load() {
    for threshold in [0, 4] {
        trust_refused(|_, trust| {
            trust.roles.bundle = role(&[("builders", threshold, &["carol-1", "dave-1", "erin-1"]), ("ci", 1, &["ci-1"])]);
        });
    }
    trust_refused(|_, trust| {
        BUILDERS.iter().for_each(|(name, _)| drop(trust.keys.remove(*name)));
        trust.roles.bundle = role(&[("builders", 1, &[]), ("ci", 1, &["ci-1"])]);
    });
}

#[test]
fn attack_5_a_foreign_key_with_a_builders_key_id_is_no_builder() {
    let (mut world, bundle) = signed_by(&["ci-1", "carol-1"]);
    world.new_key("mallory");
    let comment = world.comment(Kind::Bundle, None, &bundle.file());
    let forged = String::from_utf8(world.sign("mallory", &comment, &bundle.bytes)).unwrap();
    let mut lines: Vec<String> = forged.lines().map(str::to_owned).collect();
    let mut raw = BASE64.decode(lines[1].as_bytes()).unwrap();
    raw[2..10].copy_from_slice(world.trust.keys["dave-1"].public.id());
    lines[1] = BASE64.encode(&raw);
    world.write(&signature(&bundle, "dave-1"), format!("{}\n", lines.join("\n")).as_bytes());
    refused(&world, "bad-signature");
}

#[test]
fn attack_5_a_signature_of_other_bytes_is_no_attestation() {
    // Dave built something else: his own bundle, honestly signed, under the same name.
    let (world, bundle) = signed_by(&["ci-1", "carol-1"]);
    let other = world.bundle(&["otherwise"]);
    let comment = world.comment(Kind::Bundle, None, &bundle.file());
    world.write(&signature(&bundle, "dave-1"), &world.sign("dave-1", &comment, &other.bytes));
    refused(&world, "bad-signature");
}
