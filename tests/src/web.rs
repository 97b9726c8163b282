//! A web server on loopback for a repository's files, and mirrors that are not what they should be.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is done instead of answering with the file: it gets the path and the file's bytes, and says what to answer.
pub type Manner = fn(&str, Vec<u8>) -> Answer;

/// An answer.
pub enum Answer {
    /// 200 and these bytes.
    Bytes(Vec<u8>),
    /// 404.
    Absent,
    /// None at all; the connection stays open.
    Silence,
}

/// A server; it ends with the process.
pub struct Web {
    /// Its address, ending in `/`.
    pub url: String,
    requests: Arc<AtomicUsize>,
}

impl Web {
    /// Serves the files below `base` as they are.
    pub fn honest(base: &Path) -> Self {
        Self::serve(base, |_, bytes| Answer::Bytes(bytes))
    }

    /// Serves them in some other manner.
    pub fn serve(base: &Path, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (base, requests) = (base.to_owned(), Arc::new(AtomicUsize::new(0)));
        let counter = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (base, counter) = (base.clone(), counter.clone());
                std::thread::spawn(move || answer(stream, &base, manner, &counter));
            }
        });
        Web { url, requests }
    }

    /// How many requests it has had.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, base: &Path, manner: Manner, requests: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut header = String::new();
        while reader.read_line(&mut header).unwrap_or(0) > 2 {
            header.clear();
        }
        requests.fetch_add(1, Ordering::SeqCst);
        let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').replace("%2B", "+");
        let file: PathBuf = base.join(&path);
        let answer = match std::fs::read(&file) {
            Ok(bytes) => manner(&path, bytes),
            Err(_) => Answer::Absent,
        };
        let sent = match answer {
            Answer::Bytes(bytes) => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes))
            }
            Answer::Absent => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            Answer::Silence => {
                std::thread::sleep(std::time::Duration::from_secs(600));
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}
