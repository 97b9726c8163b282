//! After the builds, before they are compared: what they are made of, said in buildinfo and in the programs themselves.

use std::path::{Path, PathBuf};

use super::plan::outside;
use super::{Error, Options};
use crate::auditable;
use crate::config::Config;
use crate::graph::{self, Artifacts, Graph, GraphError};
use crate::progress::Silent;
use crate::sandbox::{self, Spec};

/// Programs of one build, by member path.
type Programs = Vec<(String, PathBuf)>;

/// Asks cargo, in the sandbox, for the edges between the packages that were compiled.
pub(super) fn resolve(
    options: &Options,
    spec: &Spec,
    config: &Config,
    [target, host]: [&str; 2],
    compiled: &Artifacts,
) -> Result<Graph, Error> {
    let argv = graph::metadata_command(config, target, host);
    let outcome = sandbox::run(&options.worker, spec, &outside(0), &argv, &Silent)?;
    if !outcome.success {
        return Err(GraphError::Metadata(outcome.tail(20)).into());
    }
    Ok(graph::graph(&outcome.stdout, compiled, config)?)
}

/// The programs of both builds with their lists, or as they are where proofmark.toml says so.
pub(super) fn mark(graph: &Graph, config: &Config, built: [Programs; 2], base: &Path, time: u64) -> Result<[Programs; 2], Error> {
    if !config.build.auditable {
        return Ok(built);
    }
    let [first, second] = built;
    let first = auditable::mark(graph, &first, &base.join("first-with-lists"), time)?;
    let second = auditable::mark(graph, &second, &base.join("second-with-lists"), time)?;
    Ok([first, second])
}
