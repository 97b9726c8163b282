//! Signed times: whole seconds, UTC, one spelling.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Seconds since 1970-01-01T00:00:00Z, in the years 1970 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Time(i64);

impl Time {
    /// From seconds since 1970; `None` outside the years 1970 to 9999.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        // 9999-12-30T22:00:00Z is jiff's last: its zones must still fit.
        (seconds >= 0).then(|| Timestamp::from_second(seconds).ok()).flatten().map(|_| Time(seconds))
    }
    /// Seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0
    }
    /// `self` moved by seconds, kept inside the range.
    pub fn plus(self, seconds: i64) -> Self {
        let latest = Timestamp::MAX.as_second();
        Time(self.0.saturating_add(seconds).clamp(0, latest))
    }
}

impl FromStr for Time {
    type Err = &'static str;
    /// Exactly `YYYY-MM-DDTHH:MM:SSZ`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "not a time like 2026-11-23T09:30:00Z";
        let parsed: Timestamp = text.parse().map_err(|_| wrong)?;
        let time = Time::from_unix(parsed.as_second()).ok_or(wrong)?;
        // jiff reads many spellings; only the one we print is accepted.
        (time.to_string() == text).then_some(time).ok_or(wrong)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_second(self.0) {
            Ok(t) => write!(f, "{t}"),
            Err(_) => write!(f, "@{}", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn one_spelling_only() {
        let time: Time = "2012-08-01T13:30:00Z".parse().unwrap();
        assert_eq!((time.unix(), time.to_string().as_str()), (1_343_827_800, "2012-08-01T13:30:00Z"));
        for other in [
            "2012-08-01T13:30:00z",
            "2012-08-01 13:30:00Z",
            "2012-08-01T13:30:00.0Z",
            "2012-08-01T13:30:00+00:00",
            "2012-08-01T13:30Z",
            "2012-02-30T00:00:00Z",
            "2012-06-30T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "12012-01-01T00:00:00Z",
            "",
        ] {
            assert!(other.parse::<Time>().is_err(), "{other}");
        }
    }
}
