//! ATTACKS 40 and 41 on a host, more than 1 000 times: at every write, fsync and rename of every command the power goes, or the disk fails once, or for good.
//!
//! After each, what the host has accepted is what it was or what it was to become, nothing went back, and the same command run once
//! more brings it there and leaves nothing half done behind. The power goes in a process of its own, which is killed.

#![allow(clippy::disallowed_methods, reason = "tests copy hosts, count files and start themselves")]

use proofmark::pack::{Content, Member};
use proofmark_core::admission::{Permit, State};
use proofmark_core::group::{Group, Mode};
use proofmark_core::halt::Scope;
use proofmark_core::manifest::FileMode;
use proofmark_core::{Digest, Reason, Refusal, Result};
use proofmark_tests::world::{Bundle, GROUP, HOST, World, t};
use proofmark_verifier::durable::{Disk, Step};
use proofmark_verifier::host::Host;
use proofmark_verifier::init::Identity;
use proofmark_verifier::paths::{Layout, TEMPORARY};
use proofmark_verifier::verify::Extent;
use proofmark_verifier::{adopt, init, latch, run, state, update, verify};
use rustix::io::Errno;
use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a child process is asked to do before it is killed: see [`child`].
const CHILD: &str = "PROOFMARK_TEST_CRASH";

/// A command of the verifier, with what it is given.
#[derive(Clone, Debug)]
struct Operation {
    word: &'static str,
    repository: PathBuf,
    pin: Digest,
    /// For `halt` and `adopt`.
    document: PathBuf,
}

impl Operation {
    fn of(world: &World, word: &'static str) -> Self {
        Operation { word, repository: world.path().to_owned(), pin: world.pin(), document: PathBuf::new() }
    }

    fn perform(&self, host: &Host) -> Result<()> {
        let identity = || Identity {
            trust: self.repository.join("trust/1.trust.json"),
            sha256: self.pin,
            host: t(HOST),
            environment: t("prod"),
            groups: vec![t(GROUP)],
            repository: vec![self.repository.display().to_string()],
        };
        match self.word {
            "init" => init::init(host, &identity()).map(drop),
            "update" => update::update(host).map(drop),
            "halt" => latch::halt(host, &self.document).map(drop),
            "adopt" => adopt::adopt(host, &identity(), &self.document).map(drop),
            // The part of a start that writes; what follows it is exec.
            "start" => {
                let judged = run::judge(host, &t(GROUP))?;
                state::confirm(host, &judged.snapshot, &t(GROUP), judged.permit == Permit::Fresh)
            }
            other => panic!("{other} is no operation"),
        }
    }
}

/// What happens at a step.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The power goes.
    Crash,
    /// This step fails, the next ones work.
    Once(Errno),
    /// Nothing works from here on.
    ForGood(Errno),
}

const FAULTS: [Fault; 4] = [Fault::Crash, Fault::Once(Errno::IO), Fault::ForGood(Errno::NOSPC), Fault::ForGood(Errno::ROFS)];

/// A host before a command, and the command.
struct Scene {
    before: tempfile::TempDir,
    operation: Operation,
    /// How the host's state is lost, where it is.
    is_lost: bool,
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to.path()).status().unwrap();
    assert!(copied.success());
    to
}

/// What is accepted below `root`; `None`: nothing, or nothing that can be read.
fn accepted(root: &Path) -> Option<State> {
    state::load(&Layout::new(root)).ok().map(|snapshot| snapshot.state)
}

/// Versions never go down, and a latch stays.
fn check_not_back(old: &State, new: &State, context: &str) {
    assert!(new.trust.version >= old.trust.version, "{context}: trust went back");
    assert!(new.index.map(|pin| pin.version) >= old.index.map(|pin| pin.version), "{context}: index went back");
    let head = |state: &State| state.head.as_ref().map(|head| head.version);
    assert!(head(new) >= head(old), "{context}: head went back");
    assert!(old.latched.keys().all(|halt| new.latched.contains_key(halt) || new.lifted.contains(halt)), "{context}: a latch is gone");
}

/// Names of files that a command had not finished, below `/var/lib/proofmark`.
fn leftovers(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.join("var/lib/proofmark")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                found.push(entry.path());
            } else if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found
}

impl Scene {
    /// Injects every fault at every step, and gives the number of injections.
    fn inject(&self) -> usize {
        let reference = copy(self.before.path());
        let steps = Cell::new(0);
        let count = |_: Step, _: &Path| -> io::Result<()> {
            steps.set(steps.get() + 1);
            Ok(())
        };
        let host = Host { layout: Layout::new(reference.path()), disk: Disk::with_probe(&count) };
        self.operation.perform(&host).unwrap();
        let after = accepted(reference.path()).unwrap();
        let before = accepted(self.before.path());
        let mut points = 0;
        for step in 0..steps.get() {
            for fault in FAULTS {
                let context = format!("{} at step {step} of {}, {fault:?}", self.operation.word, steps.get());
                let root = copy(self.before.path());
                let outcome = self.fail(root.path(), step, fault);
                self.check(root.path(), outcome, before.as_ref(), &after, &context);
                points += 1;
            }
        }
        eprintln!("{}: {points} points", self.operation.word);
        points
    }

    /// Performs the operation with one fault.
    fn fail(&self, root: &Path, step: usize, fault: Fault) -> Option<Result<()>> {
        let number = Cell::new(0);
        let probe = |_: Step, _: &Path| -> io::Result<()> {
            let at = number.replace(number.get() + 1);
            match fault {
                Fault::Once(error) if at == step => Err(error.into()),
                Fault::ForGood(error) if at >= step => Err(error.into()),
                _ => Ok(()),
            }
        };
        if let Fault::Crash = fault {
            let Operation { word, repository, pin, document } = &self.operation;
            let order = [word.to_string(), step.to_string(), pin.to_string(), text(root), text(repository), text(document)].join("\n");
            let mut child = Command::new(std::env::current_exe().unwrap());
            child
                .args(["--exact", "child", "--nocapture"])
                .env(CHILD, order)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            assert!(!child.status().unwrap().success(), "the child was not killed");
            return None;
        }
        Some(self.operation.perform(&Host { layout: Layout::new(root), disk: Disk::with_probe(&probe) }))
    }

    fn check(&self, root: &Path, outcome: Option<Result<()>>, before: Option<&State>, after: &State, context: &str) {
        let have = accepted(root);
        assert!(have.as_ref() == before || have.as_ref() == Some(after), "{context}: neither old nor new: {have:?}");
        if let (Some(old), Some(new)) = (before, &have) {
            check_not_back(old, new, context);
        }
        match outcome {
            Some(Ok(())) => assert_eq!(have.as_ref(), Some(after), "{context}: said to be done"),
            Some(Err(refusal)) => assert_eq!(refusal.reason(), Reason::Io, "{context}: {refusal}"),
            None => {}
        }
        // What was accepted is whole, with its documents and bundle: it would start.
        if let Some(state) = &have {
            self.check_whole(root, state, context);
        }
        match self.operation.perform(&Host::new(root)) {
            Ok(()) => {}
            // Set up, or taken up again, before the fault: once is enough.
            Err(refusal) if refusal.reason() == Reason::StateExists && have.as_ref() == Some(after) => {}
            Err(refusal) => panic!("{context}: the next run: {refusal}"),
        }
        let healed = accepted(root);
        assert_eq!(healed.as_ref(), Some(after), "{context}: the next run");
        self.check_whole(root, after, context);
        if self.operation.word == "update" {
            assert!(leftovers(root).is_empty(), "{context}: left after the next run: {:?}", leftovers(root));
        }
    }

    fn check_whole(&self, root: &Path, state: &State, context: &str) {
        let host = Host::new(root);
        let whole = |outcome: Result<()>| match outcome {
            Ok(()) => {}
            Err(refusal) if matches!(refusal.reason(), Reason::NotStaged | Reason::Halted) => {}
            Err(refusal) => panic!("{context}: {refusal}"),
        };
        whole(run::judge(&host, &t(GROUP)).map(drop));
        if state.groups.values().any(|followed| followed.active.is_some()) {
            whole(verify::verify(&host, None, Extent::Bundle).map(drop));
        }
        assert_eq!(self.is_lost, self.operation.word == "adopt");
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Not a test of its own: the process that is killed at a step of an operation.
#[test]
fn child() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let [word, step, pin, root, repository, document] = order.split('\n').collect::<Vec<_>>()[..] else { panic!("{order}") };
    let word = ["init", "update", "halt", "adopt", "start"].into_iter().find(|known| *known == word).unwrap();
    let operation = Operation { word, repository: repository.into(), pin: t(pin), document: document.into() };
    let (number, step) = (Cell::new(0), step.parse::<usize>().unwrap());
    let probe = |_: Step, _: &Path| -> io::Result<()> {
        if number.replace(number.get() + 1) == step {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
        Ok(())
    };
    let outcome: std::result::Result<(), Refusal> =
        operation.perform(&Host { layout: Layout::new(Path::new(root)), disk: Disk::with_probe(&probe) });
    // Nobody came to this step: the parent wants to know.
    drop(outcome);
}

/// A bundle of many small files, so that there are many steps.
fn bundle(world: &World, release: &str, files: usize) -> Bundle {
    let mut manifest = world.manifest(&[]);
    manifest.release = t(release);
    let mut members = vec![Member {
        path: t("root/bin/probe"),
        mode: FileMode::Program,
        content: Content::Bytes(format!("not started: {release}").into_bytes()),
    }];
    for number in 0..files {
        let path = format!("root/etc/{number:02}/{}.conf", number % 3);
        members.push(Member { path: t(&path), mode: FileMode::Data, content: Content::Bytes(format!("{release} {number}").into_bytes()) });
    }
    world.bundle_of(manifest, members)
}

/// Index and head for a release, which may replace `from`.
fn publish(world: &mut World, release: &str, from: &[&Bundle], edit: impl FnOnce(&mut Group)) -> Bundle {
    let bundle = bundle(world, release, 12);
    world.publish_bundle(&bundle, &["ci-1"]);
    let mut group = world.group(&bundle);
    if !from.is_empty() {
        group.mode = Mode::Upgrade;
        group.from = from.iter().map(|bundle| Digest::of(&bundle.bytes)).collect();
        group.from.sort();
    }
    edit(&mut group);
    world.publish_index(&[group], |_| {}, &["ci-1", "alice-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    bundle
}

/// An empty directory, then the commands that come before.
fn scene(world: &World, before: &[&str], operation: Operation) -> Scene {
    let host = tempfile::tempdir().unwrap();
    for word in before {
        let word = ["init", "update", "start"].into_iter().find(|known| known == word).unwrap();
        Operation::of(world, word).perform(&Host::new(host.path())).unwrap();
    }
    Scene { before: host, is_lost: operation.word == "adopt", operation }
}

#[test]
fn attack_40_41_a_fault_at_any_step_of_init() {
    let mut world = World::new();
    publish(&mut world, "1.0", &[], |_| {});
    assert!(scene(&world, &[], Operation::of(&world, "init")).inject() >= 120);
}

#[test]
fn attack_40_41_a_fault_at_any_step_of_the_first_update() {
    let mut world = World::new();
    publish(&mut world, "1.0", &[], |_| {});
    assert!(scene(&world, &["init"], Operation::of(&world, "update")).inject() >= 300);
}

#[test]
fn attack_40_41_a_fault_at_any_step_of_an_upgrade_under_a_rotated_trust() {
    let mut world = World::new();
    let first = publish(&mut world, "1.0", &[], |_| {});
    let before = scene(&world, &["init", "update", "start"], Operation::of(&world, "update"));
    let mut next = world.trust.clone();
    next.version = 2;
    next.roles.index.0.get_mut("reviewers").unwrap().keys = vec![t("alice-1")];
    world.publish_trust(&next, &["root-1"]);
    publish(&mut world, "1.1", &[&first], |_| {});
    assert!(before.inject() >= 300);
}

#[test]
fn attack_40_41_a_fault_at_any_step_of_an_update_that_changes_no_bundle() {
    let mut world = World::new();
    publish(&mut world, "1.0", &[], |_| {});
    let before = scene(&world, &["init", "update"], Operation::of(&world, "update"));
    world.publish_head(|_| {}, &["head-1"]);
    assert!(before.inject() >= 40);
}

#[test]
fn attack_40_41_a_fault_at_any_step_of_an_update_that_latches_a_halt_and_of_one_that_lifts_it() {
    let mut world = World::new();
    publish(&mut world, "1.0", &[], |_| {});
    let mut latching = scene(&world, &["init", "update"], Operation::of(&world, "update"));
    let halt = world.publish_halt(&world.halt(Scope::Everything, "alice"), &["alice-1"]);
    world.publish_head(|head| head.halts = vec![halt], &["head-1"]);
    world.hint(&[halt]);
    // The hint latches before the chain is judged, so that a state between old and new exists: it is latched, and of the old versions.
    Operation::of(&world, "halt").with(world.file(&format!("halt/{halt}.halt.json"))).perform(&Host::new(latching.before.path())).unwrap();
    assert!(latching.inject() >= 40);
    Operation::of(&world, "update").perform(&Host::new(latching.before.path())).unwrap();
    world.publish_resume(halt, |_| {}, &["ci-1", "bob-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    latching.operation = Operation::of(&world, "update");
    assert!(latching.inject() >= 40);
}

#[test]
fn attack_40_41_a_fault_at_any_step_of_a_halt_from_a_file() {
    let mut world = World::new();
    publish(&mut world, "1.0", &[], |_| {});
    let halt = world.publish_halt(&world.halt(Scope::Group(t(GROUP)), "bob"), &["bob-1"]);
    let operation = Operation::of(&world, "halt").with(world.file(&format!("halt/{halt}.halt.json")));
    assert!(scene(&world, &["init", "update"], operation).inject() >= 16);
}

#[test]
fn attack_40_41_a_fault_at_any_step_of_adopt() {
    let mut world = World::new();
    publish(&mut world, "1.0", &[], |_| {});
    let document = world.publish_adopt(|_| {}, &["ci-1", "alice-1"]);
    let scene = scene(&world, &["init", "update"], Operation::of(&world, "adopt").with(document));
    fs::write(Layout::new(scene.before.path()).state(), "{").unwrap();
    world.publish_head(|_| {}, &["head-1"]);
    assert!(scene.inject() >= 30);
}

#[test]
fn attack_40_41_a_fault_at_any_step_of_a_first_start() {
    let mut world = World::new();
    publish(&mut world, "1.0", &[], |_| {});
    assert!(scene(&world, &["init", "update"], Operation::of(&world, "start")).inject() >= 16);
}

impl Operation {
    fn with(mut self, document: PathBuf) -> Self {
        self.document = document;
        self
    }
}
