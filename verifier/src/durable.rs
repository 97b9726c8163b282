//! The one place that writes files durably. After `Ok`, what was written survives a power cut; before it, the old content does.
//!
//! System calls, in order:
//! - [`Disk::replace`]: open(O_CREAT|O_EXCL) of a temporary file in the same directory, write, fsync, rename over the target,
//!   fsync of the directory.
//! - [`Disk::create_once`] and [`Disk::create_new`]: the same with renameat2(RENAME_NOREPLACE), or link where a file system lacks
//!   it. A target that is there stays; with the same bytes it is fine, with other bytes an error (`create_new` leaves the
//!   comparison to the caller).
//! - [`Disk::commit_directory`]: syncfs of the finished temporary directory's file system, rename into place (or
//!   renameat2(RENAME_EXCHANGE) with an old one, which is then removed), fsync of the parent.
//! - [`Disk::commit_new_directory`]: the same, but never in place of an old one that is not empty.
//! - [`Disk::remove`]: unlink, fsync of the directory.
//! - [`Disk::directories`] and [`Disk::private_directory`]: mkdir and fsync of the parent, for each one that is missing.
//!
//! [`Disk::part`], [`Disk::take_partial`] and [`Disk::folder`] fill a temporary directory: whoever commits it syncs them. [`Disk::lock_file`] holds nothing.
//!
//! It never writes in place and never returns `Ok` before the last fsync has.

use crate::paths::TEMPORARY;
use rustix::fs::{CWD, RenameFlags};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// A step that can fail or be cut short; what a test's probe is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file or directory is about to be made.
    Create,
    /// Content is about to be written.
    Write,
    /// Content is about to be synced.
    Sync,
    /// The rename that makes it visible is about to happen.
    Rename,
    /// The directory is about to be synced.
    SyncDirectory,
    /// A file is about to be removed.
    Remove,
}

/// Called before each step; an error takes the place of the step.
pub type Probe<'a> = dyn Fn(Step, &Path) -> io::Result<()> + 'a;

/// A disk, and what stands between it and the writer: nothing, or a test's probe.
pub struct Disk<'a> {
    probe: &'a Probe<'a>,
}

impl Disk<'static> {
    /// The disk itself.
    pub fn new() -> Self {
        Disk { probe: &|_, _| Ok(()) }
    }
}

impl Default for Disk<'static> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Disk<'a> {
    /// A disk that asks `probe` before each step: tests inject errors and crashes with it.
    pub fn with_probe(probe: &'a Probe<'a>) -> Self {
        Disk { probe }
    }

    /// Writes `bytes` to `path`, in place of what is there.
    pub fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let file = self.temporary(path, &mut &*bytes, mode)?;
        (self.probe)(Step::Rename, path)?;
        file.persist(path).map_err(|e| e.error)?;
        self.sync_parent(path)
    }

    /// Writes `bytes` to `path` if nothing is there. The same bytes are fine; [`io::ErrorKind::AlreadyExists`] if there are others.
    pub fn create_once(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        if fs::symlink_metadata(path).is_err() && self.create_new(path, &mut &*bytes, mode)? {
            return Ok(());
        }
        if !same_bytes(path, bytes)? {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there already, with other bytes"));
        }
        self.sync_parent(path)
    }

    /// Writes what `content` gives, to its end, to `path` if nothing is there. `false`: there is something, which stays.
    pub fn create_new(&self, path: &Path, content: &mut dyn Read, mode: u32) -> io::Result<bool> {
        let file = self.temporary(path, content, mode)?;
        (self.probe)(Step::Rename, path)?;
        match file.persist_noclobber(path) {
            Ok(_) => self.sync_parent(path).map(|()| true),
            // Whoever wrote it may have been cut short before the directory was synced.
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => self.sync_parent(path).map(|()| false),
            Err(e) => Err(e.error),
        }
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        (self.probe)(Step::Remove, path)?;
        match fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        self.sync_parent(path)
    }

    /// Makes a finished temporary directory visible as `target`, in one step. An old one is replaced whole.
    pub fn commit_directory(&self, temporary: &Path, target: &Path) -> io::Result<()> {
        (self.probe)(Step::Sync, temporary)?;
        rustix::fs::syncfs(File::open(temporary)?)?;
        (self.probe)(Step::Rename, target)?;
        match fs::rename(temporary, target) {
            Ok(()) => self.sync_parent(target),
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                rustix::fs::renameat_with(CWD, temporary, CWD, target, RenameFlags::EXCHANGE)?;
                self.sync_parent(target)?;
                fs::remove_dir_all(temporary)
            }
            Err(e) => Err(e),
        }
    }

    /// As [`Disk::commit_directory`], but only where nothing is, or an empty directory.
    pub fn commit_new_directory(&self, temporary: &Path, target: &Path) -> io::Result<()> {
        (self.probe)(Step::Sync, temporary)?;
        rustix::fs::syncfs(File::open(temporary)?)?;
        (self.probe)(Step::Rename, target)?;
        fs::rename(temporary, target)?;
        self.sync_parent(target)
    }

    /// Makes the directory and its parents, mode 0755, where they are missing.
    pub fn directories(&self, path: &Path) -> io::Result<()> {
        // The parent of a relative path of one component is "", which is the current directory.
        if path.is_dir() || path.as_os_str().is_empty() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.directories(parent)?;
        }
        (self.probe)(Step::Create, path)?;
        match fs::create_dir(path) {
            Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755))?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(e) => return Err(e),
        }
        self.sync_parent(path)
    }

    /// Makes one directory for its owner alone, mode 0700, if it is missing.
    pub fn private_directory(&self, path: &Path) -> io::Result<()> {
        (self.probe)(Step::Create, path)?;
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => self.sync_parent(path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// A new, empty file of a temporary directory.
    pub fn part(&self, path: &Path, mode: u32) -> io::Result<File> {
        (self.probe)(Step::Create, path)?;
        let file = File::options().read(true).write(true).create_new(true).mode(mode).open(path)?;
        // The umask had its say when the file was made.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        (self.probe)(Step::Write, path)?;
        Ok(file)
    }

    /// A download, begun or gone on with: made where it is missing, and never through a link. Nobody relies on what it holds.
    pub fn partial(&self, path: &Path) -> io::Result<File> {
        (self.probe)(Step::Create, path)?;
        let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        (self.probe)(Step::Write, path)?;
        Ok(file)
    }

    /// A finished download becomes a file of a temporary directory.
    pub fn take_partial(&self, partial: &Path, target: &Path, mode: u32) -> io::Result<()> {
        (self.probe)(Step::Rename, target)?;
        fs::set_permissions(partial, fs::Permissions::from_mode(mode))?;
        fs::rename(partial, target)
    }

    /// A directory in a temporary directory, with its parents, where they are missing.
    pub fn folder(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        (self.probe)(Step::Create, path)?;
        fs::create_dir_all(path)
    }

    /// A file to lock, made where it is missing. Never a link's target.
    pub fn lock_file(&self, path: &Path) -> io::Result<File> {
        if !path.exists() {
            (self.probe)(Step::Create, path)?;
        }
        let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        File::options().read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)
    }

    /// A temporary directory in `parent`; removed on drop, unless it was committed.
    pub fn temporary_directory(&self, parent: &Path) -> io::Result<tempfile::TempDir> {
        (self.probe)(Step::Create, parent)?;
        let mode = fs::Permissions::from_mode(0o755);
        tempfile::Builder::new().prefix(TEMPORARY).permissions(mode).tempdir_in(parent)
    }

    fn temporary(&self, path: &Path, content: &mut dyn Read, mode: u32) -> io::Result<tempfile::NamedTempFile> {
        (self.probe)(Step::Create, path)?;
        let mode = fs::Permissions::from_mode(mode);
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).permissions(mode.clone()).tempfile_in(parent(path)?)?;
        // The umask had its say when the file was made.
        file.as_file().set_permissions(mode)?;
        (self.probe)(Step::Write, path)?;
        io::copy(content, &mut file)?;
        (self.probe)(Step::Sync, path)?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        (self.probe)(Step::SyncDirectory, path)?;
        File::open(parent(path)?)?.sync_all()
    }
}

/// Removes what a crash left behind in `directory`: everything whose name begins with [`TEMPORARY`].
#[allow(clippy::disallowed_methods, reason = "every entry is judged by itself, in any order")]
pub fn remove_leftovers(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            continue;
        }
        if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    Ok(())
}

fn parent(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(parent) => Ok(parent),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "the root directory is not a file")),
    }
}

fn same_bytes(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut have = Vec::new();
    File::open(path)?.take(bytes.len() as u64 + 1).read_to_end(&mut have)?;
    Ok(have == bytes)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests count entries")]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn fail_at(step: usize) -> impl Fn(Step, &Path) -> io::Result<()> {
        let count = Cell::new(0);
        move |_, _| {
            count.set(count.get() + 1);
            if count.get() > step { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
        }
    }

    #[test]
    fn attack_40_a_fault_at_any_step_leaves_old_or_new_and_no_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        Disk::new().replace(&path, b"old", 0o644).unwrap();
        for step in 0..6 {
            let probe = fail_at(step);
            let outcome = Disk::with_probe(&probe).replace(&path, b"new", 0o644);
            let have = fs::read(&path).unwrap();
            assert_eq!(outcome.is_ok(), step == 5, "step {step}");
            assert_eq!(have, if step < 4 { b"old" } else { b"new" }, "step {step}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "step {step}");
        }
    }

    #[test]
    fn a_file_is_created_once_and_the_same_bytes_are_fine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let disk = Disk::new();
        disk.create_once(&path, b"one", 0o640).unwrap();
        disk.create_once(&path, b"one", 0o640).unwrap();
        assert_eq!(disk.create_once(&path, b"two", 0o640).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    }

    #[test]
    fn a_directory_is_committed_whole_also_over_an_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("entry");
        let disk = Disk::new();
        for content in ["old", "new"] {
            let temporary = disk.temporary_directory(dir.path()).unwrap();
            fs::write(temporary.path().join(content), content).unwrap();
            disk.commit_directory(temporary.path(), &target).unwrap();
            assert!(target.join(content).exists());
        }
        assert!(!target.join("old").exists());
        fs::create_dir(dir.path().join(format!("{TEMPORARY}x"))).unwrap();
        remove_leftovers(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
