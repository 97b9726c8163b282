//! Which head is the current one, and which version the next one gets.
//!
//! The head key is in use day and night, on a machine that has a network: of all keys it is the one to be stolen. What a thief has written
//! with it, under whatever version, must not decide where the next head goes once a rotation has taken the key away; hosts say the same
//! (FORMAT.md section 7, "floors end with their keys"). Versions below what is there are used again only where no other is left: a mirror may have them.

use std::collections::BTreeSet;

use proofmark_core::head::Head;
use proofmark_core::limits;
use proofmark_core::signature::{Kind, Verified};
use proofmark_core::trust::Trust;

use super::{Repository, RepositoryError, document_path, versions};

/// The heads of a repository.
pub struct Heads {
    /// The highest that keys of the newest trust signed; where there is none yet, the highest that another trust of the chain accepts.
    pub current: Option<Verified<Head>>,
    /// Version of `current`; where no head verifies, the highest of which there is a file, 0 where there is none.
    pub newest: u64,
    /// The version after it, which no document has; above the largest integer of the format where there is none.
    pub next: u64,
    /// The same, but one that nobody has claimed either.
    pub unclaimed: u64,
}

impl Heads {
    /// The current head, if `trust` still has the keys that signed it: only then are its version and time floors.
    pub fn floor(&self, trust: &Trust) -> Option<&Verified<Head>> {
        self.current.as_ref().filter(|head| head.signers().iter().all(|key| trust.roles.head.has_key(key)))
    }
}

impl Repository {
    /// What heads there are. `latest` says where to begin to look, so that the cost does not grow with history; where it names no head of
    /// the newest trust, all names are listed.
    pub fn heads(&self) -> Result<Heads, RepositoryError> {
        let newest = self.trust();
        let hint = self.hint(Kind::Head)?;
        let mut current = if hint == 0 { None } else { self.head_under(newest, hint)? };
        if let Some(head) = current {
            return self.after(head);
        }
        let names = self.list(Kind::Head.word())?;
        let there: BTreeSet<u64> = versions(&names, Kind::Head).into_iter().collect();
        current = self.highest(newest, there.iter().copied().filter(|version| is_signed(&names, *version, newest)))?;
        if let Some(head) = current {
            return self.after(head);
        }
        let mut old = None;
        for trust in self.trusts().iter().rev().skip(1) {
            if old.is_none() {
                old = self.highest(trust, there.iter().copied())?;
            }
        }
        // Of heads by keys that are gone, the highest may be anywhere. The first version after one that is there, and that is free itself:
        // where nobody has played with numbers, that is the next one. Where they leave none, the first of all.
        let free = |version: &u64| *version <= limits::INTEGER && !there.contains(version);
        let next = there.iter().map(|version| version + 1).find(free).or_else(|| (1..).find(free)).unwrap_or(1);
        let unclaimed = (next..).find(|version| free(version) && !is_claimed(&names, *version)).unwrap_or(next);
        let highest = there.last().copied().unwrap_or(0);
        Ok(Heads { newest: old.as_ref().map_or(highest, |head| head.version), current: old, next, unclaimed })
    }

    /// Upwards from a head of the newest trust to the last one.
    fn after(&self, mut current: Verified<Head>) -> Result<Heads, RepositoryError> {
        let at = |version| document_path(Kind::Head, version);
        let mut next = current.version + 1;
        while let Some(head) = self.head_under(self.trust(), next)? {
            current = head;
            next += 1;
        }
        // As a rule there is nothing at all of the next version. A claim that was never taken up is a hole, with heads behind it perhaps; and
        // what lies there may be of a stranger. One listing tells all of it.
        if !self.store.exists(&at(next))? && !self.store.exists(&format!("{}.claim", at(next)))? {
            return Ok(Heads { newest: current.version, current: Some(current), next, unclaimed: next });
        }
        let names = self.list(Kind::Head.word())?;
        let there: BTreeSet<u64> = versions(&names, Kind::Head).into_iter().filter(|version| *version > current.version).collect();
        let signed = there.iter().copied().filter(|version| is_signed(&names, *version, self.trust()));
        if let Some(head) = self.highest(self.trust(), signed)? {
            current = head;
        }
        let free = |version: &u64| !there.contains(version);
        let next = (current.version + 1..).find(free).unwrap_or(limits::INTEGER + 1);
        let unclaimed = (next..).find(|version| free(version) && !is_claimed(&names, *version)).unwrap_or(next);
        Ok(Heads { newest: current.version, current: Some(current), next, unclaimed })
    }

    /// A head, as the newest trust that does accepts it.
    pub fn head(&self, version: u64) -> Result<Option<Verified<Head>>, RepositoryError> {
        for trust in self.trusts().iter().rev() {
            if let Some(head) = self.head_under(trust, version)? {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    fn highest(&self, trust: &Trust, versions: impl DoubleEndedIterator<Item = u64>) -> Result<Option<Verified<Head>>, RepositoryError> {
        for version in versions.rev() {
            if let Some(head) = self.head_under(trust, version)? {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    fn head_under(&self, trust: &Trust, version: u64) -> Result<Option<Verified<Head>>, RepositoryError> {
        let file = self.signed_under(trust, Kind::Head.word(), Kind::Head, version)?;
        Ok(file.and_then(|file| Head::verify(trust, version, &file).ok()))
    }
}

fn is_claimed(names: &[String], version: u64) -> bool {
    names.binary_search(&format!("{version}.head.json.claim")).is_ok()
}

/// Whether a signature by a head key of this trust lies beside the version: what is worth reading.
fn is_signed(names: &[String], version: u64, trust: &Trust) -> bool {
    trust.roles.head.keys().any(|key| names.binary_search(&format!("{version}.head.json.{key}.minisig")).is_ok())
}
