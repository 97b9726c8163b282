//! What cargo says of a workspace: its packages, their binaries, and the path dependencies that would leave the exported tree.
//!
//! `cargo metadata --no-deps` only reads manifests; it runs no code of the project and resolves nothing.

use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, TargetKind};

use crate::config::Config;
use crate::exit::{Exit, Refusal, Refuse};

/// The workspace is not as `proofmark.toml` says, or not buildable from its tree alone.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// `cargo metadata` failed.
    #[error("{}: {says}", .path.display())]
    Metadata {
        /// The manifest, relative to the workspace.
        path: PathBuf,
        /// What cargo says.
        says: String,
    },
    /// A `[[binary]]` does not exist.
    #[error("no binary {name} in package {package}")]
    NoBinary {
        /// Package.
        package: String,
        /// Binary.
        name: String,
        /// All there are, as `PACKAGE: BINARY`.
        available: Vec<String>,
    },
    /// Two packages both have a binary of this name.
    #[error("binary {0} is built from two packages")]
    TwoBinaries(String),
    /// The root manifest belongs to a workspace above.
    #[error("the workspace's root is {}", .root.display())]
    NotTheRoot {
        /// Where it is.
        root: PathBuf,
    },
    /// A path dependency lies outside.
    #[error("{package} depends on {} by path", .path.display())]
    OutsidePath {
        /// Who depends.
        package: String,
        /// On what.
        dependency: String,
        /// Its path.
        path: PathBuf,
    },
}

impl Refuse for WorkspaceError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Metadata { path, says } => Refusal::new(Exit::Usage, "metadata", "cargo cannot read the workspace", path.display())
                .have(says)
                .next("cargo metadata --no-deps must work here; then call again"),
            Self::NoBinary { package, name, available } => Refusal::new(
                Exit::Malformed,
                "no-binary",
                "proofmark.toml names a binary that does not exist",
                format!("package {package}, binary {name}"),
            )
            .want("one of the workspace's binaries, as [[binary]] package = \"...\" and name = \"...\"")
            .have(if available.is_empty() { "this workspace has no binary".to_owned() } else { available.join("\n") })
            .next("correct [[binary]] in proofmark.toml and commit"),
            Self::TwoBinaries(name) => Refusal::new(Exit::Malformed, "two-binaries", "two binaries of one name", name)
                .want("one file of that name in cargo's output directory")
                .next("rename one in its Cargo.toml ([[bin]] name)"),
            Self::NotTheRoot { root } => {
                Refusal::new(Exit::Usage, "not-root", "proofmark.toml must lie at the root of the Cargo workspace", root.display())
                    .next("move it beside the Cargo.toml that has [workspace]")
            }
            Self::OutsidePath { package, dependency, path } => Refusal::new(
                Exit::Usage,
                "outside-path",
                "a path dependency lies outside of the workspace",
                format!("{package} -> {dependency}"),
            )
            .want("everything that is built inside the directory that holds proofmark.toml and Cargo.lock")
            .have(path.display())
            .next("move it into the workspace, or publish it to a registry and depend on a version"),
        }
    }
}

/// Reads the manifests below `workspace` with the given cargo.
pub fn metadata(cargo: &Path, workspace: &Path) -> Result<Metadata, WorkspaceError> {
    let mut command = MetadataCommand::new();
    command.cargo_path(cargo).manifest_path(workspace.join("Cargo.toml")).current_dir(workspace).no_deps();
    command.other_options(vec!["--offline".to_owned()]);
    command.exec().map_err(|error| WorkspaceError::Metadata {
        path: "Cargo.toml".into(),
        says: match error {
            // The copy that is read here means nothing to the user: paths in the message are relative to the workspace.
            cargo_metadata::Error::CargoMetadata { stderr } => stderr.trim().replace(&format!("{}/", workspace.display()), ""),
            other => other.to_string(),
        },
    })
}

/// Every binary of the workspace, as pairs of package and name, sorted.
pub fn binaries(metadata: &Metadata) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = metadata
        .workspace_packages()
        .iter()
        .flat_map(|package| {
            let bins = package.targets.iter().filter(|target| target.kind.contains(&TargetKind::Bin));
            bins.map(|target| (package.name.to_string(), target.name.clone())).collect::<Vec<_>>()
        })
        .collect();
    found.sort();
    found
}

/// Checks `proofmark.toml` against the exported workspace at `root`.
pub fn check(metadata: &Metadata, config: &Config, root: &Path) -> Result<(), WorkspaceError> {
    if metadata.workspace_root.as_std_path() != root {
        return Err(WorkspaceError::NotTheRoot { root: metadata.workspace_root.as_std_path().into() });
    }
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            // Even a dev-dependency: cargo reads every manifest of the lock file.
            if let Some(path) = &dependency.path
                && !path.starts_with(root)
            {
                let kind = if dependency.kind == DependencyKind::Development { " (dev)" } else { "" };
                return Err(WorkspaceError::OutsidePath {
                    package: format!("{}{kind}", package.name),
                    dependency: dependency.name.clone(),
                    path: relative(path.as_std_path(), root),
                });
            }
        }
    }
    let available = binaries(metadata);
    for (number, binary) in config.binaries.iter().enumerate() {
        let (package, name) = (binary.package.to_string(), binary.name.to_string());
        if !available.contains(&(package.clone(), name.clone())) {
            let available = available.iter().map(|(package, name)| format!("package = {package:?}, name = {name:?}")).collect();
            return Err(WorkspaceError::NoBinary { package, name, available });
        }
        if config.binaries[..number].iter().any(|other| other.name == binary.name && other.package != binary.package) {
            return Err(WorkspaceError::TwoBinaries(name));
        }
    }
    Ok(())
}

/// `path` as seen from `root`: the user knows their workspace, not our copy of it.
fn relative(path: &Path, root: &Path) -> PathBuf {
    let common = path.components().zip(root.components()).take_while(|(a, b)| a == b).count();
    let ups = root.components().skip(common).map(|_| "..".as_ref());
    ups.chain(path.components().skip(common).map(|part| part.as_os_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_outside_is_shown_as_the_user_wrote_it() {
        assert_eq!(relative(Path::new("/a/shared"), Path::new("/a/ws")), Path::new("../shared"));
    }
}
