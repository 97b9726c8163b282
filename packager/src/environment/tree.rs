//! A tree of files in the making, and the seal by which it is known again.
//!
//! Modes and times are constants, so that a tree is a function of what it is made of. Every path is checked against what is already there:
//! nothing is written through a link, over a file with another content, or outside of the root. The seal lists each entry with its
//! digest, and with inode and change time, which no program can set: as long as those are the same, the content is, and is not read again.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proofmark_core::Digest;
use proofmark_core::digest::Hasher;
use serde::{Deserialize, Serialize};

use super::error::EnvironmentError;
use crate::exit::{IoContext, IoError};
use crate::files;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Node {
    Directory,
    File { executable: bool, size: u64, sha256: Digest },
    Link { target: String },
}

/// A tree that is being written; whoever drops it unsealed removes the directory.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    nodes: BTreeMap<String, (Node, String)>,
}

impl Tree {
    /// An empty tree in the existing, empty directory `root`, which nobody else can write to.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.into(), nodes: BTreeMap::new() }
    }

    /// What is at `path`.
    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path).map(|(node, _)| node)
    }

    /// A directory, and those above it.
    pub(super) fn directory(&mut self, path: &str, owner: &str) -> Result<(), EnvironmentError> {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for part in ends.map(|end| &path[..end]).filter(|part| !part.is_empty()) {
            match self.nodes.get(part) {
                Some((Node::Directory, _)) => {}
                Some((_, first)) => {
                    return Err(EnvironmentError::Conflict { path: part.into(), first: first.clone(), second: owner.into() });
                }
                None => {
                    files::create(&self.root.join(part))?;
                    self.nodes.insert(part.into(), (Node::Directory, owner.into()));
                }
            }
        }
        Ok(())
    }

    /// A file of exactly `size` bytes. Two owners may have the same file, if it is the same.
    pub(super) fn file(
        &mut self,
        path: &str,
        executable: bool,
        size: u64,
        content: &mut dyn Read,
        owner: &str,
    ) -> Result<(), EnvironmentError> {
        let second = self.nodes.contains_key(path);
        let place = if second { None } else { Some(self.place(path, owner)?) };
        let (sha256, length) = match &place {
            None => Digest::of_reader(content).at("read", path)?,
            Some(place) => write(place, executable, content)?,
        };
        if length != size {
            let why = format!("{length} bytes where {size} were announced");
            return Err(EnvironmentError::Content { layer: owner.into(), entry: path.into(), why });
        }
        self.insert(path, Node::File { executable, size, sha256 }, owner)
    }

    /// A symbolic link; where it leads is not looked at: it is followed inside the sandbox only.
    pub(super) fn link(&mut self, path: &str, target: &str, owner: &str) -> Result<(), EnvironmentError> {
        if !self.nodes.contains_key(path) {
            files::symlink(target, &self.place(path, owner)?, super::TIME)?;
        }
        self.insert(path, Node::Link { target: target.into() }, owner)
    }

    /// Another name of a file that is already there.
    pub(super) fn hard_link(&mut self, path: &str, other: &str, owner: &str) -> Result<(), EnvironmentError> {
        let Some((node @ Node::File { .. }, _)) = self.nodes.get(other) else {
            let why = format!("a hard link to {other}, which is no file before it");
            return Err(EnvironmentError::Content { layer: owner.into(), entry: path.into(), why });
        };
        let node = node.clone();
        if !self.nodes.contains_key(path) {
            let place = self.place(path, owner)?;
            fs::hard_link(self.root.join(other), &place).at("create", &place)?;
        }
        self.insert(path, node, owner)
    }

    /// Where to write `path`, whose directory is made.
    fn place(&mut self, path: &str, owner: &str) -> Result<PathBuf, EnvironmentError> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent, owner)?;
        }
        Ok(self.root.join(path))
    }

    fn insert(&mut self, path: &str, node: Node, owner: &str) -> Result<(), EnvironmentError> {
        match self.nodes.get(path) {
            Some((before, first)) if *before != node => {
                Err(EnvironmentError::Conflict { path: path.into(), first: first.clone(), second: owner.into() })
            }
            Some(_) => Ok(()),
            None => {
                self.nodes.insert(path.into(), (node, owner.into()));
                Ok(())
            }
        }
    }

    /// Sets the times of the directories and writes down what is there.
    pub(super) fn seal(self, made_of: Vec<String>) -> Result<Seal, EnvironmentError> {
        files::settle(&self.root, super::TIME)?;
        let mut entries = BTreeMap::new();
        for (path, (node, _)) in self.nodes {
            let meta = inspect(&self.root.join(&path))?;
            entries.insert(path, Entry { node, unchanged: stamp(&meta) });
        }
        Ok(Seal { made_of, entries })
    }
}

/// Writes a new file with a fixed mode and time, and hashes what is written.
fn write(place: &Path, executable: bool, content: &mut dyn Read) -> Result<(Digest, u64), IoError> {
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(place).at("create", place)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = content.read(&mut buffer).at("unpack", place)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        file.write_all(&buffer[..read]).at("write", place)?;
    }
    file.set_permissions(fs::Permissions::from_mode(mode)).at("set the mode of", place)?;
    file.set_modified(files::time(super::TIME)).at("set the time of", place)?;
    Ok(hasher.finish())
}

/// What is known of a finished tree.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seal {
    /// Titles of the layers.
    pub(super) made_of: Vec<String>,
    pub(super) entries: BTreeMap<String, Entry>,
}

/// One path of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) node: Node,
    /// Inode, and the time of the last change of the inode, which covers content, mode, owner and name.
    unchanged: (u64, i64, i64),
}

fn stamp(meta: &fs::Metadata) -> (u64, i64, i64) {
    (meta.ino(), meta.ctime(), meta.ctime_nsec())
}

fn inspect(path: &Path) -> Result<fs::Metadata, IoError> {
    fs::symlink_metadata(path).at("inspect", path)
}

/// Where a tree is not what its seal says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) path: String,
    pub(super) want: String,
    pub(super) have: String,
}

impl Seal {
    /// The seal of the finished tree at `root`, all of which is read.
    pub(super) fn of(root: &Path, made_of: Vec<String>) -> Result<Self, IoError> {
        let mut entries = BTreeMap::new();
        let mut queue = vec![root.to_path_buf()];
        while let Some(directory) = queue.pop() {
            for place in files::listed(&directory)? {
                let meta = inspect(&place)?;
                let path = place.strip_prefix(root).unwrap_or(&place).to_str().map(str::to_owned);
                let (Some(path), Some(node)) = (path, read(&place, &meta)?) else {
                    return Err(std::io::Error::from(std::io::ErrorKind::InvalidData)).at("seal", place);
                };
                entries.insert(path, Entry { node, unchanged: stamp(&meta) });
                if meta.is_dir() {
                    queue.push(place);
                }
            }
        }
        Ok(Self { made_of, entries })
    }

    /// Compares the tree at `root` with the seal. A file whose stamp is another (a cache that was copied) is read again; `Ok(true)` means
    /// that this happened and the seal has been brought up to date.
    pub(super) fn check(&mut self, root: &Path) -> Result<Result<bool, Change>, IoError> {
        let mut left: BTreeMap<&str, &mut Entry> = self.entries.iter_mut().map(|(path, entry)| (path.as_str(), entry)).collect();
        let mut renewed = false;
        let mut queue = vec![String::new()];
        while let Some(directory) = queue.pop() {
            for place in files::listed(&root.join(&directory))? {
                let Some(name) = place.file_name().and_then(|name| name.to_str()) else {
                    return Ok(Err(Change { path: directory, want: "names in UTF-8".into(), have: format!("{}", place.display()) }));
                };
                let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
                let meta = inspect(&place)?;
                let Some(entry) = left.remove(path.as_str()) else {
                    return Ok(Err(Change { path, want: "nothing".into(), have: "a file or directory".into() }));
                };
                if meta.is_dir() && entry.node == Node::Directory {
                    queue.push(path);
                } else if entry.unchanged != stamp(&meta) {
                    let have = read(&place, &meta)?;
                    if have.as_ref() != Some(&entry.node) {
                        return Ok(Err(Change { path, want: describe(Some(&entry.node)), have: describe(have.as_ref()) }));
                    }
                    entry.unchanged = stamp(&meta);
                    renewed = true;
                }
            }
        }
        Ok(match left.into_iter().next() {
            Some((path, entry)) => Err(Change { path: path.into(), want: describe(Some(&entry.node)), have: "nothing".into() }),
            None => Ok(renewed),
        })
    }
}

/// What is at `place` now.
fn read(place: &Path, meta: &fs::Metadata) -> Result<Option<Node>, IoError> {
    if meta.is_symlink() {
        let target = fs::read_link(place).at("read", place)?;
        return Ok(target.to_str().map(|target| Node::Link { target: target.into() }));
    }
    if !meta.is_file() {
        return Ok(meta.is_dir().then_some(Node::Directory));
    }
    let (sha256, size) = Digest::of_reader(&mut File::open(place).at("open", place)?).at("read", place)?;
    let executable = match meta.mode() & 0o7777 {
        0o755 => true,
        0o644 => false,
        _ => return Ok(None),
    };
    Ok(Some(Node::File { executable, size, sha256 }))
}

fn describe(node: Option<&Node>) -> String {
    match node {
        None => "something else, or another mode".into(),
        Some(Node::Directory) => "a directory".into(),
        Some(Node::Link { target }) => format!("a link to {target}"),
        Some(Node::File { executable, size, sha256 }) => {
            format!("a file of mode {}, {size} bytes, sha256 {sha256}", if *executable { "0755" } else { "0644" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Refuse;

    fn tree(dir: &Path) -> Tree {
        let mut tree = Tree::new(dir);
        tree.file("usr/bin/a", true, 2, &mut b"hi".as_slice(), "one").unwrap();
        tree.link("usr/lib/l", "../bin", "one").unwrap();
        tree.hard_link("usr/bin/b", "usr/bin/a", "one").unwrap();
        tree
    }

    #[test]
    fn nothing_is_written_through_a_link_or_over_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = tree(dir.path());
        let reason = |result: Result<(), EnvironmentError>| result.unwrap_err().refusal().reason;
        assert_eq!(reason(tree.file("usr/lib/l/x", false, 1, &mut b"x".as_slice(), "two")), "layer-conflict");
        assert_eq!(reason(tree.file("usr/bin/a", true, 2, &mut b"ho".as_slice(), "two")), "layer-conflict");
        assert_eq!(reason(tree.file("usr/bin/a", false, 2, &mut b"hi".as_slice(), "two")), "layer-conflict");
        assert_eq!(reason(tree.link("usr/bin", "x", "two")), "layer-conflict");
        assert_eq!(reason(tree.hard_link("usr/bin/c", "usr/lib/l", "two")), "layer-content");
        assert_eq!(reason(tree.file("usr/bin/s", false, 3, &mut b"hi".as_slice(), "two")), "layer-content");
        tree.file("usr/bin/a", true, 2, &mut b"hi".as_slice(), "two").unwrap();
        tree.directory("usr/bin", "two").unwrap();
        assert!(!dir.path().join("usr/bin/x").exists());
        assert_eq!(fs::read(dir.path().join("usr/bin/a")).unwrap(), b"hi");
    }

    #[test]
    fn every_change_after_the_seal_is_found() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 6] = [
            ("usr/bin/a", |root| fs::write(root.join("usr/bin/a"), "ho").unwrap()),
            ("usr/bin/a", |root| fs::set_permissions(root.join("usr/bin/a"), fs::Permissions::from_mode(0o4755)).unwrap()),
            ("usr/bin/n", |root| fs::write(root.join("usr/bin/n"), "new").unwrap()),
            ("usr/lib/l", |root| fs::remove_file(root.join("usr/lib/l")).unwrap()),
            ("usr/lib/l", |root| {
                fs::remove_file(root.join("usr/lib/l")).unwrap();
                std::os::unix::fs::symlink("/etc", root.join("usr/lib/l")).unwrap();
            }),
            ("usr/lib", |root| {
                fs::rename(root.join("usr/lib"), root.join("usr/bin/lib")).unwrap();
                std::os::unix::fs::symlink("bin/lib", root.join("usr/lib")).unwrap();
            }),
        ];
        for (path, change) in changes {
            let dir = tempfile::tempdir().unwrap();
            let mut seal = tree(dir.path()).seal(vec![]).unwrap();
            assert_eq!(seal.check(dir.path()).unwrap(), Ok(false));
            change(dir.path());
            let found = seal.check(dir.path()).unwrap().unwrap_err();
            assert!(found.path == path || found.path.starts_with("usr/bin/lib"), "{found:?}");
        }
    }

    #[test]
    fn a_file_with_the_same_content_and_another_inode_is_read_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut seal = tree(dir.path()).seal(vec![]).unwrap();
        let file = dir.path().join("usr/bin/a");
        fs::copy(&file, dir.path().join("usr/copy")).unwrap();
        fs::rename(dir.path().join("usr/copy"), &file).unwrap();
        assert_eq!(seal.check(dir.path()).unwrap(), Ok(true));
        assert_eq!(seal.check(dir.path()).unwrap(), Ok(false));
    }
}
