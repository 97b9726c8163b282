//! The venue as a process: it fills, counts, and ends on TERM.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

#[test]
fn a_venue_fills_counts_and_ends_on_term() {
    let mut venue = Command::new(env!("CARGO_BIN_EXE_venue-sim"))
        .args(["--name", "north", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut started = String::new();
    BufReader::new(venue.stdout.take().unwrap()).read_line(&mut started).unwrap();
    let address = started.trim_end().strip_prefix("venue-sim north listening on ").unwrap();

    let mut stream = TcpStream::connect(address).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut ask = |line: &str| {
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        replies.next().unwrap().unwrap()
    };
    assert_eq!(ask(r#"{"type":"logon","wire_epoch":2}"#), r#"{"type":"welcome","venue":"north"}"#);
    let child = r#"{"type":"child","id":1,"symbol":"ACME","side":"buy","quantity":5,"limit_price":"1","retail":true}"#;
    assert_eq!(ask(child), r#"{"type":"fill","id":1,"quantity":5}"#);
    assert_eq!(
        ask(r#"{"type":"stats"}"#),
        r#"{"type":"stats","venue":"north","logons":1,"children":1,"retail":1,"shares":5}"#
    );
    assert!(ask("no JSON").starts_with(r#"{"type":"error""#));

    let term = Command::new("kill").args(["-TERM", &venue.id().to_string()]).status().unwrap();
    assert!(term.success());
    assert!(venue.wait().unwrap().success());
}
