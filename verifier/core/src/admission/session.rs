//! Trust, head and index (section 7.1, steps 1 to 9): who may sign, and what is current.

use super::Intent;
use super::chain::Chain;
use super::halts::Latching;
use super::state::{HeadMark, State};
use crate::digest::Digest;
use crate::halt::Halt;
use crate::head::Head;
use crate::index::{Index, Pin};
use crate::limits;
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::{SignedFile, Verified};
use crate::time::Time;
use crate::trust::Trust;

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

    /// Step 3: whether the host's clock contradicts signed times, and the floors of the newest trust.
    fn floor(&self) -> Result<Option<&'a HeadMark>> {
        let floor = self.state.head.as_ref().filter(|mark| mark.keys.iter().all(|key| self.trust.roles.head.has_key(key)));
        match floor {
            Some(mark) if self.now.plus(limits::CLOCK_SKEW) < mark.issued => Err(Refusal::new(
                Reason::Clock,
                "this host's clock",
                format_args!("{} or later: a head of that time was accepted", mark.issued),
                self.now,
            )),
            floor => Ok(floor),
        }
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

    /// The walk has come as far as the host had come before.
    fn reached_accepted(&self) -> Result<()> {
        let accepted = self.state.trust.version;
        if self.trust.version < accepted {
            let want = format!("version {accepted} or newer, accepted before");
            return Err(Refusal::new(Reason::TrustMissing, "trust", want, self.trust.version));
        }
        Ok(())
    }

    /// Step 2: latches a halt in `state`, if a key of role `halt` of the newest trust so far has signed it.
    pub fn latch(&self, state: &mut State, file: &SignedFile) -> Result<Latching> {
        self.reached_accepted()?;
        Ok(state.latch(&Halt::verify(&self.trust, file)?))
    }

    /// Steps 3 to 7.
    pub fn head(self, version: u64, file: &SignedFile) -> Result<WithHead<'a>> {
        let floor = self.reached_accepted().and_then(|()| self.floor())?;
        let Session { state, now, intent, trust } = self;
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

    /// Steps 8 and 9.
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
        let most = state.index.map_or(0, |accepted| accepted.version).saturating_add(limits::INDEX_STEP);
        if index.version > most {
            return Err(Refusal::new(
                Reason::Limit,
                subject,
                format_args!("an index up to {most}"),
                format_args!("index {}", index.version),
            ));
        }
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
