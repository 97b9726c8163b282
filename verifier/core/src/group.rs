//! The group file (section 5.3): exact hosts, one bundle, and how it may come to run.

use crate::digest::Digest;
use crate::index::{GroupPin, Index};
use crate::json::{self, Document};
use crate::key::PublicKey;
use crate::limits;
use crate::name::{Commit, GroupName, Name, Release, RepositoryId, Target};
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::{Signed, Verified};
use crate::trust::Trust;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A group file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// 1.
    pub format: u64,
    /// `group`.
    pub kind: String,
    /// The repository.
    pub repository: RepositoryId,
    /// Environment, first half of the group's name.
    pub environment: Name,
    /// Role, second half.
    pub role: Name,
    /// Exactly these hosts.
    pub hosts: BTreeMap<Name, Host>,
    /// What they run.
    pub bundle: Entry,
    /// How the bundle relates to what ran before.
    pub mode: Mode,
    /// Bundles this one may replace, sorted.
    pub from: Vec<Digest>,
    /// Bundles a rollback may go to, sorted.
    pub rollback_targets: Vec<Digest>,
    /// Bundles that must never start, sorted; only grows.
    pub revoked: Vec<Digest>,
    /// The product's flags and wire fields, sorted by id; only grows.
    pub ledger: Vec<LedgerEntry>,
    /// Whether a start needs the whole group.
    pub gate: Gate,
    /// How old a head may be.
    pub freshness: Freshness,
    /// What happens when no channel answers.
    pub silence: Silence,
}

/// A host of the group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Key of the host's records, if it has one.
    pub record_key: Option<PublicKey>,
}

/// A bundle, as the index vouches for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// A literal `sha256sum -c` line, to be run at the repository's base.
    pub sha256sum: String,
    /// Bytes of the bundle.
    pub size: u64,
    /// Bytes of the tar stream inside.
    pub unpacked_size: u64,
    /// SHA-256 of its `manifest.json`.
    pub manifest_sha256: Digest,
    /// Product.
    pub product: Name,
    /// Release.
    pub release: Release,
    /// Target.
    pub target: Target,
    /// Wire epoch: a group of hosts never runs two.
    pub wire_epoch: u64,
    /// Commit of the source.
    pub source_commit: Commit,
}

/// How a bundle comes to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Onto hosts that run nothing.
    Install,
    /// In place of one of `from`.
    Upgrade,
    /// Back to one of `rollback_targets`, in place of one of `from`.
    Rollback,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::Install => "install",
            Mode::Upgrade => "upgrade",
            Mode::Rollback => "rollback",
        })
    }
}

/// A flag or wire field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerEntry {
    /// Its number, for ever.
    pub id: u64,
    /// Its name, for ever.
    pub name: Name,
    /// SHA-256 of its meaning, for ever.
    pub meaning: Digest,
    /// Whether a bundle may use it.
    pub state: FlagState,
}

/// A ledger entry goes from active to retired and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlagState {
    /// In use.
    Active,
    /// Never to be used again.
    Retired,
}

/// Whether a start needs the whole group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// A signed go that says every host is ready.
    All,
    /// Each host by itself.
    None,
}

/// How old a head may be; seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    /// After `issued`: a first start.
    pub activate_seconds: u64,
    /// After `expires`: a restart of what was started before.
    pub restart_seconds: u64,
    /// What happens to a running process when the head ends.
    pub lease: Lease,
}

/// See [`Freshness::lease`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lease {
    /// Nothing; it may restart within the grace.
    Grace,
    /// It is stopped.
    Strict,
}

/// What happens when no channel answers; seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Alert after.
    pub alert_seconds: u64,
    /// Stop after; `None`: go on.
    pub stop_seconds: Option<u64>,
}

impl Entry {
    /// File name of a bundle.
    pub fn file_name(product: &Name, release: &Release, environment: &Name, target: &Target) -> String {
        format!("{product}-{release}-{environment}+{target}.tar.zst")
    }

    /// The `sha256sum` line for a bundle of this digest and file name.
    pub fn line(digest: Digest, file: &str) -> String {
        format!("{digest}  bundles/{digest}/{file}")
    }

    /// SHA-256 of the bundle: the first 64 bytes of `sha256sum`. [`Group::check`] has compared the rest.
    pub fn digest(&self) -> Result<Digest> {
        let hex = self.sha256sum.get(..64).unwrap_or_default();
        hex.parse().map_err(|e| Refusal::new(Reason::Malformed, "sha256sum", "a line for sha256sum -c", e))
    }
}

impl Group {
    /// `ENV/ROLE`.
    pub fn name(&self) -> GroupName {
        GroupName { environment: self.environment.clone(), role: self.role.clone() }
    }

    /// File name of the bundle.
    pub fn bundle_file(&self) -> String {
        let Entry { product, release, target, .. } = &self.bundle;
        Entry::file_name(product, release, &self.environment, target)
    }

    /// Verifies a group file against the index that pins it (the part of step 10 of section 7.1 that needs no host).
    pub fn verify(trust: &Trust, index: &Verified<Index>, name: &GroupName, bytes: &[u8]) -> Result<Verified<Group>> {
        let GroupPin { sha256, size } = *index.groups.get(name).ok_or_else(|| {
            let known: Vec<String> = index.groups.keys().take(10).map(ToString::to_string).collect();
            Refusal::new(
                Reason::NotInIndex,
                format_args!("group {name}"),
                format_args!("a group of index {}", index.version),
                format_args!("groups {}", known.join(", ")),
            )
        })?;
        let subject = format!("group file of {name}");
        if bytes.len() as u64 != size {
            return Err(Refusal::new(Reason::Size, subject, format_args!("{size} bytes"), format_args!("{} bytes", bytes.len())));
        }
        sha256.check(Digest::of(bytes), &subject)?;
        let group: Group = json::parse(bytes, &subject)?;
        if group.repository != trust.repository {
            return Err(Refusal::new(Reason::WrongDocument, subject, format_args!("repository {}", trust.repository), &group.repository));
        }
        if group.environment != name.environment {
            return Err(Refusal::new(Reason::Environment, subject, format_args!("environment {}", name.environment), &group.environment));
        }
        if group.role != name.role {
            return Err(Refusal::new(Reason::Role, subject, format_args!("role {}", name.role), &group.role));
        }
        Ok(Verified::new(group, Signed { signers: BTreeSet::new(), digest: sha256, size }))
    }

    /// What only grows has grown since `previous`: revocations, and the ledger (K1).
    pub fn check_grown(&self, previous: &Group) -> Result<()> {
        if let Some(lost) = previous.revoked.iter().find(|digest| self.revoked.binary_search(digest).is_err()) {
            return Err(Refusal::new(
                Reason::RevokedShrunk,
                format_args!("group {}", self.name()),
                format_args!("{lost} revoked, as before"),
                "not revoked",
            ));
        }
        for old in &previous.ledger {
            let new = self.ledger.iter().find(|entry| entry.id == old.id);
            let kept = new.is_some_and(|new| {
                let back = old.state == FlagState::Retired && new.state == FlagState::Active;
                new.name == old.name && new.meaning == old.meaning && !back
            });
            if !kept {
                let want = format!("flag {} {} ({:?}), which may be retired and nothing else", old.id, old.name, old.state);
                let have = new
                    .map_or_else(|| "no such entry".to_owned(), |new| format!("{} ({:?}), meaning {}", new.name, new.state, new.meaning));
                return Err(Refusal::new(Reason::LedgerShrunk, format_args!("ledger of {}", self.name()), want, have));
            }
        }
        Ok(())
    }
}

impl Document for Group {
    const KIND: &'static str = "group";
    const LIMIT: usize = limits::GROUP;

    fn check(&self) -> Result<()> {
        json::at_most(self.hosts.len(), limits::HOSTS, "hosts")?;
        json::sorted(&self.from, limits::TRANSITIONS, "from")?;
        json::sorted(&self.rollback_targets, limits::TRANSITIONS, "rollback_targets")?;
        json::sorted(&self.revoked, limits::HISTORY, "revoked")?;
        let ids: Vec<u64> = self.ledger.iter().map(|entry| entry.id).collect();
        json::sorted(&ids, limits::HISTORY, "ledger")?;
        let malformed = |subject: &str, want: String, have: String| Err(Refusal::new(Reason::Malformed, subject, want, have));
        if self.hosts.is_empty() {
            return malformed("hosts", "at least one host".into(), "none".into());
        }
        let bundle = self.bundle.digest()?;
        let line = Entry::line(bundle, &self.bundle_file());
        if self.bundle.sha256sum != line {
            return malformed("sha256sum", line, self.bundle.sha256sum.clone());
        }
        if self.bundle.size > limits::BUNDLE || self.bundle.unpacked_size > limits::UNPACKED {
            let want = format!("at most {} and {} bytes", limits::BUNDLE, limits::UNPACKED);
            let have = format!("{} and {}", self.bundle.size, self.bundle.unpacked_size);
            return Err(Refusal::new(Reason::Limit, "bundle", want, have));
        }
        if self.from.is_empty() != (self.mode == Mode::Install) {
            return malformed(
                "from",
                "empty for install, not empty otherwise".into(),
                format!("{} with {} entries", self.mode, self.from.len()),
            );
        }
        if self.mode == Mode::Rollback && self.rollback_targets.binary_search(&bundle).is_err() {
            return Err(Refusal::new(Reason::Transition, "rollback", "a bundle of rollback_targets", bundle));
        }
        if self.revoked.binary_search(&bundle).is_ok() {
            return Err(Refusal::new(
                Reason::Revoked,
                format_args!("bundle {bundle}"),
                "a bundle that is not revoked",
                "revoked by the same group file",
            ));
        }
        Ok(())
    }
}
