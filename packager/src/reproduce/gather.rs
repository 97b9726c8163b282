//! The inputs of a release, out of the repository, each checked before anything else looks at it.
//!
//! A file that is not what its name says ends all: nothing is built from the rest. This file must never look for an input elsewhere.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use proofmark_core::Digest;
use proofmark_core::digest::Hasher;

use super::ReproduceError;
use crate::exit::{IoContext, IoError};
use crate::inputs::Input;
use crate::interrupt;
use crate::progress::Progress;
use crate::repository::Repository;

/// Largest zstd window of a tree stream, as a power of two: what zstd itself accepts by default.
const WINDOW_LOG: u32 = 27;

/// Copies every input to `to`, which exists: each under its digest, tree streams uncompressed.
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
    directory.join(input.sha256.to_string())
}

fn fetch(repository: &Repository, input: &Input, to: &Path) -> Result<(), ReproduceError> {
    let path = input.path();
    let stored = BufReader::new(repository.open_file(&path)?);
    let mut stream: Box<dyn Read> = if input.kind.is_tree() {
        let decoder = zstd::stream::read::Decoder::with_buffer(stored).and_then(|mut decoder| {
            decoder.window_log_max(WINDOW_LOG)?;
            Ok(decoder.single_frame())
        });
        Box::new(decoder.map_err(|error| damaged(input, &error))?)
    } else {
        Box::new(stored)
    };
    let (have, size) = copy(&mut stream, input, to)?;
    let same = input.sha256.check(have, &path).is_ok() && size == input.size;
    if same { Ok(()) } else { Err(ReproduceError::Poisoned { input: input.clone().into(), path, have: describe(have, size, input) }) }
}

/// At most one byte more than there should be.
fn copy(from: &mut dyn Read, input: &Input, to: &Path) -> Result<(Digest, u64), ReproduceError> {
    let file = File::options().write(true).create_new(true).open(to).at("create", to)?;
    let mut out = BufWriter::with_capacity(1 << 18, file);
    let mut hasher = Hasher::default();
    let mut from = from.take(input.size.saturating_add(1));
    let mut buffer = vec![0; 1 << 18];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(input, &error)),
        };
        hasher.update(&buffer[..n]);
        out.write_all(&buffer[..n]).at("write", to)?;
    }
    out.flush().at("write", to)?;
    Ok(hasher.finish())
}

fn describe(have: Digest, size: u64, input: &Input) -> String {
    if size > input.size { format!("more than {} bytes", input.size) } else { format!("sha256 {have}, {size} bytes") }
}

/// An error of the operating system is "cannot tell"; any other means that the bytes are not what they should be.
fn damaged(input: &Input, error: &io::Error) -> ReproduceError {
    if error.raw_os_error().is_some() {
        let source = io::Error::new(error.kind(), error.to_string());
        return IoError { action: "read", path: input.path().into(), source }.into();
    }
    ReproduceError::Poisoned { input: input.clone().into(), path: input.path(), have: error.to_string() }
}
