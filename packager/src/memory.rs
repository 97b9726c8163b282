//! What this user has approved: one small file for each version, so that nobody signs two documents of one version, also where both came
//! by mail and no repository knows of the other (ATTACKS 14).
//!
//! It is kept in XDG_STATE_HOME/proofmark/approved, ~/.local/state where that is not set (XDG Base Directory Specification). It holds no
//! secret and proves nothing to others; what it cannot write down is not signed.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use proofmark_core::Digest;
use proofmark_core::name::RepositoryId;

use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::proposal::Subject;

/// The directory, and one repository in it.
pub struct Memory {
    directory: PathBuf,
}

/// Nothing is to be signed.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Another document of that version was approved before.
    #[error("{subject}: approved with sha256 {there} before")]
    Other {
        /// What is to be signed.
        subject: Subject,
        /// What stands in the file.
        there: String,
        /// Digest of what is to be signed.
        new: Digest,
        /// The file.
        path: PathBuf,
    },
}

impl Refuse for MemoryError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal().next("approve must write down what it signs: XDG_STATE_HOME=DIR names another place"),
            Self::Other { subject, there, new, path } => {
                Refusal::new(Exit::Rollback, "second-proposal", "you have approved another proposal of this version", subject)
                    .want(format!("sha256 {there}, which you signed"))
                    .have(format!("sha256 {new}"))
                    .next(format!(
                        "ask the proposer which of them counts, and whether the other is destroyed. Only then: rm {}",
                        path.display()
                    ))
            }
        }
    }
}

impl Memory {
    /// The user's own, for one repository.
    #[allow(clippy::disallowed_methods, reason = "where a user keeps state; nothing of it is believed but that it forbids")]
    pub fn of(repository: &RepositoryId) -> Self {
        let base = match std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(path) => path,
            None => std::env::home_dir().unwrap_or_default().join(".local/state"),
        };
        Self::at(&base.join("proofmark/approved"), repository)
    }

    /// In `directory`.
    pub fn at(directory: &Path, repository: &RepositoryId) -> Self {
        Self { directory: directory.join(repository.to_string()) }
    }

    /// Writes down that a document is about to be signed, before it is.
    ///
    /// # Errors
    /// [`MemoryError::Other`] where one with other bytes was, under the same name.
    pub fn keep(&self, subject: Subject, digest: Digest) -> Result<(), MemoryError> {
        fs::create_dir_all(&self.directory).at("create", &self.directory)?;
        let path = self.directory.join(subject.file());
        // Whole or not at all: an empty file would forbid for ever.
        let mut new = tempfile::NamedTempFile::new_in(&self.directory).at("create a file in", &self.directory)?;
        writeln!(new, "{digest}").and_then(|()| new.as_file().sync_all()).at("write", new.path())?;
        match new.persist_noclobber(&path) {
            Ok(_) => return Ok(()),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.error).at("create", path)?,
        }
        let mut there = String::new();
        File::open(&path).and_then(|file| file.take(128).read_to_string(&mut there)).at("read", &path)?;
        if there.trim_end() == digest.to_string() {
            return Ok(());
        }
        Err(MemoryError::Other { subject, there: there.trim_end().to_owned(), new: digest, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_approved_with_one_content_in_each_repository() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = ["1", "2"].map(|digit| Memory::at(dir.path(), &digit.repeat(32).parse().unwrap()));
        let [first, second] = [Digest::of(b"first"), Digest::of(b"second")];
        one.keep(Subject::Index(7), first).unwrap();
        one.keep(Subject::Index(7), first).unwrap();
        one.keep(Subject::Index(8), second).unwrap();
        one.keep(Subject::Trust(7), second).unwrap();
        other.keep(Subject::Index(7), second).unwrap();
        let refusal = one.keep(Subject::Index(7), second).unwrap_err().refusal();
        assert_eq!((refusal.code as u8, refusal.reason), (84, "second-proposal"));
        let file = dir.path().join("1".repeat(32)).join("7.index.json");
        assert!(refusal.next.unwrap().contains(file.to_str().unwrap()));
    }
}
