//! A program that says what it is made of: the section `.dep-v0`, as cargo-auditable defines it, so that scanners (cargo audit, trivy,
//! syft, grype, osv-scanner) find a vulnerable crate in a file that has left its repository.
//!
//! The section is added after the link, to both builds, before they are compared. At link time it would need a symbol that every linker
//! and every flag of the project keeps, and it would have to be the same for all programs and known before the build. After the link it
//! works for each linker, static or not; it is not loaded, and not one byte that is loaded changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use auditable_serde::{DependencyKind, Package, Source, VersionInfo};

use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::files;
use crate::graph::{CRATES_IO, Graph, Kind};

mod section;

/// Name of the section.
pub const SECTION: &str = ".dep-v0";
/// Format 1 of the list: procedural macros and what they need are build dependencies.
const FORMAT: u32 = 1;
/// Deflate level. Together with the exact version of `miniz_oxide` it determines the bytes (contract number).
const LEVEL: u8 = 9;

/// The list cannot be put into a program.
#[derive(Debug, thiserror::Error)]
pub enum AuditableError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The program is no ELF file, or not one that can hold it.
    #[error("{program}: {why}")]
    Program {
        /// Its member path.
        program: String,
        /// What is wrong.
        why: String,
    },
    /// The list itself cannot be written.
    #[error("{program}: {why}")]
    List {
        /// The program's member path.
        program: String,
        /// What is wrong.
        why: String,
    },
}

impl Refuse for AuditableError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Program { program, why } => {
                Refusal::new(Exit::Platform, "auditable", "cannot say in the program what it is made of", program)
                    .want(format!("a 64-bit ELF program without a section {SECTION} of its own"))
                    .have(why)
                    .next("[build] auditable = false in proofmark.toml leaves the program as the linker wrote it")
            }
            Self::List { program, why } => Refusal::new(Exit::Internal, "auditable", "cannot write the list of its packages", program)
                .want("one root and no cycle")
                .have(why)
                .next("report it, with Cargo.lock"),
        }
    }
}

/// Writes each of `programs` with its list to the new directory `to`. Returns the written files, in the same order.
pub fn mark(graph: &Graph, programs: &[(String, PathBuf)], to: &Path, time: u64) -> Result<Vec<(String, PathBuf)>, AuditableError> {
    files::create(to)?;
    let mut marked = Vec::new();
    for (path, file) in programs {
        let program = std::fs::read(file).at("read", file)?;
        let list = graph.programs.get(path).and_then(|root| list(graph, root));
        let list = list.ok_or_else(|| AuditableError::List { program: path.clone(), why: "a package that is not in the graph".into() })?;
        let program =
            section::append(&program, SECTION, &compress(&list)).map_err(|why| AuditableError::Program { program: path.clone(), why })?;
        files::directory(to, Path::new(path).parent().unwrap_or(Path::new("")))?;
        let file = to.join(path);
        files::write(&file, &program, true, time)?;
        marked.push((path.clone(), file));
    }
    Ok(marked)
}

/// The section's content.
fn compress(list: &VersionInfo) -> Vec<u8> {
    let json = serde_json::to_vec(list).expect("string keys, and no serializer of its own that fails");
    miniz_oxide::deflate::compress_to_vec_zlib(&json, LEVEL)
}

/// The packages of the program that is built from `root`, in the order of the type, as cargo-auditable writes them.
fn list(graph: &Graph, root: &str) -> Option<VersionInfo> {
    let needed = graph.needed_by(root);
    let mut packages = Vec::new();
    for (id, kind) in &needed {
        let package = graph.package(id)?;
        let source = match package.source.as_deref() {
            None => Source::Local,
            Some(CRATES_IO) => Source::CratesIo,
            Some(other) if other.starts_with("git+") => Source::Git,
            // The name of a private registry is nobody's business who has the program.
            Some(_) => Source::Registry,
        };
        let kind = if *kind == Kind::Runtime { DependencyKind::Runtime } else { DependencyKind::Build };
        let version = package.version.parse().ok()?;
        packages
            .push((Package { name: package.name.clone(), version, source, kind, dependencies: Vec::new(), root: *id == root }, package));
    }
    packages.sort_by(|(a, _), (b, _)| a.cmp(b));
    let places: BTreeMap<&str, usize> = packages.iter().enumerate().map(|(place, (_, package))| (package.id.as_str(), place)).collect();
    let packages = packages.iter().map(|(entry, package)| {
        let needs = package.dependencies.iter().chain(&package.build_dependencies);
        let mut dependencies: Vec<usize> = needs.filter_map(|id| places.get(id.as_str()).copied()).collect();
        dependencies.sort_unstable();
        dependencies.dedup();
        Package { dependencies, ..entry.clone() }
    });
    Some(VersionInfo { packages: packages.collect(), format: FORMAT })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph;

    fn package(name: &str, source: Option<&str>, kind: Kind, dependencies: &[&str]) -> graph::Package {
        graph::Package {
            id: format!("{}{name}@1.0.0", if source.is_none() { "local:" } else { "" }),
            name: name.into(),
            version: "1.0.0".into(),
            source: source.map(str::to_owned),
            kind,
            license: None,
            features: Vec::new(),
            dependencies: dependencies.iter().map(|id| (*id).to_owned()).collect(),
            build_dependencies: Vec::new(),
        }
    }

    fn two_programs() -> Graph {
        let packages = vec![
            package("a", Some(CRATES_IO), Kind::Runtime, &["m@1.0.0"]),
            package("app", None, Kind::Runtime, &["a@1.0.0", "p@1.0.0"]),
            package("other", None, Kind::Runtime, &[]),
            package("m", Some(CRATES_IO), Kind::Build, &[]),
            package("p", Some("registry+https://registry.example.org/"), Kind::Runtime, &[]),
        ];
        let mut graph = Graph { programs: BTreeMap::new(), packages };
        graph.packages.sort_by(|a, b| a.id.cmp(&b.id));
        graph
    }

    #[test]
    fn each_program_lists_its_own_packages_and_no_private_registry() {
        let list = list(&two_programs(), "local:app@1.0.0").unwrap();
        assert_eq!(
            serde_json::to_string(&list).unwrap(),
            r#"{"packages":[{"name":"a","version":"1.0.0","source":"crates.io","dependencies":[2]},{"name":"app","version":"1.0.0","source":"local","dependencies":[0,3],"root":true},{"name":"m","version":"1.0.0","source":"crates.io","kind":"build"},{"name":"p","version":"1.0.0","source":"registry"}],"format":1}"#
        );
        assert_eq!(super::list(&two_programs(), "local:other@1.0.0").unwrap().packages.len(), 1);
    }

    #[test]
    fn the_compressed_bytes_are_part_of_the_contract() {
        // Another digest means other bytes for the same source: a new contract number.
        let list = list(&two_programs(), "local:app@1.0.0").unwrap();
        assert_eq!(crate::digest::sha256(&compress(&list)), "89740573d193c9405cd4d06d629f3c55b01d2d1173febf23532a122603897c2d");
    }
}
