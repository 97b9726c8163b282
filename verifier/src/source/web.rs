//! A web server as a source: GET and nothing else, within a time, a rate and a size.
//!
//! It never follows a redirect, never decodes a content encoding, and never trusts a length it was told. An answer counts when its status
//! is 200, or 206 with exactly the range that was asked for; 404 and 410 mean that the file is absent; anything else, that the source is
//! out of order (98).

use super::{Source, absent, as_hint, check_size, restart};
use crate::failure;
use crate::files::within_limit;
use crate::progress::Bar;
use proofmark_core::json::Document;
use proofmark_core::latest::Latest;
use proofmark_core::{Reason, Refusal, Result};
use reqwest::blocking::{Client, ClientBuilder, Response};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, RANGE};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

/// For all small files of one update together: a source that drips must not hold an update up for ever.
const DOCUMENTS: Duration = Duration::from_secs(300);

/// How patient a client is.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Until an answer's header is there, and between two pieces of it.
    answer: Duration,
    /// For the hint that only says whom to ask first.
    hint: Duration,
    /// Over this time a download must have had, on average,
    window: Duration,
    /// so many bytes per second.
    slowest: u64,
}

const PACE: Pace =
    Pace { answer: Duration::from_secs(30), hint: Duration::from_secs(5), window: Duration::from_secs(20), slowest: 64 << 10 };

/// A web server.
pub struct Web {
    base: reqwest::Url,
    client: Client,
    documents_until: Instant,
    pace: Pace,
}

impl Web {
    /// A client for the repository at `base`; connects on first use. Certificates are checked by the platform's own roots.
    pub fn new(base: &str) -> Result<Self> {
        Self::with_pace(base, PACE)
    }

    fn with_pace(base: &str, pace: Pace) -> Result<Self> {
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
            .connect_timeout(pace.answer)
            .timeout(pace.answer)
            .user_agent(concat!("proofmark-verifier/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| failure::lacks(base, "a TLS client", causes(&e)))?;
        Ok(Web { base: url, client, documents_until: Instant::now() + DOCUMENTS, pace })
    }

    fn unreachable(&self, path: &str, want: &str, have: impl std::fmt::Display) -> Refusal {
        Refusal::new(Reason::Unreachable, format_args!("{}{path}", self.base), want, have)
    }

    /// The body of a 200, or of a 206 that begins at `from` and ends with the file's `size`. `None`: 404 or 410.
    fn get(&self, path: &str, part: Option<(u64, u64)>, within: Option<Duration>) -> Result<Option<Answer>> {
        let url = self.base.join(path).map_err(|e| self.unreachable(path, "a URL", e))?;
        let request = self.client.get(url).header(ACCEPT_ENCODING, "identity");
        // Of the whole request; without it, the client's own is for the header and then for each piece of the body.
        let request = within.into_iter().fold(request, |request, within| request.timeout(within));
        let request = match part {
            Some((from, _)) => request.header(RANGE, format!("bytes={from}-")),
            None => request,
        };
        let response = request.send().map_err(|e| self.unreachable(path, "an answer", causes(&e)))?;
        let text = |name| response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let from = match (response.status().as_u16(), part) {
            (200, _) => 0,
            (404 | 410, _) => return Ok(None),
            (206, Some((from, size))) => {
                let want = format!("bytes {from}-{}/{size}", size.saturating_sub(1));
                match text(CONTENT_RANGE) {
                    Some(have) if have == want => from,
                    have => return Err(self.unreachable(path, &format!("the range that was asked for: {want}"), have.unwrap_or_default())),
                }
            }
            (other, _) => {
                return Err(self.unreachable(path, "status 200, or 404 where there is no such file", format_args!("status {other}")));
            }
        };
        match text(CONTENT_ENCODING).as_deref() {
            None | Some("identity") => Ok(Some(Answer { response, from })),
            Some(other) => Err(self.unreachable(path, "the file's own bytes", format_args!("content encoding {other}"))),
        }
    }

    /// Copies at most `most` bytes, before `until` or at the slowest rate that is waited for.
    fn copy(
        &self,
        path: &str,
        mut response: Response,
        most: u64,
        until: Option<Instant>,
        out: &mut dyn Write,
        bar: &mut Bar,
    ) -> Result<u64> {
        let mut buffer = vec![0; 64 << 10];
        let (mut copied, mut window) = (0, (Instant::now(), 0));
        while copied < most {
            let slow = |have: u64| {
                Err(self.unreachable(path, "the file in reasonable time", format_args!("{have} bytes, then slower and slower")))
            };
            if until.is_some_and(|until| Instant::now() >= until) {
                return slow(copied);
            }
            let (begin, before) = window;
            if until.is_none() && begin.elapsed() >= self.pace.window {
                if copied - before < self.pace.slowest.saturating_mul(begin.elapsed().as_millis() as u64) / 1000 {
                    return slow(copied);
                }
                window = (Instant::now(), copied);
            }
            let room = buffer.len().min(usize::try_from(most - copied).unwrap_or(usize::MAX));
            match response.read(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(n) => {
                    out.write_all(&buffer[..n]).map_err(failure::io(path, "room for the download"))?;
                    copied += n as u64;
                    bar.add(n as u64);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.unreachable(path, "the whole file", format_args!("{copied} bytes, then: {}", causes(&e)))),
            }
        }
        Ok(copied)
    }

    fn small(&self, path: &str, limit: usize, within: Option<Duration>) -> Result<Option<Vec<u8>>> {
        let Some(Answer { response, .. }) = self.get(path, None, within)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let until = within.map_or(self.documents_until, |within| Instant::now() + within);
        self.copy(path, response, limit as u64 + 1, Some(until), &mut bytes, &mut Bar::none())?;
        within_limit(&bytes, limit, path)?;
        Ok(Some(bytes))
    }
}

/// An answer, and at which byte of the file it begins.
struct Answer {
    response: Response,
    from: u64,
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
        self.small(path, limit, None)
    }

    fn download(&self, path: &str, size: u64, out: &mut File) -> Result<()> {
        let room = || failure::io(path, "room for the download");
        let have = out.seek(SeekFrom::End(0)).map_err(room())?;
        // A beginning that is no beginning is of no use, and nothing is left to ask for when all is there.
        let part = (0 < have && have < size).then_some((have, size));
        let answer = match self.get(path, part, None) {
            // Not every server knows ranges, and one that answers nonsense may have the whole file all the same.
            Err(_) if part.is_some() => self.get(path, None, None),
            other => other,
        };
        let Answer { response, from } = answer?.ok_or_else(|| absent(self, path))?;
        if from == 0 {
            restart(path, out)?;
        }
        let mut bar = Bar::new(path, size, from);
        let copied = self.copy(path, response, (size - from).saturating_add(1), None, out, &mut bar)?;
        check_size(path, size, from + copied)
    }

    fn hint(&self) -> Option<(u64, usize)> {
        as_hint(&self.small("latest", Latest::LIMIT, Some(self.pace.hint)).ok()??)
    }
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
    fn attack_24_a_download_below_the_rate_or_without_a_byte_is_given_up_and_what_came_is_kept() {
        let pace = Pace {
            answer: Duration::from_millis(300),
            hint: Duration::from_millis(300),
            window: Duration::from_millis(100),
            slowest: 1 << 20,
        };
        for drip in [Duration::from_millis(5), Duration::from_secs(60)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let web = Web::with_pace(&format!("http://{}", listener.local_addr().unwrap()), pace).unwrap();
            thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 2048]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n0123456789");
                while stream.write_all(b"x").is_ok() {
                    thread::sleep(drip);
                }
            });
            let mut out = tempfile::tempfile().unwrap();
            let begin = Instant::now();
            assert_eq!(web.download("b", 1_000_000, &mut out).unwrap_err().reason(), Reason::Unreachable);
            assert!(begin.elapsed() < Duration::from_secs(10));
            assert!(out.metadata().unwrap().len() >= 10);
        }
    }

    #[test]
    fn attack_24_a_range_that_was_not_asked_for_is_not_taken() {
        for range in ["bytes 3-9/10", "bytes 4-8/10", "bytes 4-9/11", "bytes 4-9/*", ""] {
            let answer =
                format!("HTTP/1.1 206 Partial Content\r\nContent-Range: {range}\r\nContent-Length: 6\r\nConnection: close\r\n\r\n456789");
            let web = server(answer.leak(), b"");
            let mut out = tempfile::tempfile().unwrap();
            out.write_all(b"0123").unwrap();
            assert_eq!(web.download("b", 10, &mut out).unwrap_err().reason(), Reason::Unreachable, "{range}");
            assert_eq!(out.metadata().unwrap().len(), 4, "{range}");
        }
        let web = server("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-9/10\r\nConnection: close\r\n\r\n456789", b"");
        let mut out = tempfile::tempfile().unwrap();
        out.write_all(b"0123").unwrap();
        web.download("b", 10, &mut out).unwrap();
        assert_eq!(out.metadata().unwrap().len(), 10);
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
