//! The head (section 5.4): a short-lived statement of what is current.

use crate::digest::Digest;
use crate::index::{Pin, check_repository, check_version};
use crate::json::{self, Document};
use crate::limits;
use crate::name::RepositoryId;
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::{Kind, SignedFile, Verified, verify_document};
use crate::time::Time;
use crate::trust::Trust;
use serde::{Deserialize, Serialize};

/// A head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// 1.
    pub format: u64,
    /// `head`.
    pub kind: String,
    /// The repository.
    pub repository: RepositoryId,
    /// 1, 2, 3 ...
    pub version: u64,
    /// When it was signed.
    pub issued: Time,
    /// After this nothing new starts on its word.
    pub expires: Time,
    /// The newest trust.
    pub trust: Pin,
    /// The newest index.
    pub index: IndexPin,
    /// Halts in force, sorted.
    pub halts: Vec<Digest>,
}

/// An index, pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexPin {
    /// Its version.
    pub version: u64,
    /// Its bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

impl Document for Head {
    const KIND: &'static str = "head";
    const LIMIT: usize = limits::HEAD;

    fn check(&self) -> Result<()> {
        json::sorted(&self.halts, limits::HALTS, "halts")?;
        if self.version == 0 || self.expires <= self.issued {
            let have = format!("version {}, issued {}, expires {}", self.version, self.issued, self.expires);
            return Err(Refusal::new(Reason::Malformed, "head", "version 1 or more, expires after issued", have));
        }
        Ok(())
    }
}

impl Head {
    /// Verifies `head/VERSION.head.json`.
    pub fn verify(trust: &Trust, version: u64, file: &SignedFile) -> Result<Verified<Head>> {
        let head: Verified<Head> = verify_document(trust, &trust.roles.head, Kind::Head, version, file)?;
        let subject = format!("{version}.head.json");
        check_repository(&subject, trust, &head.repository)?;
        check_version(&subject, version, head.version)?;
        Ok(head)
    }
}
