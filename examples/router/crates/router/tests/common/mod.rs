//! A router process between a client and two venues that run in this process, all on ports of their own.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use venue_sim::{Options, Venue};

/// Longer than anything here takes on a loaded machine.
const LIMIT: Duration = Duration::from_secs(20);

/// A running router; killed when dropped.
pub(crate) struct Router {
    process: Child,
    pub(crate) started: String,
    pub(crate) directory: PathBuf,
    orders: SocketAddr,
    health: SocketAddr,
}

/// A venue in this process, and where it listens.
pub(crate) fn venue(name: &str, options: Options) -> (Arc<Venue>, SocketAddr) {
    Venue::start("127.0.0.1:0".parse().unwrap(), Options { name: name.to_owned(), ..options }).unwrap()
}

/// One client's connection.
pub(crate) struct Client {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Router {
    /// Starts a router with the venues `north` (weight 3) and `south` (weight 2), and every flag that it knows in force.
    pub(crate) fn start(test: &str, north: SocketAddr, south: SocketAddr) -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let flags: Vec<u16> = routing::Flag::ALL.iter().map(|flag| flag.id()).collect();
        let config = format!(
            r#"
                listen = "127.0.0.1:0"
                health = "127.0.0.1:0"
                flags = {flags:?}
                state_dir = {directory:?}
                venue_token_file = {token:?}
                venue = [
                    {{ name = "north", address = "{north}", weight = 3, max_child = 500 }},
                    {{ name = "south", address = "{south}", weight = 2, max_child = 500 }},
                ]
            "#,
            token = directory.join("token"),
        );
        fs::write(directory.join("router.toml"), config).unwrap();
        fs::write(directory.join("token"), "open-sesame\n").unwrap();

        let mut process = Command::new(env!("CARGO_BIN_EXE_router"))
            .arg("--config")
            .arg(directory.join("router.toml"))
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(fs::File::create(directory.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let mut started = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut started).unwrap();
        let address = |before| {
            let rest = started.split_once(before).unwrap_or_else(|| panic!("{started:?}")).1;
            rest.split([' ', ')']).next().unwrap().parse().unwrap()
        };
        let (orders, health) = (address("listening on "), address("(health "));
        Self { process, started, directory, orders, health }
    }

    /// Waits until that many venues are connected.
    pub(crate) fn with_venues(self, many: usize) -> Self {
        until("venues are connected", || self.get("/health").matches(r#""connected":true"#).count() == many);
        self
    }

    pub(crate) fn client(&self) -> Client {
        let stream = TcpStream::connect(self.orders).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Client { replies: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    /// The answer to a GET request, with its head.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.health).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// One of the numbers under `/counters`.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let answer = self.get("/counters");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<serde_json::Value>(body).unwrap()[name].as_u64().unwrap()
    }

    pub(crate) fn term(&self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the router ends", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Client {
    pub(crate) fn send(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub(crate) fn order(&mut self, id: &str, quantity: u64, flag: Option<u16>) {
        let flag = flag.map_or("null".to_owned(), |flag| flag.to_string());
        self.send(&format!(
            r#"{{"type":"order","id":"{id}","symbol":"ACME","side":"buy","quantity":{quantity},"limit_price":"10.05","flag":{flag}}}"#
        ));
    }

    /// The next reply; empty when the router has closed.
    pub(crate) fn reply(&mut self) -> String {
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next reply that is not about a single fill.
    pub(crate) fn result(&mut self) -> String {
        loop {
            let reply = self.reply();
            if !reply.contains(r#""type":"fill""#) {
                return reply;
            }
        }
    }
}

pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "waited too long until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
