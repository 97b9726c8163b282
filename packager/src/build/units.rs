//! What cargo compiled on the way: one digest for every library, procedural macro and build script, so that a difference can be blamed on
//! the crate where it begins. The manifest of them stands in buildinfo: it must be the same in both builds, or nothing is released.
//!
//! What build scripts write is not part of it (logs of configure and cmake hold what they like); where that gets into a program, the
//! library made from it differs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::exit::IoError;
use crate::{digest, files};

/// One compiled unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its path below cargo's target directory; the hash in it is cargo's and depends on inputs only.
    pub path: String,
    /// Digest.
    pub sha256: String,
}

/// The units below a target directory, sorted by path.
pub(super) fn list(target: &Path) -> Result<Vec<Unit>, IoError> {
    let mut units = Vec::new();
    for path in files::regular_below(target)? {
        if let Some(path) = path.to_str()
            && crate_of(path).is_some()
        {
            units.push(Unit { path: path.to_owned(), sha256: digest::sha256_file(&target.join(path))?.0 });
        }
    }
    units.sort();
    Ok(units)
}

/// The crate of a unit, as file names have it (with `_` for `-` in libraries); None for what is no unit.
pub(super) fn crate_of(path: &str) -> Option<&str> {
    let parts: Vec<&str> = path.split('/').collect();
    let [.., directory, file] = parts[..] else { return None };
    let (stem, extension) = file.rsplit_once('.').unwrap_or((file, ""));
    match (directory, extension) {
        ("deps", "rlib" | "rmeta" | "so") => stem.strip_prefix("lib").unwrap_or(stem).rsplit_once('-').map(|(name, _)| name),
        // build/NAME-HASH/build-script-build: the program itself, not its copies with a hash.
        (directory, "") if file == "build-script-build" => directory.rsplit_once('-').map(|(name, _)| name),
        _ => None,
    }
}

/// Crates with a unit that is not the same in both, by the name that `Cargo.lock` uses.
pub(super) fn differing(first: &[Unit], second: &[Unit], lock: &Needs) -> BTreeSet<String> {
    let (first, second): (BTreeSet<&Unit>, BTreeSet<&Unit>) = (first.iter().collect(), second.iter().collect());
    first.symmetric_difference(&second).filter_map(|unit| crate_of(&unit.path)).map(|name| lock.name(name)).collect()
}

/// Who needs whom, from `Cargo.lock`, by name alone: versions of one crate are blamed together.
#[derive(Debug, Default)]
pub(super) struct Needs(BTreeMap<String, BTreeSet<String>>);

impl Needs {
    /// Reads the bytes of a `Cargo.lock` that has been accepted before.
    pub(super) fn new(lock: &[u8]) -> Self {
        #[derive(Deserialize, Default)]
        struct Lock {
            #[serde(default)]
            package: Vec<Package>,
        }
        #[derive(Deserialize)]
        struct Package {
            name: String,
            #[serde(default)]
            dependencies: Vec<String>,
        }
        let lock: Lock = std::str::from_utf8(lock).ok().and_then(|text| toml::from_str(text).ok()).unwrap_or_default();
        let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for package in lock.package {
            // `NAME`, or `NAME VERSION` where there are several.
            let names = package.dependencies.iter().filter_map(|line| line.split(' ').next()).map(str::to_owned);
            needs.entry(package.name).or_default().extend(names);
        }
        Self(needs)
    }

    /// The name in `Cargo.lock` of a crate that a file name calls `name`.
    pub(super) fn name(&self, name: &str) -> String {
        self.0.keys().find(|known| known.replace('-', "_") == name.replace('-', "_")).cloned().unwrap_or_else(|| name.to_owned())
    }

    /// Those of `crates` that need no other of them: where a difference begins.
    pub(super) fn roots(&self, crates: &BTreeSet<String>) -> BTreeSet<String> {
        crates.iter().filter(|name| self.all(name).iter().all(|need| need == *name || !crates.contains(need))).cloned().collect()
    }

    /// Which of `crates` the crate `name` needs.
    pub(super) fn among(&self, name: &str, crates: &BTreeSet<String>) -> Vec<String> {
        self.all(name).intersection(crates).cloned().collect()
    }

    /// Everything that `name` needs, directly or not.
    fn all(&self, name: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut next = vec![name.to_owned()];
        while let Some(name) = next.pop() {
            for need in self.0.get(&name).into_iter().flatten() {
                if found.insert(need.clone()) {
                    next.push(need.clone());
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_a_library_a_macro_or_a_build_script() {
        for (path, want) in [
            ("release/deps/libserde_derive-0123456789abcdef.so", Some("serde_derive")),
            ("x86_64-unknown-linux-gnu/release/deps/libring-0123.rlib", Some("ring")),
            ("release/build/ring-0123/build-script-build", Some("ring")),
            ("release/build/ring-0123/build_script_build-0123", None),
            ("x86_64-unknown-linux-gnu/release/build/ring-0123/out/config.log", None),
            ("x86_64-unknown-linux-gnu/release/deps/router-0123", None),
        ] {
            assert_eq!(crate_of(path), want, "{path}");
        }
    }

    #[test]
    fn a_difference_begins_where_no_needed_crate_differs() {
        let lock = "[[package]]\nname = \"app\"\ndependencies = [\"mid-dle\"]\n[[package]]\nname = \"mid-dle\"\ndependencies = [\"low 1.0.0\"]\n[[package]]\nname = \"low\"\n";
        let needs = Needs::new(lock.as_bytes());
        let unit = |path: &str, sha256: &str| Unit { path: path.into(), sha256: sha256.into() };
        let first = [unit("r/deps/libapp-1.rlib", "1"), unit("r/deps/liblow-1.rlib", "1"), unit("r/deps/libmid_dle-1.rlib", "1")];
        let second = [unit("r/deps/libapp-1.rlib", "2"), unit("r/deps/liblow-1.rlib", "1"), unit("r/deps/libmid_dle-1.rlib", "2")];
        let crates = differing(&first, &second, &needs);
        assert_eq!(crates.iter().collect::<Vec<_>>(), ["app", "mid-dle"]);
        assert_eq!(needs.roots(&crates).iter().collect::<Vec<_>>(), ["mid-dle"]);
    }
}
