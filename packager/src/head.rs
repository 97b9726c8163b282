//! A new head: the short-lived word on what is current, pinning the newest trust and the newest index.
//!
//! It says nothing that the core has not verified in the repository just now.

use std::io::Cursor;
use std::time::{Duration, Instant};

use proofmark_core::head::{Head, IndexPin};
use proofmark_core::index::Pin;
use proofmark_core::json::{self, Document};
use proofmark_core::signature::{Kind, SignedFile, Verified, file_name};
use proofmark_core::{Reason, Time, limits};

use crate::builders;
use crate::exit::{Exit, Refusal, Refuse};
use crate::keys::SecretKey;
use crate::repository::{Repository, RepositoryError};
use crate::signing::{Signer, SigningError};
use crate::store::StoreError;
use crate::{halts, interrupt};

/// No head was published.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The key.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The core refuses.
    #[error(transparent)]
    Refused(#[from] proofmark_core::Refusal),
    /// There is no index to pin.
    #[error("no index")]
    NoIndex,
    /// The newest head pins what is newer than what is there, or other than it.
    #[error("the newest {kind} is {}, and head {head} pins {}", .newest.version, .pinned.version)]
    Backwards {
        /// `trust` or `index`.
        kind: &'static str,
        /// By the newest head.
        pinned: Pin,
        /// The newest that is there.
        newest: Pin,
        /// The newest head.
        head: u64,
    },
    /// The newest head has the last version that there is.
    #[error("no version is left")]
    Exhausted {
        /// Names of the keys that signed it.
        signers: Vec<String>,
    },
}

impl Refuse for HeadError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Repository(error) => error.refusal(),
            Self::Signing(error) => error.refusal(),
            Self::Refused(refusal) => refusal.refusal(),
            Self::NoIndex => Refusal::new(Exit::NotInIndex, "no-index", "a head names the newest index", "index/")
                .want("a published index")
                .have("none")
                .next("proofmark release, approve and publish come first"),
            Self::Backwards { kind, pinned, newest, head } => {
                let path = format!("{kind}/{}.{kind}.json", pinned.version);
                Refusal::new(Exit::Rollback, "rollback", "the newest head pins a document that is missing, or is another", path)
                    .want(format!("{kind} {} with sha256 {}, which head {head} pins", pinned.version, pinned.sha256))
                    .have(format!("{kind} {} with sha256 {}", newest.version, newest.sha256))
                    .next("restore the repository from a mirror: proofmark log says what else is missing; hosts would refuse what you have")
            }
            // Nobody gets there by counting.
            Self::Exhausted { signers } => Refusal::new(Exit::Malformed, "limit", "no version is left for another head", "head/")
                .want(format!("a version of at most {}", limits::INTEGER))
                .have(format!("a head of that version, signed by {}", signers.join(", ")))
                .next("that key is stolen or was misused: take it away with proofmark trust rotate, then call proofmark head with its successor (docs/runbooks.md)"),
        }
    }
}

/// How long another writer's claim on the next version is respected (in a store without a lock) before its version is left to it.
const CLAIM: Duration = Duration::from_secs(5);
/// Between two looks at what the other writer has done.
const LOOK: Duration = Duration::from_millis(200);

/// Signs and publishes the next head, valid from `now` for `seconds`.
///
/// # Errors
/// [`Reason::Clock`] when `now` is before the newest head: hosts would refuse it.
pub fn publish(repository: &Repository, key: &SecretKey, now: Time, seconds: i64) -> Result<Verified<Head>, HeadError> {
    let signer = Signer::new(repository.trust(), Kind::Head, key)?;
    let _lock = repository.lock()?;
    let published = repository.published()?.ok_or(HeadError::NoIndex)?;
    for group in published.groups.values() {
        builders::check(repository, repository.trust(), group)?;
    }
    let begin = Instant::now();
    let (mut now, mut version) = (now, 0);
    loop {
        let heads = repository.heads()?;
        // A version that was claimed by a writer who never came back stays a hole: hosts ask that heads rise, not that they count.
        version = version.max(heads.next);
        match write(repository, &signer, version, heads.floor(repository.trust()), now, seconds) {
            Err(HeadError::Repository(RepositoryError::Claimed { .. } | RepositoryError::Different { .. })) => {
                interrupt::check().map_err(StoreError::from).map_err(RepositoryError::from)?;
                std::thread::sleep(LOOK);
                // What the other writer has issued meanwhile is not in this one's future.
                let heads = repository.heads()?;
                now = heads.floor(repository.trust()).map_or(now, |other| now.max(other.issued));
                if heads.next <= version && begin.elapsed() > CLAIM {
                    version = heads.unclaimed.max(version + 1);
                }
            }
            other => return other,
        }
    }
}

fn write(
    repository: &Repository,
    signer: &Signer<'_>,
    version: u64,
    before: Option<&Verified<Head>>,
    now: Time,
    seconds: i64,
) -> Result<Verified<Head>, HeadError> {
    let trust = repository.trust();
    let index = repository.published()?.ok_or(HeadError::NoIndex)?.index;
    if let Some(before) = before
        && now < before.issued
    {
        let want = format!("{} or later, when head {} was issued", before.issued, before.version);
        return Err(proofmark_core::Refusal::new(Reason::Clock, "this machine's clock", want, now).into());
    }
    if let Some(before) = before {
        // A repository that has lost its newest documents, or lost them to somebody, is not vouched for.
        let pins = [
            ("trust", before.trust, Pin { version: trust.version, sha256: trust.digest() }),
            (
                "index",
                Pin { version: before.index.version, sha256: before.index.sha256 },
                Pin { version: index.version, sha256: index.digest() },
            ),
        ];
        for (kind, pinned, newest) in pins {
            if newest.version < pinned.version || newest.version == pinned.version && newest != pinned {
                return Err(HeadError::Backwards { kind, pinned, newest, head: before.version });
            }
        }
    }
    if version > limits::INTEGER {
        let signers = before.iter().flat_map(|before| before.signers()).map(ToString::to_string).collect();
        return Err(HeadError::Exhausted { signers });
    }
    let file = file_name(Kind::Head, version);
    let head = Head {
        format: 1,
        kind: Head::KIND.into(),
        repository: trust.repository.clone(),
        version,
        issued: now,
        expires: now.plus(seconds),
        trust: Pin { version: trust.version, sha256: trust.digest() },
        index: IndexPin { version: index.version, size: index.size(), sha256: index.digest() },
        halts: halts::in_force(repository)?.into_iter().map(|halt| halt.digest).collect(),
    };
    let bytes = json::print(&head);
    let signature = signer.sign(Kind::Head, Some(version), &file, &mut Cursor::new(&bytes))?;
    let file = SignedFile { bytes, signatures: vec![(signer.name().clone(), signature)] };
    let check = |file: &SignedFile| Head::verify(trust, version, file).map(drop);
    repository.write_signed(Kind::Head.word(), Kind::Head, version, &file, &check)?;
    repository.update_latest()?;
    Ok(Head::verify(trust, version, &file)?)
}
