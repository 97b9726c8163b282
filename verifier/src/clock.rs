//! The one place that reads the clock. It is the host's real clock: there is no way to hand in another.

use proofmark_core::{Reason, Refusal, Result, Time};
use std::time::{SystemTime, UNIX_EPOCH};

/// The host's time, in whole seconds. Errors: [`Reason::Clock`] outside the years 1970 to 9999.
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> Result<Time> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_secs()).ok());
    since
        .and_then(Time::from_unix)
        .ok_or_else(|| Refusal::new(Reason::Clock, "this host's clock", "a time in the years 1970 to 9999", "a time outside them"))
}
