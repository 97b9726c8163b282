//! A web server on loopback that counts what it gives.

use anyhow::Result;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The server; it runs until the program ends.
pub(super) struct Server {
    url: String,
    requests: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Server {
    /// Serves the files below `base`.
    pub(super) fn start(base: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Server { url: format!("http://{}/", listener.local_addr()?), requests: Arc::default(), bytes: Arc::default() };
        let (base, requests, bytes) = (base.to_owned(), server.requests.clone(), server.bytes.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (base, requests, bytes) = (base.clone(), requests.clone(), bytes.clone());
                // A client that goes away ends its own thread.
                std::thread::spawn(move || answer(&stream, &base, &requests, &bytes));
            }
        });
        Ok(server)
    }

    /// Where.
    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// Requests, and bytes of heads and bodies, so far.
    pub(super) fn given(&self) -> (u64, u64) {
        (self.requests.load(Ordering::SeqCst), self.bytes.load(Ordering::SeqCst))
    }
}

fn answer(mut stream: &TcpStream, base: &Path, requests: &AtomicU64, bytes: &AtomicU64) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while reader.read_line(&mut request)? > 0 {
        let mut header = String::new();
        while reader.read_line(&mut header)? > 2 {
            header.clear();
        }
        let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').replace("%2B", "+");
        let (status, body) = match std::fs::read(base.join(path)) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        requests.fetch_add(1, Ordering::SeqCst);
        bytes.fetch_add((head.len() + body.len()) as u64, Ordering::SeqCst);
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        request.clear();
    }
    Ok(())
}
