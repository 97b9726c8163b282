//! Why a proposal cannot be made, read, approved or published.

use proofmark_core::Digest;

use crate::exit::{Exit, Refusal, Refuse};
use crate::repository::RepositoryError;

/// A proposal cannot be made, read, approved or published.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The core refuses, or a rule of [`crate::assignment::Assignment::check`].
    #[error(transparent)]
    Refused(#[from] proofmark_core::Refusal),
    /// Another proposal has the version.
    #[error("proposal {version} exists, with other content")]
    Taken {
        /// The version.
        version: u64,
        /// Digest of the index that is there.
        there: Digest,
        /// Digest of the one to be written.
        new: Digest,
    },
    /// No such proposal.
    #[error("no proposal {0}")]
    None(u64),
    /// It has been published.
    #[error("index {0} is published")]
    AlreadyPublished(u64),
}

impl Refuse for ProposalError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Repository(error) => error.refusal(),
            Self::Refused(refusal) => refusal.refusal(),
            Self::Taken { version, there, new } => Refusal::new(
                Exit::Rollback,
                "second-proposal",
                "there is another proposal of this version",
                format!("proposals/{version}"),
            )
            .want(format!("no proposal {version}, or one whose index has sha256 {new}"))
            .have(format!("sha256 {there}"))
            .next(format!(
                "publish it first (proofmark approve {version}, proofmark publish {version}), or, where no reviewer has signed it,\n\
                         agree to drop it: remove proposals/{version}, then release again"
            )),
            Self::None(version) => Refusal::new(Exit::Usage, "no-proposal", "there is no such proposal", format!("proposals/{version}"))
                .want(format!("proposals/{version}/{version}.index.json"))
                .have("no such file")
                .next("proofmark release makes one"),
            Self::AlreadyPublished(version) => {
                Refusal::new(Exit::Usage, "already-published", "this index is published", format!("index {version}"))
                    .want("a proposal that is not published yet")
                    .have(format!("index/{version}.index.json"))
                    .next("a change is a new proposal: proofmark release")
            }
        }
    }
}
