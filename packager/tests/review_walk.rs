//! A reviewer's walk from release 1.0 to 1.2 of the story: real programs, and what he sees on one screen.

use std::process::Command;

use common::{CONFIG, LEDGER, World, ok, refused};

mod common;

/// The crate `routing` of a release, as a program with symbols: what `strategy` holds is what differs.
const COMMON: &str = "
#[inline(never)] pub fn split(n: u64) -> u64 { std::hint::black_box(n / 2) }
fn main() { println!(\"{} {}\", routing(), split(2)); }
";
const POWER_PEG: &str = "
mod strategy {
    pub struct PowerPeg { pub sent: u64 }
    impl PowerPeg {
        #[inline(never)] pub fn send(&mut self) -> u64 { self.sent += 1; println!(\"power peg: child order {}\", self.sent); self.sent }
    }
}
fn routing() -> u64 { strategy::PowerPeg { sent: 0 }.send() }
";
const RLP: &str = "
mod strategy {
    #[inline(never)] pub fn retail(n: u64) -> u64 { println!(\"rlp: order {n}\"); n }
}
fn routing() -> u64 { strategy::retail(1) }
";

/// Compiles one, with its symbols or without.
fn program(world: &World, name: &str, strategy: &str, strip: &str) -> Vec<u8> {
    let source = world.path(&format!("{name}.rs"));
    std::fs::write(&source, format!("{strategy}{COMMON}")).unwrap();
    let out = world.path(name);
    let mut rustc = Command::new("rustc");
    rustc.args(["--crate-name", "routing", "--edition", "2024", "-O", "-C", &format!("strip={strip}"), "-o"]).arg(&out).arg(&source);
    assert!(rustc.status().unwrap().success());
    std::fs::read(out).unwrap()
}

/// Release 1.0 on prod and uat, published; then 1.2 on uat, published, and proposed for prod.
fn story(strip: &str) -> World {
    let mut world = World::new();
    let land = |world: &World| {
        ok(world.approve("bob-1"));
        ok(world.publish());
    };
    world.release = "1.0".into();
    world.program = program(&world, "router-1.0", POWER_PEG, strip);
    world.ledger = LEDGER.split("[[flag]]").nth(1).map(|row| format!("[[flag]]{}", row.replace("retired", "active"))).unwrap();
    let old = CONFIG.replace("flags = [9]", "flags = [7]").replace("wire_epoch = 2", "wire_epoch = 1");
    world.release_of(&old, &["prod", "uat"], None).unwrap();
    land(&world);
    world.release = "1.2".into();
    world.program = program(&world, "router-1.2", RLP, strip);
    world.ledger = LEDGER.into();
    world.release(&["uat"], None).unwrap();
    land(&world);
    world.release(&["prod"], None).unwrap();
    world
}

#[test]
fn a_reviewers_walk_from_1_0_to_1_2_fits_on_a_screen_and_shows_flag_function_and_configuration() {
    let world = story("debuginfo");
    let screen = ok(world.proofmark(&["review", "--repository", "releases"]));
    for part in [
        "prod/router: router 1.0 -> 1.2, upgrade, on 2 hosts",
        "WIRE EPOCH 1 -> 2",
        "7 power_peg: RETIRED, off  \"Keep sending.\"",
        "9 rlp: new, ON  \"Retail.\"",
        "etc/router.toml  release: \"1.0\" -> \"1.2\"",
        "- fn     routing::strategy::PowerPeg::send",
        "+ fn     routing::strategy::retail",
        "\"power peg\" of flag 7 is gone",
        "\"rlp: order\" of flag 9 came",
        "the very ones, byte for byte, of uat/router, as it is published",
        "the same   hosts",
        "unchanged: uat/router",
        "missing    1 of 2 signatures of key group reviewers",
    ] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(screen.lines().count() <= 40 && screen.lines().all(|line| line.chars().count() <= 160), "one screen: {screen}");
    assert!(!screen.contains("split") && !screen.contains("std::"), "what stayed and what is not ours is not listed: {screen}");
    let json: serde_json::Value = serde_json::from_str(&ok(world.proofmark(&["review", "--json", "--repository", "releases"]))).unwrap();
    assert_eq!(json["review"]["changes"][0]["programs"][0]["removed"][0], "routing::strategy::PowerPeg::send");
}

#[test]
fn a_stripped_program_is_compared_by_its_words_and_markers() {
    let world = story("symbols");
    let screen = ok(world.proofmark(&["review", "--repository", "releases"]));
    for part in ["words (it has no symbols)", "\"power peg\" of flag 7 is gone"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
}

#[test]
fn attack_1_a_meaning_that_is_not_the_signed_one_is_not_shown_to_a_reviewer() {
    let world = story("debuginfo");
    let path = world.path("releases/proposals/3/flags.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("Keep sending.", "Harmless.")).unwrap();
    refused(world.proofmark(&["review", "--repository", "releases"]), 81, "digest");
    refused(world.approve("bob-1"), 81, "digest");
    std::fs::write(&path, text.replace("\"since\"", "\"sinse\"")).unwrap();
    refused(world.approve("bob-1"), 90, "malformed");
    // It is for people: without it, the digests are signed all the same.
    std::fs::remove_file(&path).unwrap();
    let screen = ok(world.proofmark(&["review", "--repository", "releases"]));
    assert!(screen.contains("7 power_peg: RETIRED, off\n"), "{screen}");
}

#[test]
fn the_log_verifies_the_whole_chain_and_says_where_it_breaks() {
    let world = story("debuginfo");
    ok(world.proofmark(&["halt", "uat/router", "--reason", "a drill", "--repository", "releases", "--key", "keys/alice-1.key"]));
    let log = ok(world.proofmark(&["log", "--repository", "releases"]));
    for part in [
        "signed by root-1",
        "+ key bob-1 (bob)",
        "prod/router: router 1.0, install, 2 hosts",
        "uat/router: router 1.0 -> 1.2, upgrade",
        "signed by bob-1, ci-1",
        "group uat/router, by alice at",
        "IN FORCE",
        "open proposal 3",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    // An old index, spoilt: hosts never look at it again, an auditor does.
    let path = world.path("releases/index/1.index.json");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&bytes[..], b" "].concat()).unwrap();
    let text = refused(world.proofmark(&["log", "--repository", "releases"]), 84, "chain-broken");
    assert!(text.contains("index 1: 1.index.json") && !text.contains("index 2:"), "{text}");
    std::fs::write(&path, bytes).unwrap();
    ok(world.proofmark(&["log", "--repository", "releases", "--json"]));
}
