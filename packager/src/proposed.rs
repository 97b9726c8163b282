//! What all proposals have in common, for the commands: shown, signed by one more, put in place.
//!
//! A command shows what it opened here and signs that, never what lies there a moment later.

#![allow(clippy::result_large_err, reason = "a refusal is made once in a run, and then the program ends")]

use proofmark_core::name::Name;
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Kind};
use serde_json::{Value, json};

use crate::exit::{Refusal, Refuse};
use crate::keys::SecretKey;
use crate::proposal::{self, Desk, Proposal, Subject};
use crate::repository::document_path;
use crate::review::{self, Review};
use crate::rotation::{self, Rotation};
use crate::signing::Signer;
use crate::statement::{self, Statement};

/// A proposal that was read and checked, whatever it is for.
pub enum Proposed {
    /// An index, with its review.
    Index(Box<Proposal>, Box<Review>),
    /// A rotation of trust.
    Rotation(Box<Rotation>),
    /// A resume or an adopt document.
    Statement(Box<Statement>),
}

/// Reads a proposal, checks all that can be checked, and compares it with what is published.
pub fn open(desk: &Desk<'_>, subject: Subject) -> Result<Proposed, Refusal> {
    match subject {
        Subject::Index(version) => {
            let newest = desk.repository().newest_index().map_err(|error| error.refusal())?;
            if version <= newest {
                return Err(proposal::ProposalError::AlreadyPublished(subject).refusal());
            }
            let read = proposal::read(desk, version).map_err(|error| error.refusal())?;
            let review = review::review(desk.repository(), &read).map_err(|error| error.refusal())?;
            Ok(Proposed::Index(Box::new(read), Box::new(review)))
        }
        Subject::Trust(version) => {
            rotation::read(desk, version).map(|read| Proposed::Rotation(Box::new(read))).map_err(|error| error.refusal())
        }
        Subject::Resume(_) | Subject::Adopt(_) => {
            statement::read(desk, subject).map(|read| Proposed::Statement(Box::new(read))).map_err(|error| error.refusal())
        }
    }
}

/// A proposal that is in place.
pub struct Placed {
    /// Path of the document; `None` for an adopt document, which is carried to its host.
    pub path: Option<String>,
    /// Its SHA-256.
    pub sha256: Digest,
    /// It was there before.
    pub again: bool,
}

/// Puts a proposal in place, after the core has accepted all of it.
pub fn publish(desk: &Desk<'_>, subject: Subject) -> Result<Placed, Refusal> {
    match subject {
        Subject::Index(version) => {
            let (sha256, again) = proposal::publish(desk, version).map_err(|error| error.refusal())?;
            Ok(Placed { path: Some(document_path(Kind::Index, version)), sha256, again })
        }
        Subject::Trust(version) => {
            let read = rotation::read(desk, version).map_err(|error| error.refusal())?;
            let sha256 = read.publish(desk).map_err(|error| error.refusal())?;
            Ok(Placed { path: Some(document_path(Kind::Trust, version)), sha256, again: false })
        }
        Subject::Resume(_) | Subject::Adopt(_) => {
            let read = statement::read(desk, subject).map_err(|error| error.refusal())?;
            let path = read.publish(desk).map_err(|error| error.refusal())?;
            Ok(Placed { path, sha256: Digest::of(&read.file.bytes), again: false })
        }
    }
}

impl Proposed {
    /// What it is for.
    pub fn subject(&self) -> Subject {
        match self {
            Proposed::Index(proposal, _) => Subject::Index(proposal.version),
            Proposed::Rotation(rotation) => Subject::Trust(rotation.next.version),
            Proposed::Statement(statement) => statement.subject,
        }
    }

    /// SHA-256 of what is signed.
    pub fn digest(&self) -> Digest {
        Digest::of(match self {
            Proposed::Index(proposal, _) => &proposal.file.bytes,
            Proposed::Rotation(rotation) => &rotation.file.bytes,
            Proposed::Statement(statement) => &statement.file.bytes,
        })
    }

    /// The review in words.
    pub fn words(&self, desk: &Desk<'_>) -> String {
        match self {
            Proposed::Index(_, review) => review.words(),
            Proposed::Rotation(rotation) => rotation.words(),
            Proposed::Statement(statement) => statement.words(desk.repository().trust()),
        }
    }

    /// The review in words, every line of every difference.
    pub fn full_words(&self, desk: &Desk<'_>) -> String {
        match self {
            Proposed::Index(_, review) => review.full_words(),
            _ => self.words(desk),
        }
    }

    /// The review for programs.
    pub fn json(&self, desk: &Desk<'_>) -> Value {
        match self {
            Proposed::Index(_, review) => json!(review),
            Proposed::Rotation(rotation) => rotation.json(),
            Proposed::Statement(statement) => {
                let document: Value = serde_json::from_slice(&statement.file.bytes).unwrap_or_default();
                let missing = statement.missing(desk.repository().trust());
                json!({ "document": document, "signed": statement.signers, "missing": missing })
            }
        }
    }

    /// What is missing before it can be put in place.
    pub fn missing(&self, desk: &Desk<'_>) -> Option<String> {
        match self {
            Proposed::Index(_, review) => review.missing.clone(),
            Proposed::Rotation(rotation) => rotation.missing(),
            Proposed::Statement(statement) => statement.missing(desk.repository().trust()),
        }
    }

    /// The key as a signer of it, refused where its signature would add nothing: the proposer's own, or one of a group that is met.
    pub fn signer<'k>(&'k self, desk: &Desk<'k>, key: &'k SecretKey) -> Result<Signer<'k>, Refusal> {
        let trust: &Trust = match self {
            Proposed::Rotation(rotation) => rotation.trust_for(key.public()),
            _ => desk.repository().trust(),
        };
        let signer = Signer::new(trust, self.subject().kind(), key).map_err(|error| error.refusal())?;
        self.check(desk.repository().trust(), signer.name()).map_err(|refusal| refusal.refusal())?;
        Ok(signer)
    }

    fn check(&self, trust: &Trust, key: &Name) -> proofmark_core::Result<()> {
        match self {
            Proposed::Index(proposal, _) => proposal::check_approver(trust, proposal, key),
            Proposed::Statement(statement) => {
                proposal::check_signer(trust, &statement.subject.file(), statement.proposer(), &statement.signers, key)
            }
            Proposed::Rotation(_) => Ok(()),
        }
    }

    /// Adds a signature to the very bytes that were shown. Returns where it lies.
    pub fn approve(&self, desk: &Desk<'_>, signer: &Signer<'_>) -> Result<String, Refusal> {
        match self {
            Proposed::Index(shown, _) => proposal::approve(desk, shown, signer).map_err(|error| error.refusal()),
            Proposed::Rotation(shown) => shown.approve(desk, signer).map_err(|error| error.refusal()),
            Proposed::Statement(shown) => shown.approve(desk, signer).map_err(|error| error.refusal()),
        }
    }
}
