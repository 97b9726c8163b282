//! After the builds have agreed: what they are made of, said in buildinfo and in the programs themselves.

use std::path::{Path, PathBuf};

use super::Error;
use super::factors::outside;
use super::run::Site;
use crate::auditable;
use crate::config::Config;
use crate::files;
use crate::graph::{self, Artifacts, Graph, GraphError};
use crate::progress::Silent;
use crate::sandbox;

/// Programs of one build, by member path.
type Programs = Vec<(String, PathBuf)>;

/// Asks cargo, in the sandbox, for the edges between the packages that were compiled.
pub(super) fn resolve(site: &Site<'_>, config: &Config, host: &str, compiled: &Artifacts) -> Result<Graph, Error> {
    let argv = graph::metadata_command(config, site.target, host);
    let directory = site.base.join("metadata");
    files::create(&directory)?;
    let outcome = sandbox::run(site.worker, &site.bare(&directory), &outside(&[]), &argv, &Silent)?;
    if !outcome.success {
        return Err(GraphError::Metadata(outcome.tail(20)).into());
    }
    Ok(graph::graph(&outcome.stdout, compiled, config)?)
}

/// The programs with their lists, or as they are where proofmark.toml says so. Programs that were the same still are: the list is a
/// function of what both were compiled from.
pub(super) fn mark(graph: &Graph, config: &Config, built: Programs, base: &Path, time: u64) -> Result<Programs, Error> {
    if !config.build.auditable {
        return Ok(built);
    }
    Ok(auditable::mark(graph, &built, &base.join("with-lists"), time)?)
}
