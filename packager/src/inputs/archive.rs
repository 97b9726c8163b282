//! Inputs into a repository: each once, under its digest, whatever release brings it.
//!
//! What becomes visible has the digest in its name: content is hashed on its way, and a file that changed meanwhile is not written.

use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read, Write};
use std::path::Path;

use proofmark_core::Digest;
use proofmark_core::digest::Hasher;

use super::{Collected, Content, DIRECTORY, Input, tree};
use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::interrupt::{self, Interrupted};
use crate::progress::Progress;
use crate::repository::{Repository, RepositoryError};

/// zstd level of tree streams: a toolchain in two seconds. No digest depends on it.
const LEVEL: i32 = 1;

/// An input was not archived.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Stopped by a signal.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// It is not what the build has used.
    #[error("{input}: want sha256 {}, have {have}", .input.sha256)]
    Changed {
        /// Which.
        input: Box<Input>,
        /// Its digest now.
        have: Digest,
    },
}

impl Refuse for ArchiveError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Interrupted(error) => error.refusal(),
            Self::Repository(error) => error.refusal(),
            Self::Changed { input, have } => Refusal::new(Exit::Hash, "input-changed", "an input is not what the build has used", input)
                .want(format!("sha256 {}", input.sha256))
                .have(format!("sha256 {have}"))
                .next("something writes to the caches or the toolchain of this machine; find out what, then release again"),
        }
    }
}

/// Puts into `repository` whatever it does not have yet. Returns how many inputs were new. Only for who holds the lock.
pub fn archive(repository: &Repository, collected: &[Collected], scratch: &Path, progress: &dyn Progress) -> Result<usize, ArchiveError> {
    let there = repository.list(DIRECTORY)?;
    let mut new = 0;
    for Collected { input, content } in collected {
        if there.binary_search(&input.file()).is_ok() {
            continue;
        }
        interrupt::check()?;
        if input.kind.is_tree() || new % 50 == 0 {
            progress.step(&format!("archiving {input}"));
        }
        let mut reader: Box<dyn Read> = match content {
            Content::Bytes(bytes) => Box::new(Checked::new(Cursor::new(bytes), input)),
            Content::File(path) => Box::new(Checked::new(File::open(path).at("open", path)?, input)),
            Content::Tree(entries) => Box::new(compress(entries, input, scratch)?),
        };
        let created = repository.create_input(&input.path(), &mut reader);
        new += match created {
            Ok(created) => usize::from(created),
            Err(error) => {
                return Err(
                    changed(content, input)?.map_or(error.into(), |have| ArchiveError::Changed { input: input.clone().into(), have })
                );
            }
        };
    }
    Ok(new)
}

/// The compressed tree stream in a temporary file, once its digest is the input's.
fn compress(entries: &[tree::Entry], input: &Input, scratch: &Path) -> Result<File, ArchiveError> {
    let file = tempfile::tempfile_in(scratch).at("create a file in", scratch)?;
    let at = |error| IoError { action: "compress into", path: scratch.to_path_buf(), source: error };
    let zstd = zstd::stream::write::Encoder::new(BufWriter::with_capacity(1 << 20, file), LEVEL).map_err(at)?;
    let mut both = Both { zstd, hasher: Hasher::default() };
    // A member is written in small pieces; hashing and compressing like larger ones.
    let mut buffered = BufWriter::with_capacity(1 << 18, &mut both);
    tree::write(entries, &mut buffered)?;
    buffered.flush().map_err(at)?;
    drop(buffered);
    let (have, _) = both.hasher.finish();
    if input.sha256.check(have, input).is_err() {
        return Err(ArchiveError::Changed { input: input.clone().into(), have });
    }
    let mut file = both.zstd.finish().and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error)).map_err(at)?;
    io::Seek::rewind(&mut file).map_err(at)?;
    Ok(file)
}

/// The digest that a file or bytes have now, where that is not the input's: the cause of a failed write.
fn changed(content: &Content, input: &Input) -> Result<Option<Digest>, IoError> {
    let have = match content {
        Content::Bytes(bytes) => Digest::of(bytes),
        Content::File(path) => File::open(path).and_then(|mut file| Digest::of_reader(&mut file)).at("read", path)?.0,
        Content::Tree(_) => return Ok(None),
    };
    Ok(input.sha256.check(have, input).is_err().then_some(have))
}

/// Compresses and hashes what is written to it.
struct Both<W: Write> {
    zstd: zstd::stream::write::Encoder<'static, W>,
    hasher: Hasher,
}

impl<W: Write> Write for Both<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.zstd.write_all(bytes)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.zstd.flush()
    }
}

/// Ends with an error where the bytes read so far do not have the digest: a store then creates nothing.
struct Checked<'a, R> {
    inner: R,
    hasher: Option<Hasher>,
    input: &'a Input,
}

impl<'a, R> Checked<'a, R> {
    fn new(inner: R, input: &'a Input) -> Self {
        Checked { inner, hasher: Some(Hasher::default()), input }
    }
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if n > 0 || buffer.is_empty() {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..n]);
            }
            return Ok(n);
        }
        match self.hasher.take().map(Hasher::finish) {
            Some((have, _)) if self.input.sha256.check(have, self.input).is_err() => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "not the digest it had"))
            }
            _ => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn a_file_with_another_digest_ends_in_an_error_before_its_end() {
        let input = Input { kind: Kind::Crate, name: "a 1".into(), sha256: Digest::of(b"good"), size: 4 };
        let read = |bytes: &[u8]| io::read_to_string(Checked::new(bytes, &input)).is_ok();
        assert!(read(b"good") && !read(b"evil") && !read(b"goo"));
    }
}
