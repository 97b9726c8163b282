//! Why trust is not rotated, and what to do first.

use proofmark_core::name::Name;

use crate::exit::{Exit, Refusal, Refuse};
use crate::proposal::ProposalError;
use crate::repository::RepositoryError;
use crate::signing::SigningError;

/// Something in force that would no longer verify.
#[derive(Clone, Debug)]
pub struct Obstacle {
    /// The newest index, or the bundle of a group.
    pub what: String,
    /// The core's words.
    pub refusal: proofmark_core::Refusal,
}

impl Obstacle {
    /// One line: what, and what it lacks.
    pub fn line(&self) -> String {
        format!("{}: want {}; have {}", self.what, self.refusal.want(), self.refusal.have())
    }
}

/// Trust is not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The proposal.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The key.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The core refuses.
    #[error(transparent)]
    Refused(#[from] proofmark_core::Refusal),
    /// The name of a key was given to another one before.
    #[error("key name {name} is taken since trust {version}")]
    NameUsed {
        /// The name.
        name: Name,
        /// A version that has it.
        version: u64,
        /// Who held it there.
        holder: Name,
    },
    /// No such key.
    #[error("no key {name}")]
    NoKey {
        /// The name.
        name: Name,
        /// Those there are.
        known: Vec<String>,
    },
    /// No such group.
    #[error("no key group {place}")]
    NoGroup {
        /// `GROUP` or `ROLE/GROUP`.
        place: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The edits change nothing.
    #[error("trust {0} says so already")]
    NoChange(u64),
    /// What hosts are to run would no longer verify.
    #[error("trust {version} would leave {} documents unverifiable", .obstacles.len())]
    Unverifiable {
        /// Version of the rotation.
        version: u64,
        /// What would not.
        obstacles: Vec<Obstacle>,
    },
}

impl Refuse for RotationError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Proposal(error) => error.refusal(),
            Self::Repository(error) => error.refusal(),
            Self::Signing(error) => error.refusal(),
            Self::Refused(refusal) => refusal.refusal(),
            Self::NameUsed { name, version, holder } => {
                Refusal::new(Exit::Trust, "key-name-used", "the name of a key is never given to another key", format!("key {name}"))
                    .want("a name that no trust document ever had, or the same key of the same holder")
                    .have(format!("{name} is another key, or of another holder, in trust {version} (held by {holder})"))
                    .next("give the new key a name of its own, as the next number: alice-2")
            }
            Self::NoKey { name, known } => Refusal::new(Exit::Trust, "no-such-key", "trust has no key of this name", format!("key {name}"))
                .want(format!("one of {}", known.join(", ")))
                .have(name)
                .next("proofmark trust show lists them; a new key is given as HOLDER:NAME=FILE.pub"),
            Self::NoGroup { place, known } => Refusal::new(Exit::Trust, "no-such-group", "trust has no such key group", place)
                .want(format!("one of {}", known.join(", ")))
                .have(place)
                .next("proofmark trust show lists them; --add ROLE/GROUP=... makes a new group"),
            Self::NoChange(version) => Refusal::new(Exit::Usage, "no-change", "nothing would change", format!("trust {version}"))
                .want("an edit: --add, --remove, --threshold, --drop, --second-person")
                .have("a document that would say the same")
                .next("proofmark trust show"),
            Self::Unverifiable { version, obstacles } => {
                let lines: Vec<String> = obstacles.iter().map(Obstacle::line).collect();
                Refusal::new(
                    Exit::Trust,
                    "unverifiable",
                    "this rotation would stop every host at its next update",
                    format!("trust {version}"),
                )
                .want(format!("the newest index and every bundle that it assigns verify under trust {version}"))
                .have(lines.join("\n"))
                .next(format!(
                    "each key that is missing signs what is in force, once, before this is published:\n\
                     proofmark sign --under trust-{version} --key NEW.key\n\
                     (builders: proofmark reproduce SHA256 --sign NEW.key). Or put another bundle on the group first (release, assign, rollback).\n\
                     Then: proofmark publish trust-{version}"
                ))
            }
        }
    }
}
