//! The accepted documents: one directory for each accepted head, with everything that its chain consists of.
//!
//! The state names the head, so that the rename of `state.json` switches to all documents of a chain at once: a directory is
//! complete before the state points to it, and is never changed afterwards. It never holds a document that was not accepted.

use crate::durable::Disk;
use crate::failure;
use crate::files::Directory;
use crate::paths::Layout;
use crate::source::Memory;
use proofmark_core::admission::State;
use proofmark_core::{Digest, Reason, Refusal, Result};
use std::fs;
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;

/// The documents of the accepted head. Errors: [`Reason::State`] where they are missing.
pub fn open(layout: &Layout, state: &State) -> Result<Directory> {
    let missing = |path: &Path, have: &str| {
        Refusal::new(Reason::State, path.display(), "the accepted documents; proofmark-verifier update gets them again", have)
    };
    let Some(head) = &state.head else { return Err(missing(&layout.state(), "no accepted head")) };
    let path = layout.documents_of(head.sha256);
    Directory::open(&path)?.ok_or_else(|| missing(&path, "no such directory"))
}

/// Writes documents to a new temporary directory in `parent`.
pub fn prepare(disk: &Disk, parent: &Path, documents: &Memory) -> Result<TempDir> {
    let wrong = failure::io(parent, "to be written");
    let write = || {
        disk.directories(parent)?;
        let temporary = disk.temporary_directory(parent)?;
        write_all(disk, temporary.path(), documents)?;
        Ok(temporary)
    };
    write().map_err(|e: std::io::Error| wrong(e))
}

/// Whether all of these are in `directory` already, byte for byte.
pub fn are_there(directory: &Path, documents: &Memory) -> bool {
    let Ok(Some(directory)) = Directory::open(directory) else { return false };
    documents.0.iter().all(|(path, bytes)| directory.read(path, bytes.len()).is_ok_and(|have| have.as_ref() == Some(bytes)))
}

/// Writes documents below `directory`, which is nobody's yet: whoever commits the directory syncs it.
pub fn write_all(disk: &Disk, directory: &Path, documents: &Memory) -> std::io::Result<()> {
    for (path, bytes) in &documents.0 {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            disk.folder(parent)?;
        }
        disk.part(&path, 0o644)?.write_all(bytes)?;
    }
    Ok(())
}

/// Removes the documents of all heads but these. Called after the state has moved on; a failure only costs room.
#[allow(clippy::disallowed_methods, reason = "every entry is judged by itself, in any order")]
pub fn prune(layout: &Layout, keep: &[Digest]) {
    let Ok(entries) = fs::read_dir(layout.documents()) else { return };
    for entry in entries.flatten() {
        let digest = entry.file_name().to_str().and_then(|name| name.parse::<Digest>().ok());
        if digest.is_some_and(|digest| !keep.contains(&digest)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
