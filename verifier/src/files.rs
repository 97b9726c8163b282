//! Opening files that others could have prepared: one directory, a path below it, a regular file, a bounded size.
//!
//! It never follows a symbolic link below the directory, never waits on a fifo, never reads a device, and never leaves the
//! directory: openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, O_NONBLOCK, then fstat.

use crate::failure;
use proofmark_core::{Reason, Refusal, Result};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// An open directory.
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory, by a path that the administrator gave. `None`: there is none.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        match rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Some(Directory { fd, path: path.to_path_buf() })),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(failure::io(path, "a directory that can be opened")(e)),
        }
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a regular file for reading. `None`: there is none.
    ///
    /// Errors: [`Reason::Malformed`] for anything but a regular file, or a symbolic link on the way.
    pub fn file(&self, relative: &str) -> Result<Option<File>> {
        match self.resolve(relative, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)? {
            None => Ok(None),
            Some(fd) => {
                self.check_regular(&fd, relative)?;
                Ok(Some(File::from(fd)))
            }
        }
    }

    /// A descriptor that names a regular file without opening it (O_PATH): for mounting it elsewhere. `None`: there is none.
    pub fn handle(&self, relative: &str) -> Result<Option<OwnedFd>> {
        let fd = self.resolve(relative, OFlags::PATH)?;
        fd.map(|fd| self.check_regular(&fd, relative).map(|()| fd)).transpose()
    }

    /// A whole small file. `None`: there is none. Errors: as [`Directory::file`]; [`Reason::Limit`] over `limit` bytes.
    pub fn read(&self, relative: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.file(relative)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failure::io(self.path.join(relative), "a file that can be read"))?;
        within_limit(&bytes, limit, relative)?;
        Ok(Some(bytes))
    }

    fn resolve(&self, relative: &str, flags: OFlags) -> Result<Option<OwnedFd>> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path.join(relative);
        match rustix::fs::openat2(&self.fd, relative, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::LOOP | Errno::XDEV) => {
                Err(Refusal::new(Reason::Malformed, path.display(), "a regular file, reached without symbolic links", "a symbolic link"))
            }
            // What open(2) says of a socket.
            Err(Errno::NXIO) => Err(Refusal::new(Reason::Malformed, path.display(), "a regular file", "a socket")),
            Err(e @ Errno::NOSYS) => Err(failure::platform("safe opening of files", "openat2: Linux 5.6 or newer", "openat2")(e)),
            Err(e) => Err(failure::io(path, "a file that can be opened")(e)),
        }
    }

    fn check_regular(&self, fd: &OwnedFd, relative: &str) -> Result<()> {
        let path = self.path.join(relative);
        let stat = rustix::fs::fstat(fd).map_err(failure::io(&path, "a file that can be opened"))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(()),
            other => Err(Refusal::new(Reason::Malformed, path.display(), "a regular file", format_args!("{other:?}"))),
        }
    }
}

/// Refuses more bytes than the limit.
pub fn within_limit(bytes: &[u8], limit: usize, subject: &str) -> Result<()> {
    if bytes.len() > limit {
        return Err(Refusal::new(Reason::Limit, subject, format_args!("at most {limit} bytes"), "more"));
    }
    Ok(())
}

/// A file that the administrator wrote, followed through symbolic links, but regular and bounded. `None`: there is none.
pub fn read_configuration(path: &Path, limit: usize) -> Result<Option<Vec<u8>>> {
    let readable = "a regular file that can be read";
    let fd = match rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(e) => return Err(failure::io(path, readable)(e)),
    };
    let file = File::from(fd);
    if !file.metadata().map_err(failure::io(path, readable))?.is_file() {
        return Err(Refusal::new(Reason::Malformed, path.display(), "a regular file", "something else"));
    }
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failure::io(path, readable))?;
    within_limit(&bytes, limit, &path.display().to_string())?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn attack_29_only_regular_files_are_read_and_nothing_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("good"), b"0123456789").unwrap();
        std::fs::create_dir(at("dir")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        symlink("good", at("link")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        symlink(dir.path(), at("loop")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let directory = Directory::open(dir.path()).unwrap().unwrap();
        for bad in ["fifo", "dir", "link", "zero", "socket", "loop/good", "../x", "/etc/passwd"] {
            assert_eq!(directory.read(bad, 100).unwrap_err().reason(), Reason::Malformed, "{bad}");
        }
        assert_eq!(directory.read("absent", 100).unwrap(), None);
        assert_eq!(directory.read("good/below", 100).unwrap(), None);
        assert_eq!(directory.read("good", 10).unwrap().unwrap(), b"0123456789");
        assert_eq!(directory.read("good", 9).unwrap_err().reason(), Reason::Limit);
        let dev = Directory::open(Path::new("/dev")).unwrap().unwrap();
        assert_eq!(dev.read("zero", 100).unwrap_err().reason(), Reason::Malformed);
    }
}
