//! The inputs of a release, out of the repository, each checked before anything else looks at it.
//!
//! A file that is not what its name says ends all: nothing is built from the rest. This file must never look for an input elsewhere.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use proofmark_core::Digest;
use proofmark_core::digest::Hasher;

use super::ReproduceError;
use crate::exit::{IoContext, IoError};
use crate::inputs::{Input, Kind};
use crate::interrupt;
use crate::progress::Progress;
use crate::repository::Repository;

/// Largest zstd window of a tree stream, as a power of two: what zstd itself accepts by default.
const WINDOW_LOG: u32 = 27;

/// Copies every input to `to`, which exists: each under its digest, the source uncompressed, the toolchain as it is archived.
pub(super) fn gather(repository: &Repository, inputs: &[Input], to: &Path, progress: &dyn Progress) -> Result<(), ReproduceError> {
    progress.step(&format!("checking {} inputs", inputs.len()));
    for input in inputs {
        interrupt::check()?;
        fetch(repository, input, &file(to, input))?;
    }
    Ok(())
}

/// Where [`gather`] has put an input.
pub(super) fn file(directory: &Path, input: &Input) -> PathBuf {
    directory.join(if input.kind == Kind::Rust { input.file() } else { input.sha256.to_string() })
}

/// Copies one input to the new file `to`, as [`gather`] does.
pub(super) fn fetch(repository: &Repository, input: &Input, to: &Path) -> Result<(), ReproduceError> {
    let path = input.path();
    let out = File::options().write(true).create_new(true).open(to).at("create", to)?;
    let mut out = BufWriter::with_capacity(1 << 18, out);
    // More than zstd ever needs for so many bytes: a frame of empty blocks without end is cut off.
    let most = input.size.saturating_add(input.size / 128).saturating_add(1 << 20);
    let mut stored = repository.open_file(&path)?.take(most);
    let (have, size) = match input.kind {
        Kind::Rust => hash(&mut decoder(&mut Tee { from: &mut stored, to: &mut out }, input)?, input, &mut io::sink(), to)?,
        Kind::Source => hash(&mut decoder(&mut stored, input)?, input, &mut out, to)?,
        Kind::Crate | Kind::Deb | Kind::Lock => hash(&mut stored, input, &mut out, to)?,
    };
    out.flush().at("write", to)?;
    if input.sha256.check(have, &path).is_ok() && size == input.size {
        return Ok(());
    }
    let have = if size > input.size { format!("more than {} bytes", input.size) } else { format!("sha256 {have}, {size} bytes") };
    Err(ReproduceError::Poisoned { input: input.clone().into(), path, have })
}

fn decoder<'a>(from: &'a mut dyn Read, input: &Input) -> Result<impl Read + 'a, ReproduceError> {
    let decoder = zstd::stream::read::Decoder::new(from).and_then(|mut decoder| {
        decoder.window_log_max(WINDOW_LOG)?;
        Ok(decoder.single_frame())
    });
    decoder.map_err(|error| damaged(input, &error))
}

/// Copies and hashes at most one byte more than there should be.
fn hash(from: &mut dyn Read, input: &Input, out: &mut dyn Write, to: &Path) -> Result<(Digest, u64), ReproduceError> {
    let mut hasher = Hasher::default();
    let mut from = from.take(input.size.saturating_add(1));
    let mut buffer = vec![0; 1 << 18];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(input, &error)),
        };
        hasher.update(&buffer[..n]);
        out.write_all(&buffer[..n]).at("write", to)?;
    }
}

/// Copies what is read.
struct Tee<'a, R, W> {
    from: &'a mut R,
    to: &'a mut W,
}

impl<R: Read, W: Write> Read for Tee<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.to.write_all(&buffer[..n])?;
        Ok(n)
    }
}

/// An error of the operating system is "cannot tell"; any other means that the bytes are not what they should be.
fn damaged(input: &Input, error: &io::Error) -> ReproduceError {
    if error.raw_os_error().is_some() {
        let source = io::Error::new(error.kind(), error.to_string());
        return IoError { action: "read", path: input.path().into(), source }.into();
    }
    ReproduceError::Poisoned { input: input.clone().into(), path: input.path(), have: error.to_string() }
}
