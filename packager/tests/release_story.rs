//! From keys to a head, through the real program; only the sandbox build is left out, whose story is told elsewhere.
//!
//! Where Debian's `minisign`, `zstd` and `tar` are installed, they check every file by themselves.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use proofmark::inputs::{Collected, Content, Input, Kind as InputKind};
use proofmark::proposal::Desk;
use proofmark::repository::Repository;
use proofmark::signing::Signer;
use proofmark::store::Directory;
use proofmark_core::Digest;
use proofmark_core::signature::Kind;
use proofmark_verifier::durable::{Disk, Probe, Step};

use common::{CONFIG, LEDGER, World, ok, refused};

mod common;

#[test]
fn from_keys_to_a_head_and_an_upgrade_and_debians_tools_agree() {
    let mut world = World::new();
    let released = world.release(&["prod", "uat"], None).unwrap();
    assert_eq!((released.bundles.len(), released.proposal), (2, Some(1)));

    let review = ok(world.proofmark(&["review", "--repository", "releases"]));
    for part in [
        "prod/router: NEW GROUP",
        "rtr-1 rtr-2",
        "9 rlp: new, ON  \"Retail.\"",
        "hosts/rtr-2/etc/router.toml new",
        "the very ones, byte for byte, of uat/router",
        "wire epoch 2",
    ] {
        assert!(review.contains(part), "{part}: {review}");
    }
    refused(world.publish(), 80, "threshold");
    ok(world.approve("alice-1"));
    ok(world.publish());
    ok(world.proofmark(&["head", "--repository", "releases", "--key", "keys/head-1.key"]));
    assert_eq!(std::fs::read_to_string(world.path("releases/latest")).unwrap().matches(": 1").count(), 4, "format, trust, index, head");

    // The next release: only prod moves, and the reviewer sees what changes.
    world.release = "1.3".into();
    world.program = b"\x7fELF rlp: order, faster".to_vec();
    assert_eq!(world.release(&["prod"], None).unwrap().proposal, Some(2));
    let review = ok(world.proofmark(&["review", "--repository", "releases"]));
    for part in ["router 1.2 -> 1.3, upgrade", "release: \"1.2\" -> \"1.3\"", "unchanged: uat/router", "the same   hosts, flags"] {
        assert!(review.contains(part), "{part}: {review}");
    }
    ok(world.approve("bob-1"));
    ok(world.publish());
    ok(world.proofmark(&["head", "--repository", "releases", "--key", "keys/head-1.key", "--valid", "30m"]));
    by_hand(&world);

    // Again: the same release changes nothing, and publishing again is no harm.
    assert_eq!(world.release(&["prod"], None).unwrap().proposal, None);
    let before = world.files();
    ok(world.proofmark(&["publish", "2", "--repository", "releases"]));
    assert_eq!(world.files(), before);
}

/// `minisign -V -H` of every signature, `sha256sum -c` of every bundle, `zstd -t`, `tar -t`.
fn by_hand(world: &World) {
    let run = |program: &str, arguments: &[&str]| Command::new(program).args(arguments).current_dir(world.path("releases")).output();
    if run("minisign", &["-v"]).is_err() || run("zstd", &["-V"]).is_err() {
        eprintln!("skipped: minisign or zstd is not installed");
        return;
    }
    let mut checked = 0;
    for (path, bytes) in world.files() {
        let name = path.to_str().unwrap();
        if let Some(signed) = name.strip_suffix(".minisig") {
            let (file, key) = ["root-1", "ci-1", "alice-1", "bob-1", "head-1"]
                .iter()
                .find_map(|key| Some((signed.strip_suffix(&format!(".{key}"))?, *key)))
                .unwrap();
            let public = world.path(&format!("keys/{key}.pub"));
            let output = run("minisign", &["-V", "-H", "-p", public.to_str().unwrap(), "-m", file, "-x", name]).unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            checked += 1;
        } else if name.ends_with(".tar.zst") {
            assert!(run("zstd", &["-t", name]).unwrap().status.success());
            let list = run("tar", &["--zstd", "-tf", name]).unwrap();
            assert!(list.status.success() && list.stdout.starts_with(b"manifest.json\n"));
        } else if name.ends_with(".group.json") {
            let group: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            std::fs::write(world.path("line"), format!("{}\n", group["bundle"]["sha256sum"].as_str().unwrap())).unwrap();
            assert!(run("sha256sum", &["-c", world.path("line").to_str().unwrap()]).unwrap().status.success());
        }
    }
    assert!(checked >= 12, "{checked}");
}

#[test]
fn attack_2_the_second_person_is_a_second_person() {
    let world = World::new();
    world.release(&["prod"], Some("alice")).unwrap();
    let before = world.files();
    refused(world.approve("alice-1"), 80, "second-person");
    refused(world.approve("ci-1"), 80, "threshold");
    refused(world.approve("head-1"), 80, "key-not-in-role");
    refused(world.approve("mallory-1"), 80, "key-not-in-trust");
    refused(world.publish(), 80, "threshold");
    refused(world.proofmark(&["head", "--repository", "releases", "--key", "keys/head-1.key"]), 82, "no-index");
    assert_eq!(world.files(), before, "a refusal writes nothing");
    ok(world.approve("bob-1"));
    ok(world.publish());
    refused(world.approve("bob-1"), 2, "no-proposal");
}

#[test]
fn what_builders_have_not_signed_is_not_published_and_gets_no_head() {
    let builders = ["--builder", "carol:carol-1=keys/carol-1.pub", "--builder", "dave:dave-1=keys/dave-1.pub"];
    let world = World::with(&[&builders[..], &["--threshold", "builders=2"]].concat());
    let released = world.release(&["prod"], None).unwrap();
    assert!(
        released.notes.iter().any(|note| note.contains("not signed by: carol-1, dave-1") && note.contains("reproduce")),
        "{released:?}"
    );

    // The reviewer may be quicker than the builders, and is told.
    let review = ok(world.proofmark(&["review", "--repository", "releases"]));
    assert!(review.contains("missing    bundle of prod/router: 2 of 2 signatures of key group builders"), "{review}");
    ok(world.approve("alice-1"));
    let before = world.files();
    let says = refused(world.publish(), 80, "threshold");
    assert!(says.contains("not signed by: carol-1, dave-1") && says.contains("proofmark reproduce "), "{says}");
    assert_eq!(world.files(), before, "a refusal writes nothing");

    let (bundle, file) = (released.bundles[0].sha256sum.clone(), "router-1.2-prod+x86_64-unknown-linux-gnu.tar.zst");
    let path = bundle.split_once("  ").unwrap().1;
    assert!(path.ends_with(file));
    for key in ["carol-1", "dave-1"] {
        let (repository, key) = (world.repository(), world.key(key));
        let signer = Signer::new(repository.trust(), Kind::Bundle, &key).unwrap();
        let mut open = || repository.open_file(path);
        let signature = signer.sign(Kind::Bundle, None, file, &mut open().unwrap()).unwrap();
        repository.write_signature(path, Kind::Bundle, None, signer.name(), &signature, true, &mut open).unwrap();
    }
    ok(world.publish());
    let head = || world.proofmark(&["head", "--repository", "releases", "--key", "keys/head-1.key"]);
    ok(head());
    std::fs::remove_file(world.path(&format!("releases/{path}.dave-1.minisig"))).unwrap();
    let says = refused(head(), 80, "threshold");
    assert!(says.contains("not signed by: dave-1"), "{says}");
    refused(world.proofmark(&["publish", "1", "--repository", "releases"]), 80, "threshold");
}

#[test]
fn inputs_are_archived_once_by_digest_and_one_that_changed_since_the_build_is_refused() {
    let mut world = World::new();
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("main.rs"), "fn main() {}").unwrap();
    let krate = world.path("a-1.0.0.crate");
    std::fs::write(&krate, "crate").unwrap();
    let of = |path: &Path, text: &str| Collected {
        input: Input { kind: InputKind::Crate, name: "a 1.0.0".into(), sha256: Digest::of(text.as_bytes()), size: text.len() as u64 },
        content: Content::File(path.into()),
    };
    world.inputs = vec![of(&krate, "crate"), Collected::source(&"d".repeat(40), tree.path()).unwrap()];
    world.release(&["prod"], None).unwrap();
    let source = &world.inputs[1].input;
    assert_eq!(std::fs::read(world.path(&format!("releases/{}", world.inputs[0].input.path()))).unwrap(), b"crate");
    let stream = zstd::decode_all(&*std::fs::read(world.path(&format!("releases/{}", source.path()))).unwrap()).unwrap();
    assert_eq!((Digest::of(&stream), stream.len() as u64), (source.sha256, source.size));

    // The next release brings one more; the others are not even looked at, and would not be found.
    std::fs::write(&krate, "changed").unwrap();
    std::fs::remove_file(tree.path().join("main.rs")).unwrap();
    let other = world.path("b-1.0.0.crate");
    std::fs::write(&other, "other").unwrap();
    world.inputs.push(of(&other, "other"));
    world.release(&["prod"], None).unwrap();
    let before = world.files();
    assert_eq!(before.iter().filter(|(path, _)| path.parent().unwrap().ends_with("inputs")).count(), 3);

    world.inputs.push(of(&krate, "another"));
    let refusal = proofmark::exit::Refuse::refusal(&world.release(&["prod"], None).unwrap_err());
    assert_eq!((refusal.code as u8, refusal.reason), (81, "input-changed"));
    assert_eq!(world.files(), before, "nothing was written");
}

#[test]
fn a_threshold_of_builders_without_builders_is_refused() {
    let world = World::new();
    let output = world.proofmark(&[
        "trust",
        "init",
        "--repository",
        "others",
        "--owner",
        "root:root-1=keys/root-1.pub",
        "--ci",
        "ci:ci-1=keys/ci-1.pub",
        "--reviewer",
        "alice:alice-1=keys/alice-1.pub",
        "--head",
        "clock:head-1=keys/head-1.pub",
        "--sign",
        "keys/root-1.key",
        "--threshold",
        "builders=2",
    ]);
    refused(output, 92, "threshold-of-nobody");
    assert!(!world.path("others").exists());
}

#[test]
fn a_second_proposal_of_one_version_and_a_host_in_two_groups_are_refused() {
    let mut world = World::new();
    world.release(&["prod"], None).unwrap();
    assert_eq!(world.release(&["prod"], None).unwrap().proposal, Some(1), "the same again is fine");
    let before = world.files();
    world.program.push(b'x');
    let refusal = proofmark::exit::Refuse::refusal(&world.release(&["prod"], None).unwrap_err());
    assert_eq!((refusal.code as u8, refusal.reason), (84, "second-proposal"));
    assert_eq!(world.files(), before, "nothing was written, the bundle neither");

    let mut world = World::new();
    world.release(&["prod"], None).unwrap();
    ok(world.approve("bob-1"));
    ok(world.publish());
    // A later commit moves a uat host to prod; index 1's uat group is not touched by a release of prod alone.
    world.release(&["uat"], None).unwrap();
    ok(world.approve("bob-1"));
    ok(world.publish());
    world.hosts = ", \"uat-1\"".into();
    let text = CONFIG.replace("hosts = [\"uat-1\"]", "hosts = [\"uat-2\"]");
    assert_ne!(text, CONFIG);
    let refusal = proofmark::exit::Refuse::refusal(&world.release_of(&text, &["prod"], None).unwrap_err());
    assert_eq!((refusal.code as u8, refusal.reason), (86, "host-in-two-groups"));
}

#[test]
fn knight_a_flag_is_not_reused_and_dead_code_is_gone() {
    let mut world = World::new();
    world.program = b"\x7fELF rlp: order, power peg".to_vec();
    let refusal = |world: &World| proofmark::exit::Refuse::refusal(&world.release(&["prod"], None).unwrap_err());
    assert_eq!((refusal(&world).code as u8, refusal(&world).reason), (79, "dead-code"));
    world.program = b"\x7fELF rlp: order".to_vec();
    world.release(&["prod"], None).unwrap();
    ok(world.approve("bob-1"));
    ok(world.publish());
    world.release = "1.3".into();
    for (from, to, reason) in [
        ("Retail.", "Another meaning.", "flag-reused"),
        ("name = \"power_peg\"", "name = \"other\"", "flag-reused"),
        ("state = \"retired\"", "state = \"active\"", "flag-revived"),
        ("id = 7", "id = 8", "flag-lost"),
    ] {
        world.ledger = LEDGER.replace(from, to);
        assert_eq!((refusal(&world).code as u8, refusal(&world).reason), (79, reason), "{to}");
    }
    world.ledger = LEDGER.replace("\"active\"", "\"retired\"");
    assert_eq!(refusal(&world).code as u8, 79);
}

#[test]
fn attack_43_a_publish_that_was_cut_off_is_healed_by_doing_it_again() {
    let world = World::new();
    world.release(&["prod"], None).unwrap();
    ok(world.approve("alice-1"));
    let latest = std::fs::read(world.path("releases/latest")).unwrap();
    ok(world.publish());
    let whole = world.files();
    // Every prefix of the order in which files become visible: groups, signatures, index, latest.
    let group = world.files().into_iter().find(|(path, _)| path.parent().unwrap().ends_with("group")).unwrap().0;
    let order = [
        world.path("releases/latest"),
        world.path("releases/index/1.index.json"),
        world.path("releases/index/1.index.json.ci-1.minisig"),
        world.path("releases/index/1.index.json.alice-1.minisig"),
        group,
    ];
    for cut in 1..=order.len() {
        std::fs::write(&order[0], &latest).unwrap();
        order[1..cut].iter().for_each(|path| std::fs::remove_file(path).unwrap());
        ok(world.proofmark(&["publish", "1", "--repository", "releases"]));
        assert_eq!(world.files(), whole, "{cut}");
    }
}

#[test]
fn attack_40_41_a_disk_that_fails_at_any_step_leaves_a_repository_that_the_next_writer_completes() {
    let world = World::new();
    world.release(&["prod"], None).unwrap();
    ok(world.approve("alice-1"));
    let before = world.files();
    let mut steps = 0;
    loop {
        let count = AtomicUsize::new(0);
        let probe: &'static Probe = Box::leak(Box::new(move |step, path: &Path| {
            // A poller that looks at any moment finds no index without all of its signatures.
            let index = path.parent().unwrap().join("1.index.json");
            if step == Step::Rename && path.ends_with("latest") || index.is_file() && path.parent().unwrap().ends_with("index") {
                let index = path.ancestors().find(|path| path.ends_with("releases")).unwrap().join("index");
                ["ci-1", "alice-1"].iter().for_each(|key| assert!(index.join(format!("1.index.json.{key}.minisig")).is_file()));
            }
            match count.fetch_add(1, Ordering::SeqCst) {
                n if n == steps => Err(std::io::Error::from_raw_os_error(28)),
                _ => Ok(()),
            }
        }));
        let store = Directory::with_disk(&world.path("releases"), Disk::with_probe(probe));
        let repository = Repository::open(Box::new(store), None).unwrap();
        let outcome = proofmark::proposal::publish(&Desk::of(&repository), 1);
        if outcome.is_ok() {
            break;
        }
        assert_eq!(proofmark::exit::Refuse::refusal(&outcome.unwrap_err()).code as u8, 95);
        // The next writer, on a disk that works; then back to the start.
        ok(world.proofmark(&["publish", "1", "--repository", "releases"]));
        world
            .files()
            .iter()
            .filter(|(path, _)| !before.iter().any(|(old, _)| old == path))
            .for_each(|(path, _)| std::fs::remove_file(path).unwrap());
        before.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        steps += 1;
    }
    assert!(steps > 20, "{steps} steps of a publish");
}

#[test]
fn attack_1_a_proposal_that_was_changed_is_neither_approved_nor_published() {
    let world = World::new();
    world.release(&["prod"], None).unwrap();
    let files = world.files();
    for (path, bytes) in &files {
        let name = path.to_str().unwrap();
        // Trust is another story; `latest` is never believed; of `flags.json` only what has the signed digest is.
        if name.ends_with("latest") || name.ends_with("flags.json") {
            continue;
        }
        let mut other = bytes.clone();
        let at = other.len() * 2 / 3;
        other[at] ^= 1;
        std::fs::write(path, &other).unwrap();
        let output = world.approve("alice-1");
        assert!(matches!(output.status.code(), Some(80 | 81 | 90 | 92)), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(world.files(), files);
    ok(world.approve("alice-1"));
}

#[test]
fn an_sbom_that_says_something_else_than_the_buildinfo_is_not_approved() {
    let world = World::new();
    let released = world.release(&["prod"], None).unwrap();
    let bundle = released.bundles[0].sha256sum.split("  ").nth(1).unwrap().to_owned();
    let path = world.path(&format!("releases/{}", bundle.replace(".tar.zst", ".sbom.cdx.json")));
    let sbom = std::fs::read_to_string(&path).unwrap();
    assert_eq!(sbom, include_str!("../../tests/golden/sbom.cdx.json"), "made of the buildinfo alone");
    std::fs::write(&path, sbom.replace("\"libc\"", "\"harmless\"")).unwrap();
    for command in [&["review"][..], &["approve", "--key", "keys/alice-1.key", "--yes"]] {
        let output = world.proofmark(&[command, &["--repository", "releases"]].concat());
        assert_eq!(output.status.code(), Some(81), "{}", String::from_utf8_lossy(&output.stderr));
    }
    std::fs::remove_file(&path).unwrap();
    let output = world.proofmark(&["review", "--repository", "releases"]);
    assert_eq!(output.status.code(), Some(95), "missing is refused: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_password_opens_a_key_and_a_wrong_one_writes_nothing() {
    let world = World::new();
    let run = |password: Option<&str>, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proofmark"));
        command.args(arguments).current_dir(world.dir.path()).stdin(std::process::Stdio::null()).env_remove("PROOFMARK_KEY_PASSWORD");
        command.envs(password.map(|password| ("PROOFMARK_KEY_PASSWORD", password)));
        command.output().unwrap()
    };
    refused(run(None, &["key", "new", "eve-1"]), 2, "no-password");
    ok(run(Some("right"), &["key", "new", "eve-1"]));
    let init = [
        "trust",
        "init",
        "--repository",
        "other",
        "--owner",
        "eve:eve-1=eve-1.pub",
        "--ci",
        "ci:ci-1=keys/ci-1.pub",
        "--reviewer",
        "bob:bob-1=keys/bob-1.pub",
        "--head",
        "clock:head-1=keys/head-1.pub",
        "--sign",
        "eve-1.key",
    ];
    refused(run(Some("wrong"), &init), 2, "wrong-password");
    assert!(!world.path("other").exists());
    std::fs::write(world.path("password"), "right\n").unwrap();
    ok(run(None, &[&init[..], &["--password-file", "password"]].concat()));
    refused(run(Some("right"), &init), 84, "already-written");
}
