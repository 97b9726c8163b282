//! The router as a process, between a client and two venues.

mod common;

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use common::{Router, until, venue};
use routing::wire::VenueReply;
use venue_sim::Options;

fn quick() -> Options {
    Options { token: Some("open-sesame".to_owned()), ..Options::default() }
}

#[test]
fn an_order_is_split_filled_and_counted() {
    let (north, north_at) = venue("north", quick());
    let (south, south_at) = venue("south", quick());
    let mut router = Router::start("split", north_at, south_at).with_venues(2);

    let mut client = router.client();
    client.order("P1", 1_000, None);
    assert_eq!(client.result(), r#"{"type":"accepted","id":"P1"}"#);
    assert_eq!(client.result(), r#"{"type":"filled","id":"P1","quantity":1000,"children":3}"#);
    // 600 for north, in children of 500 and 100; 400 for south.
    assert!(matches!(north.stats(), VenueReply::Stats { children: 2, shares: 600, retail: 0, .. }));
    assert!(matches!(south.stats(), VenueReply::Stats { children: 1, shares: 400, retail: 0, .. }));
    assert_eq!(router.counter("shares_filled"), 1_000);
    assert_eq!(router.counter("children_sent"), 3);

    router.term();
    assert_eq!(router.wait().code(), Some(0));
    let log = fs::read_to_string(router.directory.join("orders.log")).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
    let stderr = fs::read_to_string(router.directory.join("stderr")).unwrap();
    assert!(!format!("{stderr}{log}{}", router.started).contains("open-sesame"), "a credential is never logged");
}

#[test]
fn what_is_not_an_order_is_answered_and_the_session_goes_on() {
    let (_north, north_at) = venue("north", quick());
    let (_south, south_at) = venue("south", quick());
    let router = Router::start("refusals", north_at, south_at).with_venues(2);

    let mut client = router.client();
    client.send("hello");
    assert_eq!(client.reply(), r#"{"type":"error","reason":"a line is one JSON object"}"#);
    client.order("P1", 1_000, Some(65_535));
    assert_eq!(client.reply(), r#"{"type":"refused","id":"P1","reason":"flag 65535 is not in force here"}"#);
    client.order("P2", 1, None);
    assert_eq!(client.result(), r#"{"type":"accepted","id":"P2"}"#);
    assert_eq!(client.result(), r#"{"type":"filled","id":"P2","quantity":1,"children":1}"#);
    client.send(&"x".repeat(5_000));
    assert_eq!(client.reply(), r#"{"type":"error","reason":"a line is longer than 4096 bytes"}"#);
    assert_eq!((router.counter("errors"), router.counter("parents_refused")), (2, 1));
}

#[test]
fn a_router_starts_before_its_venues_and_finds_them_later() {
    // An address that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let router = Router::start("early", free, free);
    assert!(router.get("/health").starts_with("HTTP/1.0 503"));
    let mut client = router.client();
    client.order("P1", 100, None);
    assert!(client.reply().contains("no venue that may take this order is connected"));

    let _north = venue_sim::Venue::start(free, Options { name: "north".to_owned(), ..quick() }).unwrap();
    let router = router.with_venues(1);
    assert!(router.get("/health").starts_with("HTTP/1.0 200"));
    client.order("P1", 100, None);
    assert_eq!(client.result(), r#"{"type":"accepted","id":"P1"}"#);
    assert_eq!(client.result(), r#"{"type":"filled","id":"P1","quantity":100,"children":1}"#);
}

#[test]
fn term_lets_an_order_being_worked_finish_and_takes_no_other() {
    let slow = || Options { delay: Duration::from_millis(500), ..quick() };
    let (_north, north_at) = venue("north", slow());
    let (_south, south_at) = venue("south", slow());
    let mut router = Router::start("drain", north_at, south_at).with_venues(2);

    let mut client = router.client();
    client.order("P1", 100, None);
    assert_eq!(client.result(), r#"{"type":"accepted","id":"P1"}"#);
    router.term();
    until("the router is stopping", || router.get("/health").contains("stopping"));
    client.order("P2", 100, None);
    assert_eq!(client.result(), r#"{"type":"refused","id":"P2","reason":"the router is shutting down"}"#);
    assert_eq!(client.result(), r#"{"type":"filled","id":"P1","quantity":100,"children":2}"#);
    assert_eq!(router.wait().code(), Some(0));
}
