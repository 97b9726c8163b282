//! Everything that ends a build before it has begun because its environment is not the locked one, and how it is shown.

use std::path::PathBuf;

use proofmark_core::Digest;

use crate::cc::CcError;
use crate::exit::{Exit, IoError, Refusal, Refuse};
use crate::inputs::tree::TreeError;
use crate::interrupt::Interrupted;
use crate::tool::ToolError;
use crate::toolchain::ToolchainError;

/// There is no environment to build in.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the transparent variants are documented where they are declared")]
pub enum EnvironmentError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    #[error(transparent)]
    Cc(#[from] CcError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// `proofmark.lock` is not what `proofmark lock` writes.
    #[error("{}: {message}", .path.display())]
    LockFormat {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// `proofmark.toml` asks for something else than what was locked.
    #[error("proofmark.toml wants {want}, proofmark.lock has {have}")]
    LockStale {
        /// proofmark.toml.
        want: String,
        /// proofmark.lock.
        have: String,
    },
    /// The lock was made on another kind of machine.
    #[error("proofmark.lock is for {want}, this machine is {have}")]
    LockArchitecture {
        /// The lock's.
        want: String,
        /// This machine's.
        have: String,
    },
    /// This machine has no apt.
    #[error("no package client on this machine")]
    NoClient,
    /// The package client failed.
    #[error("{command} failed")]
    Client {
        /// Its command.
        command: String,
        /// Its last lines.
        says: String,
    },
    /// A name of proofmark.toml is no package, or packages contradict each other.
    #[error("the packages of proofmark.toml cannot be resolved")]
    Unresolved {
        /// The names.
        packages: Vec<String>,
        /// What the package client says.
        says: String,
    },
    /// A layer cannot be had any more.
    #[error("{layer}: no source has it")]
    Gone {
        /// Its title.
        layer: String,
        /// Its digest.
        sha256: String,
        /// Where it was looked for.
        sources: String,
    },
    /// A layer is there, with another content.
    #[error("{}: want {}, have {} from {}", .0.layer, .0.want, .0.have, .0.place)]
    Digest(Box<Mismatch>),
    /// A file in the cache is not what was put there.
    #[error("{}: changed in the cache", .0.path.display())]
    CacheChanged(Box<Changed>),
    /// The cache can be written by others.
    #[error("{}: {why}", .path.display())]
    CacheAccess {
        /// The cache.
        path: PathBuf,
        /// Who else can.
        why: String,
    },
    /// A package is not the one that its layer names.
    #[error("{layer}: this package is {have}")]
    OtherPackage {
        /// Title of the layer.
        layer: String,
        /// What it should say of itself.
        want: String,
        /// What it says.
        have: String,
        /// Whether the architecture alone differs.
        architecture: bool,
    },
    /// A layer's bytes hold what no layer may.
    #[error("{layer}: {entry}: {why}")]
    Content {
        /// Title of the layer.
        layer: String,
        /// Member or entry.
        entry: String,
        /// What is wrong with it.
        why: String,
    },
    /// Two packages have one path.
    #[error("{path} is in {first} and in {second}")]
    Conflict {
        /// The path.
        path: String,
        /// One package.
        first: String,
        /// The other.
        second: String,
    },
}

/// A layer with another content.
#[derive(Debug)]
pub struct Mismatch {
    /// Its title.
    pub layer: String,
    /// The lock's digest.
    pub want: Digest,
    /// What was found.
    pub have: Digest,
    /// Where.
    pub place: String,
    /// What leads on.
    pub next: String,
}

/// A place of the cache with another content.
#[derive(Debug)]
pub struct Changed {
    /// The file.
    pub path: PathBuf,
    /// What it was made of.
    pub layers: String,
    /// What it was.
    pub want: String,
    /// What it is.
    pub have: String,
    /// The directory to remove.
    pub entry: PathBuf,
}

impl Refuse for EnvironmentError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Interrupted(error) => error.refusal(),
            Self::Tool(error) => error.refusal(),
            Self::Toolchain(error) => error.refusal(),
            Self::Cc(error) => error.refusal(),
            Self::Tree(error) => error.refusal(),
            Self::LockFormat { path, message } => {
                Refusal::new(Exit::Malformed, "environment-lock", "this is not what `proofmark lock` writes", path.display())
                    .have(message)
                    .next("restore it from the history, or: proofmark lock")
            }
            Self::LockStale { want, have } => Refusal::new(
                Exit::Usage,
                "environment-lock-stale",
                "proofmark.toml asks for another environment than was locked",
                super::lock::FILE,
            )
            .want(format!("{want}, as proofmark.toml has it"))
            .have(have)
            .next("proofmark lock, and commit proofmark.lock if it is a committed file"),
            Self::LockArchitecture { want, have } => {
                Refusal::new(Exit::Environment, "lock-architecture", "locked for another kind of machine", super::lock::FILE)
                    .want(format!("a machine with architecture {want}"))
                    .have(have)
                    .next("build on such a machine; or, to release for this one: proofmark lock")
            }
            Self::NoClient => Refusal::new(
                Exit::Platform,
                "no-package-client",
                "this machine has no package client that gives Debian packages",
                "apt-get",
            )
            .next(
                "install apt, or take the layers from a release: --layers DIR (its inputs/), or say in proofmark.toml that the \
                         host's own compiler is good enough: [build] environment = \"host\"",
            ),
            Self::Client { command, says } => Refusal::new(Exit::Io, "package-client", "the machine's package client failed", command)
                .have(says)
                .next("apt-get update must work on this machine; then call again"),
            Self::Unresolved { packages, says } => Refusal::new(
                Exit::Usage,
                "packages-unresolved",
                "the package client cannot resolve what proofmark.toml names",
                packages.join(" "),
            )
            .want("names of packages that this machine's sources have, in [build] packages")
            .have(says)
            .next("correct [build] packages in proofmark.toml, or add the source that has them: sources.list(5)"),
            Self::Gone { layer, sha256, sources } => {
                Refusal::new(Exit::Unreachable, "layer-gone", "no source can give this locked layer any more", layer)
                    .want(format!("sha256 {sha256}"))
                    .have(format!("not in the cache, and not from {sources}"))
                    .next(
                        "lock what the sources have now: proofmark lock (another environment: the bytes of the release change)\n\
                         or take it from the release that used it: --layers DIR, the inputs/ of its repository",
                    )
            }
            Self::Digest(mismatch) => {
                let Mismatch { layer, want, have, place, next } = &**mismatch;
                Refusal::new(Exit::Hash, "layer-digest", "a layer is not the one that proofmark.lock names", layer)
                    .want(format!("sha256 {want}"))
                    .have(format!("sha256 {have}\nfrom {place}"))
                    .next(next)
            }
            Self::CacheChanged(changed) => {
                let Changed { path, layers, want, have, entry } = &**changed;
                Refusal::new(Exit::Hash, "cache-changed", "an unpacked layer is not as it was unpacked", path.display())
                    .want(format!("{want}\nof {layers}"))
                    .have(have)
                    .next(format!("find out who changed it; then: rm -r '{}', and call again", entry.display()))
            }
            Self::CacheAccess { path, why } => {
                Refusal::new(Exit::State, "cache-access", "others can write into the cache of layers", path.display())
                    .want("a directory of the user who builds, with mode 0700")
                    .have(why)
                    .next("chown and chmod 0700 it, or name another: XDG_CACHE_HOME=DIR")
            }
            Self::OtherPackage { layer, want, have, architecture } => Refusal::new(
                if *architecture { Exit::Environment } else { Exit::Hash },
                if *architecture { "layer-architecture" } else { "layer-package" },
                "a layer holds another package than proofmark.lock says",
                layer,
            )
            .want(want)
            .have(have)
            .next("proofmark lock"),
            Self::Content { layer, entry, why } => Refusal::new(Exit::Malformed, "layer-content", "a layer holds what no layer may", layer)
                .have(format!("{entry}: {why}"))
                .next("do without this package: [build] packages in proofmark.toml, then: proofmark lock"),
            Self::Conflict { path, first, second } => {
                Refusal::new(Exit::Usage, "layer-conflict", "two packages have another file at one place", path)
                    .want("packages that can be installed together")
                    .have(format!("{first}\n{second}"))
                    .next("take one of them out of [build] packages in proofmark.toml, then: proofmark lock")
            }
        }
    }
}
