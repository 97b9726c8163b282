//! Opens what is to be compared: a bundle, a directory, or a file; and reads from it, bounded.
//!
//! Everything here is untrusted. A file is opened so that a pipe or a device put in its place cannot hold this program up, and no more
//! of it is kept than [`KEPT`]. Nothing is written.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use proofmark_core::Digest;
use rustix::fs::OFlags;

use super::report::{Role, Side, SideKind};
use super::{CompareError, bundle, tree};
use crate::exit::{IoContext, IoError};
use crate::text;

/// Largest file that is looked into, bytes; of larger ones only the digest or the first difference is told.
pub(super) const KEPT: u64 = 512 << 20;

/// One side, opened.
pub(super) struct Opened {
    pub(super) side: Side,
    pub(super) items: BTreeMap<String, Item>,
    pub(super) notes: Vec<String>,
}

/// One file of a side.
pub(super) struct Item {
    pub(super) role: Role,
    pub(super) size: u64,
    /// Permission bits, where they are part of what is compared.
    pub(super) mode: Option<u32>,
    pub(super) content: Stored,
}

/// Where the bytes are.
pub(super) enum Stored {
    /// On disk.
    File(PathBuf),
    /// In memory.
    Bytes(Vec<u8>),
    /// In a bundle, and not kept: the core has checked that its content has this digest.
    Digest(Digest),
}

impl Item {
    /// The whole content, or `None` where it is larger than [`KEPT`] or was not kept.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, IoError> {
        match &self.content {
            Stored::Bytes(bytes) => Ok(Some(bytes.clone())),
            Stored::Digest(_) => Ok(None),
            Stored::File(path) => {
                let mut bytes = Vec::new();
                regular(path)?.take(KEPT + 1).read_to_end(&mut bytes).at("read", path)?;
                Ok((bytes.len() as u64 <= KEPT).then_some(bytes))
            }
        }
    }

    /// SHA-256 of the content.
    pub(super) fn digest(&self) -> Result<Digest, IoError> {
        match &self.content {
            Stored::Digest(digest) => Ok(*digest),
            Stored::Bytes(bytes) => Ok(Digest::of(bytes)),
            Stored::File(path) => Ok(Digest::of_reader(&mut regular(path)?).at("read", path)?.0),
        }
    }

    /// The verdict for one pair: the same bytes, or not. Two digests are only compared where the core has already hashed the content.
    pub(super) fn is_same(&self, other: &Self) -> Result<bool, IoError> {
        if self.size != other.size {
            return Ok(false);
        }
        match (&self.content, &other.content) {
            (Stored::File(a), Stored::File(b)) => same_files(a, b),
            (Stored::Bytes(a), Stored::Bytes(b)) => Ok(a == b),
            _ => Ok(self.digest()? == other.digest()?),
        }
    }
}

/// Opens both sides, which must be of one kind.
pub(super) fn open(first: &Path, second: &Path) -> Result<[Opened; 2], CompareError> {
    let kinds = [sniff(first)?, sniff(second)?];
    match kinds {
        [SideKind::Tree, SideKind::Tree] => Ok([tree::open(first)?, tree::open(second)?]),
        [SideKind::File, SideKind::File] => Ok([file(first)?, file(second)?]),
        [SideKind::Bundle, SideKind::Bundle] => {
            // The same file twice is the same, whether or not it is a bundle that the core would read.
            if same_files(first, second)? { Ok([file(first)?, file(second)?]) } else { bundle::open(first, second) }
        }
        _ => Err(CompareError::Kinds { paths: [first.to_owned(), second.to_owned()], kinds }),
    }
}

/// Opens a regular file and nothing else.
pub(super) fn regular(path: &Path) -> Result<File, IoError> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).at("read", path)?;
    if file.metadata().at("inspect", path)?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a regular file nor a directory")).at("read", path)
}

/// Describes a single file, read once.
pub(super) fn describe(path: &Path, kind: SideKind) -> Result<Side, IoError> {
    let (digest, size) = Digest::of_reader(&mut regular(path)?).at("read", path)?;
    Ok(Side { path: shown(path), kind, size, sha256: Some(digest.to_string()) })
}

/// A path as it may be printed.
pub(super) fn shown(path: &Path) -> String {
    text::one_line(&path.display().to_string())
}

fn file(path: &Path) -> Result<Opened, IoError> {
    let side = describe(path, SideKind::File)?;
    let item = Item { role: Role::Output, size: side.size, mode: None, content: Stored::File(path.to_owned()) };
    // Both are one member, whatever they are called.
    Ok(Opened { side, items: BTreeMap::from([("the file".to_owned(), item)]), notes: Vec::new() })
}

fn sniff(path: &Path) -> Result<SideKind, IoError> {
    if std::fs::metadata(path).at("inspect", path)?.is_dir() {
        return Ok(SideKind::Tree);
    }
    let mut start = Vec::new();
    regular(path)?.take(4).read_to_end(&mut start).at("read", path)?;
    Ok(if start == bundle::MAGIC { SideKind::Bundle } else { SideKind::File })
}

fn same_files(a: &Path, b: &Path) -> Result<bool, IoError> {
    let (mut first, mut second) = (regular(a)?, regular(b)?);
    let (mut x, mut y) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = fill(&mut first, &mut x).at("read", a)?;
        let m = fill(&mut second, &mut y).at("read", b)?;
        if x[..n] != y[..m] {
            return Ok(false);
        }
        if n == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match file.read(&mut buffer[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}
