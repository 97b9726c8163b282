//! A tree of files as one stream whose SHA-256 names it (FORMAT.md section 6, "Tree stream"), and back.
//!
//! Written: files and links in byte order, and nothing of the machine: no owner, time, umask or directory order. Read: what may come from
//! a stranger, even one who has signed, so nothing but files and links inside the new directory can come of it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proofmark_core::Digest;
use proofmark_core::digest::Hasher;

use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::files;

/// PATH_MAX, bytes with the NUL.
const LONGEST: u64 = 4096;

/// One member of a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its path in the tree.
    pub path: String,
    /// What it is.
    pub what: What,
}

/// A file or a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A regular file, whose bytes are at this place of the machine; executable or not.
    File(PathBuf, bool),
    /// A symbolic link with this target.
    Link(String),
}

/// A stream that holds what no tree holds.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A name that is not UTF-8, a device, or the like, on this machine or in a stream.
    #[error("{path}: {why}")]
    Entry {
        /// Its path.
        path: String,
        /// Why not.
        why: &'static str,
    },
}

impl Refuse for TreeError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Entry { path, why } => Refusal::new(Exit::Malformed, "tree-entry", "a tree of inputs holds what it may not", path)
                .want("regular files and symbolic links, each once, in byte order, below the tree")
                .have(why)
                .next("do not use it; find out who made it"),
        }
    }
}

/// Every file and link below `root`, in byte order of the paths. Empty directories leave no trace: git has none either.
pub fn below(root: &Path) -> Result<Vec<Entry>, TreeError> {
    fn walk(root: &Path, directory: &Path, found: &mut Vec<Entry>) -> Result<(), TreeError> {
        for place in files::listed(directory)? {
            let relative = place.strip_prefix(root).unwrap_or(&place);
            let bad = |why| TreeError::Entry { path: relative.display().to_string(), why };
            let path = relative.to_str().ok_or_else(|| bad("a name that is not UTF-8"))?.to_owned();
            let meta = fs::symlink_metadata(&place).at("inspect", &place)?;
            let what = if meta.is_dir() {
                walk(root, &place, found)?;
                continue;
            } else if meta.is_file() {
                What::File(place, meta.permissions().mode() & 0o100 != 0)
            } else if meta.is_symlink() {
                let target = fs::read_link(&place).at("read", &place)?;
                What::Link(target.to_str().ok_or_else(|| bad("a link to a name that is not UTF-8"))?.to_owned())
            } else {
                return Err(bad("neither file nor symbolic link"));
            };
            found.push(Entry { path, what });
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(root, root, &mut found)?;
    found.sort();
    Ok(found)
}

/// Writes the stream of `entries`, which are sorted.
pub fn write(entries: &[Entry], out: &mut dyn Write) -> Result<(), IoError> {
    let mut builder = tar::Builder::new(out);
    for Entry { path, what } in entries {
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        match what {
            What::File(place, executable) => {
                let file = File::open(place).at("open", place)?;
                let size = file.metadata().at("inspect", place)?.len();
                header.set_entry_type(tar::EntryType::Regular);
                header.set_mode(if *executable { 0o755 } else { 0o644 });
                header.set_size(size);
                let content = Exactly { inner: file, left: size };
                builder.append_data(&mut header, path, content).at("archive", place)?;
            }
            What::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                builder.append_link(&mut header, path, target).at("archive", path)?;
            }
        }
    }
    builder.finish().at("archive", "the end of a tree")
}

/// SHA-256 and length of the stream of `entries`.
pub fn digest(entries: &[Entry]) -> Result<(Digest, u64), IoError> {
    let mut hash = Hash(Hasher::default());
    write(entries, &mut hash)?;
    Ok(hash.0.finish())
}

/// Lays the members of a stream out in the new directory `to`, with modes and times as every input has them.
pub fn read(stream: &mut dyn Read, to: &Path, time: u64) -> Result<(), TreeError> {
    files::create(to)?;
    let mut archive = tar::Archive::new(stream);
    let mut links = BTreeSet::new();
    let mut before: Option<String> = None;
    // Name and link target that are too long for the header come before it, as members of their own.
    let (mut long_name, mut long_target) = (None, None);
    // Raw: the library would read such a member whole, whatever size it claims.
    for entry in archive.entries().map_err(|error| broken(&error, to))?.raw(true) {
        let mut entry = entry.map_err(|error| broken(&error, to))?;
        let long = match entry.header().entry_type() {
            tar::EntryType::GNULongName => Some(&mut long_name),
            tar::EntryType::GNULongLink => Some(&mut long_target),
            _ => None,
        };
        if let Some(long) = long {
            *long = Some(text_of(&mut entry, to)?);
            continue;
        }
        let path = long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let name = String::from_utf8_lossy(&path).into_owned();
        let bad = |why| TreeError::Entry { path: name.clone(), why };
        let path = String::from_utf8(path).map_err(|_| bad("a name that is not UTF-8"))?;
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains('\0') {
            return Err(bad("a path that leaves the tree, or may"));
        }
        if before.as_ref().is_some_and(|before| *before >= path) {
            return Err(bad("twice, or not in byte order"));
        }
        // What lies below a link would land where the link leads.
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        if parents.clone().any(|parent| links.contains(parent)) {
            return Err(bad("below a symbolic link"));
        }
        if !is_plain(entry.header()) {
            return Err(bad("another mode, owner or time than a tree stream has"));
        }
        let place = to.join(&path);
        if let Some((parent, _)) = path.rsplit_once('/') {
            files::directory(to, Path::new(parent))?;
        }
        match entry.header().entry_type() {
            tar::EntryType::Regular => {
                let executable = entry.header().mode().at("read", &place)? & 0o100 != 0;
                copy(&mut entry, &place, executable, time)?;
            }
            tar::EntryType::Symlink => {
                let target = long_target.take().or_else(|| entry.header().link_name_bytes().map(|bytes| bytes.into_owned()));
                let target = target.unwrap_or_default();
                let target = String::from_utf8(target).ok().filter(|target| crate::source::stays_inside(&path, target));
                files::symlink(&target.ok_or_else(|| bad("a link out of the tree, or that may lead there"))?, &place, time)?;
                links.insert(path.clone());
            }
            _ => return Err(bad("neither file nor symbolic link")),
        }
        before = Some(path);
    }
    if long_name.or(long_target).is_some() {
        return Err(TreeError::Entry { path: "end of the stream".into(), why: "a long name, and nothing that has it" });
    }
    Ok(files::settle(to, time)?)
}

/// A name that is a member of its own, without the NUL that ends it.
fn text_of(entry: &mut tar::Entry<'_, &mut dyn Read>, to: &Path) -> Result<Vec<u8>, TreeError> {
    if entry.size() > LONGEST {
        return Err(TreeError::Entry { path: format!("{} bytes", entry.size()), why: "a name longer than any path of Linux" });
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(|error| broken(&error, to))?;
    if text.pop() != Some(0) {
        return Err(TreeError::Entry { path: String::from_utf8_lossy(&text).into_owned(), why: "a long name without its end" });
    }
    Ok(text)
}

/// An error of the operating system is "cannot tell"; any other means that this is no tree stream.
fn broken(error: &io::Error, to: &Path) -> TreeError {
    match error.raw_os_error() {
        Some(code) => IoError { action: "read a tree for", path: to.into(), source: io::Error::from_raw_os_error(code) }.into(),
        None => TreeError::Entry { path: error.to_string(), why: "not a tar stream" },
    }
}

fn copy(content: &mut dyn Read, place: &Path, executable: bool, time: u64) -> Result<(), IoError> {
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(place).at("create", place)?;
    io::copy(content, &mut file).at("write", place)?;
    file.set_permissions(fs::Permissions::from_mode(mode)).at("set the mode of", place)?;
    file.set_modified(files::time(time)).at("set the time of", place)
}

/// Hashes what is written to it.
struct Hash(Hasher);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that must have the size that its header says: one that changes meanwhile is an error, not a broken archive.
struct Exactly {
    inner: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.inner.read(&mut buffer[..most])?;
        if n == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// The fields that are the same in every tree stream.
fn is_plain(header: &tar::Header) -> bool {
    let modes: &[u32] = if header.entry_type().is_symlink() { &[0o777] } else { &[0o644, 0o755] };
    let zero = |number: io::Result<u64>| number.is_ok_and(|number| number == 0);
    let nobody = |name: Option<&[u8]>| name.is_none_or(<[u8]>::is_empty);
    header.mode().is_ok_and(|mode| modes.contains(&mode))
        && zero(header.uid())
        && zero(header.gid())
        && zero(header.mtime())
        && nobody(header.username_bytes())
        && nobody(header.groupname_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn sample() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        for (path, text) in [("a/b", "one"), ("a.txt", "two"), ("z", ""), (&long, "three")] {
            let place = dir.path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, text).unwrap();
        }
        fs::set_permissions(dir.path().join("z"), fs::Permissions::from_mode(0o700)).unwrap();
        symlink("a/b", dir.path().join("link")).unwrap();
        symlink(&long, dir.path().join("link-with-a-long-target")).unwrap();
        dir
    }

    #[test]
    fn a_tree_comes_back_as_it_was_and_times_modes_and_order_do_not_matter() {
        let dir = sample();
        let entries = below(dir.path()).unwrap();
        assert!(entries.is_sorted() && entries[0].path == "a.txt", "byte order of paths, not of directories: {entries:?}");
        let mut stream = Vec::new();
        write(&entries, &mut stream).unwrap();
        assert_eq!(digest(&entries).unwrap(), (Digest::of(&stream), stream.len() as u64));
        let to = dir.path().join("copy");
        read(&mut &stream[..], &to, 7).unwrap();
        assert_eq!(digest(&below(&to).unwrap()).unwrap().0, Digest::of(&stream));
        assert_eq!(fs::metadata(to.join("z")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::metadata(to.join("a/b")).unwrap().modified().unwrap(), files::time(7));
    }

    #[test]
    fn debians_tar_reads_the_same() {
        let dir = sample();
        let file = dir.path().join("tree.tar");
        write(&below(dir.path()).unwrap(), &mut File::create(&file).unwrap()).unwrap();
        let list = std::process::Command::new("tar").arg("-tf").arg(&file).output().unwrap();
        let names = String::from_utf8(list.stdout).unwrap();
        assert_eq!(names.lines().count(), 6, "{names}");
        assert!(names.lines().any(|name| name.len() == 181), "{names}");
    }

    #[test]
    fn attack_27_a_tree_of_a_stranger_stays_in_its_directory() {
        let file = |path: &str| (path.to_owned(), tar::EntryType::Regular, "");
        let link = |path: &str, target| (path.to_owned(), tar::EntryType::Symlink, target);
        let hard = ("b".to_owned(), tar::EntryType::Link, "a");
        let cases = [
            (vec![file("a"), file("b/c")], true),
            (vec![link("a", "b/c"), file("b/c")], true),
            (vec![file("../a")], false),
            (vec![file("/a")], false),
            (vec![file("a/./b")], false),
            (vec![file("a//b")], false),
            (vec![file("a"), file("a")], false),
            (vec![file("b"), file("a")], false),
            (vec![link("a", "/etc")], false),
            (vec![link("a", "../etc")], false),
            (vec![link("a", "b"), file("a/c")], false),
            (vec![link("a", "b/c"), file("a/x/y")], false),
            (vec![file("a"), hard], false),
            (vec![("a".to_owned(), tar::EntryType::Char, "")], false),
            (vec![("a".to_owned(), tar::EntryType::Directory, "")], false),
        ];
        for (members, good) in cases {
            let mut builder = tar::Builder::new(Vec::new());
            for (path, kind, target) in &members {
                let mut header = tar::Header::new_gnu();
                header.set_size(0);
                header.set_mode(if kind.is_symlink() { 0o777 } else { 0o644 });
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(0);
                header.set_entry_type(*kind);
                // Written by hand: the builder refuses what is to be refused here.
                header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
                header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
                header.set_cksum();
                builder.append(&header, io::empty()).unwrap();
            }
            let dir = tempfile::tempdir().unwrap();
            let result = read(&mut &builder.into_inner().unwrap()[..], &dir.path().join("tree"), 0);
            assert_eq!(result.is_ok(), good, "{members:?}: {result:?}");
            assert_eq!(files::listed(dir.path()).unwrap().len(), 1, "nothing beside the tree: {members:?}");
        }
    }

    #[test]
    fn attack_24_a_name_that_claims_any_size_is_not_read() {
        for (size, text) in [(1 << 40, &b"x"[..]), (LONGEST + 1, &[b'x'; 4097]), (1, b"x"), (2, b"x\0")] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::GNULongName);
            header.set_size(size);
            header.set_cksum();
            let mut stream = header.as_bytes().to_vec();
            stream.extend(text);
            stream.resize(stream.len().next_multiple_of(512) + 1024, 0);
            let dir = tempfile::tempdir().unwrap();
            let error = read(&mut &stream[..], &dir.path().join("tree"), 0).unwrap_err();
            assert!(matches!(error, TreeError::Entry { .. }), "{size}: {error}");
        }
    }

    #[test]
    fn attack_27_a_tree_of_a_stranger_has_no_modes_owners_and_times_of_its_own() {
        type Edit = fn(&mut tar::Header);
        let edits: [(Edit, bool); 7] = [
            (|_| {}, true),
            (|header| header.set_mode(0o755), true),
            (|header| header.set_mode(0o4755), false),
            (|header| header.set_uid(1), false),
            (|header| header.set_gid(1), false),
            (|header| header.set_mtime(1), false),
            (|header| header.set_username("root").unwrap(), false),
        ];
        for (number, (edit, good)) in edits.into_iter().enumerate() {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            edit(&mut header);
            let mut builder = tar::Builder::new(Vec::new());
            builder.append_data(&mut header, "a", io::empty()).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let result = read(&mut &builder.into_inner().unwrap()[..], &dir.path().join("tree"), 0);
            assert_eq!(result.is_ok(), good, "case {number}: {result:?}");
        }
    }
}
