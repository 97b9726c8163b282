//! Lists a directory: a build as `proofmark build --out` writes it, what a failed double build left, or cargo's output directory.
//!
//! Everything that a verdict could hang on is listed, links and odd files included. Left out is only what cargo keeps for itself, which
//! differs after every call, and it is said that it was left out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::CompareError;
use super::report::{Role, Side, SideKind};
use super::side::{Item, Opened, Stored, shown};
use crate::exit::IoContext;
use crate::files;

/// Files in one tree.
const FILES: usize = 200_000;
/// Directories inside each other.
const DEPTH: usize = 64;

/// Opens a tree.
pub(super) fn open(root: &Path) -> Result<Opened, CompareError> {
    let mut walk = Walk { root, items: BTreeMap::new(), left_out: 0 };
    walk.directory(root, 0, false)?;
    let mut notes = Vec::new();
    // Beside a buildinfo lies what is known of the machine, for people: no document names it, and it differs with each build.
    if walk.items.contains_key("buildinfo.json") && walk.items.remove("machine.json").is_some() {
        notes.push(format!("{}: machine.json was left out: it is about the machine, and no part of the build", shown(root)));
    }
    let size = walk.items.values().fold(0u64, |sum, item| sum.saturating_add(item.size));
    if walk.left_out > 0 {
        notes.push(format!("{}: {} files and directories that cargo keeps for itself were left out", shown(root), walk.left_out));
    }
    let side = Side { path: shown(root), kind: SideKind::Tree, size, sha256: None };
    Ok(Opened { side, items: walk.items, notes })
}

struct Walk<'a> {
    root: &'a Path,
    items: BTreeMap<String, Item>,
    left_out: usize,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Path, depth: usize, in_profile: bool) -> Result<(), CompareError> {
        let limit = |what: &str| CompareError::Limit { path: directory.to_owned(), what: what.to_owned() };
        if depth > DEPTH {
            return Err(limit(&format!("at most {DEPTH} directories inside each other")));
        }
        let entries = files::listed(directory)?;
        let has = |name: &str| entries.iter().any(|entry| entry.ends_with(name));
        let place = match directory.parent() {
            _ if has(".fingerprint") && has("deps") => Place::Profile,
            _ if has("CACHEDIR.TAG") => Place::Target,
            _ if in_profile && directory.ends_with("deps") => Place::Units,
            Some(parent) if in_profile && parent.ends_with("build") => Place::Script,
            _ => Place::Elsewhere,
        };
        for entry in &entries {
            crate::interrupt::check()?;
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if place.is_cargos(name) {
                self.left_out += 1;
                continue;
            }
            let metadata = fs::symlink_metadata(entry).at("inspect", entry)?;
            if metadata.is_dir() {
                self.directory(entry, depth + 1, in_profile || place == Place::Profile)?;
                continue;
            }
            if self.items.len() == FILES {
                return Err(limit(&format!("at most {FILES} files")));
            }
            let relative = entry.strip_prefix(self.root).unwrap_or(entry);
            // Two names that are shown alike are still two entries: the exact name is the key.
            let path = String::from_utf8_lossy(relative.as_os_str().as_encoded_bytes()).into_owned();
            let item = if metadata.is_file() {
                // The umask decides the rest of the bits.
                let mode = Some(metadata.permissions().mode() & 0o100);
                Item { role: role(relative), size: metadata.len(), mode, content: Stored::File(entry.clone()) }
            } else {
                let text = match fs::read_link(entry) {
                    Ok(target) => format!("link to {}", target.display()),
                    Err(_) => "neither file, directory nor link".to_owned(),
                };
                Item { role: role(relative), size: text.len() as u64, mode: None, content: Stored::Bytes(text.into_bytes()) }
            };
            self.items.insert(path, item);
        }
        Ok(())
    }
}

/// Whose directory it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Cargo's output directory, known by its tag.
    Target,
    /// What a profile is built into, known by its `.fingerprint` and `deps`.
    Profile,
    /// `deps` in it.
    Units,
    /// What a build script wrote, in it.
    Script,
    /// Nobody's in particular: nothing is left out.
    Elsewhere,
}

impl Place {
    /// Whether a file here is cargo's own bookkeeping: times of the call, paths of the machine, locks.
    fn is_cargos(self, name: &str) -> bool {
        match self {
            Self::Target => matches!(name, ".rustc_info.json" | ".cargo-lock" | ".cargo-build-lock"),
            Self::Profile => matches!(name, ".fingerprint" | "incremental" | ".cargo-lock" | ".cargo-build-lock") || name.ends_with(".d"),
            Self::Units => name.ends_with(".d"),
            Self::Script => matches!(name, "root-output" | "invoked.timestamp" | "stderr"),
            Self::Elsewhere => false,
        }
    }
}

/// What a file is for, by where it is.
fn role(path: &Path) -> Role {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap_or_default()).collect();
    let name = parts.last().copied().unwrap_or_default();
    match parts.as_slice() {
        ["buildinfo.json" | "manifest.json" | "inputs.json"] => Role::Record,
        ["root" | "hosts", ..] => Role::Output,
        [.., "build", _, "output"] => Role::BuildScript,
        _ if parts.windows(3).any(|three| three[0] == "build" && three[2] == "out") => Role::BuildScript,
        [.., "build", _, _] => Role::Unit,
        _ if parts.contains(&"deps") => Role::Unit,
        // What cargo puts beside `deps` is what was asked for.
        [.., "debug" | "release", _] if !name.contains('.') => Role::Output,
        _ => Role::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_follow_from_the_place() {
        for (path, want) in [
            ("root/bin/router", Role::Output),
            ("buildinfo.json", Role::Record),
            ("target/x86_64-unknown-linux-gnu/release/router", Role::Output),
            ("target/x86_64-unknown-linux-gnu/release/build/leaky-0a1b/out/stamp.rs", Role::BuildScript),
            ("release/build/leaky-0a1b/output", Role::BuildScript),
            ("release/build/leaky-0a1b/build-script-build", Role::Unit),
            ("release/deps/libserde-0a1b.rlib", Role::Unit),
            ("notes.txt", Role::Other),
        ] {
            assert_eq!(role(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn a_link_and_a_file_that_cargo_would_not_make_are_compared_and_cargos_own_files_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let profile = dir.path().join("release");
        fs::create_dir_all(profile.join(".fingerprint/x-1")).unwrap();
        fs::create_dir_all(profile.join("deps")).unwrap();
        fs::write(profile.join(".fingerprint/x-1/invoked.timestamp"), "now").unwrap();
        fs::write(profile.join("deps/x-1.d"), "/a/path").unwrap();
        fs::write(profile.join("deps/libx-1.rlib"), "x").unwrap();
        fs::write(profile.join("deps/invoked.timestamp"), "x").unwrap();
        fs::create_dir_all(dir.path().join("root/etc")).unwrap();
        fs::write(dir.path().join("root/etc/.cargo-lock"), "x").unwrap();
        fs::write(dir.path().join("root/etc/settings-1.d"), "x").unwrap();
        std::os::unix::fs::symlink("/elsewhere", profile.join("link")).unwrap();
        let opened = open(dir.path()).unwrap();
        let names: Vec<&str> = opened.items.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["release/deps/invoked.timestamp", "release/deps/libx-1.rlib", "release/link", "root/etc/.cargo-lock", "root/etc/settings-1.d"]
        );
        assert!(opened.notes[0].contains("2 files"), "{:?}", opened.notes);
    }
}
