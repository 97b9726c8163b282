//! How documents fit together and fit this host (section 7): the state machine of `update` and `run`.
//!
//! Pure: bytes and a time in, a decision out. The types are the order of the steps, so that none can be left out:
//! [`Session`] (trust) → [`Session::head`] → [`WithHead::index`] → [`Chain`] → [`Chain::assign`] → [`Chain::permit`].
//! Nothing here stores anything; [`Chain::advance`] gives the state to store when everything else has passed.

use crate::digest::Digest;
use crate::group::{Gate, Group, Lease, Mode};
use crate::head::Head;
use crate::index::{Index, Pin};
use crate::json::{self, Document};
use crate::limits;
use crate::name::{GroupName, Name, RepositoryId};
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::{SignedFile, Verified};
use crate::time::Time;
use crate::trust::Trust;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a host remembers. Only accepted documents get in.
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
    /// Groups this host follows; `None` until something is staged.
    pub groups: BTreeMap<GroupName, Option<Active>>,
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

/// What a group runs on this host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// Group file under which it was staged.
    pub group: Digest,
    /// Its bundle.
    pub bundle: Digest,
    /// Its product.
    pub product: Name,
    /// Whether it was started under this group file and a fresh head.
    pub started: bool,
}

impl Document for State {
    const KIND: &'static str = "state";
    const LIMIT: usize = limits::INDEX;

    fn check(&self) -> Result<()> {
        json::at_most(self.groups.len(), limits::GRANTS, "groups")
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
            groups: groups.into_iter().map(|group| (group, None)).collect(),
        }
    }
}

/// Why the documents are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To change what the host will run: an expired head is refused.
    Change,
    /// To start what is staged: [`Chain::permit`] judges the head's age.
    Start,
}

/// Trust, walked from the pinned first one.
pub struct Session<'a> {
    state: &'a State,
    now: Time,
    intent: Intent,
    trust: Verified<Trust>,
}

impl<'a> Session<'a> {
    /// Step 1, first half: the first trust has the pinned digest.
    pub fn open(state: &'a State, now: Time, intent: Intent, first: &SignedFile) -> Result<Self> {
        let trust = Trust::pinned(state.identity.first_trust, first)?;
        let session = Session { state, now, intent, trust };
        session.check_accepted()?;
        Ok(session)
    }

    /// Newest trust so far.
    pub fn trust(&self) -> &Verified<Trust> {
        &self.trust
    }

    /// Step 1, second half: one rotation.
    pub fn rotate(&mut self, file: &SignedFile) -> Result<()> {
        if self.trust.version.saturating_sub(self.state.identity.first_trust_version) >= limits::ROTATIONS {
            return Err(Refusal::new(Reason::Limit, "trust", format_args!("at most {} rotations", limits::ROTATIONS), "one more"));
        }
        self.trust = Trust::rotate(&self.trust, file)?;
        self.check_accepted()
    }

    /// The trust of the accepted version is the accepted one.
    fn check_accepted(&self) -> Result<()> {
        let Pin { version, sha256 } = self.state.trust;
        if self.trust.version == version && self.trust.digest() != sha256 {
            let subject = format!("{version}.trust.json");
            return Err(Refusal::new(Reason::Equivocation, subject, format_args!("sha256 {sha256}, accepted before"), self.trust.digest()));
        }
        Ok(())
    }

    /// Steps 2 to 6.
    pub fn head(self, version: u64, file: &SignedFile) -> Result<WithHead<'a>> {
        let Session { state, now, intent, trust } = self;
        if trust.version < state.trust.version {
            return Err(Refusal::new(
                Reason::TrustMissing,
                "trust",
                format_args!("version {} or newer, accepted before", state.trust.version),
                trust.version,
            ));
        }
        let floor = state.head.as_ref().filter(|mark| mark.keys.iter().all(|key| trust.roles.head.has_key(key)));
        if let Some(mark) = floor
            && now.plus(limits::CLOCK_SKEW) < mark.issued
        {
            return Err(Refusal::new(
                Reason::Clock,
                "this host's clock",
                format_args!("{} or later: a head of that time was accepted", mark.issued),
                now,
            ));
        }
        let head = Head::verify(&trust, version, file)?;
        let subject = format!("{version}.head.json");
        if head.issued > now.plus(limits::CLOCK_SKEW) {
            return Err(Refusal::new(
                Reason::Clock,
                subject,
                format_args!("issued by {now}, this host's clock"),
                format_args!("issued {}", head.issued),
            ));
        }
        if let Some(mark) = floor {
            if head.version < mark.version || head.issued < mark.issued {
                let want = format!("head {} of {} or newer", mark.version, mark.issued);
                return Err(Refusal::new(Reason::Rollback, subject, want, format_args!("head {} of {}", head.version, head.issued)));
            }
            if head.version == mark.version && head.digest() != mark.sha256 {
                return Err(Refusal::new(
                    Reason::Equivocation,
                    subject,
                    format_args!("sha256 {}, accepted before", mark.sha256),
                    head.digest(),
                ));
            }
        }
        if intent == Intent::Change && now > head.expires {
            return Err(Refusal::new(
                Reason::Expired,
                subject,
                format_args!("a head that is valid at {now}"),
                format_args!("expired {}", head.expires),
            ));
        }
        let newest = Pin { version: trust.version, sha256: trust.digest() };
        if head.trust != newest {
            let pin = |p: Pin| format!("trust {} with sha256 {}", p.version, p.sha256);
            return Err(Refusal::new(
                Reason::TrustMissing,
                subject,
                format!("a head that pins {}, the newest this host has", pin(newest)),
                pin(head.trust),
            ));
        }
        Ok(WithHead { state, now, trust, head })
    }
}

/// Trust and head.
pub struct WithHead<'a> {
    state: &'a State,
    now: Time,
    trust: Verified<Trust>,
    head: Verified<Head>,
}

impl<'a> WithHead<'a> {
    /// The head; says which index to get.
    pub fn head(&self) -> &Verified<Head> {
        &self.head
    }
    /// The trust; says whose signatures to get.
    pub fn trust(&self) -> &Verified<Trust> {
        &self.trust
    }

    /// Steps 7 and 8.
    pub fn index(self, file: &SignedFile) -> Result<Chain<'a>> {
        let WithHead { state, now, trust, head } = self;
        let pin = head.index;
        let subject = format!("{}.index.json", pin.version);
        if file.bytes.len() as u64 != pin.size {
            return Err(Refusal::new(
                Reason::Size,
                subject,
                format_args!("{} bytes", pin.size),
                format_args!("{} bytes", file.bytes.len()),
            ));
        }
        pin.sha256.check(Digest::of(&file.bytes), &subject)?;
        let index = Index::verify(&trust, pin.version, file)?;
        if let Some(accepted) = state.index {
            if index.version < accepted.version {
                return Err(Refusal::new(
                    Reason::Rollback,
                    subject,
                    format_args!("index {} or newer", accepted.version),
                    format_args!("index {}", index.version),
                ));
            }
            // `prev` is for those who walk the chain: after an equivocation, the next higher index heals hosts on either half.
            if index.version == accepted.version && index.digest() != accepted.sha256 {
                return Err(Refusal::new(
                    Reason::Equivocation,
                    subject,
                    format_args!("sha256 {}, accepted before", accepted.sha256),
                    index.digest(),
                ));
            }
        }
        if index.min_verifier > crate::LEVEL {
            return Err(Refusal::new(
                Reason::VerifierTooOld,
                subject,
                format_args!("verifier level {}", index.min_verifier),
                format_args!("level {}", crate::LEVEL),
            ));
        }
        Ok(Chain { state, now, trust, head, index })
    }
}

/// The whole chain, accepted.
pub struct Chain<'a> {
    state: &'a State,
    now: Time,
    trust: Verified<Trust>,
    head: Verified<Head>,
    index: Verified<Index>,
}

/// On what word a start happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// The head is fresh.
    Fresh,
    /// The head expired at this time; the restart is within the signed grace, and must be said aloud.
    Grace(Time),
}

impl Chain<'_> {
    /// Newest trust.
    pub fn trust(&self) -> &Verified<Trust> {
        &self.trust
    }
    /// Accepted head.
    pub fn head(&self) -> &Verified<Head> {
        &self.head
    }
    /// Accepted index.
    pub fn index(&self) -> &Verified<Index> {
        &self.index
    }

    /// Steps 9 to 11: the group file, whether it is for this host, and whether it may follow what the host has.
    ///
    /// `previous` is the group file under which the active bundle was staged, if any; `architecture` the machine's (`x86_64`).
    pub fn assign(&self, name: &GroupName, bytes: &[u8], previous: Option<&Group>, architecture: &str) -> Result<Verified<Group>> {
        let Identity { host, environment, .. } = &self.state.identity;
        let group = Group::verify(&self.trust, &self.index, name, bytes)?;
        let subject = format!("group {name} on {host}");
        if group.environment != *environment {
            return Err(Refusal::new(
                Reason::Environment,
                subject,
                format_args!("environment {environment}, which this host is"),
                &group.environment,
            ));
        }
        if !group.hosts.contains_key(host) {
            let listed: Vec<&str> = group.hosts.keys().take(10).map(Name::as_str).collect();
            return Err(Refusal::new(
                Reason::HostNotInGroup,
                subject,
                format_args!("a group that lists {host}"),
                format_args!("{} hosts: {}", group.hosts.len(), listed.join(", ")),
            ));
        }
        if let Some(previous) = previous {
            group.check_grown(previous)?;
        }
        self.check_transition(name, &group, &subject)?;
        if group.bundle.target.architecture() != architecture {
            return Err(Refusal::new(Reason::Target, subject, format_args!("a bundle for {architecture}"), &group.bundle.target));
        }
        if group.freshness.lease == Lease::Strict || group.silence.stop_seconds.is_some() {
            return Err(Refusal::new(
                Reason::VerifierTooOld,
                subject,
                "lease grace and no stop on silence: this verifier has no guard that could stop it",
                "one of them",
            ));
        }
        Ok(group)
    }

    /// Step 9, across the groups this host follows: it is listed by one at most.
    pub fn check_one_group(assigned: &[GroupName], host: &Name) -> Result<()> {
        match assigned {
            [] | [_] => Ok(()),
            [first, second, ..] => Err(Refusal::new(
                Reason::HostInTwoGroups,
                format_args!("host {host}"),
                "one group that lists this host",
                format_args!("{first} and {second}"),
            )),
        }
    }

    fn check_transition(&self, name: &GroupName, group: &Group, subject: &str) -> Result<()> {
        let Some(active) = self.state.groups.get(name).and_then(Option::as_ref) else {
            return Ok(());
        };
        let bundle = group.bundle.digest()?;
        if active.product != group.bundle.product {
            return Err(Refusal::new(
                Reason::Product,
                subject,
                format_args!("product {}, as before", active.product),
                &group.bundle.product,
            ));
        }
        if active.bundle == bundle || (group.mode != Mode::Install && group.from.binary_search(&active.bundle).is_ok()) {
            return Ok(());
        }
        let want = format!("a group file that may replace bundle {}", active.bundle);
        let list = if group.from.is_empty() {
            "nothing".to_owned()
        } else {
            group.from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        Err(Refusal::new(Reason::Transition, subject, want, format_args!("mode {}, from {}", group.mode, list)))
    }

    /// Steps 14 and 15: whether what is staged may start now.
    pub fn permit(&self, name: &GroupName, group: &Verified<Group>) -> Result<Permit> {
        let subject = format!("group {name} on {}", self.state.identity.host);
        if let Some(halt) = self.head.halts.first() {
            let have = format!("head {} lists {}: halt {halt} and others", self.head.version, self.head.halts.len());
            return Err(Refusal::new(Reason::Halted, subject, "no halt in force", have));
        }
        if group.gate == Gate::All {
            return Err(Refusal::new(Reason::GateClosed, subject, "a go for this group file", "none that this verifier can check"));
        }
        let active = self.state.groups.get(name).and_then(Option::as_ref).filter(|active| active.group == group.digest());
        let Some(active) = active else {
            return Err(Refusal::new(Reason::NotStaged, subject, format_args!("group file {} staged", group.digest()), "another or none"));
        };
        let Head { issued, expires, version, .. } = *self.head;
        let freshness = &group.freshness;
        let seconds = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        if self.now <= expires && self.now <= issued.plus(seconds(freshness.activate_seconds)) {
            return Ok(Permit::Fresh);
        }
        let have = format!("head {version}, issued {issued}, expired {expires}; now {}", self.now);
        if !active.started {
            return Err(Refusal::new(Reason::Expired, subject, "a fresh head for a first start", have));
        }
        if self.now <= expires.plus(seconds(freshness.restart_seconds)) {
            return Ok(Permit::Grace(expires));
        }
        Err(Refusal::new(
            Reason::Expired,
            subject,
            format_args!("a restart within {} s of the head's end", freshness.restart_seconds),
            have,
        ))
    }

    /// The state after this chain and these staged groups are accepted.
    pub fn advance(&self, staged: &[(GroupName, &Verified<Group>)]) -> Result<State> {
        let mut state = self.state.clone();
        state.trust = Pin { version: self.trust.version, sha256: self.trust.digest() };
        state.index = Some(Pin { version: self.index.version, sha256: self.index.digest() });
        state.head = Some(HeadMark {
            version: self.head.version,
            sha256: self.head.digest(),
            issued: self.head.issued,
            keys: self.head.signers().iter().cloned().collect(),
        });
        for (name, group) in staged {
            let same = state.groups.get(name).and_then(Option::as_ref).is_some_and(|old| old.group == group.digest() && old.started);
            let active =
                Active { group: group.digest(), bundle: group.bundle.digest()?, product: group.bundle.product.clone(), started: same };
            state.groups.insert(name.clone(), Some(active));
        }
        Ok(state)
    }
}
