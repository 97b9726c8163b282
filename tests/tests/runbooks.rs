//! docs/runbooks.md, as it stands: every block of every section is run by a shell, in a repository and on a host of its own.

use proofmark_core::Digest;
use proofmark_tests::world::KEYS;
use proofmark_tests::{Host, World, binary, published};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Title and blocks of each section that is run: the page's beginning is run as one too.
fn sections(page: &str) -> Vec<(String, Vec<String>)> {
    let mut sections = vec![("the beginning".to_owned(), Vec::new())];
    let mut block: Option<String> = None;
    for line in page.lines() {
        match (&mut block, line) {
            (None, "```sh") => block = Some(String::new()),
            (Some(text), "```") => {
                let text = std::mem::take(text);
                block = None;
                // The variables are the test's own.
                if !text.starts_with("export ") {
                    sections.last_mut().unwrap().1.push(text);
                }
            }
            (Some(text), line) => *text += &format!("{line}\n"),
            (None, line) => sections.extend(line.strip_prefix("## ").map(|title| (title.to_owned(), Vec::new()))),
        }
    }
    sections
}

/// A program that calls another with these arguments in front, and with what answers a question at the end.
fn wrapper(path: &Path, program: &Path, front: &str) {
    let text = format!(
        "#!/bin/sh\ncase \"$1 $2\" in 'key new') set -- \"$@\" --dangerous-no-password;; approve*|sign*) set -- \"$@\" --yes;; esac\n\
         exec {} {front} \"$@\"\n",
        program.display()
    );
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn run_section(title: &str, blocks: &[String]) {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let bundle = published::bundle(&world, &["report"]);
    published::publish(&world, &bundle);
    let group = world.group(&bundle);
    let mail = published::mailed(&world, std::slice::from_ref(&group));
    world.publish_index(&[group], |_| {}, &["ci-1", "alice-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    let at = |name: &str| dir.path().join(name);
    // As a publisher leaves it: the proposal is still there.
    fs::create_dir_all(at("keys")).unwrap();
    for (name, _) in KEYS {
        let (_key, path) = published::key_file(&world, name);
        fs::copy(path, at("keys").join(format!("{name}.key"))).unwrap();
    }
    let copy = |from: &Path, to: &Path| {
        let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(status.success());
    };
    copy(world.path(), &at("releases"));
    fs::create_dir_all(at("releases/proposals/1")).unwrap();
    copy(&mail.path().join("."), &at("releases/proposals/1"));
    let host = Host::new();
    let pin = Digest::of(&world.read("trust/1.trust.json")).to_string();
    let releases = at("releases").display().to_string();
    let trust = format!("{releases}/trust/1.trust.json");
    let init = ["init", "--trust", &trust, "--sha256", &pin, "--host", "rtr-1", "--environment", "prod", "--group", "prod/router"];
    host.verifier(&[&init[..], &["--repository", &releases]].concat()).ok();
    host.update().ok();
    // What the section is about.
    if title.starts_with("A mirror") {
        copy(&at("releases"), &at("mirror"));
        let victim = at("mirror/index/1.index.json");
        let text = fs::read_to_string(&victim).unwrap().replace("\"ci\"", "\"eve\"");
        fs::write(victim, text).unwrap();
        let config = host.file("etc/proofmark/host.toml");
        let list = format!("repository = [\"{}\", \"{releases}\"]\n", at("mirror").display());
        fs::write(config, list).unwrap();
    }
    if title.starts_with("A publisher") {
        fs::remove_file(at("releases/index/1.index.json.ci-1.minisig")).unwrap();
        fs::remove_file(at("releases/index/1.index.json")).unwrap();
        fs::remove_file(at("releases/head/1.head.json")).unwrap();
        fs::write(at("releases/latest"), r#"{ "format": 1, "kind": "latest", "trust": 1, "index": 0, "head": 0, "halts": [] }"#).unwrap();
    }
    if title.starts_with("A host that lost") {
        fs::write(host.file("var/lib/proofmark/state.json"), "half of it").unwrap();
        host.update().refused(94, "state");
    }

    let bin = at("bin");
    fs::create_dir(&bin).unwrap();
    wrapper(&bin.join("proofmark"), &binary("proofmark"), "");
    wrapper(&bin.join("proofmark-verifier"), &binary("proofmark-verifier"), &format!("--root {}", host.path().display()));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for block in blocks {
        let root = host.path().display();
        let block = block.replace(" /etc/proofmark", &format!(" {root}/etc/proofmark")).replace(" /var/lib", &format!(" {root}/var/lib"));
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &block]).current_dir(dir.path()).stdin(Stdio::null());
        shell.env("PATH", &path).env("XDG_STATE_HOME", at("state")).env("PROOFMARK_REPOSITORY", "releases").env("PROOFMARK_TRUST", &pin);
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{title}:\n{block}\n{said}");
        if title.starts_with("A mirror") {
            assert!(said.contains("the mirror is not what was published"), "{said}");
        }
    }
}

#[test]
fn every_runbook_does_what_it_says() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks.md")).unwrap();
    let sections = sections(&page);
    assert!(sections.len() > 10 && sections.iter().all(|(_, blocks)| !blocks.is_empty()), "every section has commands");
    for (title, blocks) in sections {
        run_section(&title, &blocks);
    }
}
