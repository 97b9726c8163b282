//! Whether what is staged may start now (section 7.3): halts, gate, freshness.

use super::chain::Chain;
use super::halts::Listed;
use crate::group::{Gate, Group};
use crate::head::Head;
use crate::name::GroupName;
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::Verified;
use crate::time::Time;

/// On what word a start happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// The head is fresh.
    Fresh,
    /// The head expired at this time; the restart is within the signed grace, and must be said aloud.
    Grace(Time),
}

impl Chain<'_> {
    /// Steps 15 to 17: whether what is staged may start now. `listed` comes from [`Chain::listed`].
    pub fn permit(&self, name: &GroupName, group: &Verified<Group>, listed: &Listed) -> Result<Permit> {
        self.state.check_halts(name, Some(group.bundle.digest()?), listed)?;
        let subject = format!("group {name} on {}", self.state.identity.host);
        if group.gate == Gate::All {
            return Err(Refusal::new(Reason::GateClosed, subject, "a go for this group file", "none that this verifier can check"));
        }
        let active = self.state.active(name).filter(|active| active.group == group.digest());
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
}
