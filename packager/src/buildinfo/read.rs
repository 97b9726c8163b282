//! A `buildinfo.json`, read again: what the SBOM and the provenance are made of.
//!
//! It is somebody else's file until its digest is the one that a manifest names; here it is only held against the shape that this
//! program writes. Keys that are of no use here are passed over: the digest is over the whole file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Output;
use crate::exit::{Exit, Refusal, Refuse};
use crate::graph::Graph;
use crate::inputs::{Input, Kind};

/// Largest `buildinfo.json`, bytes.
pub const LARGEST: u64 = 16 << 20;

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "each is documented at the type that writes it")]
pub struct Read {
    pub format: u32,
    pub kind: String,
    pub contract: u32,
    pub product: String,
    pub release: String,
    pub target: String,
    pub source: Source,
    pub cargo_lock: String,
    pub proofmark_toml: String,
    pub toolchain: Toolchain,
    pub c_toolchain: Option<CToolchain>,
    pub crates: Vec<Crate>,
    pub linking: String,
    pub rustflags: Vec<String>,
    pub cargo: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub outputs: Vec<Output>,
    pub graph: Graph,
    pub inputs: Vec<Input>,
}

/// Where it was built from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Source {
    /// Commit.
    pub commit: String,
    /// Git tree of the workspace in it.
    pub tree: String,
    /// The commit's time.
    pub time: String,
}

/// The Rust compiler.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Toolchain {
    /// What `rustc --version` says.
    pub rustc: String,
    /// SHA-256 over the lines `SHA256  NAME` of its files.
    pub digest: String,
}

/// The C compiler and the C library.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CToolchain {
    /// `host`.
    pub kind: String,
    /// SHA-256 over the lines `SHA256  NAME` of its files.
    pub digest: String,
}

/// A crate that was unpacked for the build.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Crate {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-256 of its `.crate` file.
    pub sha256: String,
}

/// Not a buildinfo.
#[derive(Debug, thiserror::Error)]
#[error("{subject}: {why}")]
pub struct NotBuildinfo {
    /// Whose it is, for messages.
    pub subject: String,
    /// What is wrong.
    pub why: String,
}

impl Refuse for NotBuildinfo {
    fn refusal(&self) -> Refusal {
        Refusal::new(Exit::Malformed, "buildinfo", "not a buildinfo that this program knows", &self.subject)
            .want("format 1 of kind buildinfo, with its dependency graph, as proofmark build and release write it")
            .have(&self.why)
            .next("a release made by an older proofmark has no graph: its SBOM can be made from a new build of its commit")
    }
}

/// Reads the document; `subject` is used in messages only.
pub fn read(bytes: &[u8], subject: &str) -> Result<Read, NotBuildinfo> {
    let wrong = |why: String| NotBuildinfo { subject: subject.into(), why };
    // The core's reader of JSON: no duplicate keys, no deep nesting.
    let value = proofmark_core::json::value(bytes).map_err(|error| wrong(error.to_string()))?;
    let read: Read = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
    if (read.format, read.kind.as_str()) != (1, "buildinfo") {
        return Err(wrong(format!("format {} of kind {:?}", read.format, read.kind)));
    }
    if let Some(package) = read.graph.packages.windows(2).find(|pair| pair[0].id >= pair[1].id) {
        return Err(wrong(format!("packages out of order at {:?}", package[1].id)));
    }
    let ids = read.graph.packages.iter().flat_map(|package| package.dependencies.iter().chain(&package.build_dependencies));
    if let Some(unknown) = ids.chain(read.graph.programs.values()).find(|id| read.graph.package(id).is_none()) {
        return Err(wrong(format!("an edge to {unknown:?}, which is no package of it")));
    }
    Ok(read)
}

impl Read {
    /// The packages of the operating system that the sandbox's root was made of: name, version, and the input itself.
    pub fn debs(&self) -> impl Iterator<Item = (&str, &str, &Input)> {
        let debs = self.inputs.iter().filter(|input| input.kind == Kind::Deb);
        debs.map(|input| {
            let (name, version) = input.name.split_once(' ').unwrap_or((&input.name, ""));
            (name, version, input)
        })
    }

    /// SHA-256 of the `.crate` file of a package; none for one of the source tree.
    pub fn crate_sha256(&self, package: &crate::graph::Package) -> Option<&str> {
        package.source.as_ref()?;
        self.crates.iter().find(|krate| krate.name == package.name && krate.version == package.version).map(|krate| krate.sha256.as_str())
    }
}
