//! Where a release repository is kept: the few operations that a directory and an object store have in common.
//!
//! A store moves bytes and promises one thing: [`Store::create`] never replaces. It knows no format and believes nothing.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proofmark_core::Digest;

use crate::exit::{Exit, IoError, Refusal, Refuse};
use crate::interrupt::Interrupted;

mod directory;
mod object;

pub use directory::Directory;
pub use object::Objects;

/// How long a writer waits for another.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a writer tries again when others were faster.
pub(crate) const ROUNDS: usize = 32;

/// A file that can be read twice.
pub trait Stored: Read + Seek {}
impl<T: Read + Seek> Stored for T {}

/// Keeps other writers of a directory away until it is dropped. An object store has no lock: whoever loses a race is told so by
/// [`Store::create`] and [`Store::swap`].
pub trait Lock {}

/// Which of a file's contents was read: its entity tag, or its digest where a lock keeps others away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(String);

/// Opens what `place` names: `s3://BUCKET/PREFIX`, or else a directory, which need not exist yet.
pub fn open(place: &Path) -> Result<Box<dyn Store>, StoreError> {
    match place.to_str().and_then(|text| text.strip_prefix("s3://")) {
        Some(rest) => Ok(Box::new(Objects::s3(rest)?)),
        None => Ok(Box::new(Directory::new(place))),
    }
}

/// A place for a repository. Paths are those of FORMAT.md section 2, relative, with `/`.
pub trait Store {
    /// Where it is, for messages.
    fn place(&self) -> String;
    /// The file's first `limit` + 1 bytes, so that the core sees when it is too long; `None` where there is none.
    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError>;
    /// The file, for reading in pieces; `None` where there is none.
    fn open(&self, path: &str) -> Result<Option<Box<dyn Stored>>, StoreError>;
    /// Makes the file, whole and durable. `false`: there is one, and it was left alone.
    fn create(&self, path: &str, content: &mut dyn Read) -> Result<bool, StoreError>;
    /// As [`Store::read`], and the stamp of what was read, for [`Store::swap`].
    fn read_stamped(&self, path: &str, limit: usize) -> Result<Option<(Vec<u8>, Stamp)>, StoreError>;
    /// Puts the file in place of what was read under `stamp` (`None`: of nothing), in one step. `false`: there is something else by now,
    /// and it was left alone. For `latest`, and for signatures of a document that never became visible.
    fn swap(&self, path: &str, bytes: &[u8], stamp: Option<&Stamp>) -> Result<bool, StoreError>;
    /// Whether there is such a file.
    fn exists(&self, path: &str) -> Result<bool, StoreError>;
    /// Names of the files and directories in a directory, sorted; empty where there is none.
    fn list(&self, directory: &str) -> Result<Vec<String>, StoreError>;
    /// Every file at or below a directory, by its path from the base, sorted. For `gc` alone.
    fn walk(&self, directory: &str) -> Result<Vec<Found>, StoreError>;
    /// Removes a file; one that is not there is fine. For `gc` alone.
    fn remove(&self, path: &str) -> Result<(), StoreError>;
    /// Puts the file in place of whatever is there.
    fn replace(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            let stamp = self.read_stamped(path, 0)?.map(|(_, stamp)| stamp);
            if self.swap(path, bytes, stamp.as_ref())? {
                return Ok(());
            }
        }
        Err(StoreError::Raced(path.into()))
    }
    /// Takes the right to write the document at `path`, which is to have this digest: the same writer, or whoever writes the same bytes,
    /// may take it again. `Some`: somebody else has it, for what is named. Where a lock keeps others away, there is nothing to take.
    fn claim(&self, path: &str, digest: Digest) -> Result<Option<String>, StoreError>;
    /// Waits for other writers of a directory, a while. Of an object store, checks that it can keep two writers apart at all.
    fn lock(&self) -> Result<Box<dyn Lock>, StoreError>;
}

/// A file that [`Store::walk`] met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path from the base.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// When it was written, in seconds since 1970, by the clock of the store.
    pub written: i64,
}

/// The store failed. Says nothing about content.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Something that is not a regular file is in a file's place.
    #[error("{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Another writer is at work.
    #[error("{}: locked", .0.display())]
    Busy(PathBuf),
    /// Other writers were faster, again and again.
    #[error("{0}: others were faster")]
    Raced(String),
    /// The object store failed.
    #[error("{path}: {why}")]
    Object {
        /// The object.
        path: String,
        /// What it said.
        why: String,
    },
    /// The object store cannot do what is needed, or is not set up.
    #[error("{place}: {have}")]
    Unfit {
        /// The store.
        place: String,
        /// What is needed.
        want: &'static str,
        /// What there is.
        have: String,
    },
    /// A signal came while waiting.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Refuse for StoreError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => {
                error.refusal().want("a repository that can be read and written").next("fix the cause and call again; it is safe to repeat")
            }
            Self::NotAFile(path) => Refusal::new(Exit::Malformed, "not-a-file", "a repository holds regular files only", path.display())
                .want("a regular file")
                .have("a link, directory, device or the like")
                .next("find out who put it there"),
            Self::Busy(path) => Refusal::new(Exit::Io, "locked", "another writer is at work", path.display())
                .want(format!("the lock within {} seconds", PATIENCE.as_secs()))
                .have("somebody else holds it")
                .next("wait for the other command and call again"),
            Self::Raced(path) => Refusal::new(Exit::Rollback, "raced", "another writer was faster", path)
                .want(format!("to be the only writer for {ROUNDS} tries"))
                .have("another content each time")
                .next("look at what the other writer has published, then call again; nothing is lost"),
            Self::Object { path, why } => Refusal::new(Exit::Io, "object-store", "the object store refused", path)
                .want("a bucket that can be read and written")
                .have(why)
                .next("check AWS_ENDPOINT_URL, AWS_REGION and the credentials, and call again; it is safe to repeat"),
            Self::Unfit { place, want, have } => {
                Refusal::new(Exit::Platform, "unfit-store", "this object store cannot hold a repository", place)
                    .want(want)
                    .have(have)
                    .next("docs/stores.md says which settings and which stores do")
            }
            Self::Interrupted(error) => error.refusal(),
        }
    }
}
