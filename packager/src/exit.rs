//! Exit codes and refusals: how every failure of this program is named, for people and for machines.
//!
//! The codes are documented API and never change meaning. This file must never decide *whether* something is refused.

use std::fmt;
use std::path::PathBuf;

use crate::text;

/// Exit codes of `proofmark`. The numbers are shared with `proofmark-verifier`; not every one is used by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Wrong usage, or a source tree in a state that cannot be released: dirty, not committed, lock file missing or stale,
    /// code that does not compile. The user changes something and calls again.
    Usage = 2,
    /// The flag ledger: an id reused, retired and still in the code, or lost.
    Ledger = 79,
    /// A signature, a threshold, or the second person.
    Signature = 80,
    /// The two builds differ, or a crate is not the one that `Cargo.lock` names; another digest or size that is not the promised one.
    Hash = 81,
    /// Not in the index.
    NotInIndex = 82,
    /// Revoked.
    Revoked = 83,
    /// Rollback or equivocation.
    Rollback = 84,
    /// Expired.
    Expired = 85,
    /// A host in two groups.
    TwoGroups = 86,
    /// Halted.
    Halted = 87,
    /// Gate closed.
    Gate = 88,
    /// A host in no group.
    NoGroup = 89,
    /// `proofmark.toml`, `Cargo.lock` or another input file is malformed.
    Malformed = 90,
    /// This machine lacks something that is needed; the message names it.
    Platform = 91,
    /// A trust document is invalid or not the pinned one.
    Trust = 92,
    /// The clock contradicts signed times.
    Clock = 93,
    /// State missing or damaged.
    State = 94,
    /// Input or output failed; trying again may help.
    Io = 95,
    /// Wrong environment, target, product or role.
    Environment = 96,
    /// Payload policy.
    Policy = 97,
    /// Nothing answered.
    Unreachable = 98,
    /// A fault of this program.
    Internal = 99,
    /// Interrupted by a signal.
    Interrupted = 130,
}

impl Exit {
    /// The exit code with this number; [`Exit::Internal`] where there is none.
    pub fn of(code: u8) -> Self {
        use Exit::*;
        const ALL: [Exit; 23] = [
            Ok,
            Usage,
            Ledger,
            Signature,
            Hash,
            NotInIndex,
            Revoked,
            Rollback,
            Expired,
            TwoGroups,
            Halted,
            Gate,
            NoGroup,
            Malformed,
            Platform,
            Trust,
            Clock,
            State,
            Io,
            Environment,
            Policy,
            Unreachable,
            Interrupted,
        ];
        ALL.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Internal)
    }
}

/// One refusal: what, the subject, the code, a stable reason word, both sides of the mismatch, and the next step.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Refusal {
    /// What was refused, in a few words.
    pub what: String,
    /// The thing it is about: a path, a crate, a name.
    pub subject: String,
    /// Exit code.
    #[serde(serialize_with = "code")]
    pub code: Exit,
    /// Stable word for programs; finer than the code.
    pub reason: &'static str,
    /// What would have been accepted.
    pub want: Option<String>,
    /// What was found. May have many lines.
    pub have: Option<String>,
    /// Command or action that leads on.
    pub next: Option<String>,
    /// What was found out about a difference: data for standard output, which goes beside the refusal and not into it.
    #[serde(skip)]
    pub explanation: Option<Box<Explained>>,
}

/// An explanation that goes with a refusal.
#[derive(Debug, Clone)]
pub struct Explained {
    /// In words; empty where the refusal itself has them.
    pub text: String,
    /// For `--json`.
    pub json: serde_json::Value,
}

fn code<S: serde::Serializer>(exit: &Exit, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u8(*exit as u8)
}

impl Refusal {
    /// A refusal with neither sides nor next step; add them with the methods below.
    pub fn new(code: Exit, reason: &'static str, what: impl Into<String>, subject: impl fmt::Display) -> Self {
        Self { what: what.into(), subject: subject.to_string(), code, reason, want: None, have: None, next: None, explanation: None }
    }

    /// Adds what would have been accepted.
    pub fn want(mut self, want: impl fmt::Display) -> Self {
        self.want = Some(want.to_string());
        self
    }

    /// Adds what was found.
    pub fn have(mut self, have: impl fmt::Display) -> Self {
        self.have = Some(have.to_string());
        self
    }

    /// Adds an explanation.
    pub fn explained(mut self, explanation: Explained) -> Self {
        self.explanation = Some(Box::new(explanation));
        self
    }

    /// Adds the next step.
    pub fn next(mut self, next: impl fmt::Display) -> Self {
        self.next = Some(next.to_string());
        self
    }
}

impl fmt::Display for Refusal {
    /// The shape every message of this project has. Text from outside is made harmless here, once, for all messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = text::one_line(&self.subject);
        // A refusal of the core says all in its subject.
        let what = if self.what.is_empty() { String::new() } else { format!("{}: ", text::one_line(&self.what)) };
        writeln!(f, "refused: {what}{subject} [{} {}]", self.code as u8, self.reason)?;
        for (label, value) in [("want", &self.want), ("have", &self.have)] {
            let Some(value) = value else { continue };
            for (number, line) in value.lines().enumerate() {
                let label = if number == 0 { label } else { "" };
                writeln!(f, "  {label:4}  {}", text::one_line(line))?;
            }
        }
        if let Some(next) = &self.next {
            for (number, line) in next.lines().enumerate() {
                writeln!(f, "{}{}", if number == 0 { "next: " } else { "      " }, text::one_line(line))?;
            }
        }
        Ok(())
    }
}

/// An error that can say how it is shown and with which code the program ends.
pub trait Refuse: std::error::Error {
    /// The refusal to show.
    fn refusal(&self) -> Refusal;
}

/// Input or output on one path failed. Every module uses this one, so that no message lacks its path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", .path.display())]
pub struct IoError {
    /// What was attempted: "read", "create", ...
    pub action: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// Why not.
    pub source: std::io::Error,
}

/// What leads on where a file system is full: which two kinds of places a build writes to.
pub const DISK_FULL: &str = "free some space there and call again; nothing half-written was kept\n\
    or use another file system: --scratch DIR for what is temporary, XDG_CACHE_HOME=DIR for the cache of layers";

impl Refuse for IoError {
    fn refusal(&self) -> Refusal {
        use std::io::ErrorKind::{Interrupted, QuotaExceeded, StorageFull};
        if matches!(self.source.kind(), StorageFull | QuotaExceeded) {
            return Refusal::new(Exit::Io, "disk-full", format!("cannot {}: no space left", self.action), self.path.display())
                .have(&self.source)
                .next(DISK_FULL);
        }
        let code = if self.source.kind() == Interrupted { Exit::Interrupted } else { Exit::Io };
        Refusal::new(code, "io", format!("cannot {}", self.action), self.path.display()).have(&self.source)
    }
}

impl Refuse for proofmark_core::Refusal {
    /// Code, reason word and text are the core's.
    fn refusal(&self) -> Refusal {
        let reason = self.reason();
        Refusal::new(Exit::of(reason.code()), reason.word(), "", self.subject()).want(self.want()).have(self.have()).next(reason.next())
    }
}

impl Refuse for crate::interrupt::Interrupted {
    fn refusal(&self) -> Refusal {
        Refusal::new(Exit::Interrupted, "interrupted", "stopped by a signal", "nothing was written")
    }
}

impl Refuse for crate::tool::ToolError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Interrupted(error) => error.refusal(),
        }
    }
}

/// Adds action and path to an [`std::io::Result`].
pub trait IoContext<T> {
    /// Wraps the error with what was attempted on which path.
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, IoError>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, IoError> {
        self.map_err(|source| IoError { action, path: path.into(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_core_keeps_its_code_and_its_four_lines() {
        for reason in proofmark_core::Reason::ALL {
            let core = proofmark_core::Refusal::new(*reason, "subject", "a", "b");
            assert_eq!(core.refusal().code as u8, reason.code());
            assert_eq!(core.refusal().to_string(), format!("{core}\n"));
        }
    }

    #[test]
    fn a_refusal_has_the_house_shape_and_no_escape_sequences() {
        let refusal =
            Refusal::new(Exit::Usage, "dirty", "uncommitted changes", "a\x1b[2Jb").want("a commit").have("M x\nM y").next("git commit");
        assert_eq!(
            refusal.to_string(),
            "refused: uncommitted changes: a\\u{1b}[2Jb [2 dirty]\n  want  a commit\n  have  M x\n        M y\nnext: git commit\n"
        );
    }
}
