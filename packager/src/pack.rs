//! The one tar writer: members and a launch in, the bundle's bytes out (FORMAT.md section 6).
//!
//! A pure function of its arguments. It never reads a clock, an environment variable, or a file's owner, mode or times.

use proofmark_core::bundle::{self, MANIFEST};
use proofmark_core::digest::Hasher;
use proofmark_core::json::{self, Document};
use proofmark_core::manifest::{self, FileMode, Manifest};
use proofmark_core::name::MemberPath;
use proofmark_core::{Digest, Refusal};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

/// Compression level of contract 1.
const LEVEL: i32 = 3;
/// Bytes read at once, and how many of them wait to be hashed.
const CHUNK: usize = 256 << 10;
const QUEUE: usize = 8;

/// A file to be packed.
#[derive(Clone, Debug)]
pub struct Member {
    /// Where it lands.
    pub path: MemberPath,
    /// 0644 or 0755.
    pub mode: FileMode,
    /// Its bytes.
    pub content: Content,
}

/// Where a member's bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In a file, whose own mode and times do not matter.
    File(PathBuf),
    /// In memory.
    Bytes(Vec<u8>),
}

/// A bundle that has been written.
#[derive(Clone, Debug)]
pub struct Packed {
    /// SHA-256 of the bundle.
    pub digest: Digest,
    /// Bytes of the bundle.
    pub size: u64,
    /// Bytes of the tar stream inside.
    pub unpacked_size: u64,
    /// Its manifest.
    pub manifest: Manifest,
    /// SHA-256 of `manifest.json`.
    pub manifest_sha256: Digest,
}

/// Why a bundle could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A member could not be read.
    #[error("cannot read {path} for member {member}: {error}")]
    Read {
        /// Member path.
        member: MemberPath,
        /// File.
        path: PathBuf,
        /// Cause.
        error: io::Error,
    },
    /// A member changed while it was packed.
    #[error("{path} changed while it was packed as {member}; pack again when nothing writes to it")]
    Changed {
        /// Member path.
        member: MemberPath,
        /// File.
        path: PathBuf,
    },
    /// The bundle could not be written.
    #[error("cannot write the bundle: {0}")]
    Write(#[from] io::Error),
    /// The manifest breaks a rule of the format.
    #[error("{0}")]
    Refused(#[from] Refusal),
}

/// Packs `members` (any order) under `manifest`, whose `files` are replaced by them, into `out`.
///
/// # Errors
/// What the core would refuse in a manifest, members that cannot be read or that change between the two passes, and errors of `out`.
pub fn pack(mut manifest: Manifest, mut members: Vec<Member>, out: &mut dyn Write) -> Result<Packed, Error> {
    members.sort_by(|a, b| a.path.cmp(&b.path));
    manifest.files = members.iter().map(describe).collect::<Result<_, _>>()?;
    manifest.check()?;
    let text = json::print(&manifest);
    json::parse::<Manifest>(&text, MANIFEST)?;
    let unpacked_size = bundle::stream_size(text.len() as u64, &manifest);

    let mut counted = Counted { out, hasher: Hasher::default() };
    let mut zstd = zstd::stream::write::Encoder::new(&mut counted, LEVEL)?;
    zstd.window_log(proofmark_core::limits::WINDOW_LOG)?;
    zstd.include_checksum(true)?;
    zstd.include_contentsize(true)?;
    zstd.set_pledged_src_size(Some(unpacked_size))?;
    let mtime = manifest.source.time;
    zstd.write_all(&bundle::header(MANIFEST, text.len() as u64, FileMode::Data, mtime)?)?;
    zstd.write_all(&text)?;
    pad(&mut zstd, bundle::padding(text.len() as u64))?;
    for (member, file) in members.iter().zip(&manifest.files) {
        zstd.write_all(&bundle::header(file.path.as_str(), file.size, file.mode, mtime)?)?;
        write_content(member, file, &mut zstd)?;
        pad(&mut zstd, bundle::padding(file.size))?;
    }
    pad(&mut zstd, 2 * bundle::BLOCK)?;
    zstd.finish()?;
    let (digest, size) = counted.hasher.finish();
    Ok(Packed { digest, size, unpacked_size, manifest_sha256: Digest::of(&text), manifest })
}

/// First pass: size and digest.
fn describe(member: &Member) -> Result<manifest::File, Error> {
    let (sha256, size) = match &member.content {
        Content::Bytes(bytes) => (Digest::of(bytes), bytes.len() as u64),
        Content::File(path) => {
            File::open(path).and_then(|mut file| Digest::of_reader(&mut file)).map_err(|error| unreadable(member, path, error))?
        }
    };
    Ok(manifest::File { path: member.path.clone(), size, mode: member.mode, sha256 })
}

/// Second pass: the bytes, which must still be those of the first. A second thread hashes what this one compresses.
fn write_content(member: &Member, file: &manifest::File, out: &mut dyn Write) -> Result<(), Error> {
    let path = match &member.content {
        Content::Bytes(bytes) => return Ok(out.write_all(bytes)?),
        Content::File(path) => path,
    };
    let mut reader = File::open(path).map_err(|error| unreadable(member, path, error))?.take(file.size + 1);
    let written = thread::scope(|scope| {
        let (chunks, written) = mpsc::sync_channel::<Vec<u8>>(QUEUE);
        let hashing = scope.spawn(move || {
            let mut hasher = Hasher::default();
            written.iter().for_each(|chunk| hasher.update(&chunk));
            hasher.finish()
        });
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            reader.by_ref().take(CHUNK as u64).read_to_end(&mut chunk).map_err(|error| unreadable(member, path, error))?;
            if chunk.is_empty() {
                break;
            }
            out.write_all(&chunk)?;
            // The receiver lives until this sender is dropped.
            let _ = chunks.send(chunk);
        }
        drop(chunks);
        Ok::<_, Error>(hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    if written != (file.sha256, file.size) {
        return Err(Error::Changed { member: member.path.clone(), path: path.clone() });
    }
    Ok(())
}

fn unreadable(member: &Member, path: &Path, error: io::Error) -> Error {
    Error::Read { member: member.path.clone(), path: path.to_owned(), error }
}

fn pad(out: &mut dyn Write, count: u64) -> io::Result<()> {
    out.write_all(&[0; 2 * bundle::BLOCK as usize][..count as usize])
}

/// Counts and hashes what passes.
struct Counted<'a> {
    out: &'a mut dyn Write,
    hasher: Hasher,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
