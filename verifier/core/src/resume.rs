//! The resume (section 5.7): lifts one halt for ever, and needs all who sign an index. A key of role `halt` alone never lifts.

use crate::digest::Digest;
use crate::halt::check_reason;
use crate::index::check_repository;
use crate::json::Document;
use crate::limits;
use crate::name::{Name, RepositoryId};
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::{Kind, SignedFile, Verified, digest_name, verify_named};
use crate::time::Time;
use crate::trust::Trust;
use serde::{Deserialize, Serialize};

/// A resume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// 1.
    pub format: u64,
    /// `resume`.
    pub kind: String,
    /// The repository.
    pub repository: RepositoryId,
    /// SHA-256 of the halt that it lifts.
    pub halt: Digest,
    /// Why, for people; 1 to 120 bytes.
    pub reason: String,
    /// Holder who wrote it: not the second person.
    pub proposer: Name,
    /// When it was written. Nothing depends on it.
    pub issued: Time,
}

impl Document for Resume {
    const KIND: &'static str = "resume";
    const LIMIT: usize = limits::HALT;

    fn check(&self) -> Result<()> {
        check_reason(&self.reason)
    }
}

impl Resume {
    /// Verifies `resume/HALT.resume.json`: role `index`, then the second person, then that it is about this halt.
    pub fn verify(trust: &Trust, halt: Digest, file: &SignedFile) -> Result<Verified<Resume>> {
        let resume: Verified<Resume> = verify_named(trust, &trust.roles.index, Kind::Resume, halt, file)?;
        let subject = digest_name(Kind::Resume, halt);
        check_repository(&subject, trust, &resume.repository)?;
        trust.check_second_person(&resume.proposer, resume.signers()).map_err(|e| e.within(&subject))?;
        if resume.halt != halt {
            return Err(Refusal::new(Reason::WrongDocument, subject, format_args!("halt {halt}"), format_args!("halt {}", resume.halt)));
        }
        Ok(resume)
    }
}
