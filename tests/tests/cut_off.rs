//! ATTACKS 40, 43 for everything that authors do: whatever command is cut off, at whatever operation, on a directory or in a bucket, every
//! poller finds a whole view, and the same command again, or the next step of the story, goes on from there.

#![allow(clippy::result_large_err, reason = "a refusal is what it is, and a test makes few")]

use object_store::memory::InMemory;
use proofmark::exit::{Refusal, Refuse};
use proofmark::halts::{self, Order};
use proofmark::keys::SecretKey;
use proofmark::proposal::{self, Desk};
use proofmark::repository::Repository;
use proofmark::rotation::{self, Edit, NewKey, Place};
use proofmark::signing::Signer;
use proofmark::store::{Directory, Objects, Store};
use proofmark::{clock, head, proposed, statement};
use proofmark_core::group::Group;
use proofmark_core::halt::Scope;
use proofmark_core::trust::Key;
use proofmark_core::{Kind, Time};
use proofmark_tests::World;
use proofmark_tests::faulty::{Shared, check_view};
use proofmark_tests::published::{key, world};
use proofmark_tests::s3::upload;
use proofmark_tests::world::{GROUP, t};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

/// Everybody's keys.
struct Keys {
    ci: SecretKey,
    alice: SecretKey,
    root: SecretKey,
    head: [SecretKey; 2],
}

type Act = fn(&Repository, &Keys, Time) -> Result<(), Refusal>;

/// A release, a halt, its end, and a rotation of the head key, each command by itself; and how a command refuses that has nothing left
/// to do, when the first run had done all and was cut off before it could say so.
const STORY: [(&str, Act, Option<&str>); 13] = [
    ("propose", propose, None),
    ("approve", approve, Some("threshold")),
    ("publish", publish, None),
    ("head", first_head, None),
    ("halt", halt, None),
    ("head with the halt", first_head, None),
    ("propose a resume", propose_resume, Some("second-proposal")),
    ("approve the resume", approve, Some("threshold")),
    ("publish the resume", publish, None),
    ("head without the halt", first_head, None),
    ("propose a rotation", propose_rotation, None),
    ("publish the rotation", publish, None),
    ("head of the new key", second_head, None),
];

fn refuse(error: impl Refuse) -> Refusal {
    error.refusal()
}

fn propose(repository: &Repository, keys: &Keys, _: Time) -> Result<(), Refusal> {
    let published = repository.published().map_err(refuse)?.unwrap();
    let mut group: Group = (**published.groups.values().next().unwrap()).clone();
    group.freshness.restart_seconds = 700_000;
    let draft = proposal::draft(repository.trust(), Some(&published), &t("ci"), vec![group]).map_err(refuse)?;
    let signer = Signer::new(repository.trust(), Kind::Index, &keys.ci).map_err(refuse)?;
    proposal::write(&Desk::of(repository), &draft, &signer).map(drop).map_err(refuse)
}

fn propose_resume(repository: &Repository, keys: &Keys, now: Time) -> Result<(), Refusal> {
    let signer = Signer::new(repository.trust(), Kind::Resume, &keys.ci).map_err(refuse)?;
    for halt in halts::in_force(repository).map_err(refuse)? {
        let (subject, bytes) = statement::resume(repository.trust(), halt.digest, "checked".into(), t("ci"), now).map_err(refuse)?;
        statement::write(&Desk::of(repository), subject, &bytes, &signer).map_err(refuse)?;
    }
    Ok(())
}

fn propose_rotation(repository: &Repository, keys: &Keys, _: Time) -> Result<(), Refusal> {
    let new = NewKey { name: t("head-2"), key: Key { holder: t("clock-2"), public: keys.head[1].public().clone() } };
    let edits = [Edit::Add(Place { role: None, group: t("head") }, new), Edit::Remove(t("head-1"))];
    let (next, bytes) = rotation::draft(repository, &edits).map_err(refuse)?;
    let signer = Signer::new(repository.trust(), Kind::Trust, &keys.root).map_err(refuse)?;
    rotation::write(&Desk::of(repository), &next, &bytes, &signer).map(drop).map_err(refuse)
}

fn approve(repository: &Repository, keys: &Keys, _: Time) -> Result<(), Refusal> {
    let desk = Desk::of(repository);
    for subject in desk.open().map_err(refuse)? {
        let shown = proposed::open(&desk, subject)?;
        let signer = shown.signer(&desk, &keys.alice)?;
        let _lock = repository.lock().map_err(refuse)?;
        shown.approve(&desk, &signer)?;
    }
    Ok(())
}

fn publish(repository: &Repository, _: &Keys, _: Time) -> Result<(), Refusal> {
    let _lock = repository.lock().map_err(refuse)?;
    let desk = Desk::of(repository);
    let mut subjects = desk.open().map_err(refuse)?;
    if subjects.is_empty() {
        subjects.push(desk.find_to_publish(None).map_err(refuse)?);
    }
    subjects.into_iter().try_for_each(|subject| proposed::publish(&desk, subject).map(drop))
}

fn halt(repository: &Repository, keys: &Keys, now: Time) -> Result<(), Refusal> {
    let signer = Signer::new(repository.trust(), Kind::Halt, &keys.alice).map_err(refuse)?;
    let order = Order { scope: Scope::Group(t(GROUP)), drain_seconds: None, reason: "no parent".into() };
    halts::halt(repository, &signer, order, now).map(drop).map_err(refuse)
}

fn first_head(repository: &Repository, keys: &Keys, now: Time) -> Result<(), Refusal> {
    head::publish(repository, &keys.head[0], now, 3600).map(drop).map_err(refuse)
}

fn second_head(repository: &Repository, keys: &Keys, now: Time) -> Result<(), Refusal> {
    head::publish(repository, &keys.head[1], now, 3600).map(drop).map_err(refuse)
}

fn run(store: Box<dyn Store>, act: Act, keys: &Keys, now: Time) -> Result<(), Refusal> {
    act(&Repository::open(store, None).map_err(refuse)?, keys, now)
}

/// The command once more, a second later, as the refusal says where it refuses.
fn run_again(store: &Shared, (name, act, done): (&str, Act, Option<&str>), keys: &Keys, now: Time) {
    let mut outcome = run(store.whole(), act, keys, now.plus(1));
    if let Err(refusal) = &outcome
        && refusal.reason == "claimed"
    {
        let claim = format!("{}.claim", refusal.subject);
        assert!(refusal.next.as_ref().unwrap().contains(&format!("remove {claim}")), "{refusal}");
        store.0.remove(&claim).unwrap();
        outcome = run(store.whole(), act, keys, now.plus(1));
    }
    if let Err(refusal) = outcome {
        assert_eq!(Some(refusal.reason), done, "{name}: {refusal}");
    }
}

#[test]
fn attack_40_43_whatever_an_author_does_to_a_directory_can_be_cut_off_at_any_operation_and_done_again() {
    cut_off_everywhere(false);
}

#[test]
fn attack_40_43_whatever_an_author_does_to_a_bucket_can_be_cut_off_at_any_operation_and_done_again() {
    cut_off_everywhere(true);
}

/// Each command is a thread: a claim that nobody takes up is waited for, and most of the time passes so.
fn cut_off_everywhere(is_bucket: bool) {
    let mut world = world();
    world.new_key("head-2");
    let now = clock::now().unwrap();
    // What each command finds.
    let before: Vec<tempfile::TempDir> = STORY
        .iter()
        .map(|(name, act, _)| {
            let snapshot = tempfile::tempdir().unwrap();
            upload(world.path(), &Directory::new(snapshot.path()));
            run(Box::new(Directory::new(world.path())), *act, &keys(&world), now).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            snapshot
        })
        .collect();
    let injected: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = before
            .iter()
            .enumerate()
            .map(|(at, base)| {
                let keys = keys(&world);
                scope.spawn(move || cut_off(at, base.path(), is_bucket, &keys, now))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{injected} faults");
    assert!(injected > 75, "{injected} faults");
}

fn keys(world: &World) -> Keys {
    let [ci, alice, root, old, new] = ["ci-1", "alice-1", "root-1", "head-1", "head-2"].map(|name| key(world, name));
    Keys { ci, alice, root, head: [old, new] }
}

/// Cuts one command of the story off at every operation; gives how many there are.
fn cut_off(at: usize, base: &Path, is_bucket: bool, keys: &Keys, now: Time) -> usize {
    let (name, act, _) = STORY[at];
    let (mut dirs, mut injected) = (Vec::new(), 0);
    let mut make = || -> Shared {
        let store: Rc<dyn Store> = if is_bucket {
            Rc::new(Objects::new(Box::new(InMemory::new()), "repository".into(), "memory".into()).unwrap())
        } else {
            dirs.push(tempfile::tempdir().unwrap());
            Rc::new(Directory::new(dirs.last().unwrap().path()))
        };
        upload(base, &*store);
        Shared(store)
    };
    for is_after in [false, true] {
        for fail_at in 0.. {
            let store = make();
            let before = check_view(&store, (1, 1));
            let operations = Rc::new(Cell::new(0));
            let outcome = run(store.faulty(&operations, fail_at, is_after), act, keys, now);
            let view = check_view(&store, before);
            match outcome {
                Ok(()) => break,
                Err(refusal) => assert!(refusal.to_string().contains("injected"), "{name}: nothing but the fault: {refusal}"),
            }
            injected += 1;
            run_again(&store, STORY[at], keys, now);
            let mut view = check_view(&store, view);
            // The rest of the story as if nothing had been.
            for (seconds, (next, act, _)) in (2..).zip(&STORY[at + 1..]) {
                if let Err(refusal) = run(store.whole(), *act, keys, now.plus(seconds)) {
                    panic!("{next}, after a fault at operation {fail_at} of {name}: {refusal}");
                }
                view = check_view(&store, view);
            }
            let repository = Repository::open(store.whole(), None).unwrap();
            let head = repository.heads().unwrap().current.unwrap();
            assert_eq!((repository.trust().version, head.trust.version, head.index.version), (2, 2, 2));
            assert!(head.halts.is_empty() && halts::in_force(&repository).unwrap().is_empty());
            let published = repository.published().unwrap().unwrap();
            assert_eq!(published.groups.values().next().unwrap().freshness.restart_seconds, 700_000);
        }
    }
    injected
}
