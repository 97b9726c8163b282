//! Untrusted bytes from a repository: a directory, a web server, or memory. Bounded in size and time; believed by nobody here.
//!
//! It never follows a redirect, never decodes a content encoding, never resumes, and never trusts a length it was told. A web
//! server's answer counts when its status is 200; 404 and 410 mean that the file is absent; anything else, that the source is
//! out of order (98).

use crate::failure;
use crate::files::{Directory, within_limit};
use proofmark_core::{Reason, Refusal, Result};
use reqwest::blocking::{Client, ClientBuilder, Response};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Somewhere to read a repository from.
pub trait Source {
    /// Its address, for messages.
    fn name(&self) -> String;
    /// A small file. `None`: the source says that there is none. Errors: [`Reason::Limit`] over `limit` bytes.
    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>>;
    /// A large file of `size` bytes, as promised by the index, into `out`. Errors: [`Reason::Size`] as soon as there are more.
    fn download(&self, path: &str, size: u64, out: &mut File) -> Result<()>;
}

/// A source for one line of `repository` in host.toml.
pub fn open(address: &str) -> Result<Box<dyn Source>> {
    if address.starts_with("http://") || address.starts_with("https://") {
        return Ok(Box::new(Web::new(address)?));
    }
    match Directory::open(Path::new(address)) {
        Ok(Some(directory)) => Ok(Box::new(directory)),
        Ok(None) => Err(Refusal::new(Reason::Unreachable, address, "a directory, or a URL that starts with https://", "no such directory")),
        Err(e) => Err(Refusal::new(Reason::Unreachable, address, e.want(), e.have())),
    }
}

/// What a repository lacks.
pub fn absent(source: &dyn Source, path: &str) -> Refusal {
    Refusal::new(Reason::Unreachable, path, "a file of the repository", format_args!("{} has none", source.name()))
}

impl Source for Directory {
    fn name(&self) -> String {
        self.path().display().to_string()
    }

    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        Directory::read(self, path, limit)
    }

    fn download(&self, path: &str, size: u64, out: &mut File) -> Result<()> {
        let file = self.file(path)?.ok_or_else(|| absent(self, path))?;
        let wrong = failure::io(self.path().join(path), "to be copied");
        let copied = io::copy(&mut file.take(size.saturating_add(1)), out).map_err(wrong)?;
        check_size(path, size, copied)
    }
}

/// Files in memory, by their repository path.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl Source for Memory {
    fn name(&self) -> String {
        "memory".into()
    }

    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        let Some(bytes) = self.0.get(path) else { return Ok(None) };
        within_limit(bytes, limit, path)?;
        Ok(Some(bytes.clone()))
    }

    fn download(&self, path: &str, _: u64, _: &mut File) -> Result<()> {
        Err(absent(self, path))
    }
}

/// Until an answer's header is there.
const ANSWER: Duration = Duration::from_secs(30);
/// For all small files of one update together: a source that drips must not hold an update up for ever.
const DOCUMENTS: Duration = Duration::from_secs(300);
/// Slowest download that is waited for, bytes per second.
const SLOWEST: u64 = 64 << 10;

/// A web server.
pub struct Web {
    base: reqwest::Url,
    client: Client,
    documents_until: Instant,
}

impl Web {
    /// A client for the repository at `base`; connects on first use. Certificates are checked by the platform's own roots.
    pub fn new(base: &str) -> Result<Self> {
        let wrong = |have: &dyn std::fmt::Display| {
            Refusal::new(Reason::Usage, base, "a URL like https://releases.example.org/repository/, without query or fragment", have)
        };
        let slash = if base.ends_with('/') { base.to_owned() } else { format!("{base}/") };
        let url = reqwest::Url::parse(&slash).map_err(|e| wrong(&e))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(&"one of them"));
        }
        // One provider for the process; an error only says that it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Without TLS the platform's roots play no part: a host without any must not be refused for that.
        let roots = |builder: ClientBuilder| if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let client = roots(Client::builder())
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .http1_only()
            .connect_timeout(ANSWER)
            .timeout(ANSWER)
            .user_agent(concat!("proofmark-verifier/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| failure::lacks(base, "a TLS client", causes(&e)))?;
        Ok(Web { base: url, client, documents_until: Instant::now() + DOCUMENTS })
    }

    fn unreachable(&self, path: &str, want: &str, have: impl std::fmt::Display) -> Refusal {
        Refusal::new(Reason::Unreachable, format_args!("{}{path}", self.base), want, have)
    }

    /// The body of a 200. `None`: 404 or 410.
    fn get(&self, path: &str) -> Result<Option<Response>> {
        let url = self.base.join(path).map_err(|e| self.unreachable(path, "a URL", e))?;
        let response = self.client.get(url).header(ACCEPT_ENCODING, "identity").send();
        let response = response.map_err(|e| self.unreachable(path, "an answer", causes(&e)))?;
        match response.status().as_u16() {
            200 => {}
            404 | 410 => return Ok(None),
            other => return Err(self.unreachable(path, "status 200, or 404 where there is no such file", format_args!("status {other}"))),
        }
        match response.headers().get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
            None | Some(b"identity") => Ok(Some(response)),
            Some(other) => {
                Err(self.unreachable(path, "the file's own bytes", format_args!("content encoding {}", String::from_utf8_lossy(other))))
            }
        }
    }

    /// Copies at most `most` bytes before `until`.
    fn copy(&self, path: &str, mut response: Response, most: u64, until: Instant, out: &mut dyn Write) -> Result<u64> {
        let mut buffer = vec![0; 64 << 10];
        let mut copied = 0;
        while copied < most {
            if Instant::now() >= until {
                return Err(self.unreachable(path, "the file in reasonable time", format_args!("{copied} bytes, then slower and slower")));
            }
            let room = buffer.len().min(usize::try_from(most - copied).unwrap_or(usize::MAX));
            match response.read(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(n) => {
                    out.write_all(&buffer[..n]).map_err(failure::io(path, "room for the download"))?;
                    copied += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.unreachable(path, "the whole file", format_args!("{copied} bytes, then: {}", causes(&e)))),
            }
        }
        Ok(copied)
    }
}

impl Source for Web {
    fn name(&self) -> String {
        self.base.to_string()
    }

    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        if Instant::now() >= self.documents_until {
            return Err(self.unreachable(
                path,
                "all documents in reasonable time",
                format_args!("{} s were not enough", DOCUMENTS.as_secs()),
            ));
        }
        let Some(response) = self.get(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        self.copy(path, response, limit as u64 + 1, self.documents_until, &mut bytes)?;
        within_limit(&bytes, limit, path)?;
        Ok(Some(bytes))
    }

    fn download(&self, path: &str, size: u64, out: &mut File) -> Result<()> {
        let until = Instant::now() + ANSWER + Duration::from_secs(size / SLOWEST);
        let response = self.get(path)?.ok_or_else(|| absent(self, path))?;
        let copied = self.copy(path, response, size.saturating_add(1), until, out)?;
        check_size(path, size, copied)
    }
}

fn check_size(path: &str, want: u64, have: u64) -> Result<()> {
    if have == want {
        return Ok(());
    }
    let have = if have > want { "more".to_owned() } else { format!("{have} bytes") };
    Err(Refusal::new(Reason::Size, path, format_args!("{want} bytes"), have))
}

/// An error and what lies under it, in one line: reqwest tells the interesting part last.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Answers each connection with `answer`, then with `filler` for as long as the client listens.
    fn server(answer: &'static str, filler: &'static [u8]) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = [0; 2048];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(answer.as_bytes());
                while !filler.is_empty() && stream.write_all(filler).is_ok() {}
            }
        });
        Web::new(&format!("http://{address}/repo")).unwrap()
    }

    #[test]
    fn attack_24_only_a_plain_200_is_an_answer() {
        let good = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", b"");
        assert_eq!(good.read("latest", 10).unwrap().unwrap(), b"ok");
        for status in ["206 Partial Content", "304 Not Modified", "302 Found\r\nLocation: http://127.0.0.1:1/x", "500 No", "204 No Content"]
        {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let refusal = server(answer.leak(), b"").read("latest", 10).unwrap_err();
            assert_eq!(refusal.reason(), Reason::Unreachable, "{status}");
        }
        let gone = server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", b"");
        assert_eq!(gone.read("latest", 10).unwrap(), None);
        let encoded = server("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", b"");
        assert_eq!(encoded.read("latest", 10).unwrap_err().reason(), Reason::Unreachable);
    }

    #[test]
    fn attack_24_endless_answers_end() {
        let endless = server("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &[b'x'; 4096]);
        assert_eq!(endless.read("latest", 1000).unwrap_err().reason(), Reason::Limit);
        let mut out = tempfile::tempfile().unwrap();
        assert_eq!(endless.download("b", 100_000, &mut out).unwrap_err().reason(), Reason::Size);
        assert_eq!(out.metadata().unwrap().len(), 100_001);
        let headers = server("HTTP/1.1 200 OK\r\n", b"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
        assert_eq!(headers.read("latest", 1000).unwrap_err().reason(), Reason::Unreachable);
        let short = server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nok", b"");
        assert_eq!(short.read("latest", 1000).unwrap_err().reason(), Reason::Unreachable);
    }
}
