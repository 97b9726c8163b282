//! What somebody can put into a repository who may write to it and has no key, or one key of little power: litter is in the way of its own
//! name, and of nothing else. Above all it keeps no halt from going out, makes none, and lifts none.

use object_store::memory::InMemory;
use proofmark::exit::Refuse;
use proofmark::halts::{self, Order};
use proofmark::keys::SecretKey;
use proofmark::proposal::{self, Desk};
use proofmark::repository::Repository;
use proofmark::signing::Signer;
use proofmark::store::{Directory, Objects, Store};
use proofmark::{clock, head, log};
use proofmark_core::halt::Scope;
use proofmark_core::latest::Latest;
use proofmark_core::{Digest, Kind, Time, json};
use proofmark_tests::published::{self, key, world};
use proofmark_tests::s3::upload;
use proofmark_tests::world::GROUP;
use proofmark_tests::{Host, Outcome, World, binary};
use std::process::{Command, Stdio};

fn open(world: &World) -> Repository {
    Repository::open(Box::new(Directory::new(world.path())), None).unwrap()
}

/// Nobody looks at the host that is named: what is tested is what becomes of the document.
fn halt(repository: &Repository, key: &SecretKey, now: Time) -> (Digest, bool) {
    let signer = Signer::new(repository.trust(), Kind::Halt, key).unwrap();
    let order = Order { scope: Scope::Host("rtr-9".parse().unwrap()), drain_seconds: None, reason: "why".into() };
    halts::halt(repository, &signer, order, now).unwrap()
}

fn latest(world: &World) -> Latest {
    json::parse(&world.read("latest"), "latest").unwrap()
}

fn reason<T, E: Refuse>(result: Result<T, E>) -> (u8, &'static str) {
    let refusal = result.map(drop).unwrap_err().refusal();
    (refusal.code as u8, refusal.reason)
}

#[test]
fn attack_22_a_halt_under_another_name_is_none_and_one_that_was_overwritten_is_missing() {
    let world = world();
    let (alice, clock_key) = (key(&world, "alice-1"), key(&world, "head-1"));
    let now = clock::now().unwrap();
    let (digest, announced) = halt(&open(&world), &alice, now);
    assert!(announced);
    let copy = "f".repeat(64);
    for end in ["", ".alice-1.minisig"] {
        world.write(&format!("halt/{copy}.halt.json{end}"), &world.read(&format!("halt/{digest}.halt.json{end}")));
    }
    let published = head::publish(&open(&world), &clock_key, now, 3600).unwrap();
    assert_eq!(published.halts, [digest]);

    world.write(&format!("halt/{digest}.halt.json"), b"{}");
    assert_eq!(reason(head::publish(&open(&world), &clock_key, now, 3600)), (95, "missing"));
}

#[test]
fn attack_22_a_halt_goes_out_whatever_lies_behind_the_newest_trust_and_whatever_was_removed() {
    let world = world();
    let now = clock::now().unwrap();
    let (first, _) = halt(&open(&world), &key(&world, "bob-1"), now);
    head::publish(&open(&world), &key(&world, "head-1"), now, 3600).unwrap();
    let host = Host::of(&world);
    host.update().ok();
    host.run().ok();

    world.write("trust/2.trust.json", b"x");
    world.remove(&format!("halt/{first}.halt.json"));
    let (_dir, alice) = published::key_file(&world, "alice-1");
    let mut command = Command::new(binary("proofmark"));
    command.args(["halt", GROUP, "--reason", "no parent", "--key", alice.to_str().unwrap()]).stdin(Stdio::null());
    let outcome: Outcome = command.env("PROOFMARK_REPOSITORY", world.path()).output().unwrap().into();
    let outcome = outcome.ok();
    assert!(outcome.stderr.contains("WARNING: trust 1 is not the end of the chain"), "{outcome:#?}");
    let digest: Digest = outcome.stdout.trim().parse().unwrap();
    assert_eq!(latest(&world).halts, [digest]);
    let _ = host.update();
    host.run().refused(87, "halted");
}

#[test]
fn attack_17_an_index_of_nobody_stops_no_head_and_the_lost_one_is_not_forgotten() {
    let world = world();
    let clock_key = key(&world, "head-1");
    let now = clock::now().unwrap();
    for junk in [b"x".to_vec(), world.read("index/1.index.json")] {
        world.write("index/2.index.json", &junk);
        let published = head::publish(&open(&world), &clock_key, now, 3600).unwrap();
        assert_eq!((published.index.version, latest(&world).index), (1, 1));
        // But who looks for it is told.
        assert!(log::log(&open(&world), 1).unwrap().broken().iter().any(|line| line.contains("index 2")));
    }
    let mut group = world.group(&published::bundle(&world, &["report"]));
    group.freshness.restart_seconds = 700_000;
    let mail = published::mailed(&world, &[group]);
    let publish = || {
        let repository = open(&world);
        proposal::publish(&Desk::new(&repository, &[mail.path().to_owned()], None), 2).map(drop)
    };
    assert_eq!(reason(publish()), (84, "already-written"));
    world.remove("index/2.index.json");
    publish().unwrap();
    head::publish(&open(&world), &clock_key, now, 3600).unwrap();

    // Gone again, and with it what the head has vouched for: nobody signs for less than that.
    let index = world.read("index/2.index.json");
    world.remove("index/2.index.json");
    assert_eq!(reason(head::publish(&open(&world), &clock_key, now, 3600)), (84, "rollback"));
    let broken = log::log(&open(&world), 1).unwrap().broken();
    assert!(broken.iter().any(|line| line.contains("pins index 2 with sha256")), "{broken:?}");
    world.write("index/2.index.json", &index);
    assert!(log::log(&open(&world), 1).unwrap().broken().is_empty());
    head::publish(&open(&world), &clock_key, now, 3600).unwrap();
}

#[test]
fn attack_22_one_stolen_halt_key_does_not_fill_latest() {
    let world = world();
    let far: Time = "9998-01-01T00:00:00Z".parse().unwrap();
    let (alice, bob) = (key(&world, "alice-1"), key(&world, "bob-1"));
    for number in 0..20 {
        halt(&open(&world), &bob, far.plus(number));
    }
    let (digest, announced) = halt(&open(&world), &alice, clock::now().unwrap());
    assert!(announced && latest(&world).halts.contains(&digest));
}

#[test]
fn attack_43_claims_that_nobody_takes_up_are_passed_over_all_together() {
    let world = world();
    let objects = Objects::new(Box::new(InMemory::new()), "repository".into(), "memory".into()).unwrap();
    upload(world.path(), &objects);
    for version in 2..1000 {
        objects.create(&format!("head/{version}.head.json.claim"), &mut &b"x\n"[..]).unwrap();
    }
    let repository = Repository::open(Box::new(objects), None).unwrap();
    let published = head::publish(&repository, &key(&world, "head-1"), clock::now().unwrap(), 3600).unwrap();
    assert_eq!(published.version, 1000);
    assert_eq!(repository.heads().unwrap().next, 1001);
}

#[test]
fn attack_17_a_new_repository_whose_only_head_has_the_last_number_gets_its_first() {
    let world = world();
    let bytes = world.read("head/1.head.json");
    for entry in Directory::new(world.path()).walk("head").unwrap() {
        world.remove(&entry.path);
    }
    world.remove("latest");
    world.write(&format!("head/{}.head.json", (1_u64 << 53) - 1), &bytes);
    let published = head::publish(&open(&world), &key(&world, "head-1"), clock::now().unwrap(), 3600).unwrap();
    assert_eq!((published.version, latest(&world).head), (1, 1));
}
