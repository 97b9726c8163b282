//! Why a repository cannot be read or written.

use proofmark_core::Digest;

use crate::buildinfo::read::NotBuildinfo;
use crate::exit::{Exit, Refusal, Refuse};
use crate::store::StoreError;

/// A repository cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The core refuses what is there, or what was about to be written.
    #[error(transparent)]
    Refused(#[from] proofmark_core::Refusal),
    /// What lies beside a bundle is no buildinfo that an SBOM can be made of.
    #[error(transparent)]
    Buildinfo(#[from] NotBuildinfo),
    /// There is no `trust/1.trust.json`.
    #[error("{0}: no repository")]
    NoRepository(String),
    /// A file that must be there is not.
    #[error("{path}: missing in {place}")]
    Missing {
        /// Its path.
        path: String,
        /// The repository.
        place: String,
    },
    /// A bundle lacks signatures that every host demands.
    #[error("bundle {bundle}: {}: {}", .missing.want(), .missing.have())]
    Unsigned {
        /// The bundle.
        bundle: Digest,
        /// The core's words: which group, how many, who has not signed.
        missing: proofmark_core::Refusal,
        /// The repository.
        place: String,
    },
    /// Another writer has begun to write another document of that name, into a store without a lock.
    #[error("{path}: claimed for {there}")]
    Claimed {
        /// Its path.
        path: String,
        /// Digest of the other document.
        there: String,
        /// Digest of what was to be written.
        new: Digest,
    },
    /// A file of that name has other bytes.
    #[error("{path}: exists with other content")]
    Different {
        /// Its path.
        path: String,
        /// What is there.
        there: Digest,
        /// What was to be written.
        new: Digest,
    },
}

impl Refuse for RepositoryError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Store(error) => error.refusal(),
            Self::Refused(refusal) => refusal.refusal(),
            Self::Buildinfo(error) => error.refusal(),
            Self::NoRepository(place) => Refusal::new(Exit::Usage, "no-repository", "this is not a release repository", place)
                .want("trust/1.trust.json")
                .have("no such file")
                .next("check --repository; proofmark trust init makes a new repository"),
            Self::Missing { path, place } => Refusal::new(Exit::Io, "missing", "a file of the repository is missing", path)
                .want(format!("the file in {place}"))
                .have("no such file")
                .next("restore it from a mirror; every file but `latest` is kept for ever"),
            Self::Unsigned { bundle, missing, place } => {
                let next = format!(
                    "each builder who is missing builds it again and signs:\n\
                     proofmark reproduce {bundle} --from {place} --sign NAME.key --source CLONE\n\
                     (what CI has not signed, CI releases again: proofmark release)"
                );
                missing.refusal().next(next)
            }
            Self::Claimed { path, there, new } => Refusal::new(
                Exit::Rollback,
                "claimed",
                "another writer has begun to publish another document of this name",
                path,
            )
            .want(format!("nobody, or a writer of sha256 {new}"))
            .have(format!("a claim for sha256 {there}"))
            .next(format!(
                "wait for the other writer, then look what there is. If it was cut off: run its command again, or, when nobody will,\n\
                         remove {path}.claim, and call again"
            )),
            Self::Different { path, there, new } => {
                Refusal::new(Exit::Rollback, "already-written", "a file of a repository is written once and never changed", path)
                    .want(format!("no file, or sha256 {new}"))
                    .have(format!("sha256 {there}"))
                    .next("a document gets the next version; if nobody wrote this one, tell your security team")
            }
        }
    }
}
