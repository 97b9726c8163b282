//! The operating system inside the sandbox: the locked packages laid over each other, and the few links that their maintainer scripts
//! would have made.
//!
//! A function of the packages and of this file alone. It must never look at the machine's own system.

use std::path::PathBuf;

use super::cache::Cache;
use super::deb;
use super::error::EnvironmentError;
use super::lock::{Kind, Layer, Lock};
use super::tree::{Node, Tree};
use crate::progress::Progress;
use crate::{digest, interrupt};

/// Top directories that are links into /usr.
pub(super) const MERGED: &[&str] = &["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

/// Names in /usr/bin that packages leave to update-alternatives(1) or to the administrator: each leads to the first of the programs
/// that is there. A constant: a machine's own choice would be an undeclared input.
const CHOICES: &[(&str, &[&str])] = &[
    ("aclocal", &["aclocal-1.18", "aclocal-1.17", "aclocal-1.16"]),
    ("automake", &["automake-1.18", "automake-1.17", "automake-1.16"]),
    ("awk", &["gawk", "mawk", "original-awk"]),
    ("c++", &["g++", "clang++"]),
    ("c89", &["c89-gcc"]),
    ("c99", &["c99-gcc"]),
    ("cc", &["gcc", "clang"]),
    ("sh", &["dash", "bash"]),
    ("which", &["which.debianutils"]),
    ("yacc", &["bison.yacc", "byacc"]),
];

/// The tree that the `deb` layers of `lock` make. They are in the cache; the tree is afterwards.
pub(super) fn cached(lock: &Lock, cache: &Cache, progress: &dyn Progress) -> Result<PathBuf, EnvironmentError> {
    let name = name(lock);
    if let Some(files) = cache.tree(&name)? {
        return Ok(files);
    }
    progress.step(&format!("unpacking {} packages", lock.of(Kind::Deb).count()));
    cache.make_tree(|directory| {
        let mut tree = Tree::new(directory);
        for layer in lock.of(Kind::Deb) {
            interrupt::check()?;
            // These bytes have been hashed, whoever may change the file now.
            let bytes = cache.layer(layer)?.ok_or_else(|| super::gone(layer, "the cache"))?;
            deb::unpack(&bytes, layer, &lock.architecture, &mut tree)?;
        }
        finish(&mut tree)?;
        Ok((Some(name.clone()), tree.seal(lock.of(Kind::Deb).map(Layer::title).collect())?, ()))
    })?;
    cache.tree(&name)?.ok_or_else(|| unreachable!("it has just been kept"))
}

/// Name of that tree in the cache.
fn name(lock: &Lock) -> String {
    // The first line is the version of the rules of this file, deb.rs and tree.rs.
    let mut text = format!("proofmark root 1 {}\n", lock.architecture);
    for layer in lock.of(Kind::Deb) {
        text += &format!("{}  {}\n", layer.sha256, layer.name);
    }
    digest::sha256(text.as_bytes())
}

fn finish(tree: &mut Tree) -> Result<(), EnvironmentError> {
    const OWNER: &str = "the rules of Proofmark";
    for top in ["usr/bin", "usr/lib", "usr/sbin", "etc"] {
        tree.directory(top, OWNER)?;
    }
    for top in MERGED {
        if matches!(tree.get(&format!("usr/{top}")), Some(Node::Directory)) {
            tree.link(top, &format!("usr/{top}"), OWNER)?;
        }
    }
    for (name, programs) in CHOICES {
        let path = format!("usr/bin/{name}");
        let there = programs.iter().find(|program| tree.get(&format!("usr/bin/{program}")).is_some());
        if let (None, Some(program)) = (tree.get(&path), there) {
            tree.link(&path, program, OWNER)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_links_of_maintainer_scripts_lead_to_what_is_installed_and_a_packages_own_name_wins() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = Tree::new(dir.path());
        for name in ["gcc", "mawk", "clang", "sh"] {
            tree.file(&format!("usr/bin/{name}"), true, 0, &mut std::io::empty(), "a").unwrap();
        }
        tree.directory("usr/lib64", "a").unwrap();
        finish(&mut tree).unwrap();
        let link = |path: &str| fs::read_link(dir.path().join(path)).ok();
        assert_eq!(link("usr/bin/cc").as_deref(), Some(Path::new("gcc")));
        assert_eq!(link("usr/bin/awk").as_deref(), Some(Path::new("mawk")));
        assert_eq!(link("lib64").as_deref(), Some(Path::new("usr/lib64")));
        assert_eq!(link("usr/bin/sh"), None);
        assert!(!dir.path().join("usr/bin/yacc").is_symlink() && !dir.path().join("libx32").is_symlink());
    }
}
