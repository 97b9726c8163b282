//! Layers on this machine, by their content: packages as files, toolchains and merged systems as trees.
//!
//! What is checked, and when. The directory belongs to the user who builds and nobody else can write to it; that is checked whenever it is
//! opened. An entry appears by one rename, whole or not at all. A name is only where to look: a file is hashed each time it is used, in
//! the bytes that are used; a tree is compared with its seal each time (see `tree.rs`), and its seal was written by this program from layers
//! with the right digests. So a change by accident, by another user or by another program is found; the user who builds could forge
//! a seal, and could as well forge this program. Nothing is repaired silently: who finds a change says so.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proofmark_core::Digest;
use proofmark_core::digest::Hasher;

use super::error::{Changed, EnvironmentError};
use super::lock::Layer;
use super::tree::{Change, Seal};
use crate::exit::{IoContext, IoError};
use crate::files;

/// Where a tree's files are, and its seal, in the entry of its name.
const FILES: &str = "files";
const SEAL: &str = "seal.json";

/// The cache of one user.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// The user's cache: `proofmark` in XDG_CACHE_HOME, which is ~/.cache where it is not set (XDG Base Directory Specification).
    #[allow(clippy::disallowed_methods, reason = "where a user keeps caches; what is found there is checked by digest")]
    pub fn open() -> Result<Self, EnvironmentError> {
        let base = match std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(path) => path,
            None => std::env::home_dir().unwrap_or_default().join(".cache"),
        };
        fs::create_dir_all(&base).at("create", &base)?;
        Self::at(&base.join("proofmark"))
    }

    /// A cache in `directory`, which is made if it is not there.
    pub fn at(directory: &Path) -> Result<Self, EnvironmentError> {
        match fs::DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error).at("create", directory)?,
            _ => {}
        }
        let meta = fs::symlink_metadata(directory).at("inspect", directory)?;
        let access = |why: String| EnvironmentError::CacheAccess { path: directory.into(), why };
        let (owner, mode) = (meta.uid(), meta.mode() & 0o777);
        if !meta.is_dir() {
            return Err(access("it is not a directory".into()));
        }
        if owner != rustix::process::geteuid().as_raw() {
            return Err(access(format!("it belongs to user {owner}")));
        }
        if mode & 0o022 != 0 {
            return Err(access(format!("its mode is {mode:04o}")));
        }
        for name in ["layers", "trees", "known"] {
            fs::create_dir_all(directory.join(name)).at("create", directory.join(name))?;
        }
        Ok(Self { directory: directory.canonicalize().at("open", directory)? })
    }

    /// A new directory in the same file system, for what is not finished; it goes when it is dropped.
    fn unfinished(&self) -> Result<tempfile::TempDir, IoError> {
        tempfile::Builder::new().prefix("unfinished-").tempdir_in(&self.directory).at("create a directory in", &self.directory)
    }

    /// Where a layer that is one file is, if it is here.
    pub(super) fn file(&self, layer: &Layer) -> PathBuf {
        self.directory.join("layers").join(layer.sha256.to_string())
    }

    /// The bytes of a layer that is one file, if it is here.
    pub(super) fn layer(&self, layer: &Layer) -> Result<Option<Vec<u8>>, EnvironmentError> {
        let path = self.file(layer);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.at("read", &path)?,
        };
        let have = Digest::of(&bytes);
        let next = "find out who changed it; then delete that file, and call again";
        super::check(layer, have, &format!("the cache, {}", path.display()), next)?;
        Ok(Some(bytes))
    }

    /// Whether a layer that is one file is here; its content is checked when it is used.
    pub(super) fn has(&self, layer: &Layer) -> bool {
        self.file(layer).is_file()
    }

    /// Copies the file at `from` into the cache if it is one of `layers`.
    pub(super) fn keep(&self, from: &Path, layers: &[&Layer]) -> Result<Option<Digest>, EnvironmentError> {
        let beside = self.unfinished()?;
        let new = beside.path().join("layer");
        let mut out = File::create(&new).at("create", &new)?;
        let mut hasher = Hasher::default();
        let mut source = File::open(from).at("open", from)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            let read = source.read(&mut buffer).at("read", from)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            out.write_all(&buffer[..read]).at("write", &new)?;
        }
        let (digest, _) = hasher.finish();
        if !layers.iter().any(|layer| layer.sha256 == digest) {
            return Ok(None);
        }
        out.set_permissions(fs::Permissions::from_mode(0o444)).at("set the mode of", &new)?;
        let path = self.directory.join("layers").join(digest.to_string());
        fs::rename(&new, &path).at("create", &path)?;
        Ok(Some(digest))
    }

    /// Whether a tree of this digest is here; it is compared with its seal when it is used.
    pub(super) fn has_tree(&self, digest: Digest) -> bool {
        self.directory.join("trees").join(digest.to_string()).is_dir()
    }

    /// The files of the tree of this name, if it is here and as it was made.
    pub(super) fn tree(&self, name: &str) -> Result<Option<PathBuf>, EnvironmentError> {
        let entry = self.directory.join("trees").join(name);
        let path = entry.join(SEAL);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !entry.exists() => return Ok(None),
            other => other.at("read", &path)?,
        };
        let changed = |change: Change, layers: String| {
            let Change { path, want, have } = change;
            EnvironmentError::CacheChanged(Changed { path: entry.join(FILES).join(path), layers, want, have, entry: entry.clone() }.into())
        };
        let mut seal: Seal = serde_json::from_slice(&text).map_err(|error| {
            let change = Change { path: String::new(), want: format!("a {SEAL} beside it"), have: error.to_string() };
            changed(change, "this tree".into())
        })?;
        let files = entry.join(FILES);
        match seal.check(&files)? {
            Ok(renewed) => {
                if renewed {
                    self.write_seal(&seal, &entry)?;
                }
                Ok(Some(files))
            }
            Err(change) => Err(changed(change, titles(&seal.made_of))),
        }
    }

    /// Makes a tree in a new directory, and keeps it under the name that `make` gives it, if it gives one.
    pub(super) fn make_tree<T>(
        &self,
        make: impl FnOnce(&Path) -> Result<(Option<String>, Seal, T), EnvironmentError>,
    ) -> Result<T, EnvironmentError> {
        let beside = self.unfinished()?;
        let new = beside.path().join("tree");
        let files = new.join(FILES);
        for directory in [&new, &files] {
            files::create(directory)?;
        }
        let (name, seal, result) = make(&files)?;
        let Some(name) = name else { return Ok(result) };
        self.write_seal(&seal, &new)?;
        let entry = self.directory.join("trees").join(name);
        match fs::rename(&new, &entry) {
            // Somebody made the same one meanwhile; it is compared with its seal when it is used.
            Err(_) if entry.is_dir() => {}
            other => other.at("create", &entry)?,
        }
        Ok(result)
    }

    fn write_seal(&self, seal: &Seal, entry: &Path) -> Result<(), EnvironmentError> {
        let beside = self.unfinished()?;
        let new = beside.path().join(SEAL);
        let text = serde_json::to_vec(seal).map_err(std::io::Error::from).at("write", &new)?;
        fs::write(&new, text).at("write", &new)?;
        Ok(fs::rename(&new, entry.join(SEAL)).at("create", entry.join(SEAL))?)
    }

    /// Something that was found out before, by a key that changes when it may no longer be true.
    pub(super) fn known(&self, key: &str) -> Option<String> {
        fs::read_to_string(self.directory.join("known").join(key)).ok()
    }

    /// Remembers something under a key.
    pub(super) fn learn(&self, key: &str, text: &str) -> Result<(), EnvironmentError> {
        let beside = self.unfinished()?;
        let new = beside.path().join("known");
        fs::write(&new, text).at("write", &new)?;
        let path = self.directory.join("known").join(key);
        Ok(fs::rename(&new, &path).at("create", path)?)
    }
}

/// At most three, for a message.
fn titles(made_of: &[String]) -> String {
    match made_of {
        [one] => one.clone(),
        [first, .., last] => format!("{} layers, from {first} to {last}", made_of.len()),
        [] => "no layer".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::lock::Kind;
    use crate::exit::{Exit, Refuse};

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("cache")).unwrap();
        (dir, cache)
    }

    fn layer(bytes: &[u8]) -> Layer {
        Layer { kind: Kind::Deb, name: "a".into(), version: "1".into(), sha256: Digest::of(bytes), size: bytes.len() as u64 }
    }

    #[test]
    fn attack_52_a_poisoned_layer_in_the_cache_is_refused_with_both_digests() {
        let (dir, cache) = cache();
        let file = dir.path().join("file");
        fs::write(&file, "good").unwrap();
        let good = layer(b"good");
        assert!(cache.layer(&good).unwrap().is_none());
        assert_eq!(cache.keep(&file, &[&good]).unwrap(), Some(good.sha256));
        assert_eq!(cache.layer(&good).unwrap().unwrap(), b"good");
        let kept = dir.path().join("cache/layers").join(good.sha256.to_string());
        fs::remove_file(&kept).unwrap();
        fs::write(&kept, "evil").unwrap();
        let refusal = cache.layer(&good).unwrap_err().refusal();
        assert_eq!((refusal.code, refusal.reason), (Exit::Hash, "layer-digest"));
        assert!(refusal.want.unwrap().contains(&good.sha256.to_string()));
        assert!(refusal.have.unwrap().contains(&Digest::of(b"evil").to_string()));
    }

    #[test]
    fn a_file_that_nobody_asked_for_does_not_enter() {
        let (dir, cache) = cache();
        fs::write(dir.path().join("file"), "other").unwrap();
        assert_eq!(cache.keep(&dir.path().join("file"), &[&layer(b"good")]).unwrap(), None);
        assert!(files::listed(&dir.path().join("cache/layers")).unwrap().is_empty());
        assert!(!files::listed(&dir.path().join("cache")).unwrap().iter().any(|path| path.to_string_lossy().contains("unfinished")));
    }

    #[test]
    fn attack_52_a_tree_that_was_changed_in_the_cache_is_refused_by_path() {
        let (dir, cache) = cache();
        let make = |files: &Path| {
            fs::write(files.join("cc"), "cc").unwrap();
            Ok((Some("name".to_owned()), Seal::of(files, vec!["deb gcc 1".into()])?, ()))
        };
        cache.make_tree(make).unwrap();
        let files = cache.tree("name").unwrap().unwrap();
        cache.make_tree(make).unwrap();
        fs::write(files.join("cc"), "xx").unwrap();
        let refusal = cache.tree("name").unwrap_err().refusal();
        assert_eq!((refusal.code, refusal.reason), (Exit::Hash, "cache-changed"));
        assert!(refusal.subject.ends_with("/cc") && refusal.want.unwrap().contains("deb gcc 1"));
        fs::write(dir.path().join("cache/trees/name").join(SEAL), "{}").unwrap();
        assert_eq!(cache.tree("name").unwrap_err().refusal().reason, "cache-changed");
    }

    #[test]
    fn a_tree_that_cannot_be_finished_leaves_nothing() {
        let (dir, cache) = cache();
        let failed = cache.make_tree(|files| -> Result<(Option<String>, Seal, ()), EnvironmentError> {
            fs::write(files.join("half"), "x").unwrap();
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull)).at("write", files)?
        });
        assert_eq!(failed.as_ref().unwrap_err().refusal().reason, "disk-full");
        cache.make_tree(|files| Ok((None, Seal::of(files, vec![])?, ()))).unwrap();
        assert!(failed.is_err() && cache.tree("name").unwrap().is_none());
        assert_eq!(files::listed(&dir.path().join("cache")).unwrap().len(), 3, "layers, trees, known");
    }

    #[test]
    fn a_cache_that_others_can_write_to_is_refused() {
        let (dir, _) = cache();
        let path = dir.path().join("cache");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        let refusal = Cache::at(&path).unwrap_err().refusal();
        assert_eq!((refusal.code, refusal.reason), (Exit::State, "cache-access"));
        fs::remove_dir_all(&path).unwrap();
        std::os::unix::fs::symlink("/tmp", &path).unwrap();
        assert_eq!(Cache::at(&path).unwrap_err().refusal().reason, "cache-access");
    }
}
