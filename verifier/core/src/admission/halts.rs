//! Halts on a host (section 7.2): what latches, what lifts, and what stops a start.
//!
//! Three ways lead to a stop: latched (somebody of role `halt` signed it, and this host has seen it), listed by the accepted head, or
//! more than can be kept. One way leads out: the halt's own resume, under an accepted chain. Nothing here forgets a latched halt.

use super::chain::Chain;
use super::state::State;
use crate::digest::Digest;
use crate::halt::{Halt, Scope};
use crate::limits;
use crate::name::GroupName;
use crate::refusal::{Reason, Refusal, Result};
use crate::resume::Resume;
use crate::signature::{SignedFile, Verified};
use std::collections::BTreeMap;

/// What became of a halt that is signed as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latching {
    /// It is latched now.
    New,
    /// It was latched before.
    Known,
    /// It was lifted before, and stops nothing.
    Lifted,
    /// It is about other hosts and groups.
    Elsewhere,
    /// There is no room for it; as many as can be kept count as a halt of everything.
    Full,
}

/// The halts that the accepted head lists and that this host has not seen lifted; `None`: the text is not at hand.
#[derive(Clone, Debug, Default)]
pub struct Listed(BTreeMap<Digest, Option<Halt>>);

impl Listed {
    /// By digest.
    pub fn iter(&self) -> impl Iterator<Item = (&Digest, &Option<Halt>)> {
        self.0.iter()
    }
}

impl Chain<'_> {
    /// The halts of the accepted head. `find` gives the bytes that are said to have a digest; no signature is needed, since the head's
    /// covers the digest: so a halt outlives the key that signed it.
    pub fn listed(&self, mut find: impl FnMut(Digest) -> Option<Vec<u8>>) -> Listed {
        let in_force = self.head.halts.iter().filter(|digest| !self.state.lifted.contains(digest));
        Listed(
            in_force
                .map(|digest| (*digest, find(*digest).and_then(|bytes| Halt::listed(&self.trust.repository, *digest, &bytes))))
                .collect(),
        )
    }

    /// Latches a halt in `next`, as [`super::Session::latch`] does.
    pub fn latch(&self, next: &mut State, file: &SignedFile) -> Result<Latching> {
        Ok(next.latch(&Halt::verify(&self.trust, file)?))
    }

    /// Lifts a halt in `next`, if its resume is signed as an index is.
    pub fn lift(&self, next: &mut State, halt: Digest, file: &SignedFile) -> Result<()> {
        next.lift(&Resume::verify(&self.trust, halt, file)?);
        Ok(())
    }
}

impl State {
    /// Whether a halt can ever stop something on this host.
    fn concerns(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Everything | Scope::Bundle(_) => true,
            Scope::Group(group) => self.groups.contains_key(group),
            Scope::Host(host) => *host == self.identity.host,
        }
    }

    pub(super) fn latch(&mut self, halt: &Verified<Halt>) -> Latching {
        let digest = halt.digest();
        if self.lifted.contains(&digest) {
            return Latching::Lifted;
        }
        if !self.concerns(&halt.scope) && !self.latched.contains_key(&digest) {
            return Latching::Elsewhere;
        }
        self.insert_latched(digest, Some(halt))
    }

    /// A text that was not at hand before takes its place; nothing else replaces anything.
    pub(super) fn insert_latched(&mut self, digest: Digest, halt: Option<&Halt>) -> Latching {
        if let Some(known) = self.latched.get_mut(&digest) {
            if known.is_none() {
                *known = halt.cloned();
            }
            return Latching::Known;
        }
        if self.lifted.contains(&digest) {
            return Latching::Lifted;
        }
        if self.latched.len() >= limits::HALTS {
            return Latching::Full;
        }
        self.latched.insert(digest, halt.cloned());
        Latching::New
    }

    fn lift(&mut self, resume: &Verified<Resume>) {
        self.latched.remove(&resume.halt);
        if !self.lifted.contains(&resume.halt) {
            if self.lifted.len() >= limits::LIFTED {
                self.lifted.remove(0);
            }
            self.lifted.push(resume.halt);
        }
    }

    /// Step 0 of a start: the latch, before anything else is looked at.
    pub fn check_latched(&self, group: &GroupName) -> Result<()> {
        self.check_halts(group, self.active(group).map(|active| active.bundle), &Listed::default())
    }

    /// No halt stops a start of `group` with `bundle`: neither a latched one nor a listed one.
    pub(super) fn check_halts(&self, group: &GroupName, bundle: Option<Digest>, listed: &Listed) -> Result<()> {
        let host = &self.identity.host;
        let subject = format!("group {group} on {host}");
        if self.latched.len() >= limits::HALTS {
            let have = format!("{} latched, as many as can be kept: they count as a halt of everything", self.latched.len());
            return Err(Refusal::new(Reason::Halted, subject, "no halt in force", have));
        }
        // The latch first: it is complete where a listed one's text may be missing.
        let latched = self.latched.iter();
        let listed = listed.iter().filter(|(digest, _)| !self.latched.contains_key(*digest));
        let mut stopping = latched.chain(listed).filter(|(_, halt)| halt.as_ref().is_none_or(|halt| halt.scope.stops(group, host, bundle)));
        let Some((digest, halt)) = stopping.next() else { return Ok(()) };
        let more = match stopping.count() {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        Err(Refusal::new(Reason::Halted, subject, "no halt in force", format!("{}{more}", describe(digest, halt.as_ref()))))
    }
}

/// A halt in a line: which, what, who, when, why. The reason is from outside and not escaped here.
pub fn describe(digest: &Digest, halt: Option<&Halt>) -> String {
    let hex = digest.to_string();
    let short = hex.get(..8).unwrap_or_default();
    match halt {
        Some(Halt { scope: Scope::Bundle(bundle), by, issued, reason, .. }) => {
            let bundle = bundle.to_string();
            format!("halt {short} of bundle {} by {by} at {issued}: \"{reason}\"", bundle.get(..8).unwrap_or_default())
        }
        Some(Halt { scope, by, issued, reason, .. }) => format!("halt {short} of {scope} by {by} at {issued}: \"{reason}\""),
        None => format!("halt {short}, whose text is not at hand: it counts as a halt of everything"),
    }
}
