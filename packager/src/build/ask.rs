//! What has to be known before anything is built: what cargo says of the manifests, and rustc of the target.
//!
//! Both are asked inside the sandbox. A toolchain may be the one of a release that somebody else signed: on this machine itself, nothing
//! of it is ever run.

use std::path::Path;

use cargo_metadata::{Metadata, MetadataCommand};

use super::factors::outside;
use super::{Error, Options};
use crate::environment::Environment;
use crate::progress::Silent;
use crate::sandbox::{self, Machine, Spec};
use crate::toolchain::ToolchainError;
use crate::workspace::WorkspaceError;

/// Where the source is inside.
pub(super) const SOURCE: &str = "/src";

/// Asks one toolchain about one source tree.
pub(super) struct Asked<'a> {
    options: &'a Options,
    spec: Spec,
}

impl<'a> Asked<'a> {
    pub(super) fn new(options: &'a Options, environment: &Environment, source: &Path, time: u64) -> Self {
        let toolchain = environment.toolchain.directory.clone();
        let read_only = vec![(toolchain, "/toolchain".to_owned()), (source.to_owned(), SOURCE.to_owned())];
        let (root, env) = (environment.root.clone(), sandbox::environment(time));
        Self { options, spec: Spec { root, machine: Machine::Off, read_only, writable: Vec::new(), hidden: Vec::new(), env } }
    }

    /// The manifests of the workspace.
    pub(super) fn metadata(&self) -> Result<Metadata, Error> {
        let manifest = format!("{SOURCE}/Cargo.toml");
        let says = self.ask(&["cargo", "metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path", &manifest])?;
        let failed = |says: String| WorkspaceError::Metadata { path: "Cargo.toml".into(), says };
        let text = says.map_err(|says| failed(says.replace(&format!("{SOURCE}/"), "")))?;
        Ok(MetadataCommand::parse(text).map_err(|error| failed(error.to_string()))?)
    }

    /// The `cfg` values of `target`, as `rustc --print cfg` lists them.
    pub(super) fn cfg(&self, target: &str) -> Result<Vec<String>, Error> {
        let says = self.ask(&["rustc", "--print", "cfg", "--target", target])?;
        Ok(says.map_err(|says| ToolchainError::Rustc { says })?.lines().map(str::to_owned).collect())
    }

    /// What a program of the toolchain prints, or, where it fails, complains.
    fn ask(&self, words: &[&str]) -> Result<Result<String, String>, Error> {
        let mut argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        argv[0] = format!("/toolchain/bin/{}", argv[0]);
        let outcome = sandbox::run_first(&self.options.worker, &self.spec, &outside(&[]), &argv, &Silent)?;
        Ok(if outcome.success { Ok(String::from_utf8_lossy(&outcome.stdout).into_owned()) } else { Err(outcome.tail(20)) })
    }
}
