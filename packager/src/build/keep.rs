//! Keeps what two builds made when they differ, so that it can be looked at: below one directory that nothing removes by itself.
//!
//! Each tree has the programs where a bundle has them, and cargo's whole output in `target` beside. Nothing of it may be released: there is
//! no buildinfo, without which `release` takes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::run::Site;
use super::{Blamed, Error, stage};
use crate::compare::{self, CompareError, Explanation};
use crate::exit::IoContext;
use crate::files;

/// Two builds that differ.
#[derive(Debug, thiserror::Error)]
#[error("the two builds differ")]
pub struct Differ {
    /// The two trees, kept.
    pub trees: [PathBuf; 2],
    /// What differs, and why it probably does; or why that could not be told.
    pub explanation: Result<Explanation, CompareError>,
    /// Where the difference begins, and what let it in.
    pub blamed: Blamed,
}

/// What both trees were made from: the same file in both tells `explain` that neither source nor flags can be the cause.
#[derive(Serialize)]
struct Inputs<'a> {
    format: u32,
    kind: &'static str,
    cargo: &'a [String],
    env: &'a BTreeMap<String, String>,
}

/// Moves two target directories to a new directory in the site's scratch, and explains what differs.
pub(super) fn keep(
    site: &Site<'_>,
    targets: [&Path; 2],
    outputs: &dyn Fn(&Path) -> Vec<(String, PathBuf)>,
    blamed: Blamed,
) -> Result<Differ, Error> {
    let scratch = site.scratch;
    let directory = tempfile::Builder::new().prefix("proofmark-differ-").tempdir_in(scratch).at("create a directory in", scratch)?;
    let base = directory.path().canonicalize().at("open", directory.path())?;
    let inputs = Inputs { format: 1, kind: "inputs", cargo: site.argv, env: site.env };
    let inputs = serde_json::to_vec_pretty(&inputs).expect("these types have string keys and no failing serializer");
    let trees = [base.join("first"), base.join("second")];
    for (tree, target) in trees.iter().zip(targets) {
        // The programs are copied before the directory they are in moves away.
        stage(&outputs(target), tree, site.time)?;
        files::write(&tree.join("inputs.json"), &inputs, false, site.time)?;
        fs::rename(target, tree.join("target")).at("rename", target)?;
    }
    // From here on it stays, whatever happens.
    let _ = directory.keep();
    match compare::explain(&trees[0], &trees[1]) {
        Err(CompareError::Interrupted(stop)) => Err(stop.into()),
        explanation => Ok(Differ { trees, explanation, blamed }),
    }
}
