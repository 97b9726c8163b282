//! From `proofmark.toml` to a manifest and members: what was declared, in the core's types.
//!
//! This file must never take a file from outside of the exported source tree, nor fill a gap that the declaration leaves.

use std::path::{Path, PathBuf};

use proofmark_core::json::Document;
use proofmark_core::manifest::{CONTRACT, FileMode, HostFile, Launch, Limits, Manifest, Source};
use proofmark_core::name::Name;
use proofmark_core::{Digest, Time};
use serde::Serialize;

use super::{Product, ReleaseError};
use crate::config::{Config, Environment};
use crate::exit::IoContext;
use crate::ledger::Ledger;
use crate::pack::{Content, Member};

/// The manifest of an environment; the packer fills in the files.
pub(super) fn manifest(product: &Product<'_>, ledger: &Ledger, environment: &Environment) -> Result<Manifest, ReleaseError> {
    let config = product.config;
    let time = i64::try_from(product.source.time).ok().and_then(Time::from_unix);
    let time = time.ok_or(ReleaseError::Value { value: product.source.time.to_string(), why: "a commit time from 1970 to 9999" })?;
    Ok(Manifest {
        format: 1,
        kind: Manifest::KIND.into(),
        contract: CONTRACT,
        product: core(config.product.as_str())?,
        release: core(config.release.as_str())?,
        environment: core(environment.name.as_str())?,
        target: core(product.target)?,
        wire_epoch: config.wire_epoch,
        source: Source { commit: core(&product.source.commit)?, tree: core(&product.source.tree)?, time },
        buildinfo: Digest::of(product.buildinfo),
        flags: ledger.in_force(environment.name.as_str(), &environment.flags)?,
        files: Vec::new(),
        launch: launch(config)?,
    })
}

fn launch(config: &Config) -> Result<Launch, ReleaseError> {
    let launch = &config.launch;
    let mut credentials: Vec<Name> = launch.credentials.iter().map(|name| core(name.as_str())).collect::<Result<_, _>>()?;
    credentials.sort();
    let mut host_files = Vec::new();
    for file in &launch.host_files {
        host_files.push(HostFile { path: core(file.path.as_str())?, sha256: same_word(&file.sha256)? });
    }
    host_files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut capabilities = launch.capabilities.clone();
    capabilities.sort();
    let mut supervisor = launch.supervisor.clone();
    supervisor.sort();
    Ok(Launch {
        argv: launch.argv.iter().map(ToString::to_string).collect(),
        env: launch.env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        user: core(launch.user.as_str())?,
        dangerous_root: launch.dangerous_root,
        limits: Limits {
            open_files: launch.limits.open_files,
            processes: launch.limits.processes,
            core_bytes: launch.limits.core_bytes,
            memory_bytes: launch.limits.memory_bytes,
        },
        capabilities: capabilities.iter().map(same_word).collect::<Result<_, _>>()?,
        state: launch.state.as_ref().map(|state| core(state.as_str())).transpose()?,
        credentials,
        supervisor: supervisor.iter().map(same_word).collect::<Result<_, _>>()?,
        host_files,
    })
}

pub(super) fn members(product: &Product<'_>, environment: &Environment) -> Result<Vec<Member>, ReleaseError> {
    let mut members = Vec::new();
    for output in product.outputs {
        members.push(Member {
            path: core(&output.path)?,
            mode: FileMode::Program,
            content: Content::File(product.staged.join(&output.path)),
        });
    }
    for file in &environment.files {
        let path = match &file.host {
            Some(host) => format!("hosts/{host}/{}", file.path),
            None => format!("root/{}", file.path),
        };
        let mode = if file.executable { FileMode::Program } else { FileMode::Data };
        members.push(Member { path: core(&path)?, mode, content: Content::File(inside(product.source_dir, file.source.as_str())?) });
    }
    Ok(members)
}

/// A regular file of the source tree. A link that leads out of it would pack this machine.
pub(super) fn inside(source_dir: &Path, path: &str) -> Result<PathBuf, ReleaseError> {
    let bad = |why: String| ReleaseError::BadFile { path: path.into(), why };
    let base = source_dir.canonicalize().at("open", source_dir)?;
    let file = base.join(path).canonicalize().map_err(|error| bad(error.to_string()))?;
    if !file.starts_with(&base) {
        return Err(bad("a link out of the source tree".into()));
    }
    if !file.is_file() {
        return Err(bad("not a regular file".into()));
    }
    Ok(file)
}

/// A text of the configuration as one of the core's types. The grammars are the same, so that this fails for a bug alone.
pub(super) fn core<T: std::str::FromStr<Err = &'static str>>(text: &str) -> Result<T, ReleaseError> {
    text.parse().map_err(|why| ReleaseError::Value { value: text.into(), why })
}

/// A word of a closed list, from the configuration's type to the core's: both spell it alike.
fn same_word<A: Serialize, B: serde::de::DeserializeOwned>(word: &A) -> Result<B, ReleaseError> {
    let value = serde_json::to_value(word).unwrap_or_default();
    serde_json::from_value(value.clone()).map_err(|_| ReleaseError::Value { value: value.to_string(), why: "a word of the closed list" })
}
