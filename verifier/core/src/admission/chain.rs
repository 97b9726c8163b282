//! The accepted chain and one group of it (section 7.1, steps 10 to 12), and the state that accepting it leads to.

use super::state::{Active, HeadMark, Identity, State};
use crate::group::{Group, Lease, Mode};
use crate::head::Head;
use crate::index::{Index, Pin};
use crate::name::{GroupName, Name};
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::Verified;
use crate::time::Time;
use crate::trust::Trust;

/// The whole chain, accepted.
pub struct Chain<'a> {
    pub(super) state: &'a State,
    pub(super) now: Time,
    pub(super) trust: Verified<Trust>,
    pub(super) head: Verified<Head>,
    pub(super) index: Verified<Index>,
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

    /// Steps 10 to 12: the group file, whether it is for this host, and whether it may follow what the host has.
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

    /// Step 10, across the groups this host follows: it is listed by one at most.
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
        let Some(active) = self.state.active(name) else {
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
            let bundle = group.bundle.digest()?;
            let followed = state.groups.entry(name.clone()).or_default();
            let old = followed.active.take();
            let started = old.as_ref().is_some_and(|old| old.group == group.digest() && old.started);
            if let Some(old) = old.filter(|old| old.bundle != bundle) {
                followed.previous = Some(old);
            }
            let (product, release) = (group.bundle.product.clone(), group.bundle.release.clone());
            followed.active = Some(Active { group: group.digest(), bundle, product, release, started });
        }
        Ok(state)
    }
}
