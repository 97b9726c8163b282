//! A repository in a directory of this machine: durable writes, and a lock that the kernel lets go of.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use proofmark_core::Digest;
use proofmark_verifier::durable::{self, Disk};
use rustix::fs::{FlockOperation, OFlags};

use super::{Found, Lock, Stamp, Store, StoreError, Stored};
use crate::exit::{IoContext, IoError};
use crate::{files, interrupt};

/// So many bytes of a file tell it from another that was in its place.
const STAMPED: u64 = 1 << 20;

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

    fn lock_file(&self, name: &str) -> Result<(File, PathBuf), StoreError> {
        let path = self.base.join(name);
        self.disk.directories(&self.base).at("create", &self.base)?;
        // Whoever may write here may not have a link followed, and with that a file of the author's written to.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        let file = match File::options().create(true).truncate(false).write(true).custom_flags(flags).open(&path) {
            Err(error) if matches!(rustix::io::Errno::from_io_error(&error), Some(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO)) => {
                return Err(StoreError::NotAFile(path));
            }
            other => other.at("open", &path)?,
        };
        let meta = file.metadata().at("inspect", &path)?;
        if !meta.is_file() || meta.nlink() != 1 {
            return Err(StoreError::NotAFile(path));
        }
        Ok((file, path))
    }

    /// What a writer that was cut off left behind. Only for who holds the lock.
    fn sweep(&self) -> Result<(), StoreError> {
        let mut directories: Vec<String> = ["", "trust", "index", "group", "head", "halt", "resume", "inputs"].map(str::to_owned).into();
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

    fn read_stamped(&self, path: &str, limit: usize) -> Result<Option<(Vec<u8>, Stamp)>, StoreError> {
        let Some(file) = open_regular(&self.base.join(path))? else { return Ok(None) };
        // What is replaced is small; a file that is not is another one by its length alone.
        let length = file.metadata().at("inspect", self.base.join(path))?.len();
        let (digest, _) = Digest::of_reader(&mut file.take(STAMPED)).at("read", self.base.join(path))?;
        Ok(self.read(path, limit)?.map(|bytes| (bytes, Stamp(format!("{digest} {length}")))))
    }

    // A halt waits for no other writer, and moves `latest` without the lock: comparing and replacing are under one of their own, on the directory itself.
    fn swap(&self, path: &str, bytes: &[u8], stamp: Option<&Stamp>) -> Result<bool, StoreError> {
        let base = File::open(&self.base).at("open", &self.base)?;
        rustix::fs::flock(&base, FlockOperation::LockExclusive).map_err(io::Error::from).at("lock", &self.base)?;
        if self.read_stamped(path, 0)?.map(|(_, there)| there).as_ref() != stamp {
            return Ok(false);
        }
        let path = self.made(path)?;
        self.disk.replace(&path, bytes, 0o644).at("write", path)?;
        Ok(true)
    }

    fn exists(&self, path: &str) -> Result<bool, StoreError> {
        Ok(open_regular(&self.base.join(path))?.is_some())
    }

    fn walk(&self, directory: &str) -> Result<Vec<Found>, StoreError> {
        let below = self.base.join(directory);
        if !below.is_dir() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for path in files::regular_below(&below)? {
            let whole = below.join(&path);
            let meta = whole.symlink_metadata().at("inspect", &whole)?;
            let written = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let written = written.map_or(0, |since| since.as_secs() as i64);
            // A name that is not UTF-8 is not a name of the format.
            let Some(path) = path.to_str() else { continue };
            let path = if directory.is_empty() { path.to_owned() } else { format!("{directory}/{path}") };
            found.push(Found { path, size: meta.len(), written });
        }
        Ok(found)
    }

    fn remove(&self, path: &str) -> Result<(), StoreError> {
        let path = self.base.join(path);
        Ok(self.disk.remove(&path).at("remove", path)?)
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

    // The lock says who may write a document.
    fn claim(&self, _: &str, _: Digest) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    fn lock(&self) -> Result<Box<dyn Lock>, StoreError> {
        let (file, path) = self.lock_file(".lock")?;
        let begin = Instant::now();
        while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(StoreError::Io(IoError { action: "lock", path, source: error.into() }));
            }
            if begin.elapsed() > super::PATIENCE {
                return Err(StoreError::Busy(path));
            }
            interrupt::check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        // Whoever ends in order leaves the file empty.
        if file.metadata().at("inspect", &path)?.len() > 0 {
            self.sweep()?;
        }
        (&file).write_all(b"a writer is at work, or was cut off\n").at("write", path)?;
        Ok(Box::new(FileLock(file)))
    }
}

/// flock(2): the kernel lets go when the process ends, however it ends.
struct FileLock(File);
impl Lock for FileLock {}

impl Drop for FileLock {
    fn drop(&mut self) {
        // If this fails, the next writer clears up where there is nothing to clear.
        let _ = self.0.set_len(0);
    }
}

/// Never follows a link and never waits for a pipe.
fn open_regular(path: &Path) -> Result<Option<File>, StoreError> {
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
        // Nor is the lock: what it leads to is somebody else's.
        let own = dir.path().join("own");
        for plant in [
            |own: &Path, lock: &Path| std::os::unix::fs::symlink(own, lock),
            |own: &Path, lock: &Path| fs::hard_link(own, lock),
            |_: &Path, lock: &Path| Ok(rustix::fs::mknodat(rustix::fs::CWD, lock, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)?),
        ] {
            fs::write(&own, "secret").unwrap();
            plant(&own, &dir.path().join(".lock")).unwrap();
            assert!(matches!(store.lock(), Err(StoreError::NotAFile(_))));
            assert_eq!(fs::read(&own).unwrap(), b"secret");
            fs::remove_file(dir.path().join(".lock")).unwrap();
        }
    }

    #[test]
    fn attack_24_a_file_of_any_size_is_told_from_another_without_reading_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Directory::new(dir.path());
        let file = File::create(dir.path().join("latest")).unwrap();
        file.set_len(1 << 40).unwrap();
        let (bytes, stamp) = store.read_stamped("latest", 10).unwrap().unwrap();
        assert_eq!(bytes.len(), 11);
        file.set_len((1 << 40) + 1).unwrap();
        assert!(!store.swap("latest", b"new", Some(&stamp)).unwrap(), "another length is another file");
        let (_, stamp) = store.read_stamped("latest", 10).unwrap().unwrap();
        assert!(store.swap("latest", b"new", Some(&stamp)).unwrap());
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
        drop(store.lock().unwrap());
        assert_eq!(store.list("bundles/x").unwrap().len(), 1, "nobody was cut off while holding the lock");
        std::mem::forget(store.lock().unwrap());
        fs::remove_file(dir.path().join(".lock")).unwrap();
        fs::write(dir.path().join(".lock"), "cut off").unwrap();
        let _lock = store.lock().unwrap();
        assert_eq!(store.list("bundles/x").unwrap(), [""; 0]);
    }
}
