//! What a build sees of an operating system, and its compilers: exactly the layers of `proofmark.lock`, or, only where proofmark.toml
//! asks for it, the host's own.
//!
//! `lock` is the file; `apt` resolves and fetches packages with the machine's own client; `rust` takes the toolchain; `cache`
//! keeps both by content. [`prepare`] decides: it returns an environment whose every layer has the locked digest, or refuses before
//! anything of the project runs. This module must never take the host's system where layers were asked for.

use std::io::Write;
use std::path::{Path, PathBuf};

use proofmark_core::Digest;
use serde::{Deserialize, Serialize};

use crate::cc::CToolchain;
use crate::config::Config;
use crate::exit::IoContext;
use crate::inputs::{self, Collected, Content, Input};
use crate::progress::Progress;
use crate::sandbox::Root;
use crate::toolchain::{self, Toolchain, ToolchainError};

mod apt;
mod bring;
mod cache;
mod deb;
mod directory;
mod error;
mod host;
mod keep;
mod lock;
mod root;
mod rust;
mod tree;

pub use apt::Client;
pub use bring::confirm;
use bring::{bring, fetch};
pub use cache::Cache;
pub use directory::Directory;
pub use error::{Changed, EnvironmentError, Mismatch};
pub use keep::Keep;
use lock::find;
pub use lock::{FILE, Kind, Layer, Lock};

/// Time of every file in a layer: 1980, the earliest that every archive format and make(1) can hold.
pub(crate) const TIME: u64 = 315_532_800;

/// Where layers come from that are not in the cache. Nothing that it gives is believed: whoever asks hashes it.
pub trait LayerSource {
    /// What messages call it.
    fn title(&self) -> String;
    /// Files that may be some of `layers`, in any order, with any name. A layer that the source does not have is no error.
    fn fetch(&self, layers: &[&Layer], progress: &dyn Progress) -> Result<Vec<PathBuf>, EnvironmentError>;
}

/// Which environment is wanted, and what there is to make it of.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The commit's `proofmark.toml`.
    pub config: &'a Config,
    /// The exported tree of the commit: a committed lock is read from here.
    pub source: &'a Path,
    /// The working tree: an absent lock is written here.
    pub workspace: &'a Path,
    /// A lock file, for a commit that has none.
    pub lock: Option<&'a Path>,
    /// A toolchain directory, instead of the one that `rustc` means in the workspace.
    pub toolchain: Option<&'a Path>,
    /// A directory of layers by digest, instead of this machine's package client and toolchain.
    pub layers: Option<&'a Path>,
}

/// An environment that is as it was locked.
#[derive(Debug)]
pub struct Environment {
    /// What it is made of.
    pub lock: Lock,
    /// The operating system inside the sandbox.
    pub root: Root,
    /// The toolchain; its digest is its layer's.
    pub toolchain: Toolchain,
    /// Target triple.
    pub target: String,
    /// The host's C compiler by files, where it is used.
    pub c_toolchain: Option<CToolchain>,
    /// What is worth a word: a lock that was just written, a host that is not locked.
    pub notes: Vec<String>,
}

/// The lock that a buildinfo holds.
pub fn recorded(buildinfo: &serde_json::Value) -> Option<Lock> {
    #[derive(Deserialize)]
    struct Recorded {
        architecture: String,
        packages: Vec<String>,
        layers: Vec<Layer>,
    }
    let Recorded { architecture, packages, layers } = Recorded::deserialize(&buildinfo["environment"]).ok()?;
    Lock::parse(&Lock::new(&architecture, &packages, layers).to_text(), Path::new(FILE)).ok()
}

/// How buildinfo writes it: the lock whole, so that it can be made again, and with its digest, so that it can be compared.
#[derive(Debug, Serialize)]
pub struct Record<'a> {
    lock: String,
    architecture: &'a str,
    packages: &'a [String],
    layers: &'a [Layer],
}

impl Environment {
    /// A place for what is made of this environment.
    pub fn keep<'a>(&self, cache: &'a Cache) -> Keep<'a> {
        Keep { cache, lock: (!self.lock.is_host()).then(|| self.lock.digest()) }
    }

    /// For buildinfo.
    pub fn record(&self) -> Record<'_> {
        Record { lock: self.lock.digest(), architecture: &self.lock.architecture, packages: &self.lock.packages, layers: &self.lock.layers }
    }
}

/// The lock and its layers, for the archive of inputs. All of them are in the cache; where a part of the host is among them, none is
/// archived, since without that part they are of no use.
pub fn inputs(lock: &Lock, cache: &Cache) -> Result<Vec<Collected>, EnvironmentError> {
    let text = lock.to_text().into_bytes();
    let (sha256, size) = (Digest::of(&text), text.len() as u64);
    let input = Input { kind: inputs::Kind::Lock, name: FILE.into(), sha256, size };
    let mut found = vec![Collected { input, content: Content::Bytes(text) }];
    for layer in lock.layers.iter().filter(|_| !lock.is_host()) {
        let (kind, content) = match layer.kind {
            Kind::Deb => (inputs::Kind::Deb, Content::File(cache.file(layer))),
            Kind::Rust => match rust::cached(layer, cache)? {
                Some(files) => (inputs::Kind::Rust, Content::Tree(inputs::tree::below(&files)?)),
                None => return Err(gone(layer, "the cache")),
            },
            Kind::Host => continue,
        };
        let input = Input { kind, name: format!("{} {}", layer.name, layer.version), sha256: layer.sha256, size: layer.size };
        found.push(Collected { input, content });
    }
    Ok(found)
}

fn gone(layer: &Layer, sources: &str) -> EnvironmentError {
    EnvironmentError::Gone { layer: layer.title(), sha256: layer.sha256.to_string(), sources: sources.into() }
}

/// Resolves what `wanted` asks for, anew: the lock that `proofmark lock` writes. Every layer is in the cache afterwards.
pub fn resolve(wanted: &Wanted<'_>, cache: &Cache, progress: &dyn Progress) -> Result<Lock, EnvironmentError> {
    let toolchain = toolchain::find(wanted.workspace, wanted.toolchain)?;
    let target = target(wanted.config, &toolchain.host);
    let architecture = architecture();
    if wanted.config.build.is_host() {
        return Ok(host::lock(architecture, &toolchain, &target, cache, progress)?.0);
    }
    // First: a toolchain that cannot be a layer is found out before anything is fetched.
    let rust = rust::import(&toolchain, &target, None, cache, progress)?;
    let packages = wanted.config.build.packages();
    let client = Client::open(architecture, progress)?;
    let mut layers = client.resolve(&packages, progress)?;
    layers.push(rust);
    let lock = Lock::new(architecture, &packages, layers);
    fetch(&lock, &[&client], cache, progress)?;
    Ok(lock)
}

/// The environment that `proofmark.lock` names; where there is none, it is resolved and written, with a note.
pub fn prepare(wanted: &Wanted<'_>, cache: &Cache, progress: &dyn Progress) -> Result<Environment, EnvironmentError> {
    let mut notes = Vec::new();
    let found = match wanted.lock {
        Some(path) => Some(find(&[wanted.source])?.map_or_else(|| lock::read(path), Ok)?),
        None => find(&[wanted.source, wanted.workspace])?,
    };
    let lock = match found {
        Some(lock) => lock,
        None => {
            let lock = resolve(wanted, cache, progress)?;
            write(&lock, wanted.workspace)?;
            notes.push(format!("{FILE} was absent: resolved {} layers and wrote it", lock.layers.len()));
            lock
        }
    };
    lock.check_config(wanted.config)?;
    let here = architecture();
    if lock.architecture != here {
        return Err(EnvironmentError::LockArchitecture { want: lock.architecture, have: here.into() });
    }
    let installed = installed(wanted, &lock)?;
    let mut environment = match &installed {
        Some(toolchain) if lock.is_host() => host::environment(lock, toolchain, wanted.config, cache, progress)?,
        _ => {
            let directory = wanted.layers.map(Directory::new);
            let source = directory.as_ref().map(|directory| directory as &dyn LayerSource);
            materialise(lock, wanted.config, installed.as_ref(), source, cache, progress)?
        }
    };
    environment.notes.splice(0..0, notes);
    Ok(environment)
}

/// The toolchain of this machine, unless the layers come from elsewhere.
fn installed(wanted: &Wanted<'_>, lock: &Lock) -> Result<Option<Toolchain>, EnvironmentError> {
    if wanted.layers.is_some() && !lock.is_host() {
        return Ok(None);
    }
    match toolchain::find(wanted.workspace, wanted.toolchain) {
        // Then the cache may have the locked one.
        Err(ToolchainError::NoRustc) if wanted.toolchain.is_none() && !lock.is_host() => Ok(None),
        other => Ok(Some(other?)),
    }
}

/// The lock that a commit has, in its exported `source`.
pub fn committed(source: &Path) -> Result<Option<Lock>, EnvironmentError> {
    find(&[source])
}

/// The inputs of a build that was made elsewhere with `lock`, from this machine's sources.
pub fn collect(lock: &Lock, wanted: &Wanted<'_>, cache: &Cache, progress: &dyn Progress) -> Result<Vec<Collected>, EnvironmentError> {
    if !lock.is_host() {
        let directory = wanted.layers.map(Directory::new);
        let source = directory.as_ref().map(|directory| directory as &dyn LayerSource);
        bring(lock, wanted.config, installed(wanted, lock)?.as_ref(), source, cache, progress)?;
    }
    inputs(lock, cache)
}

/// Makes the environment of a lock that is all layers: missing ones as `bring` gets them.
pub fn materialise(
    lock: Lock,
    config: &Config,
    installed: Option<&Toolchain>,
    source: Option<&dyn LayerSource>,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Environment, EnvironmentError> {
    let toolchain = bring(&lock, config, installed, source, cache, progress)?;
    let root = Root::Layers(root::cached(&lock, cache, progress)?);
    let target = target(config, &toolchain.host);
    Ok(Environment { root, toolchain, target, c_toolchain: None, notes: Vec::new(), lock })
}

/// Writes `proofmark.lock` into a workspace, whole or not at all.
pub fn write(lock: &Lock, workspace: &Path) -> Result<PathBuf, EnvironmentError> {
    let path = workspace.join(FILE);
    let mut file = tempfile::Builder::new().prefix(".proofmark-lock-").tempfile_in(workspace).at("create a file in", workspace)?;
    file.write_all(lock.to_text().as_bytes()).at("write", &path)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).at("set the mode of", &path)?;
    file.persist(&path).map_err(|error| error.error).at("create", &path)?;
    Ok(path)
}

fn check(layer: &Layer, have: Digest, place: &str, next: &str) -> Result<(), EnvironmentError> {
    layer.sha256.check(have, layer.title()).map_err(|_| {
        let (want, place, next) = (layer.sha256, place.into(), next.into());
        EnvironmentError::Digest(Mismatch { layer: layer.title(), want, have, place, next }.into())
    })
}

fn target(config: &Config, host: &str) -> String {
    config.target.as_ref().map_or_else(|| host.to_owned(), ToString::to_string)
}

/// Debian's name of the architecture that this program runs on (dpkg's cputable), or the processor's where Debian has none.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "armhf",
        "x86" => "i386",
        "powerpc64" => "ppc64el",
        other => other,
    }
}

/// A path below a root, without a step back and without what a terminal would obey.
fn is_plain_path(path: &str) -> bool {
    path.len() < 4096
        && !path.contains(|c: char| c.is_control())
        && path.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= 255)
}

#[cfg(test)]
mod tests;
