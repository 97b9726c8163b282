//! What a host remembers between two runs. Only accepted documents and latched halts get in.

use crate::adopt::Adopt;
use crate::digest::Digest;
use crate::halt::Halt;
use crate::index::Pin;
use crate::json::{self, Document};
use crate::limits;
use crate::name::{GroupName, Name, Release, RepositoryId};
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::Verified;
use crate::time::Time;
use crate::trust::Trust;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `state.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// 1.
    pub format: u64,
    /// `state`.
    pub kind: String,
    /// Who the host is; never changes after `init`.
    pub identity: Identity,
    /// Newest accepted trust.
    pub trust: Pin,
    /// Newest accepted head.
    pub head: Option<HeadMark>,
    /// Newest accepted index.
    pub index: Option<Pin>,
    /// Groups this host follows.
    pub groups: BTreeMap<GroupName, Followed>,
    /// Halts in force until their own resume; `None`: its text is not at hand, so that it counts as a halt of everything.
    pub latched: BTreeMap<Digest, Option<Halt>>,
    /// Halts that were lifted, oldest first: they stop nothing, whoever shows them again.
    pub lifted: Vec<Digest>,
}

/// Given once, by `init`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Repository.
    pub repository: RepositoryId,
    /// SHA-256 of the first trust document.
    pub first_trust: Digest,
    /// Version of the first trust document.
    pub first_trust_version: u64,
    /// The host's name.
    pub host: Name,
    /// The host's environment.
    pub environment: Name,
}

/// The accepted head: its version and time are floors for the next, as long as its keys are in role `head`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadMark {
    /// Version.
    pub version: u64,
    /// SHA-256.
    pub sha256: Digest,
    /// When it was issued: the time floor.
    pub issued: Time,
    /// Keys that signed it, sorted.
    pub keys: Vec<Name>,
}

/// A group that this host follows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Followed {
    /// What is staged; `None` at first.
    pub active: Option<Active>,
    /// What was staged before it, with another bundle.
    pub previous: Option<Active>,
}

/// A bundle staged for a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// Group file under which it was staged.
    pub group: Digest,
    /// Its bundle.
    pub bundle: Digest,
    /// Its product.
    pub product: Name,
    /// Its release.
    pub release: Release,
    /// Whether it was started under this group file and a fresh head.
    pub started: bool,
}

impl Document for State {
    const KIND: &'static str = "state";
    const LIMIT: usize = limits::INDEX;

    fn check(&self) -> Result<()> {
        json::at_most(self.groups.len(), limits::FOLLOWED, "groups")?;
        json::at_most(self.latched.len(), limits::HALTS, "latched")?;
        json::at_most(self.lifted.len(), limits::LIFTED, "lifted")
    }
}

impl State {
    /// A host that has accepted its first trust and nothing else.
    pub fn first(host: Name, environment: Name, trust: &Verified<Trust>, groups: impl IntoIterator<Item = GroupName>) -> Self {
        let pin = Pin { version: trust.version, sha256: trust.digest() };
        State {
            format: 1,
            kind: Self::KIND.to_owned(),
            identity: Identity {
                repository: trust.repository.clone(),
                first_trust: pin.sha256,
                first_trust_version: pin.version,
                host,
                environment,
            },
            trust: pin,
            head: None,
            index: None,
            groups: groups.into_iter().map(|group| (group, Followed::default())).collect(),
            latched: BTreeMap::new(),
            lifted: Vec::new(),
        }
    }

    /// The state from which a host that lost its own walks again: this one's identity, the document's floors and halts (7.5).
    ///
    /// The head that follows is to be issued after the document, so that what it lists is newer than what the signers knew.
    pub fn adopted(&self, adopt: &Verified<Adopt>, now: Time) -> Result<State> {
        let Identity { host, environment, first_trust, first_trust_version, .. } = &self.identity;
        let subject = format!("adopt document for {}", adopt.host);
        let elsewhere = |want: String, have: &dyn std::fmt::Display| Err(Refusal::new(Reason::Elsewhere, &subject, want, have));
        if adopt.host != *host {
            return elsewhere(format!("host {host}"), &adopt.host);
        }
        if adopt.environment != *environment {
            let want = format!("environment {environment}, which this host is to be");
            return Err(Refusal::new(Reason::Environment, subject, want, &adopt.environment));
        }
        if !adopt.groups.iter().eq(self.groups.keys()) {
            let list = |names: Vec<String>| names.join(", ");
            let have = list(adopt.groups.iter().map(ToString::to_string).collect());
            return elsewhere(format!("groups {}", list(self.groups.keys().map(ToString::to_string).collect())), &have);
        }
        let pin = Pin { version: *first_trust_version, sha256: *first_trust };
        if adopt.first_trust != pin {
            let text = |pin: Pin| format!("first trust {} with sha256 {}", pin.version, pin.sha256);
            return Err(Refusal::new(Reason::TrustPin, subject, text(pin), text(adopt.first_trust)));
        }
        if adopt.issued > now.plus(limits::CLOCK_SKEW) {
            let have = format!("issued {}", adopt.issued);
            return Err(Refusal::new(Reason::Clock, subject, format_args!("issued by {now}, this host's clock"), have));
        }
        if now > adopt.expires {
            let have = format!("expired {}", adopt.expires);
            return Err(Refusal::new(Reason::Expired, subject, format_args!("a document that is valid at {now}"), have));
        }
        let head = HeadMark { version: adopt.head.version, sha256: adopt.head.sha256, issued: adopt.issued, keys: Vec::new() };
        Ok(State {
            trust: adopt.trust,
            head: Some(head),
            index: Some(adopt.index),
            latched: adopt.halts.iter().map(|digest| (*digest, None)).collect(),
            ..self.clone()
        })
    }

    /// What is staged for a group.
    pub fn active(&self, group: &GroupName) -> Option<&Active> {
        self.groups.get(group).and_then(|followed| followed.active.as_ref())
    }

    /// Everything staged, group by group.
    pub fn all_active(&self) -> impl Iterator<Item = &Active> {
        self.groups.values().filter_map(|followed| followed.active.as_ref())
    }

    /// Keeps what was noted in the stored state since `self` was derived from it: starts, and latched halts.
    pub fn keep_noted(&mut self, stored: &State) {
        for (name, followed) in &mut self.groups {
            let Some(active) = &mut followed.active else { continue };
            active.started |= stored.active(name).is_some_and(|old| old.group == active.group && old.started);
        }
        for (digest, halt) in &stored.latched {
            self.insert_latched(*digest, halt.as_ref());
        }
    }
}
