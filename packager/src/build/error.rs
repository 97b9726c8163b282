//! Everything that ends a build without a result, and how it is shown.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Differ;
use crate::auditable::AuditableError;
use crate::compare::{self, Cause};
use crate::config::ConfigError;
use crate::environment::EnvironmentError;
use crate::exit::{self, Exit, Explained, IoError, Refusal, Refuse};
use crate::graph::GraphError;
use crate::inputs::tree::TreeError;
use crate::interrupt::Interrupted;
use crate::lockfile::LockError;
use crate::rustflags::FlagError;
use crate::sandbox::SandboxError;
use crate::sandbox::witness::Asked;
use crate::source::SourceError;
use crate::toolchain::ToolchainError;
use crate::vendor::VendorError;
use crate::workspace::WorkspaceError;

/// A build that yields nothing.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the transparent variants are documented where they are declared")]
pub enum Error {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Vendor(#[from] VendorError),
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Flags(#[from] FlagError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Auditable(#[from] AuditableError),
    /// `cargo build` failed.
    #[error("cargo build failed in the {run} build; log in {}", .log.display())]
    Cargo {
        /// "first" or "second".
        run: &'static str,
        /// Its last lines.
        says: String,
        /// The whole output.
        log: PathBuf,
    },
    /// The two builds differ; both are kept.
    #[error(transparent)]
    Differ(Box<Differ>),
    /// A program of a build is not where cargo puts it, as a file.
    #[error("{path}: {why}")]
    Output {
        /// Its path below the target directory.
        path: String,
        /// What is there.
        why: &'static str,
    },
    /// Something tried to reach the Internet.
    #[error("the build asks for the Internet")]
    Internet(Vec<Asked>),
    /// A file was opened that is no input.
    #[error("the build opened undeclared files")]
    Undeclared(Vec<Asked>),
    /// Two builds opened other files.
    #[error("two builds opened other files")]
    Closure {
        /// Closure text of the first.
        want: String,
        /// Closure text of the second.
        have: String,
    },
    /// Crates need the deterministic machine and are not declared to.
    #[error("{} crates need the deterministic machine", .found.len())]
    Undetermined {
        /// What `proofmark.toml` declares.
        declared: Vec<String>,
        /// What was found besides.
        found: Vec<String>,
    },
    /// jemalloc, without the setting that it would take from this machine's processor.
    #[error("{name} asks the building machine's processor")]
    Jemalloc {
        /// The crate.
        name: String,
    },
    /// A finished build is not one of this commit, or not whole.
    #[error("{}: not a build of this commit", .directory.display())]
    OtherBuild {
        /// Where it is.
        directory: PathBuf,
        /// What was expected.
        want: String,
        /// What is there.
        have: String,
    },
}

impl Refuse for Error {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Interrupted(error) => error.refusal(),
            Self::Config(error) => error.refusal(),
            Self::Source(error) => error.refusal(),
            Self::Lock(error) => error.refusal(),
            Self::Tree(error) => error.refusal(),
            Self::Vendor(error) => error.refusal(),
            Self::Toolchain(error) => error.refusal(),
            Self::Environment(error) => error.refusal(),
            Self::Workspace(error) => error.refusal(),
            Self::Flags(error) => error.refusal(),
            Self::Sandbox(error) => error.refusal(),
            Self::Graph(error) => error.refusal(),
            Self::Auditable(error) => error.refusal(),
            Self::Cargo { says, log, .. } if says.contains("No space left on device") => {
                Refusal::new(Exit::Io, "disk-full", "no space left for the build", log.display()).have(says).next(exit::DISK_FULL)
            }
            Self::Cargo { says, .. } if lock_is_stale(says) => Refusal::new(Exit::Usage, "lock-stale", "out of date", "Cargo.lock")
                .have(says)
                .next("cargo update --workspace, then commit Cargo.lock"),
            Self::Cargo { says, log, .. } if says.contains("Read-only file system") || says.contains("ReadOnlyFilesystem") => {
                Refusal::new(Exit::Usage, "read-only", "the build writes where its inputs are", log.display())
                    .want("build scripts that write to OUT_DIR")
                    .have(says)
                    .next("correct the script, or, where it writes into this project's own source tree, say so in [build] of proofmark.toml: writable_source = true")
            }
            Self::Cargo { run, says, log } => {
                Refusal::new(Exit::Usage, "cargo", "cargo build failed", format!("{run} build")).have(says).next(format!(
                    "read {}; code that needs the network, the home directory or an unlisted program must do without",
                    log.display()
                ))
            }
            Self::OtherBuild { directory, want, have } => {
                Refusal::new(Exit::Hash, "other-build", "not a whole build of the commit at HEAD", directory.display())
                    .want(want)
                    .have(have)
                    .next("check out the commit that was built, or build this one: proofmark build --out DIR")
            }
            Self::Differ(differ) => differ.refusal(),
            Self::Output { path, why } => Refusal::new(Exit::Usage, "output", "the build left no program where cargo puts it", path)
                .want("a regular file, in directories")
                .have(why)
                .next("find the build script or macro that replaced it: a link there may lead to any file of the machine that builds"),
            Self::Internet(asked) => Refusal::new(Exit::Usage, "internet", "the build asks for the Internet", first_crate(asked))
                .want("a build from its declared inputs alone")
                .have(list(asked))
                .next("put what it downloads into the workspace, or turn that feature of the crate off"),
            Self::Undeclared(asked) => Refusal::new(Exit::Usage, "undeclared", "the build opened what is no input", first_crate(asked))
                .want("files of the source, the crates, the toolchain and the operating system's layers")
                .have(list(asked))
                .next("put the file into the workspace"),
            Self::Closure { want, have } => {
                let (first, second): (BTreeSet<&str>, BTreeSet<&str>) = (want.lines().collect(), have.lines().collect());
                let only = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| a.difference(b).take(10).copied().collect::<Vec<_>>().join("\n");
                Refusal::new(Exit::Hash, "closure", "the two builds opened other files", "closure")
                    .want(only(&first, &second))
                    .have(only(&second, &first))
                    .next("find out which crate's build script looks at what it finds; machine.json names who asked for what")
            }
            Self::Undetermined { declared, found } => {
                let declared = if declared.is_empty() { "no crate".to_owned() } else { declared.join(", ") };
                Refusal::new(Exit::Hash, "class", "code that is the same twice only under the deterministic machine", &found[0])
                    .want(format!("only what `enforced` in [build] declares: {declared}"))
                    .have(found.join(", "))
                    .next("make the crate deterministic, or add it to `enforced` in proofmark.toml, so that a reviewer sees it")
            }
            Self::Jemalloc { name } => {
                Refusal::new(Exit::Usage, "jemalloc", "jemalloc is built for the address space of the machine that builds", name)
                    .want("JEMALLOC_SYS_WITH_LG_VADDR in [build.env], the virtual address bits of your hosts' processors")
                    .have("not set: its configure script asks this machine's processor")
                    .next("add to proofmark.toml:\n[build.env]\nJEMALLOC_SYS_WITH_LG_VADDR = \"48\"")
            }
        }
    }
}

fn first_crate(asked: &[Asked]) -> &str {
    asked.first().map_or("", |asked| if asked.krate.is_empty() { &asked.program } else { &asked.krate })
}

fn list(asked: &[Asked]) -> String {
    let lines = asked.iter().take(10).map(|Asked { what, program, krate }| {
        let krate = if krate.is_empty() { String::new() } else { format!(", for crate {krate}") };
        format!("{what}: by {program}{krate}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Refuse for Differ {
    fn refusal(&self) -> Refusal {
        let [first, second] = self.trees.each_ref().map(|tree| tree.display());
        let more = format!("both builds are kept until you remove them: proofmark explain --verbose {first} {second}");
        let refusal =
            |subject: &str| Refusal::new(Exit::Hash, "differ", "the two builds differ", subject).want("the same bytes from both builds");
        match &self.explanation {
            Ok(explanation) => {
                let subject = explanation.members.first().map(|first| &first.path).or(self.blamed.units.first());
                let cause = explanation.causes.first().map_or(Cause::Unknown, |finding| finding.cause);
                refusal(subject.map_or("", |path| path))
                    .have(format!("{}\n{}", compare::short(explanation), self.blamed))
                    .next(format!("{}\n{more}", cause.remedy()))
                    .explained(Explained { text: String::new(), json: serde_json::to_value(explanation).unwrap_or_default() })
            }
            Err(error) => refusal("outputs").have(format!("{}\nwhat differs could not be told: {error}", self.blamed)).next(more),
        }
    }
}

/// Whether cargo's message means that Cargo.lock does not fit Cargo.toml. Either it says so, or it misses a crate in /vendor, which
/// holds all that Cargo.lock names.
fn lock_is_stale(says: &str) -> bool {
    (says.contains("lock file") && says.contains("--locked"))
        || (says.contains("directory source `/vendor`") && says.contains("required by package"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_missing_in_vendor_is_a_stale_lock_file_and_a_compile_error_is_not() {
        let missing = "error: no matching package named `libc` found\nlocation searched: directory source `/vendor` (which is replacing registry `crates-io`)\nrequired by package `plain v0.1.0 (/src)`";
        let refusal = |says: &str| Error::Cargo { run: "first", says: says.into(), log: "x.log".into() }.refusal().reason;
        assert_eq!(refusal(missing), "lock-stale");
        assert_eq!(refusal("error: cannot update the lock file /src/Cargo.lock because --locked was passed"), "lock-stale");
        assert_eq!(refusal("error: could not compile `plain`"), "cargo");
        assert_eq!(refusal("error: failed to write x\nCaused by: No space left on device (os error 28)"), "disk-full");
    }
}
