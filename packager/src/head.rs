//! A new head: the short-lived word on what is current, pinning the newest trust and the newest index.
//!
//! It says nothing that the core has not verified in the repository just now.

use std::io::Cursor;

use proofmark_core::head::{Head, IndexPin};
use proofmark_core::index::Pin;
use proofmark_core::json::{self, Document};
use proofmark_core::signature::{Kind, SignedFile, Verified, file_name};
use proofmark_core::{Reason, Time, limits};

use crate::builders;
use crate::exit::{Exit, Refusal, Refuse};
use crate::halts;
use crate::keys::SecretKey;
use crate::repository::{Repository, RepositoryError};
use crate::signing::{Signer, SigningError};

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
        }
    }
}

/// Signs and publishes the next head, valid from `now` for `seconds`.
///
/// # Errors
/// [`Reason::Clock`] when `now` is before the newest head: hosts would refuse it.
pub fn publish(repository: &Repository, key: &SecretKey, now: Time, seconds: i64) -> Result<Verified<Head>, HeadError> {
    let trust = repository.trust();
    let signer = Signer::new(trust, Kind::Head, key)?;
    let _lock = repository.lock()?;
    let published = repository.published()?.ok_or(HeadError::NoIndex)?;
    for group in published.groups.values() {
        builders::check(repository, trust, group)?;
    }
    let index = published.index;
    let (newest, before) = repository.newest_head()?;
    // What a key signed that was taken away since, with whatever clock, is no floor any more: hosts say the same.
    let before = before.filter(|before| before.signers().iter().all(|key| trust.roles.head.has_key(key)));
    if let Some(before) = &before
        && now < before.issued
    {
        let want = format!("{} or later, when head {} was issued", before.issued, before.version);
        return Err(proofmark_core::Refusal::new(Reason::Clock, "this machine's clock", want, now).into());
    }
    let version = newest + 1;
    if version > limits::INTEGER {
        let want = format!("a version of at most {}", limits::INTEGER);
        return Err(proofmark_core::Refusal::new(Reason::Limit, format_args!("head/{newest}.head.json"), want, version).into());
    }
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
    let signature = signer.sign(Kind::Head, Some(version), &file_name(Kind::Head, version), &mut Cursor::new(&bytes))?;
    let file = SignedFile { bytes, signatures: vec![(signer.name().clone(), signature)] };
    let check = |file: &SignedFile| Head::verify(trust, version, file).map(drop);
    repository.write_signed(Kind::Head.word(), Kind::Head, version, &file, &check)?;
    repository.update_latest()?;
    Ok(Head::verify(trust, version, &file)?)
}
