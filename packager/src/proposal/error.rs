//! Why a proposal cannot be made, read, approved or published.

use proofmark_core::Digest;

use super::Subject;
use crate::exit::{Exit, Refusal, Refuse};
use crate::repository::RepositoryError;
use crate::signing::SigningError;

/// A proposal cannot be made, read, approved or published.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The core refuses, or a rule of [`crate::assignment::Assignment::check`].
    #[error(transparent)]
    Refused(#[from] proofmark_core::Refusal),
    /// The key.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// Another proposal has the version.
    #[error("proposal {subject} exists, with other content")]
    Taken {
        /// What is proposed.
        subject: Subject,
        /// Digest of the document that is there.
        there: Digest,
        /// Digest of the one to be written.
        new: Digest,
    },
    /// No such proposal.
    #[error("no proposal {0}")]
    None(Subject),
    /// No proposal at all.
    #[error("no open proposal")]
    Nothing(Option<String>),
    /// More than one, and none was named.
    #[error("{} open proposals", .0.len())]
    Several(Vec<Subject>),
    /// It has been published.
    #[error("{0} is published")]
    AlreadyPublished(Subject),
}

impl Refuse for ProposalError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Repository(error) => error.refusal(),
            Self::Refused(refusal) => refusal.refusal(),
            Self::Signing(error) => error.refusal(),
            Self::Taken { subject, there, new } => Refusal::new(
                Exit::Rollback,
                "second-proposal",
                "there is another proposal of this version",
                format!("proposals/{subject}"),
            )
            .want(format!("no proposal {subject}, or one whose {} has sha256 {new}", subject.file()))
            .have(format!("sha256 {there}"))
            .next(format!(
                "publish it first (proofmark approve {subject}, proofmark publish {subject}), or, where no reviewer has signed it,\n\
                         agree to drop it: remove proposals/{subject}, then call again"
            )),
            Self::None(subject) => Refusal::new(Exit::Usage, "no-proposal", "there is no such proposal", format!("proposals/{subject}"))
                .want(format!("proposals/{subject}/{}", subject.file()))
                .have("no such file")
                .next("proofmark release, assign, rollback, revoke, host or trust rotate makes one"),
            Self::Nothing(named) => {
                Refusal::new(Exit::Usage, "no-proposal", "there is no such open proposal", named.as_deref().unwrap_or("proposals/"))
                    .want("a proposal that is not published yet: N for an index, trust-N, resume-SHA256, adopt-SHA256")
                    .have("none")
                    .next("proofmark release, assign, rollback, revoke, host or trust rotate makes one")
            }
            Self::Several(subjects) => {
                let names: Vec<String> = subjects.iter().map(ToString::to_string).collect();
                Refusal::new(Exit::Usage, "several-proposals", "there is more than one open proposal", "proposals/")
                    .want("the name of one of them")
                    .have(names.join(", "))
                    .next(format!("name it: {}", names.first().map_or("N", String::as_str)))
            }
            Self::AlreadyPublished(subject) => Refusal::new(Exit::Usage, "already-published", "this is published", subject.file())
                .want("a proposal that is not published yet")
                .have(format!("{}/{}", subject.kind().word(), subject.file()))
                .next("a change is a new proposal; proofmark log shows what is published"),
        }
    }
}
