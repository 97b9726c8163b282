//! The toolchain as a layer: copied once from where rustup has installed it, so that a build sees these files and no others.
//!
//! An installed toolchain that has not changed since it was last hashed (path, size, times and inode of each file) is not hashed again. That
//! only saves the hashing of the original: what is built with is the copy, which has a seal of its own.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proofmark_core::Digest;

use super::cache::Cache;
use super::error::EnvironmentError;
use super::lock::{Kind, Layer};
use super::tree::Seal;
use crate::exit::{IoContext, IoError};
use crate::inputs::tree;
use crate::progress::Progress;
use crate::toolchain::Toolchain;
use crate::{digest, files, interrupt};

/// Name of the layer of a toolchain that runs on `host` and builds for `target`.
pub(super) fn name(host: &str, target: &str) -> String {
    if host == target { host.into() } else { format!("{host}+{target}") }
}

/// The layer that the installed `toolchain` is now. Its copy is in the cache afterwards, unless another layer is `wanted`.
pub(super) fn import(
    toolchain: &Toolchain,
    target: &str,
    wanted: Option<&Layer>,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Layer, EnvironmentError> {
    let files = toolchain.component_files(target)?;
    let key = key(&files)?;
    let version = toolchain.version.strip_prefix("rustc ").unwrap_or(&toolchain.version);
    let layer = |(sha256, size)| Layer { kind: Kind::Rust, name: name(&toolchain.host, target), version: version.into(), sha256, size };
    let is_wanted = |sha256: Digest| wanted.is_none_or(|wanted| wanted.sha256 == sha256);
    let before = cache.known(&key).and_then(|text| {
        let (sha256, size) = text.split_once(' ')?;
        Some((sha256.parse::<Digest>().ok()?, size.parse::<u64>().ok()?))
    });
    if let Some(before) = before
        && (!is_wanted(before.0) || cache.has_tree(before.0))
    {
        return Ok(layer(before));
    }
    progress.step("copying the toolchain");
    let found = cache.make_tree(|copy| {
        for (name, path) in &files {
            interrupt::check()?;
            if let Some(parent) = Path::new(name).parent() {
                files::directory(copy, parent)?;
            }
            let bytes = fs::read(path).at("read", path)?;
            let executable = fs::metadata(path).at("inspect", path)?.mode() & 0o111 != 0;
            files::write(&copy.join(name), &bytes, executable, super::TIME)?;
        }
        files::settle(copy, super::TIME)?;
        // Of the copy, not of the original: it may change meanwhile.
        let found = tree::digest(&tree::below(copy)?)?;
        let seal = Seal::of(copy, vec![format!("rust {version}")])?;
        Ok((is_wanted(found.0).then(|| found.0.to_string()), seal, found))
    })?;
    cache.learn(&key, &format!("{} {}", found.0, found.1))?;
    Ok(layer(found))
}

/// Unpacks the tree stream in the file `from`, which may be compressed, into the cache, if it is the wanted layer. The digest that it has.
pub(super) fn unpack(from: &Path, wanted: &Layer, cache: &Cache) -> Result<Digest, EnvironmentError> {
    let file = File::open(from).at("open", from)?;
    let mut stream: Box<dyn Read> = match from.extension() {
        Some(extension) if extension == "zst" => Box::new(zstd::stream::read::Decoder::new(file).at("read", from)?),
        _ => Box::new(file),
    };
    cache.make_tree(|directory| {
        let copy = directory.join("copy");
        // One byte more than promised is enough to know. What was written is a tree; whether it is the tree, its digest says.
        tree::read(&mut (&mut stream).take(wanted.size + 1), &copy, super::TIME)?;
        let (sha256, _) = tree::digest(&tree::below(&copy)?)?;
        for place in files::listed(&copy)? {
            let Some(name) = place.file_name() else { continue };
            fs::rename(&place, directory.join(name)).at("rename", &place)?;
        }
        fs::remove_dir(&copy).at("remove", &copy)?;
        files::settle(directory, super::TIME)?;
        let seal = Seal::of(directory, vec![wanted.title()])?;
        Ok(((sha256 == wanted.sha256).then(|| sha256.to_string()), seal, sha256))
    })
}

/// The toolchain of the layer, if it is in the cache and unchanged.
pub(super) fn cached(layer: &Layer, cache: &Cache) -> Result<Option<PathBuf>, EnvironmentError> {
    cache.tree(&layer.sha256.to_string())
}

/// Changes when a file of the list changes.
fn key(files: &[(String, PathBuf)]) -> Result<String, IoError> {
    let mut text = String::from("proofmark toolchain 1\n");
    for (name, path) in files {
        let meta = fs::metadata(path).at("inspect", path)?;
        let (size, inode, device) = (meta.len(), meta.ino(), meta.dev());
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        text += &format!("{name} {} {size} {inode} {device} {times:?}\n", path.display());
    }
    Ok(digest::sha256(text.as_bytes()))
}
