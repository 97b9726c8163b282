//! Health and counters for monitors: `GET /health` and `GET /counters`, one read, one answer, one at a time. Not a web
//! server: for the host itself and nobody else.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use routing::flags::WIRE_EPOCH;
use routing::note;
use routing::wire;
use serde::Serialize;
use serde_json::json;

use crate::RELEASE;
use crate::counters::Snapshot;
use crate::desk::Desk;

/// How long a monitor may take to send its request or take the answer.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Health<'a> {
    /// `ok`, `no_venue` or `stopping`.
    status: &'a str,
    release: &'a str,
    wire_epoch: u32,
    flags: Vec<u16>,
    venues: Vec<VenueHealth<'a>>,
}

#[derive(Serialize)]
struct VenueHealth<'a> {
    name: &'a str,
    connected: bool,
    children_sent: u64,
}

#[derive(Serialize)]
struct Counted {
    parents_live: usize,
    #[serde(flatten)]
    counters: Snapshot,
}

/// Answers monitors until the process ends.
pub(crate) fn serve(listener: &TcpListener, desk: &Desk) {
    for stream in listener.incoming() {
        if let Err(error) = stream.and_then(|stream| answer(stream, desk)) {
            note!("router: health: {error}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn answer(mut stream: TcpStream, desk: &Desk) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = [0; 1024];
    let length = stream.read(&mut request)?;
    let (status, body) = match path(&request[..length]) {
        Some(b"/health") => health(desk),
        Some(b"/counters") => {
            let counted = Counted { parents_live: desk.live(), counters: desk.counters.snapshot() };
            ("200 OK", wire::line(&counted))
        }
        Some(_) => ("404 Not Found", wire::line(&json!({ "error": "there is /health and /counters" }))),
        None => ("400 Bad Request", wire::line(&json!({ "error": "expected GET PATH HTTP/1.x" }))),
    };
    let answer = format!("HTTP/1.0 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes())
}

/// The router can take orders, or it cannot: 200 or 503.
fn health(desk: &Desk) -> (&'static str, String) {
    let venues: Vec<VenueHealth<'_>> = desk
        .venues
        .iter()
        .map(|venue| VenueHealth { name: venue.name(), connected: venue.is_up(), children_sent: venue.sent.get() })
        .collect();
    let (code, status) = match (desk.is_closing(), venues.iter().any(|venue| venue.connected)) {
        (true, _) => ("503 Service Unavailable", "stopping"),
        (false, false) => ("503 Service Unavailable", "no_venue"),
        (false, true) => ("200 OK", "ok"),
    };
    let flags = desk.flags.iter().map(|flag| flag.id()).collect();
    (code, wire::line(&Health { status, release: RELEASE, wire_epoch: WIRE_EPOCH, flags, venues }))
}

/// The path of a GET request.
fn path(request: &[u8]) -> Option<&[u8]> {
    let line = request.split(|&byte| byte == b'\r' || byte == b'\n').next()?;
    let mut words = line.split(|&byte| byte == b' ');
    match (words.next()?, words.next()?, words.next()?, words.next()) {
        (b"GET", path, version, None) if version.starts_with(b"HTTP/1.") => Some(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_request_has_a_path() {
        assert_eq!(path(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), Some(&b"/health"[..]));
        for request in [&b""[..], b"GET", b"GET /health", b"POST /health HTTP/1.1\r\n", b"GET / HTTP/1.1 x\r\n"] {
            assert_eq!(path(request), None);
        }
    }
}
