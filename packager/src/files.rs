//! Writes the files of a build's inputs: fixed modes, fixed times, in a fixed order, never over something that exists.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Timespec, Timestamps};

use crate::exit::{IoContext, IoError};

/// Writes `bytes` to a new file with mode 0755 or 0644, whatever the umask, and the time `seconds` after 1970.
pub fn write(path: &Path, bytes: &[u8], executable: bool, seconds: u64) -> Result<(), IoError> {
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).at("create", path)?;
    file.write_all(bytes).at("write", path)?;
    file.set_permissions(fs::Permissions::from_mode(mode)).at("set the mode of", path)?;
    file.set_modified(time(seconds)).at("set the time of", path)
}

/// Makes one new directory with mode 0755, whatever the umask.
pub fn create(path: &Path) -> Result<(), IoError> {
    fs::create_dir(path).at("create", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).at("set the mode of", path)
}

/// Makes a directory and its parents with mode 0755, whatever the umask, below `root`, which exists.
pub fn directory(root: &Path, relative: &Path) -> Result<(), IoError> {
    let mut path = root.to_path_buf();
    for part in relative.components() {
        path.push(part);
        match fs::create_dir(&path) {
            Ok(()) => fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).at("set the mode of", &path)?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).at("create", path),
        }
    }
    Ok(())
}

/// Makes a symbolic link with the given time.
pub fn symlink(target: &str, path: &Path, seconds: u64) -> Result<(), IoError> {
    std::os::unix::fs::symlink(target, path).at("create", path)?;
    let at = Timespec { tv_sec: seconds as i64, tv_nsec: 0 };
    let times = Timestamps { last_access: at, last_modification: at };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(std::io::Error::from)
        .at("set the time of", path)
}

/// Copies the directories, regular files and links below `from`, if there are any, into the directory `to`. Modes become 0755 or
/// 0644, as in [`write()`].
pub fn copy_tree(from: &Path, to: &Path, seconds: u64) -> Result<(), IoError> {
    for entry in if from.is_dir() { listed(from)? } else { Vec::new() } {
        let Some(name) = entry.file_name() else { continue };
        let meta = fs::symlink_metadata(&entry).at("inspect", &entry)?;
        let new = to.join(name);
        if meta.is_dir() {
            create(&new)?;
            copy_tree(&entry, &new, seconds)?;
        } else if meta.is_file() {
            let bytes = fs::read(&entry).at("read", &entry)?;
            write(&new, &bytes, meta.permissions().mode() & 0o111 != 0, seconds)?;
        } else if let Ok(target) = fs::read_link(&entry)
            && let Some(target) = target.to_str()
        {
            symlink(target, &new, seconds)?;
        }
    }
    Ok(())
}

/// Gives a directory and all below it to another owner. Links are not followed.
pub fn give(directory: &Path, uid: u32, gid: u32) -> Result<(), IoError> {
    std::os::unix::fs::lchown(directory, Some(uid), Some(gid)).at("change the owner of", directory)?;
    if fs::symlink_metadata(directory).at("inspect", directory)?.is_dir() {
        listed(directory)?.iter().try_for_each(|entry| give(entry, uid, gid))?;
    }
    Ok(())
}

/// Removes a file or a link, if it is there.
pub fn remove(path: &Path) -> Result<(), IoError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// Sets the time of every directory below and including `root`: last of all, since making a file changes its directory's time.
pub fn settle(root: &Path, seconds: u64) -> Result<(), IoError> {
    for entry in listed(root)? {
        if entry.is_dir() && !entry.is_symlink() {
            settle(&entry, seconds)?;
        }
    }
    let directory = File::open(root).at("open", root)?;
    directory.set_modified(time(seconds)).at("set the time of", root)
}

/// The entries of a directory in byte order of their names.
#[allow(clippy::disallowed_methods, reason = "this is the one place that lists, and it sorts")]
pub fn listed(directory: &Path) -> Result<Vec<PathBuf>, IoError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).at("list", directory)? {
        entries.push(entry.at("list", directory)?.path());
    }
    entries.sort();
    Ok(entries)
}

/// Every regular file below `root`, as sorted paths relative to it. Symbolic links are not followed and not listed.
pub fn regular_below(root: &Path) -> Result<Vec<PathBuf>, IoError> {
    fn walk(root: &Path, directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), IoError> {
        for entry in listed(directory)? {
            let kind = fs::symlink_metadata(&entry).at("inspect", &entry)?.file_type();
            if kind.is_dir() {
                walk(root, &entry, found)?;
            } else if kind.is_file() {
                found.push(entry.strip_prefix(root).map(Path::to_path_buf).unwrap_or(entry));
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(root, root, &mut found)?;
    Ok(found)
}

/// What `path` is instead of a regular file that is reached from `root` through directories: a link, anywhere on the way, may lead out
/// of `root`. Sound where nobody can change the tree any more.
pub fn not_plain(root: &Path, path: &Path) -> Result<Option<&'static str>, IoError> {
    let mut whole = root.to_path_buf();
    for part in path.strip_prefix(root).unwrap_or(path).components() {
        whole.push(part);
        let kind = match fs::symlink_metadata(&whole) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some("nothing")),
            other => other.at("inspect", &whole)?.file_type(),
        };
        let fits = if whole == path { kind.is_file() } else { kind.is_dir() };
        if !fits {
            return Ok(Some(if kind.is_symlink() { "a symbolic link, or something below one" } else { "no regular file" }));
        }
    }
    Ok(None)
}

/// A number of seconds since 1970.
pub fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
