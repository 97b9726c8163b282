//! Where a build takes its source and its crates from: a checkout and this machine's caches, or an archive of inputs.
//!
//! Both lay out the same bytes at the same places, so that everything after this file is one and the same.

use std::path::{Path, PathBuf};

use super::Error;
use crate::exit::{IoContext, IoError};
use crate::inputs::tree;
use crate::source::{self, Source};
use crate::vendor::Cache;

/// Where source and crates come from.
#[derive(Debug, Clone, Default)]
pub enum Supply {
    /// The commit at HEAD of the workspace, and cargo's cache.
    #[default]
    Checkout,
    /// Inputs that were fetched and checked before: no git, no registry, no cache.
    Archive(Archive),
}

/// Inputs of one build in a directory, each in a file named by its digest, all of them checked.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The directory.
    pub directory: PathBuf,
    /// What the source claims to be.
    pub source: Source,
    /// The tree stream of the source, uncompressed.
    pub source_stream: PathBuf,
}

impl Supply {
    /// Which source this is; a checkout must be clean.
    pub(super) fn inspect(&self, workspace: &Path) -> Result<Source, Error> {
        match self {
            Self::Checkout => Ok(source::inspect(workspace)?),
            Self::Archive(archive) => Ok(archive.source.clone()),
        }
    }

    /// Lays the source out in `to`, which is created.
    pub(super) fn export(&self, workspace: &Path, source: &Source, to: &Path) -> Result<(), Error> {
        match self {
            Self::Checkout => Ok(source::export(workspace, source, to)?),
            Self::Archive(archive) => Ok(tree::read(&mut open(&archive.source_stream)?, to, source.time)?),
        }
    }

    /// Where crates are looked for.
    pub(super) fn crates(&self) -> Cache<'_> {
        match self {
            Self::Checkout => Cache::Cargo,
            Self::Archive(archive) => Cache::Archive(&archive.directory),
        }
    }
}

fn open(path: &Path) -> Result<std::io::BufReader<std::fs::File>, IoError> {
    Ok(std::io::BufReader::with_capacity(1 << 18, std::fs::File::open(path).at("open", path)?))
}
