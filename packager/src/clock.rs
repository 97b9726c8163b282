//! The one place of this crate that reads the clock: for `issued` of a head. No other byte of a release depends on it.

use proofmark_core::Time;

/// Now, in whole seconds. `None` for a clock before 1970 or after 9999.
#[allow(clippy::disallowed_methods, reason = "this is the file that may")]
pub fn now() -> Option<Time> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    Time::from_unix(i64::try_from(since.as_secs()).ok()?)
}
