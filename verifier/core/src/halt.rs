//! The halt (section 5.5): any one key of role `halt` stops a group, a host, a bundle or everything.
//!
//! Nothing here lifts one. Stopping is cheap: a bad signature beside a good one does not refuse a halt.

use crate::digest::Digest;
use crate::index::check_repository;
use crate::json::{self, Document};
use crate::limits;
use crate::name::{GroupName, Name, RepositoryId};
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::{Kind, SignedFile, Verified, digest_name, verify_named};
use crate::time::Time;
use crate::trust::Trust;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A halt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Halt {
    /// 1.
    pub format: u64,
    /// `halt`.
    pub kind: String,
    /// The repository.
    pub repository: RepositoryId,
    /// What is stopped.
    pub scope: Scope,
    /// How what runs is stopped.
    pub mode: Mode,
    /// For [`Mode::Drain`]: how long, 1 to 3600 seconds.
    pub drain_seconds: Option<u64>,
    /// Why, for people; 1 to 120 bytes from outside, to be escaped where it is shown.
    pub reason: String,
    /// Holder of a key that signed it.
    pub by: Name,
    /// When it was signed. Nothing depends on it.
    pub issued: Time,
}

/// What a halt stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All of the repository.
    Everything,
    /// One group of hosts.
    Group(GroupName),
    /// One host, in whichever environment.
    Host(Name),
    /// One bundle, wherever it runs.
    Bundle(Digest),
}

/// How what runs is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// At once.
    Kill,
    /// It may end by itself first, for [`Halt::drain_seconds`].
    Drain,
}

impl Scope {
    /// Whether a start of `group` on `host` with `bundle` is stopped.
    pub fn stops(&self, group: &GroupName, host: &Name, bundle: Option<Digest>) -> bool {
        match self {
            Scope::Everything => true,
            Scope::Group(name) => name == group,
            Scope::Host(name) => name == host,
            Scope::Bundle(digest) => bundle == Some(*digest),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Everything => f.write_str("everything"),
            Scope::Group(name) => write!(f, "group {name}"),
            Scope::Host(name) => write!(f, "host {name}"),
            Scope::Bundle(digest) => write!(f, "bundle {digest}"),
        }
    }
}

impl Document for Halt {
    const KIND: &'static str = "halt";
    const LIMIT: usize = limits::HALT;

    fn check(&self) -> Result<()> {
        check_reason(&self.reason)?;
        let drains = match (self.mode, self.drain_seconds) {
            (Mode::Kill, None) => true,
            (Mode::Drain, Some(seconds)) => (1..=limits::DRAIN).contains(&seconds),
            _ => false,
        };
        if !drains {
            let want = format!("null for kill, 1 to {} for drain", limits::DRAIN);
            return Err(Refusal::new(Reason::Malformed, "drain_seconds", want, format_args!("{:?}", self.drain_seconds)));
        }
        Ok(())
    }
}

/// A `reason` that people wrote: something, and not too much.
pub(crate) fn check_reason(reason: &str) -> Result<()> {
    if !(1..=limits::REASON).contains(&reason.len()) {
        let have = format!("{} bytes", reason.len());
        return Err(Refusal::new(Reason::Malformed, "reason", format_args!("1 to {} bytes", limits::REASON), have));
    }
    Ok(())
}

impl Halt {
    /// Verifies `halt/DIGEST.halt.json`: one valid signature by any key of role `halt`, and a holder who is one of the signers.
    ///
    /// A signature that is not valid does not count and does not refuse: a halt must get through.
    pub fn verify(trust: &Trust, file: &SignedFile) -> Result<Verified<Halt>> {
        let digest = Digest::of(&file.bytes);
        let subject = digest_name(Kind::Halt, digest);
        let mut signatures: Vec<_> = file.signatures.iter().filter(|(key, _)| trust.roles.halt.has_key(key)).cloned().collect();
        signatures.sort();
        let mut first: Option<Refusal> = None;
        let mut accepted: Option<Verified<Halt>> = None;
        let mut holders = BTreeSet::new();
        for signature in signatures {
            let holder = trust.keys.get(&signature.0).map(|key| &key.holder);
            let alone = SignedFile { bytes: file.bytes.clone(), signatures: vec![signature] };
            match verify_named::<Halt>(trust, &trust.roles.halt, Kind::Halt, digest, &alone) {
                Ok(halt) => {
                    holders.extend(holder);
                    accepted.get_or_insert(halt);
                }
                Err(refusal) => {
                    first.get_or_insert(refusal);
                }
            }
        }
        let halt = match (accepted, first) {
            (Some(halt), _) => halt,
            (None, Some(refusal)) => return Err(refusal),
            (None, None) => {
                return Err(Refusal::new(Reason::Threshold, subject, "one signature by a key of role halt", "none"));
            }
        };
        check_repository(&subject, trust, &halt.repository)?;
        if !holders.contains(&halt.by) {
            let want = format!("by {}, who signed it", holders.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "));
            return Err(Refusal::new(Reason::WrongDocument, subject, want, format_args!("by {}", halt.by)));
        }
        Ok(halt)
    }

    /// A halt that a head lists: the head's signature covers its digest. `None`: these are not the listed bytes, or no halt of this
    /// repository, so that whoever asks must take it for a halt of everything.
    pub fn listed(repository: &RepositoryId, digest: Digest, bytes: &[u8]) -> Option<Halt> {
        let halt: Halt = (Digest::of(bytes) == digest).then(|| json::parse(bytes, "halt").ok()).flatten()?;
        (halt.repository == *repository).then_some(halt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halt(scope: &str, mode: &str, drain: &str, reason: &str) -> Result<Halt> {
        let text = format!(
            r#"{{"format":1,"kind":"halt","repository":"{}","scope":{scope},"mode":"{mode}","drain_seconds":{drain},"reason":"{reason}","by":"alice","issued":"2026-11-24T09:31:07Z"}}"#,
            "0".repeat(32)
        );
        json::parse(text.as_bytes(), "halt")
    }

    #[test]
    fn a_scope_has_one_spelling_and_stops_what_it_names() {
        let digest = Digest::of(b"bundle");
        let (group, other): (GroupName, GroupName) = ("prod/router".parse().unwrap(), "prod/quoter".parse().unwrap());
        let (host, stranger): (Name, Name) = ("rtr-1".parse().unwrap(), "rtr-2".parse().unwrap());
        let scopes = [
            ("\"everything\"".to_owned(), [true; 4]),
            ("{\"group\":\"prod/router\"}".to_owned(), [true, false, true, true]),
            ("{\"host\":\"rtr-1\"}".to_owned(), [true, true, false, true]),
            (format!("{{\"bundle\":\"{digest}\"}}"), [true, true, true, false]),
        ];
        for (text, expected) in scopes {
            let scope = halt(&text, "kill", "null", "x").unwrap().scope;
            let stops = [
                scope.stops(&group, &host, Some(digest)),
                scope.stops(&other, &host, Some(digest)),
                scope.stops(&group, &stranger, Some(digest)),
                scope.stops(&group, &host, Some(Digest::of(b"another"))),
            ];
            assert_eq!(stops, expected, "{text}");
        }
        assert!(!Scope::Bundle(digest).stops(&group, &host, None));
        for bad in [
            "\"all\"",
            "null",
            "{}",
            "{\"everything\":null}",
            "{\"group\":\"router\"}",
            "{\"host\":\"a\",\"group\":\"a/b\"}",
            "[\"everything\"]",
        ] {
            assert!(halt(bad, "kill", "null", "x").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_drain_is_bounded_and_a_reason_is_given() {
        for (mode, drain) in [("kill", "null"), ("drain", "1"), ("drain", "3600")] {
            assert!(halt("\"everything\"", mode, drain, &"x".repeat(120)).is_ok(), "{mode} {drain}");
        }
        for (mode, drain, reason) in [
            ("kill", "1", "x".to_owned()),
            ("kill", "0", "x".to_owned()),
            ("drain", "null", "x".to_owned()),
            ("drain", "0", "x".to_owned()),
            ("drain", "3601", "x".to_owned()),
            ("kill", "null", String::new()),
            ("kill", "null", "x".repeat(121)),
        ] {
            assert_eq!(halt("\"everything\"", mode, drain, &reason).unwrap_err().reason(), Reason::Malformed, "{mode} {drain} {reason}");
        }
        assert!(halt("\"everything\"", "pause", "null", "x").is_err());
    }
}
