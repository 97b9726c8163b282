//! Why nothing was released.

use proofmark_core::name::Name;

use crate::exit::{Exit, IoError, Refusal, Refuse};
use crate::inputs::ArchiveError;
use crate::ledger::LedgerError;
use crate::pack;
use crate::proposal::ProposalError;
use crate::repository::RepositoryError;
use crate::signing::SigningError;

/// Nothing was released.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the transparent variants are documented where they are declared")]
pub enum ReleaseError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Pack(#[from] pack::Error),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    #[error(transparent)]
    Refused(#[from] proofmark_core::Refusal),
    /// `proofmark.toml` has no such environment.
    #[error("no environment {name}")]
    NoEnvironment {
        /// The name.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// No group of hosts is to get the bundle.
    #[error("no group for {name}")]
    NoGroup {
        /// Environment or group.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The proposer holds no key.
    #[error("{proposer} holds no key")]
    NoHolder {
        /// The name.
        proposer: Name,
        /// Holders there are.
        known: Vec<String>,
    },
    /// A file of an environment lies outside of the source tree, or is none.
    #[error("{path}: {why}")]
    BadFile {
        /// Path in the workspace.
        path: String,
        /// Why not.
        why: String,
    },
    /// A value of the configuration is outside the format's grammar.
    #[error("{value:?}: {why}")]
    Value {
        /// The value.
        value: String,
        /// Why not.
        why: &'static str,
    },
}

impl Refuse for ReleaseError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Archive(error) => error.refusal(),
            Self::Ledger(error) => error.refusal(),
            Self::Pack(pack::Error::Refused(refusal)) | Self::Refused(refusal) => refusal.refusal(),
            Self::Pack(error) => Refusal::new(Exit::Io, "pack", "the bundle was not packed", error)
                .want("a bundle")
                .have(error)
                .next("fix the cause and call again"),
            Self::Signing(error) => error.refusal(),
            Self::Repository(error) => error.refusal(),
            Self::Proposal(error) => error.refusal(),
            Self::NoEnvironment { name, known } => {
                Refusal::new(Exit::Environment, "no-environment", "proofmark.toml has no such environment", name)
                    .want(format!("one of {}", known.join(", ")))
                    .have(name)
                    .next("add an [[environment]] of that name, commit, and call again")
            }
            Self::NoGroup { name, known } => Refusal::new(Exit::NoGroup, "no-group", "no group of hosts is to run this", name)
                .want(format!(
                    "one of {}",
                    if known.is_empty() {
                        "the [[group]] entries of proofmark.toml, of which there are none".into()
                    } else {
                        known.join(", ")
                    }
                ))
                .have(name)
                .next("add a [[group]] with its hosts to proofmark.toml, commit, and call again"),
            Self::NoHolder { proposer, known } => Refusal::new(Exit::Signature, "no-holder", "the proposer holds no key", proposer)
                .want(format!("a holder in trust: {}", known.join(", ")))
                .have(proposer)
                .next("name the person as trust does (proofmark release --proposer HOLDER)"),
            Self::BadFile { path, why } => {
                Refusal::new(Exit::Malformed, "environment-file", "a file of an environment cannot be packed", path)
                    .want("a regular file inside the source tree of the commit")
                    .have(why)
                    .next("correct [[environment.file]] in proofmark.toml, or commit the file")
            }
            Self::Value { value, why } => {
                Refusal::new(Exit::Malformed, "value", "a value is outside the format's grammar", value).want(*why).have(value)
            }
        }
    }
}
