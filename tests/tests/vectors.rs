//! The conformance vectors (`tests/vectors`) as the core reads them, and as a checker does that shares no code with it.

use proofmark_core::adopt::Adopt;
use proofmark_core::bundle::{Discard, unpack};
use proofmark_core::group::Group;
use proofmark_core::halt::Halt;
use proofmark_core::head::Head;
use proofmark_core::index::Index;
use proofmark_core::json::{self, Document};
use proofmark_core::key::PublicKey;
use proofmark_core::latest::Latest;
use proofmark_core::manifest::Manifest;
use proofmark_core::refusal::Result;
use proofmark_core::resume::Resume;
use proofmark_core::signature::{file_name, verify_signatures};
use proofmark_core::trust::{Key, Trust};
use proofmark_core::{Kind, Reason};
use proofmark_tests::vectors::repo::{Tree, trust};
use proofmark_tests::vectors::{self, play::play, suite};
use proofmark_tests::world::{role, t};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn files() -> Tree {
    vectors::read(&tests().join("vectors")).unwrap()
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Code and word of an outcome, as a case has them.
fn said<T>(outcome: &Result<T>) -> (u64, String) {
    let reason = outcome.as_ref().err().map(|refusal| refusal.reason());
    reason.map_or((0, "done".into()), |reason| (reason.code().into(), reason.word().into()))
}

fn expected(case: &Value) -> (u64, String) {
    (case["code"].as_u64().unwrap(), case["word"].as_str().unwrap().into())
}

#[test]
fn every_document_vector_is_read_as_it_says_and_what_is_read_prints_as_itself() {
    fn read<D: Document + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Result<()> {
        let document: D = json::parse(bytes, "vector")?;
        let printed = json::print(&document);
        assert_eq!(json::parse::<D>(&printed, "vector")?, document);
        assert_eq!(json::value(&printed).unwrap(), json::value(bytes).unwrap());
        Ok(())
    }
    let files = files();
    let suites: Vec<&String> = files.keys().filter(|path| path.starts_with("documents/") && path.ends_with("/cases.json")).collect();
    assert_eq!(suites.len(), 9);
    let mut wrong = Vec::new();
    for path in suites {
        let suite = parse(&files[path]);
        let directory = path.strip_suffix("cases.json").unwrap();
        for case in suite["cases"].as_array().unwrap() {
            let name = format!("{directory}{}", case["file"].as_str().unwrap());
            let mut bytes = files[&name].clone();
            let pad = usize::try_from(case["pad"].as_u64().unwrap()).unwrap();
            bytes.resize(bytes.len().max(pad), b' ');
            let outcome = match suite["kind"].as_str().unwrap() {
                "trust" => read::<Trust>(&bytes),
                "index" => read::<Index>(&bytes),
                "group" => read::<Group>(&bytes),
                "head" => read::<Head>(&bytes),
                "halt" => read::<Halt>(&bytes),
                "resume" => read::<Resume>(&bytes),
                "adopt" => read::<Adopt>(&bytes),
                "latest" => read::<Latest>(&bytes),
                "manifest" => read::<Manifest>(&bytes),
                other => panic!("{other}"),
            };
            if said(&outcome) != expected(case) {
                wrong.push(format!("{name}: want {:?}, have {outcome:?}", expected(case)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_signature_vector_is_judged_as_it_says() {
    let files = files();
    let suite = parse(&files["signatures/cases.json"]);
    let text = |key: &str| suite[key].as_str().unwrap();
    let document = &files[&format!("signatures/{}", text("document"))];
    let mut trust = trust();
    trust.roles.index = role(&[("one", 1, &["key"])]);
    trust.keys.insert(t("key"), Key { holder: t("holder"), public: PublicKey::from_base64(text("public")).unwrap() });
    assert_eq!(text("document"), file_name(Kind::Index, 2));
    for case in suite["cases"].as_array().unwrap() {
        let file = case["file"].as_str().unwrap();
        let found = [(t("key"), files[&format!("signatures/{file}")].clone())];
        let outcome =
            verify_signatures(&trust, &trust.roles.index, text("comment"), file, &found, &mut document.as_slice(), &|_, _| Ok(()));
        assert_eq!(said(&outcome), expected(case), "{file}: {outcome:?}");
    }
}

#[test]
fn every_bundle_vector_is_unpacked_as_it_says() {
    let files = files();
    for case in parse(&files["bundles/cases.json"])["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let group: Group = json::parse(&files[&format!("bundles/{name}.group.json")], name).unwrap();
        let outcome = unpack(&group, &mut files[&format!("bundles/{name}.tar.zst")].as_slice(), &mut Discard);
        assert_eq!(said(&outcome), expected(case), "{name}: {outcome:?}");
    }
}

#[test]
fn every_command_vector_ends_as_it_says_and_leaves_the_state_that_it_says() {
    let cases = suite::parse(&files());
    assert!(cases.len() > 200, "{}", cases.len());
    for case in cases {
        let played = play(&case);
        let (code, word) = said(&played.verdict);
        let have = (code, word.as_str(), played.aloud, played.after);
        let expected = (case.expected.code.into(), case.expected.word.as_str(), case.expected.aloud, case.expected.after);
        assert_eq!(have, expected, "{}: {:?}", case.name, played.verdict);
    }
}

#[test]
fn a_vector_stands_for_every_reason_that_documents_and_commands_can_have() {
    // What only a disk, a network, a command line, a signal, a fault of our own or the configuration of a host can lead to.
    let others =
        [Reason::Usage, Reason::Platform, Reason::NotConfigured, Reason::StateMoved, Reason::Io, Reason::Internal, Reason::Interrupted];
    let files = files();
    let all: Vec<String> = files.values().filter_map(|bytes| String::from_utf8(bytes.clone()).ok()).collect();
    for reason in Reason::ALL.iter().filter(|reason| !others.contains(reason)) {
        let word = format!("\"word\": \"{}\"", reason.word());
        assert!(all.iter().any(|text| text.contains(&word)), "no vector with {word}");
    }
}

/// ATTACKS 1 to 23 and 25 to 28 as formats go; 11 is of a signer, 24 and 29 of a network and a disk.
#[test]
fn a_vector_stands_for_every_attack_on_the_formats() {
    let files = files();
    for attack in (1..=10).chain(12..=24).chain(27..=28) {
        let number = format!("/{attack:02}-");
        assert!(files.keys().any(|path| path.contains(&number)), "no vector for attack {attack}");
    }
}

#[test]
fn the_independent_checker_agrees_on_every_vector() {
    let works =
        |program: &str, arguments: &[&str]| Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success());
    for (what, found) in [
        (
            "the Python package cryptography (.ci/tools.txt)",
            works("python3", &["-c", "import cryptography.hazmat.primitives.asymmetric.ed25519"]),
        ),
        ("the program zstd", works("zstd", &["--version"])),
    ] {
        if !found {
            eprintln!("skipped: this machine lacks {what}");
            return;
        }
    }
    let output = Command::new("python3").arg("-B").arg(tests().join("checker/check.py")).arg(tests().join("vectors")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("vectors: the checker agrees"), "{said}");
}
