//! Untrusted bytes from a repository: a directory, a web server, or memory. Bounded in size and time; believed by nobody here.
//!
//! It never decides what is true: of several sources, what one says only orders the questions.

use crate::failure;
use crate::files::{Directory, within_limit};
use proofmark_core::json::{self, Document};
use proofmark_core::latest::Latest;
use proofmark_core::{Reason, Refusal, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

mod web;

pub use web::Web;

/// Somewhere to read a repository from.
pub trait Source {
    /// Its address, for messages.
    fn name(&self) -> String;
    /// A small file. `None`: the source says that there is none. Errors: [`Reason::Limit`] over `limit` bytes.
    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>>;
    /// A large file of `size` bytes, as promised by the index, into `out`. What `out` holds is taken for the file's beginning, where the
    /// source can go on from there: the caller checks the digest of the whole. Errors: [`Reason::Size`] as soon as there are more.
    fn download(&self, path: &str, size: u64, out: &mut File) -> Result<()>;
    /// What it says is newest: version of the head, number of halts. A hint of whom to ask first, and nothing else. It waits for seconds only.
    fn hint(&self) -> Option<(u64, usize)> {
        as_hint(&self.read("latest", Latest::LIMIT).ok()??)
    }
}

fn as_hint(bytes: &[u8]) -> Option<(u64, usize)> {
    json::parse::<Latest>(bytes, "latest").ok().map(|latest| (latest.head, latest.halts.len()))
}

/// The addresses in the order in which they are best asked: who says to know the newest head and the most halts comes first, who does not
/// answer last. A mirror that lies about this is found out when its documents are checked, and then it is the next one's turn.
pub fn in_order(addresses: &[String]) -> Vec<(&String, Result<Box<dyn Source>>)> {
    let mut sources: Vec<_> = addresses.iter().map(|address| (address, open(address))).collect();
    if sources.len() > 1 {
        sources.sort_by_cached_key(|(_, source)| std::cmp::Reverse(source.as_ref().ok().and_then(|source| source.hint())));
    }
    sources
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
        restart(path, out)?;
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

/// Throws away what a file holds.
fn restart(path: &str, out: &mut File) -> Result<()> {
    out.set_len(0).and_then(|()| out.seek(SeekFrom::Start(0))).map(drop).map_err(failure::io(path, "room for the download"))
}

fn check_size(path: &str, want: u64, have: u64) -> Result<()> {
    if have == want {
        return Ok(());
    }
    let have = if have > want { "more".to_owned() } else { format!("{have} bytes") };
    Err(Refusal::new(Reason::Size, path, format_args!("{want} bytes"), have))
}
