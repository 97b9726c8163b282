//! What the programs are made of: the packages that cargo really compiled for them, and what each of them needs.
//!
//! Cargo says it in two places, and neither is enough. The artifacts of the build itself are exact (which package, with which features,
//! for the target or for the machine that builds) but have no edges; `cargo metadata` has edges, for the whole workspace, tests
//! included. The graph is the edges between packages that were compiled. It must never hold a package that only stands in `Cargo.lock`.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Node};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::exit::{Exit, Refusal, Refuse};
use crate::text;

mod artifacts;

pub use artifacts::{Artifacts, MESSAGES, artifacts};

/// What stands for Cargo's built-in registry.
pub const CRATES_IO: &str = "crates.io";

/// What a package is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Its code is in a program.
    Runtime,
    /// It ran during the build (build script, procedural macro, or a dependency of one), and none of its code was compiled for the target.
    Build,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// `NAME@VERSION`; `local:` in front of a package of the source tree itself.
    pub id: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// `crates.io`, another source as `Cargo.lock` writes it, or none for a package of the source tree.
    pub source: Option<String>,
    /// What it is for.
    pub kind: Kind,
    /// `license` of its Cargo.toml, as its authors wrote it.
    pub license: Option<String>,
    /// Features that it was compiled with, sorted.
    pub features: Vec<String>,
    /// Packages that its code uses, by id, sorted.
    pub dependencies: Vec<String>,
    /// Packages that its build script uses, by id, sorted.
    pub build_dependencies: Vec<String>,
}

/// All packages of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// For each program, by its member path, the package that it is built from.
    pub programs: BTreeMap<String, String>,
    /// The packages, sorted by id.
    pub packages: Vec<Package>,
}

/// Cargo's answers cannot be made a graph.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// `cargo metadata` failed, inside the sandbox, after a build that worked.
    #[error("cargo metadata: {0}")]
    Metadata(String),
    /// A message is not what this cargo's manual says.
    #[error("{what}: {says}")]
    Message {
        /// Which command's.
        what: &'static str,
        /// What is wrong.
        says: String,
    },
    /// Something was compiled that `cargo metadata` does not know.
    #[error("{0} was compiled and is not in the resolved graph")]
    Unresolved(String),
    /// The two builds compiled different packages.
    #[error("the two builds compiled different packages: {0}")]
    Differ(String),
}

impl Refuse for GraphError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Differ(which) => Refusal::new(Exit::Hash, "differ", "the two builds compiled different packages", which)
                .want("the same packages and features in both builds")
                .have(which)
                .next("this is chosen by cargo alone, before any code of the project runs: report it, with Cargo.lock"),
            _ => Refusal::new(Exit::Internal, "graph", "cargo's account of the build makes no sense", "dependency graph")
                .want("every compiled package among those that cargo metadata resolves")
                .have(self)
                .next("report it, with the version of cargo"),
        }
    }
}

/// The command line inside the sandbox that asks cargo for the edges. Both platforms: build scripts are for the machine that builds.
pub fn metadata_command(config: &Config, target: &str, host: &str) -> Vec<String> {
    let mut argv: Vec<String> =
        ["/toolchain/bin/cargo", "metadata", "--format-version", "1", "--locked", "--offline"].map(str::to_owned).to_vec();
    for (option, value) in [("--manifest-path", "/src/Cargo.toml"), ("--config", "/proofmark/cargo.toml"), ("--filter-platform", target)] {
        argv.extend([option.to_owned(), value.to_owned()]);
    }
    if host != target {
        argv.extend(["--filter-platform".to_owned(), host.to_owned()]);
    }
    if !config.default_features {
        argv.push("--no-default-features".into());
    }
    for feature in &config.features {
        argv.extend(["--features".to_owned(), feature.to_string()]);
    }
    argv
}

/// The graph, from what [`metadata_command`] wrote and from what the build compiled.
pub fn graph(metadata: &[u8], artifacts: &Artifacts, config: &Config) -> Result<Graph, GraphError> {
    let what = "cargo metadata";
    let text = std::str::from_utf8(metadata).map_err(|error| GraphError::Message { what, says: error.to_string() })?;
    let metadata = MetadataCommand::parse(text).map_err(|error| GraphError::Message { what, says: error.to_string() })?;
    let known: BTreeMap<&str, &cargo_metadata::Package> =
        metadata.packages.iter().map(|package| (package.id.repr.as_str(), package)).collect();
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.iter().flat_map(|resolve| &resolve.nodes).map(|node| (node.id.repr.as_str(), node)).collect();

    let mut packages = Vec::new();
    for (compiled, unit) in &artifacts.units {
        let (Some(package), Some(node)) = (known.get(compiled.as_str()), nodes.get(compiled.as_str())) else {
            return Err(GraphError::Unresolved(compiled.clone()));
        };
        // Development dependencies are no part of a program, and neither is what was resolved for others and not compiled here.
        let needs = |kind: DependencyKind| -> Vec<String> {
            let of_kind = node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|info| info.kind == kind));
            let compiled = of_kind.filter(|dep| artifacts.units.contains_key(&dep.pkg.repr));
            let ids: BTreeSet<String> = compiled.filter_map(|dep| known.get(dep.pkg.repr.as_str())).map(|package| id(package)).collect();
            ids.into_iter().collect()
        };
        packages.push(Package {
            id: id(package),
            name: package.name.to_string(),
            version: package.version.to_string(),
            source: source(package),
            kind: if unit.for_target { Kind::Runtime } else { Kind::Build },
            license: package.license.as_deref().map(text::one_line),
            features: unit.features.iter().cloned().collect(),
            dependencies: needs(DependencyKind::Normal),
            build_dependencies: needs(DependencyKind::Build),
        });
    }
    packages.sort_by(|a, b| a.id.cmp(&b.id));
    let mut programs = BTreeMap::new();
    for binary in &config.binaries {
        let root = packages.iter().find(|package| package.source.is_none() && package.name == binary.package.as_str());
        let root = root.ok_or_else(|| GraphError::Unresolved(binary.package.to_string()))?;
        programs.insert(format!("root/{}", binary.bundle_path()), root.id.clone());
    }
    Ok(Graph { programs, packages })
}

fn id(package: &cargo_metadata::Package) -> String {
    let place = if package.source.is_none() { "local:" } else { "" };
    format!("{place}{}@{}", package.name, package.version)
}

fn source(package: &cargo_metadata::Package) -> Option<String> {
    let source = package.source.as_ref()?;
    Some(if source.is_crates_io() { CRATES_IO.to_owned() } else { source.repr.clone() })
}

impl Graph {
    /// The package of this id.
    pub fn package(&self, id: &str) -> Option<&Package> {
        self.packages.binary_search_by(|package| package.id.as_str().cmp(id)).ok().map(|at| &self.packages[at])
    }

    /// Everything that the program built from `root` needs, itself included, with what it is for in this program.
    pub fn needed_by(&self, root: &str) -> BTreeMap<&str, Kind> {
        let mut found = BTreeMap::new();
        let mut open: Vec<(&str, Kind)> = self.package(root).map(|package| (package.id.as_str(), package.kind)).into_iter().collect();
        while let Some((id, kind)) = open.pop() {
            let Some(package) = self.package(id) else { continue };
            // What is needed for both is in the program.
            if found.get(id).is_some_and(|before| *before <= kind) {
                continue;
            }
            found.insert(package.id.as_str(), kind);
            for to in package.dependencies.iter().filter_map(|to| self.package(to)) {
                open.push((&to.id, kind.max(to.kind)));
            }
            open.extend(package.build_dependencies.iter().map(|to| (to.as_str(), Kind::Build)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(id: &str, kind: Kind, dependencies: &[&str], build_dependencies: &[&str]) -> Package {
        let (name, version) = id.trim_start_matches("local:").split_once('@').unwrap();
        let ids = |list: &[&str]| list.iter().map(|id| (*id).to_owned()).collect();
        Package {
            id: id.into(),
            name: name.into(),
            version: version.into(),
            source: (!id.starts_with("local:")).then(|| CRATES_IO.into()),
            kind,
            license: None,
            features: Vec::new(),
            dependencies: ids(dependencies),
            build_dependencies: ids(build_dependencies),
        }
    }

    #[test]
    fn what_only_a_build_script_or_a_macro_needs_is_not_in_the_program() {
        use Kind::{Build, Runtime};
        let graph = Graph {
            programs: BTreeMap::new(),
            packages: vec![
                package("both@1", Runtime, &[], &[]),
                package("lib@1", Runtime, &["both@1", "macro@1"], &[]),
                package("local:app@1", Runtime, &["lib@1"], &["script@1"]),
                package("local:other@1", Runtime, &["script@1"], &[]),
                package("macro@1", Build, &["both@1", "syn@1"], &[]),
                package("script@1", Runtime, &["both@1"], &[]),
                package("syn@1", Build, &[], &[]),
            ],
        };
        let of_app = graph.needed_by("local:app@1");
        let kinds: Vec<(&str, Kind)> = of_app.into_iter().collect();
        // `script` is compiled for the target too, but for the other program.
        let want =
            [("both@1", Runtime), ("lib@1", Runtime), ("local:app@1", Runtime), ("macro@1", Build), ("script@1", Build), ("syn@1", Build)];
        assert_eq!(kinds, want);
        assert_eq!(graph.needed_by("local:other@1")["script@1"], Runtime);
    }
}
