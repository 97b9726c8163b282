//! `Cargo.lock` as a list of crates to get: name, version, source, checksum. Nothing else of it is interpreted; cargo does that.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};

/// A crate from a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Locked {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-256 of its `.crate` file.
    pub sha256: String,
    /// Where cargo takes it from, as `Cargo.lock` writes it.
    #[serde(skip)]
    pub source: String,
}

/// `Cargo.lock` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// It is not committed.
    #[error("Cargo.lock is missing")]
    Missing,
    /// Not TOML, or not what cargo writes.
    #[error("{}: {message}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A crate comes from a git repository.
    #[error("{name} {version} comes from {origin}")]
    Git {
        /// Crate.
        name: String,
        /// Version.
        version: String,
        /// Its source line.
        origin: String,
    },
    /// A registry crate has no checksum.
    #[error("{name} {version} has no checksum")]
    NoChecksum {
        /// Crate.
        name: String,
        /// Version.
        version: String,
    },
}

impl Refuse for LockError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Missing => Refusal::new(Exit::Usage, "no-lock", "not in the commit", "Cargo.lock")
                .want("every version pinned by a committed Cargo.lock")
                .next("cargo generate-lockfile, take Cargo.lock out of .gitignore, commit it"),
            Self::Malformed { path, message } => Refusal::new(Exit::Malformed, "lock", "this is not what cargo writes", path.display())
                .have(message)
                .next("restore it from the history, or: cargo generate-lockfile"),
            Self::Git { name, version, origin } => {
                Refusal::new(Exit::Usage, "git-dependency", "git dependencies are not supported yet", format!("{name} {version}"))
                    .want("a crate from a registry, whose checksum is in Cargo.lock")
                    .have(origin)
                    .next(
                        "use a published version, publish it to a registry of your own, or copy it into the workspace as a path dependency",
                    )
            }
            Self::NoChecksum { name, version } => {
                Refusal::new(Exit::Malformed, "no-checksum", "a crate without a checksum in Cargo.lock", format!("{name} {version}"))
                    .want("Cargo.lock version 3 or 4, written by cargo 1.53 or later")
                    .next("cargo update --workspace with a current cargo, then commit Cargo.lock")
            }
        }
    }
}

/// Reads `Cargo.lock` of an exported tree: its registry crates, sorted, and its bytes.
pub fn read(workspace: &Path) -> Result<(Vec<Locked>, Vec<u8>), LockError> {
    let path = workspace.join("Cargo.lock");
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(LockError::Missing),
        other => other.at("read", &path)?,
    };
    let text =
        std::str::from_utf8(&bytes).map_err(|error| LockError::Malformed { path: "Cargo.lock".into(), message: error.to_string() })?;
    Ok((parse(text)?, bytes))
}

/// Parses the text of a `Cargo.lock`.
pub fn parse(text: &str) -> Result<Vec<Locked>, LockError> {
    // Not deny_unknown_fields: cargo owns this format and may add to it.
    #[derive(Deserialize)]
    struct Lock {
        #[serde(default)]
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
        source: Option<String>,
        checksum: Option<String>,
    }
    let malformed = |message: String| LockError::Malformed { path: "Cargo.lock".into(), message };
    let lock: Lock = toml::from_str(text).map_err(|error| malformed(error.message().to_owned()))?;
    let mut crates = Vec::new();
    for Package { name, version, source, checksum } in lock.package {
        // Without a source it is a member of the workspace or a path dependency: part of the tree.
        let Some(source) = source else { continue };
        if source.starts_with("git+") {
            return Err(LockError::Git { name, version, origin: source });
        }
        // Both become parts of paths.
        let harmless = |text: &str| {
            !text.is_empty() && !text.starts_with('.') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
        };
        if !harmless(&name) || !harmless(&version) {
            return Err(malformed(format!("package {name:?} {version:?}")));
        }
        let Some(sha256) = checksum else { return Err(LockError::NoChecksum { name, version }) };
        crates.push(Locked { name, version, sha256, source });
    }
    crates.sort();
    Ok(crates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_packages_are_left_out_and_git_is_refused_with_a_way_on() {
        let registry =
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://example.org/index\"\nchecksum = \"00\"\n";
        let found = parse(&format!("version = 4\n[[package]]\nname = \"me\"\nversion = \"0.1.0\"\n{registry}")).unwrap();
        assert_eq!(found.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a"]);
        let refusal = parse(&registry.replace("registry+", "git+")).unwrap_err().refusal();
        assert_eq!(refusal.reason, "git-dependency");
        assert!(refusal.next.unwrap().contains("path dependency"));
        assert!(matches!(parse(&registry.replace("checksum = \"00\"\n", "")), Err(LockError::NoChecksum { .. })));
        assert!(matches!(parse(&registry.replace("\"a\"", "\"../a\"")), Err(LockError::Malformed { .. })));
    }
}
