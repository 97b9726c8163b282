//! The leaky fixture: a program made of one leak in each crate comes out the same from builds that have nothing in common, because each
//! leak is tamed, by the sandbox or by the deterministic machine inside it; or it is named.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use proofmark::build::{self, Built, Effort, Error, Options};
use proofmark::progress::Silent;
use proofmark::sandbox::SandboxError;

/// The fixture in a repository of its own, and a build of it. None where this machine cannot.
fn build(effort: Effort) -> Option<Built> {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/leaky");
    proofmark::files::copy_tree(&fixture, dir.path(), 0).unwrap();
    // Left by whoever ran cargo in the fixture.
    let _ = fs::remove_dir_all(dir.path().join("target"));
    for arguments in [
        vec!["init", "-q"],
        vec!["add", "-A"],
        vec!["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false", "commit", "-qm", "x"],
    ] {
        let git = Command::new("git").args(arguments).current_dir(dir.path()).env("GIT_COMMITTER_DATE", "2012-08-01T09:30:00Z").status();
        assert!(git.unwrap().success());
    }
    let worker = env!("CARGO_BIN_EXE_proofmark").into();
    let supply = build::Supply::Checkout;
    let options =
        Options { workspace: dir.path().into(), lock: None, toolchain: None, layers: None, scratch: None, supply, worker, effort };
    match build::double_build(&options, &Silent) {
        Err(Error::Sandbox(SandboxError::Unavailable { missing, .. })) => {
            eprintln!("skipped: this machine lacks {missing}");
            None
        }
        other => Some(other.unwrap()),
    }
}

#[test]
fn attack_51_every_leak_of_the_fixture_gets_the_declared_value() {
    let Some(built) = build(Effort { trace: true, ..Effort::default() }) else { return };
    let said = Command::new(built.staged.join("root/bin/leaky")).output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let leaks: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once(": ")).collect();
    for (leak, want) in [
        ("build-time", "Wed, 1 Aug 2012 09:30:00 +0000"),
        ("c-date", "Aug  1 2012 09:30:00"),
        ("c-file", "/src/crates/c-file/file.c"),
        ("directory-order", "alpha bravo echo mike yankee zulu "),
        ("file-times", "1343813400s"),
        ("git-state", "none"),
        ("locale", "Thu Jan  1 00:00:00 1970 UTC"),
        ("manifest-dir", "/src/crates/manifest-dir"),
        ("processors", "4 4 4 4"),
        ("user-name", "uid=1000(builder) gid=1000(builder) groups=1000(builder) owner 1000 mode 100644"),
    ] {
        assert_eq!(leaks.get(leak), Some(&want), "{leak}: {said}");
    }
    assert!(leaks["host-name"].starts_with("proofmark Linux proofmark 6.1.0 #1 "), "{said}");
    assert!(leaks["out-dir"].starts_with("/target/") && leaks["rustc-version"].starts_with("rustc 1."), "{said}");
    // Two builds had these in common, and that they are no accident the other test shows.
    assert!(["address", "const-randomness", "map-order"].iter().all(|leak| !leaks[leak].is_empty()), "{said}");

    let info: serde_json::Value = serde_json::from_slice(&built.buildinfo).unwrap();
    let closure = String::from_utf8(built.closure.clone()).unwrap();
    assert_eq!(info["closure"]["sha256"], proofmark::digest::sha256(closure.as_bytes()));
    for opened in ["locked  /src/crates/c-date/date.c", "locked  /toolchain/bin/rustc", "  /usr/bin/nproc"] {
        assert!(closure.contains(opened), "{opened} in {closure}");
    }
    let units = info["units"].as_array().unwrap();
    assert!(units.iter().any(|unit| unit["path"].as_str().unwrap().contains("/libmap_order-")), "{units:?}");
}

#[test]
#[ignore = "four builds; cargo xtask ci --long"]
fn without_the_machine_exactly_the_declared_crates_differ() {
    let Some(built) = build(Effort { classify: true, ..Effort::default() }) else { return };
    let machine: serde_json::Value = serde_json::from_slice(&built.machine).unwrap();
    let classes: BTreeMap<String, serde_json::Value> = serde_json::from_value(machine["classes"].clone()).unwrap();
    let enforced: Vec<&str> = classes.iter().filter(|(_, class)| *class == "enforced").map(|(name, _)| name.as_str()).collect();
    assert_eq!(enforced, built.config.build.enforced.as_deref().unwrap());
    assert_eq!(classes["manifest-dir"], "intrinsic");
}
