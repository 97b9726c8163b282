//! The adopt document (section 5.8): the way back for one host whose state is lost. It needs all who sign an index, and it is never
//! first use: what it pins are floors.

use crate::digest::Digest;
use crate::index::{Pin, check_repository};
use crate::json::{self, Document};
use crate::limits;
use crate::name::{GroupName, Name, RepositoryId};
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::{Kind, SignedFile, Verified, digest_name, verify_named};
use crate::time::Time;
use crate::trust::Trust;
use serde::{Deserialize, Serialize};

/// An adopt document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopt {
    /// 1.
    pub format: u64,
    /// `adopt`.
    pub kind: String,
    /// The repository.
    pub repository: RepositoryId,
    /// The one host it is for.
    pub host: Name,
    /// The host's environment.
    pub environment: Name,
    /// Groups that the host follows, sorted.
    pub groups: Vec<GroupName>,
    /// What the host was pinned to.
    pub first_trust: Pin,
    /// Newest trust when it was written: a floor.
    pub trust: Pin,
    /// Newest index: a floor.
    pub index: Pin,
    /// Newest head: a floor.
    pub head: Pin,
    /// Halts in force for this host, sorted: it latches them.
    pub halts: Vec<Digest>,
    /// Holder who wrote it: not the second person.
    pub proposer: Name,
    /// When it was written: the head that the host accepts with it is not older.
    pub issued: Time,
    /// After this it adopts nothing.
    pub expires: Time,
}

impl Document for Adopt {
    const KIND: &'static str = "adopt";
    const LIMIT: usize = limits::ADOPT;

    fn check(&self) -> Result<()> {
        json::sorted(&self.groups, limits::FOLLOWED, "groups")?;
        json::sorted(&self.halts, limits::HALTS, "halts")?;
        let malformed = |subject: &str, want: String, have: String| Err(Refusal::new(Reason::Malformed, subject, want, have));
        if self.groups.is_empty() {
            return malformed("groups", "at least one".into(), "none".into());
        }
        if let Some(other) = self.groups.iter().find(|group| group.environment != self.environment) {
            return malformed("groups", format!("groups of environment {}", self.environment), other.to_string());
        }
        if self.expires <= self.issued || self.expires > self.issued.plus(limits::ADOPT_SECONDS) {
            let want = format!("an end after {}, by at most {} s", self.issued, limits::ADOPT_SECONDS);
            return malformed("expires", want, self.expires.to_string());
        }
        Ok(())
    }
}

impl Adopt {
    /// Verifies `DIGEST.adopt.json`: role `index`, then the second person. Says nothing about a host yet.
    pub fn verify(trust: &Trust, file: &SignedFile) -> Result<Verified<Adopt>> {
        let digest = Digest::of(&file.bytes);
        let adopt: Verified<Adopt> = verify_named(trust, &trust.roles.index, Kind::Adopt, digest, file)?;
        let subject = digest_name(Kind::Adopt, digest);
        check_repository(&subject, trust, &adopt.repository)?;
        trust.check_second_person(&adopt.proposer, adopt.signers()).map_err(|e| e.within(&subject))?;
        Ok(adopt)
    }
}
