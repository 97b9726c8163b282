//! The fallback that must be asked for: the host's C compiler, in place, and the toolchain as a layer or, where it has no manifests of
//! rustup, in place as well. It is recorded and compared, but another machine cannot be given it.

use proofmark_core::Digest;

use super::cache::Cache;
use super::error::EnvironmentError;
use super::lock::{Kind, Layer, Lock};
use super::{Environment, check, rust, target};
use crate::cc::{self, CToolchain};
use crate::config::Config;
use crate::exit::IoContext;
use crate::progress::Progress;
use crate::sandbox::Root;
use crate::toolchain::{Toolchain, ToolchainError};

/// The lock of this machine as it is, the C compiler, and the toolchain to use.
pub(super) fn lock(
    architecture: &str,
    toolchain: &Toolchain,
    target: &str,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<(Lock, CToolchain, Toolchain), EnvironmentError> {
    progress.step("reading the compilers");
    let c_toolchain = cc::record()?;
    let mut size = 0;
    for file in &c_toolchain.files {
        size += std::fs::metadata(&file.path).at("inspect", &file.path)?.len();
    }
    let cc = Layer { kind: Kind::Host, name: "cc".into(), version: plain(&cc::version()?), sha256: digest(&c_toolchain.digest), size };
    let (layer, toolchain) = match rust::import(toolchain, target, None, cache, progress) {
        Ok(layer) => {
            let Some(directory) = rust::cached(&layer, cache)? else { unreachable!("it has just been imported") };
            let copy = Toolchain { directory, digest: layer.sha256.to_string(), ..toolchain.clone() };
            (layer, copy)
        }
        Err(EnvironmentError::Toolchain(ToolchainError::NoManifests { .. })) => {
            let toolchain = toolchain.clone().lock(target)?;
            let sha256 = digest(&toolchain.digest);
            (Layer { kind: Kind::Host, name: "rust".into(), version: plain(&toolchain.version), sha256, size: 0 }, toolchain)
        }
        Err(other) => return Err(other),
    };
    Ok((Lock::new(architecture, &[], vec![cc, layer]), c_toolchain, toolchain))
}

/// This machine, if it is still the locked one.
pub(super) fn environment(
    locked: Lock,
    toolchain: &Toolchain,
    config: &Config,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Environment, EnvironmentError> {
    let target = target(config, &toolchain.host);
    let (now, c_toolchain, toolchain) = lock(&locked.architecture, toolchain, &target, cache, progress)?;
    for layer in &locked.layers {
        let have = now.layers.iter().find(|have| (have.kind, &have.name) == (layer.kind, &layer.name));
        let (sha256, version) = have.map_or((Digest::of(b""), "none"), |have| (have.sha256, have.version.as_str()));
        check(layer, sha256, &format!("this machine: {version}"), "build on a machine that has it, or: proofmark lock")?;
    }
    let note = "environment = \"host\": this machine's C compiler and libraries are used in place; another machine makes other bytes";
    Ok(Environment { root: Root::Host, toolchain, target, c_toolchain: Some(c_toolchain), notes: vec![note.into()], lock: locked })
}

fn digest(hex: &str) -> Digest {
    hex.parse().expect("these are made by crate::digest")
}

/// As the lock can hold it.
fn plain(version: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "+-.:~_() ,".contains(c) { c } else { '_' };
    version.chars().take(200).map(plain).collect()
}
