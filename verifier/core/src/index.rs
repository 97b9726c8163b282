//! The index (section 5.2): one digest for each group of hosts, signed by a machine and a second person.

use crate::digest::Digest;
use crate::json::{self, Document};
use crate::limits;
use crate::name::{GroupName, Name, RepositoryId};
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::{Kind, SignedFile, Verified, verify_document};
use crate::trust::Trust;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// 1.
    pub format: u64,
    /// `index`.
    pub kind: String,
    /// The repository.
    pub repository: RepositoryId,
    /// 1, 2, 3 ...
    pub version: u64,
    /// Lowest verifier level that can enforce everything in it.
    pub min_verifier: u64,
    /// Holder who wrote the proposal.
    pub proposer: Name,
    /// The index before; `None` for version 1 only.
    pub prev: Option<Pin>,
    /// Group files, by group.
    pub groups: BTreeMap<GroupName, GroupPin>,
}

/// A versioned document, pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Its version.
    pub version: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// A group file, pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupPin {
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its bytes.
    pub size: u64,
}

impl Document for Index {
    const KIND: &'static str = "index";
    const LIMIT: usize = limits::INDEX;

    fn check(&self) -> Result<()> {
        json::at_most(self.groups.len(), limits::GROUPS, "groups")?;
        let previous = self.prev.map(|prev| prev.version);
        if self.version == 0 || previous != (self.version > 1).then(|| self.version - 1) {
            let have = format!("version {}, prev {previous:?}", self.version);
            return Err(Refusal::new(Reason::Malformed, "prev", "null for version 1, else the version before", have));
        }
        Ok(())
    }
}

impl Index {
    /// Verifies `index/VERSION.index.json`: role `index`, then the second person, who is not the proposer.
    pub fn verify(trust: &Trust, version: u64, file: &SignedFile) -> Result<Verified<Index>> {
        let index: Verified<Index> = verify_document(trust, &trust.roles.index, Kind::Index, version, file)?;
        let subject = format!("{version}.index.json");
        check_repository(&subject, trust, &index.repository)?;
        check_version(&subject, version, index.version)?;
        trust.check_second_person(&index.proposer, index.signers()).map_err(|e| e.within(subject))?;
        Ok(index)
    }
}

/// The document says the repository that it was found in.
pub(crate) fn check_repository(subject: &str, trust: &Trust, have: &RepositoryId) -> Result<()> {
    if *have != trust.repository {
        return Err(Refusal::new(Reason::WrongDocument, subject, format_args!("repository {}", trust.repository), have));
    }
    Ok(())
}

/// The document says the version that its place says.
pub(crate) fn check_version(subject: &str, want: u64, have: u64) -> Result<()> {
    if want != have {
        return Err(Refusal::new(Reason::WrongDocument, subject, format_args!("version {want}"), have));
    }
    Ok(())
}
