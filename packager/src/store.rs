//! Where a release repository is kept: the few operations that a directory and an object store have in common.
//!
//! A store moves bytes and promises one thing: [`Store::create`] never replaces. It knows no format and believes nothing.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proofmark_verifier::durable::{self, Disk};
use rustix::fs::{FlockOperation, OFlags};

use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::interrupt::{self, Interrupted};

/// How long a writer waits for another.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file that can be read twice.
pub trait Stored: Read + Seek {}
impl<T: Read + Seek> Stored for T {}

/// Keeps the only writer's right until it is dropped.
pub trait Lock {}

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
    /// Puts the file in place of what is there, in one step. For `latest`, and for signatures of a document that never became visible.
    fn replace(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError>;
    /// Names of the files in a directory, sorted; empty where there is none.
    fn list(&self, directory: &str) -> Result<Vec<String>, StoreError>;
    /// Waits for other writers, a while.
    fn lock(&self) -> Result<Box<dyn Lock>, StoreError>;
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
            Self::Interrupted(error) => error.refusal(),
        }
    }
}

/// A repository in a directory.
pub struct Directory {
    base: PathBuf,
    disk: Disk<'static>,
}

impl Directory {
    /// The directory need not exist yet.
    pub fn new(base: &Path) -> Self {
        Self::with_disk(base, Disk::new())
    }

    /// The same on a disk that a test has prepared to fail.
    pub fn with_disk(base: &Path, disk: Disk<'static>) -> Self {
        Directory { base: base.into(), disk }
    }

    /// The file's path, whose directory is there.
    fn made(&self, path: &str) -> Result<PathBuf, StoreError> {
        let path = self.base.join(path);
        let directory = path.parent().unwrap_or(&self.base);
        self.disk.directories(directory).at("create", directory)?;
        Ok(path)
    }

    /// What a writer that was cut off left behind. Only for who holds the lock.
    fn sweep(&self) -> Result<(), StoreError> {
        let mut directories: Vec<String> = ["", "trust", "index", "group", "head", "inputs"].map(str::to_owned).into();
        for parent in ["bundles", "proposals"] {
            directories.extend(self.list(parent)?.into_iter().map(|name| format!("{parent}/{name}")));
        }
        for directory in directories.iter().map(|directory| self.base.join(directory)).filter(|directory| directory.is_dir()) {
            durable::remove_leftovers(&directory).at("clear", directory)?;
        }
        Ok(())
    }
}

impl Store for Directory {
    fn place(&self) -> String {
        self.base.display().to_string()
    }

    fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(file) = open_regular(&self.base.join(path))? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes).at("read", self.base.join(path))?;
        Ok(Some(bytes))
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Stored>>, StoreError> {
        Ok(open_regular(&self.base.join(path))?.map(|file| Box::new(file) as Box<dyn Stored>))
    }

    fn create(&self, path: &str, content: &mut dyn Read) -> Result<bool, StoreError> {
        let path = self.made(path)?;
        Ok(self.disk.create_new(&path, content, 0o644).at("create", path)?)
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.made(path)?;
        Ok(self.disk.replace(&path, bytes, 0o644).at("write", path)?)
    }

    #[allow(clippy::disallowed_methods, reason = "the names are sorted")]
    fn list(&self, directory: &str) -> Result<Vec<String>, StoreError> {
        let directory = self.base.join(directory);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at("list", &directory)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is not a name of the format.
            names.extend(entry.at("list", &directory)?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn lock(&self) -> Result<Box<dyn Lock>, StoreError> {
        let path = self.base.join(".lock");
        self.disk.directories(&self.base).at("create", &self.base)?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).at("open", &path)?;
        let begin = Instant::now();
        while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(StoreError::Io(IoError { action: "lock", path, source: error.into() }));
            }
            if begin.elapsed() > PATIENCE {
                return Err(StoreError::Busy(path));
            }
            interrupt::check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        self.sweep()?;
        Ok(Box::new(FileLock(file)))
    }
}

/// flock(2): the kernel lets go when the process ends, however it ends.
struct FileLock(#[allow(dead_code, reason = "held, not used")] File);
impl Lock for FileLock {}

/// Never follows a link and never waits for a pipe.
fn open_regular(path: &Path) -> Result<Option<File>, StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::LOOP) => {
            return Err(StoreError::NotAFile(path.into()));
        }
        other => other.at("open", path)?,
    };
    if file.metadata().at("inspect", path)?.is_file() { Ok(Some(file)) } else { Err(StoreError::NotAFile(path.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_once_and_then_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Directory::new(dir.path());
        assert!(store.create("a/b", &mut &b"one"[..]).unwrap());
        assert!(!store.create("a/b", &mut &b"two"[..]).unwrap());
        assert_eq!(store.read("a/b", 10).unwrap().unwrap(), b"one");
        assert_eq!(store.read("a/b", 1).unwrap().unwrap(), b"on", "one byte more than the limit shows that there is more");
        assert_eq!(store.list("a").unwrap(), ["b"]);
    }

    #[test]
    fn attack_29_links_and_pipes_are_not_files() {
        let dir = tempfile::tempdir().unwrap();
        let store = Directory::new(dir.path());
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        for name in ["link", "pipe", "."] {
            assert!(matches!(store.read(name, 10), Err(StoreError::NotAFile(_))), "{name}");
        }
    }

    #[test]
    fn the_next_writer_clears_what_a_cut_off_one_left() {
        let dir = tempfile::tempdir().unwrap();
        // The disk fails before the rename: the process is gone, its temporary file is not.
        let probe: &'static durable::Probe = Box::leak(Box::new(|step, path: &Path| match step {
            durable::Step::Rename => fs::write(path.with_file_name(format!("{}left", proofmark_verifier::paths::TEMPORARY)), "half")
                .and(Err(io::ErrorKind::Other.into())),
            _ => Ok(()),
        }));
        assert!(Directory::with_disk(dir.path(), Disk::with_probe(probe)).create("bundles/x/b", &mut &b"x"[..]).is_err());
        let store = Directory::new(dir.path());
        assert_eq!(store.list("bundles/x").unwrap().len(), 1);
        let _lock = store.lock().unwrap();
        assert_eq!(store.list("bundles/x").unwrap(), [""; 0]);
    }
}
