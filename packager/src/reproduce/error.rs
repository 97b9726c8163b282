//! Why a release was not reproduced, or not vouched for.

use std::path::PathBuf;

use proofmark_core::Digest;

use super::confirm::Doubt;
use crate::compare::{self, CompareError, Explanation};
use crate::environment::EnvironmentError;
use crate::exit::{Exit, Explained, IoError, Refusal, Refuse};
use crate::inputs::Input;
use crate::inputs::tree::TreeError;
use crate::interrupt::Interrupted;
use crate::release::ReleaseError;
use crate::repository::RepositoryError;
use crate::signing::SigningError;
use crate::{build, lockfile, source};

/// Not reproduced, or not vouched for.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the transparent variants are documented where they are declared")]
pub enum ReproduceError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    Refused(#[from] proofmark_core::Refusal),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Build(#[from] build::Error),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Source(#[from] source::SourceError),
    #[error(transparent)]
    Lock(#[from] lockfile::LockError),
    /// The repository has nothing of that name.
    #[error("{0}: not in the repository")]
    NotFound(String),
    /// It has more than one.
    #[error("{0}: more than one bundle")]
    Several(String, Vec<String>),
    /// Built under another contract than this program's.
    #[error("contract {want}")]
    Contract {
        /// The release's.
        want: u32,
    },
    /// An input is not what its name says.
    #[error("{path}: not {input}")]
    Poisoned {
        /// Which.
        input: Box<Input>,
        /// Where.
        path: String,
        /// What is there.
        have: String,
    },
    /// The rebuilt bundle is another.
    #[error("want bundle {want}, have {have}")]
    Differs {
        /// The published one.
        want: Digest,
        /// The rebuilt one.
        have: Digest,
        /// What differs, and why it probably does; or why that could not be told.
        explanation: Box<Result<Explanation, CompareError>>,
        /// The two, kept: the published one first.
        bundles: Box<[PathBuf; 2]>,
        /// Where both are kept, each with its buildinfo.
        kept: PathBuf,
    },
    /// The builder's own sources do not say the same.
    #[error("{} inputs are not confirmed", .0.len())]
    Unconfirmed(Vec<Doubt>),
}

impl Refuse for ReproduceError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Interrupted(error) => error.refusal(),
            Self::Refused(refusal) => refusal.refusal(),
            Self::Repository(error) => error.refusal(),
            Self::Build(error) => error.refusal(),
            Self::Environment(error) => error.refusal(),
            Self::Release(error) => error.refusal(),
            Self::Signing(error) => error.refusal(),
            Self::Tree(error) => error.refusal(),
            Self::Source(error) => error.refusal(),
            Self::Lock(error) => error.refusal(),
            Self::NotFound(name) => Refusal::new(Exit::NotInIndex, "no-bundle", "the repository has no such bundle", name)
                .want("SHA-256 of a bundle, its path, a group (ENV/ROLE), or PRODUCT RELEASE ENV")
                .have("nothing of that name")
                .next("look into bundles/ of the repository, or the newest group file: jq .bundle.sha256sum group/*.group.json"),
            Self::Several(name, found) => Refusal::new(Exit::Usage, "several-bundles", "more than one bundle of that name", name)
                .want("one")
                .have(found.join("\n"))
                .next("name it by its SHA-256"),
            Self::Contract { want } => {
                Refusal::new(Exit::Malformed, "contract", "built under another determinism contract", format!("contract {want}"))
                    .want(format!("contract {}, which this program follows", crate::CONTRACT))
                    .have(want)
                    .next(format!("use a proofmark whose contract is {want}: its CHANGELOG names the version"))
            }
            Self::Poisoned { input, path, have } => {
                Refusal::new(Exit::Hash, "input-digest", "an input in the repository is not what its name says", path)
                    .want(format!("{input}: sha256 {}, {} bytes", input.sha256, input.size))
                    .have(have)
                    .next("nothing was built; try another mirror, and tell your security team")
            }
            Self::Differs { want, have, explanation, bundles, kept } => {
                let [first, second] = bundles.each_ref().map(|path| path.display());
                let refusal = |report: String| {
                    Refusal::new(Exit::Hash, "not-reproduced", "the rebuilt bundle is not the published one", kept.display())
                        .want(format!("sha256 {want}"))
                        .have(format!("sha256 {have}\n{report}"))
                        .next(format!(
                            "both are kept in {}; nobody should sign this bundle before the difference is understood\n\
                             proofmark explain --verbose {first} {second}",
                            kept.display()
                        ))
                };
                match &**explanation {
                    Ok(explanation) => refusal(compare::short(explanation))
                        .explained(Explained { text: String::new(), json: serde_json::to_value(explanation).unwrap_or_default() }),
                    Err(error) => refusal(format!("what differs could not be told: {error}")),
                }
            }
            Self::Unconfirmed(doubts) => {
                Refusal::new(Exit::Hash, "unconfirmed", "your own sources do not confirm what the release was built from", doubts.len())
                    .want("the source, every crate and every layer, as your own clone, package client and toolchain have them")
                    .have(doubts.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
                    .next("nothing was built or signed; bring your own sources up to date (git fetch, apt-get update, rustup), or ask who released this")
            }
        }
    }
}
