//! What holds for every flag, in every release: an order that carries one stops when it is filled, and the code of a
//! retired one is not in the binary. Laid over release 1.0, the first of these fails.

mod common;

use std::collections::BTreeMap;
use std::{fs, thread};

use common::{Router, venue};
use routing::Flag;
use venue_sim::Options;

#[test]
fn a_flagged_order_stops_when_it_is_filled() {
    let (_north, north_at) = venue("north", Options::default());
    let (_south, south_at) = venue("south", Options::default());
    for flag in Flag::ALL {
        let router = Router::start(&format!("flag-{}", flag.name()), north_at, south_at).with_venues(2);
        let mut client = router.client();
        client.order("P1", 1_000, Some(flag.id()));
        assert_eq!(client.reply(), r#"{"type":"accepted","id":"P1"}"#);
        // As many fills as the whole order could have had in children of one share: it must end before that.
        let end = (0..1_000).map(|_| client.reply()).find(|reply| !reply.contains(r#""type":"fill""#));
        let end = end.expect("an end to the fills");
        assert!(end.starts_with(r#"{"type":"filled","id":"P1","quantity":1000,"#), "{end}");
        // And stays so.
        let sent = router.counter("children_sent");
        thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(router.counter("children_sent"), sent);
        assert_eq!((router.counter("shares_sent"), router.counter("parents_live")), (1_000, 0));
    }
}

#[test]
fn the_binary_holds_the_markers_of_active_flags_and_of_no_retired_one() {
    let binary = fs::read(env!("CARGO_BIN_EXE_router")).unwrap();
    let ledger: BTreeMap<String, Vec<toml::Table>> = toml::from_str(include_str!("../../../ledger.toml")).unwrap();
    for row in &ledger["flag"] {
        let active = row["state"].as_str() == Some("active");
        for marker in row["markers"].as_array().unwrap() {
            let marker = marker.as_str().unwrap();
            let held = binary.windows(marker.len()).any(|bytes| bytes == marker.as_bytes());
            assert_eq!(held, active, "marker {marker:?} in {row:?}");
        }
    }
}
