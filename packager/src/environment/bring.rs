//! Layers from where they are into the cache; and what this machine's own sources say of layers that somebody else used.
//!
//! Nothing enters that has another digest than its lock says. This file must never look for a layer where it was not told to.

use super::apt::Client;
use super::cache::Cache;
use super::error::EnvironmentError;
use super::lock::{FILE, Kind, Layer, Lock};
use super::{LayerSource, Wanted, check, gone, host, rust, target};
use crate::config::Config;
use crate::progress::Progress;
use crate::toolchain::{self, Toolchain};

/// Brings every layer of `lock` into the cache: from `source`, or from this machine's package client where there is none. The toolchain
/// is the `installed` one, which must be the locked one, or where there is none from the cache or `source`.
pub(super) fn bring(
    lock: &Lock,
    config: &Config,
    installed: Option<&Toolchain>,
    source: Option<&dyn LayerSource>,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Toolchain, EnvironmentError> {
    let malformed = |message: &str| EnvironmentError::LockFormat { path: FILE.into(), message: message.into() };
    let [layer] = lock.of(Kind::Rust).collect::<Vec<_>>()[..] else { return Err(malformed("want exactly one layer of kind rust")) };
    if lock.is_host() {
        return Err(malformed("a part of the host is no layer"));
    }
    let host = layer.name.split('+').next().unwrap_or_default().to_owned();
    let target = target(config, &host);
    if layer.name != rust::name(&host, &target) {
        return Err(EnvironmentError::LockStale { want: format!("target = {target:?}"), have: format!("a toolchain for {}", layer.name) });
    }
    if let Some(toolchain) = installed {
        let have = rust::import(toolchain, &target, Some(layer), cache, progress)?;
        let place = format!("{}, {}", toolchain.directory.display(), toolchain.version);
        let version = layer.version.split(' ').next().unwrap_or_default();
        check(layer, have.sha256, &place, &format!("rustup toolchain install {version}, or lock this one: proofmark lock"))?;
    }
    match source {
        Some(source) => fetch(lock, &[source], cache, progress)?,
        None if lock.of(Kind::Deb).all(|layer| cache.has(layer)) => fetch(lock, &[], cache, progress)?,
        None => fetch(lock, &[&Client::open(&lock.architecture, progress)?], cache, progress)?,
    }
    let directory = rust::cached(layer, cache)?.ok_or_else(|| gone(layer, "the cache"))?;
    Ok(Toolchain { directory, version: format!("rustc {}", layer.version), host, digest: layer.sha256.to_string() })
}

/// Brings every layer of `lock` into the cache that is not there, from `sources`.
pub(super) fn fetch(lock: &Lock, sources: &[&dyn LayerSource], cache: &Cache, progress: &dyn Progress) -> Result<(), EnvironmentError> {
    let missing = || {
        let missing = |layer: &&Layer| match layer.kind {
            Kind::Deb => !cache.has(layer),
            Kind::Rust => !cache.has_tree(layer.sha256),
            Kind::Host => false,
        };
        lock.layers.iter().filter(missing).collect::<Vec<_>>()
    };
    for source in sources {
        let wanted = missing();
        if wanted.is_empty() {
            return Ok(());
        }
        for path in source.fetch(&wanted, progress)? {
            let (debs, rust): (Vec<&Layer>, Vec<&Layer>) = wanted.iter().partition(|layer| layer.kind == Kind::Deb);
            if cache.keep(&path, &debs)?.is_none() {
                for layer in rust {
                    let have = rust::unpack(&path, layer, cache)?;
                    check(layer, have, &path.display().to_string(), "get this file again from where it came")?;
                }
            }
        }
    }
    match missing().first() {
        None => Ok(()),
        Some(layer) => {
            let mut titles: Vec<String> = sources.iter().map(|source| source.title()).collect();
            if layer.kind == Kind::Rust {
                titles.push("an installed toolchain".into());
            }
            Err(gone(layer, &titles.join(" and ")))
        }
    }
}

/// Layers of a lock that this machine's own package client, toolchain and system do not confirm, each with what they say. The cache is
/// not asked: it may have been filled from elsewhere.
pub fn confirm(lock: &Lock, wanted: &Wanted<'_>, cache: &Cache, progress: &dyn Progress) -> Result<Vec<(Layer, String)>, EnvironmentError> {
    let toolchain = toolchain::find(wanted.workspace, wanted.toolchain)?;
    let target = target(wanted.config, &toolchain.host);
    let mut own = if lock.is_host() {
        host::lock(&lock.architecture, &toolchain, &target, cache, progress)?.0.layers
    } else {
        let rust = lock.of(Kind::Rust).next();
        vec![rust::import(&toolchain, &target, rust, cache, progress)?]
    };
    if lock.of(Kind::Deb).next().is_some() {
        own.extend(Client::open(&lock.architecture, progress)?.known(&lock.of(Kind::Deb).collect::<Vec<_>>(), progress)?);
    }
    let doubt =
        |layer: &Layer| match own.iter().find(|own| (own.kind, &own.name, &own.version) == (layer.kind, &layer.name, &layer.version)) {
            Some(own) if own.sha256 == layer.sha256 && own.size == layer.size => None,
            Some(own) => Some((layer.clone(), format!("yours has sha256 {}, {} bytes", own.sha256, own.size))),
            None => Some((layer.clone(), "your package client, toolchain and system do not have this version".into())),
        };
    Ok(lock.layers.iter().filter_map(doubt).collect())
}
