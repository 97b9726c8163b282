//! The one error of the verifying side: why something was refused, what was wanted, what was there.
//!
//! A [`Reason`] is stable API twice: its exit code (FORMAT.md section 9) and its word, for `--json`.

use crate::text::escape;
use std::fmt;

/// Result of a check.
pub type Result<T> = std::result::Result<T, Refusal>;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal $word:literal next $next:literal;)*) => {
        /// Why something was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order of the codes.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];
            /// Process exit code.
            pub const fn code(self) -> u8 { match self { $(Reason::$variant => $code,)* } }
            /// Stable word, `[a-z-]+`.
            pub const fn word(self) -> &'static str { match self { $(Reason::$variant => $word,)* } }
            /// What the reader of the message should do.
            pub const fn next(self) -> &'static str { match self { $(Reason::$variant => $next,)* } }
        }
    };
}

reasons! {
    /// A command line that makes no sense.
    Usage = 2 "usage" next "see --help";
    /// A flag of the bundle is not in the ledger, or not with this name and meaning, or retired.
    FlagLedger = 79 "flag-ledger" next "do not reuse a flag id: give the new feature a new id in ledger.toml, build and propose a new release";
    /// The ledger lost or changed an entry.
    LedgerShrunk = 79 "ledger-shrunk" next "put the entry back: a ledger only grows, and an id may go from active to retired and nothing else";
    /// A key group's threshold is not met.
    Threshold = 80 "threshold" next "get the missing signatures (a reviewer: proofmark approve; a builder: proofmark reproduce --sign), publish again; on a host, try another mirror";
    /// The second person is the first one.
    SecondPerson = 80 "second-person" next "have somebody other than the proposer review and approve it";
    /// A signature does not verify.
    BadSignature = 80 "bad-signature" next "do not use this file; compare the repository with another mirror and tell your security team";
    /// A signature is for another file, kind, version or repository.
    WrongComment = 80 "signed-for-something-else" next "do not use this file: a valid signature was moved to another place; tell your security team";
    /// A document is of another repository, or not the version its file name says.
    WrongDocument = 80 "wrong-document" next "check the repository's address; if it is right, tell your security team";
    /// Content does not have the promised digest.
    Digest = 81 "digest" next "fetch it again (proofmark-verifier update); if it comes back, compare with another mirror and tell your security team";
    /// Content does not have the promised length.
    Size = 81 "size" next "fetch it again (proofmark-verifier update); if it comes back, compare with another mirror and tell your security team";
    /// The index does not name the group.
    NotInIndex = 82 "not-in-index" next "check the group's name; if it is right, propose an index that holds it (proofmark release)";
    /// The bundle is revoked.
    Revoked = 83 "revoked" next "publish an index that assigns a bundle that is not revoked";
    /// A revocation disappeared.
    RevokedShrunk = 83 "revoked-shrunk" next "put the entry back: revocations only grow";
    /// Something is older than what was accepted before.
    Rollback = 84 "rollback" next "point the host at an up-to-date mirror; to run an older release, publish a new index that says rollback";
    /// Two different documents of one version, both signed.
    Equivocation = 84 "equivocation" next "tell your security team now: somebody signed two documents of one version; a next, higher version heals it";
    /// The host runs something that the new group file does not replace.
    Transition = 84 "transition" next "release again and name the bundle this host has: proofmark release --also-from SHA256";
    /// The head is too old for what is asked.
    Expired = 85 "expired" next "proofmark-verifier update; if there is no newer head, whoever holds its key signs one: proofmark head";
    /// The host is listed by two groups.
    HostInTwoGroups = 86 "host-in-two-groups" next "publish an index that lists the host once";
    /// A halt is in force.
    Halted = 87 "halted" next "find out why, then lift it with the signatures of two people: proofmark resume, and update here";
    /// The group needs a go.
    GateClosed = 88 "gate-closed" next "this verifier cannot check a go: assign the group with gate = none, or use a verifier that can";
    /// A halt that was lifted is shown again.
    Lifted = 84 "halt-lifted" next "a lifted halt stops nothing any more: make a new one (proofmark halt)";
    /// A halt or an adopt document is for another host or group.
    Elsewhere = 89 "for-another-host" next "take the one that is for this host; proofmark-verifier status says who this is";
    /// The group does not list the host.
    HostNotInGroup = 89 "host-not-in-group" next "check the group's name; if it is right, publish an index that lists this host";
    /// Not what FORMAT.md says.
    Malformed = 90 "malformed" next "do not use this file; if your own tools made it, report a bug";
    /// Over a bound of FORMAT.md section 10.
    Limit = 90 "limit" next "do not use this file; if your own tools made it, make it smaller";
    /// A format, contract or kind that this program does not know.
    UnknownFormat = 90 "unknown-format" next "install a newer proofmark-verifier";
    /// A platform feature is missing.
    Platform = 91 "platform" next "provide what is named, or run on a host that has it";
    /// The index or group asks for what this verifier cannot enforce.
    VerifierTooOld = 91 "verifier-too-old" next "install a newer proofmark-verifier";
    /// A trust document that breaks the rules.
    Trust = 92 "trust" next "have the trust role's holders make a correct one (proofmark trust)";
    /// Trust is not the pinned one.
    TrustPin = 92 "trust-pin" next "compare the digest with the one you were given over a separate channel";
    /// The head pins a trust document that the host could not get, or has outgrown.
    TrustMissing = 92 "trust-missing" next "use a mirror that has every trust/N.trust.json; if none has, tell your security team";
    /// The clock contradicts signed times.
    Clock = 93 "clock" next "set the host's clock (for example with chrony), then try again";
    /// The host's state is missing, damaged or contradicts itself.
    State = 94 "state" next "do not delete it; the way back is an adopt document from the people who sign the index: proofmark-verifier adopt --help";
    /// The host was never set up.
    NotSetUp = 94 "not-set-up" next "set this host up, once: proofmark-verifier init";
    /// The host does not know where its repository is.
    NotConfigured = 94 "not-configured" next "write it again: repository = [\"URL or directory\"]; no check depends on what it says";
    /// What the newest index assigns is not staged.
    NotStaged = 94 "not-staged" next "proofmark-verifier update";
    /// The state moved on during a start.
    StateMoved = 95 "state-moved" next "run it again: an update came in between, and nothing was started";
    /// The host is already set up.
    StateExists = 94 "state-exists" next "this host has been set up before; use proofmark-verifier update";
    /// Reading or writing failed; says nothing about the content.
    Io = 95 "io" next "fix the cause and try again; nothing was changed";
    /// Wrong environment.
    Environment = 96 "wrong-environment" next "this host must not run it: check which repository and group the host was given";
    /// Wrong role.
    Role = 96 "wrong-role" next "publish an index that pins the right group file";
    /// Wrong product or release.
    Product = 96 "wrong-product" next "publish an index whose entry matches the bundle";
    /// Wrong architecture.
    Target = 96 "wrong-target" next "assign a bundle that was built for this host's architecture";
    /// The manifest asks for something that is never granted.
    Policy = 97 "payload-policy" next "change the launch section of proofmark.toml and release again";
    /// No source answered and nothing usable is cached.
    Unreachable = 98 "unreachable" next "check network and repository address; it is safe to try again";
    /// The repository has no head yet.
    NoHead = 98 "no-head" next "whoever holds the head's key signs the first one (proofmark head), once there is an index; then try again";
    /// A bug.
    Internal = 99 "internal" next "report a bug, with the text of this message";
    /// Stopped by a signal.
    Interrupted = 130 "interrupted" next "run it again; nothing was changed";
}

/// A refusal: reason, subject, and both sides of the mismatch. Boxed, so that `Result` stays small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    reason: Reason,
    subject: String,
    want: String,
    have: String,
}

impl Refusal {
    /// A refusal about `subject` (a file, a group, a host). The texts may quote the attacker: they are escaped here.
    pub fn new(reason: Reason, subject: impl fmt::Display, want: impl fmt::Display, have: impl fmt::Display) -> Self {
        Refusal(Box::new(Parts {
            reason,
            subject: escape(&subject.to_string()),
            want: escape(&want.to_string()),
            have: escape(&have.to_string()),
        }))
    }

    /// The same refusal, its subject put in front by what it was found in.
    pub fn within(mut self, outer: impl fmt::Display) -> Self {
        self.0.subject = format!("{}: {}", escape(&outer.to_string()), self.0.subject);
        self
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }
    /// What was refused.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }
    /// What would have been accepted.
    pub fn want(&self) -> &str {
        &self.0.want
    }
    /// What was there.
    pub fn have(&self) -> &str {
        &self.0.have
    }
}

impl fmt::Display for Refusal {
    /// The four-line message: what, want, have, next. Escaped, no trailing line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { reason, subject, want, have } = &*self.0;
        writeln!(f, "refused: {subject} [{} {}]", reason.code(), reason.word())?;
        writeln!(f, "  want  {want}")?;
        writeln!(f, "  have  {have}")?;
        write!(f, "next: {}", reason.next())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_codes_are_those_of_the_document() {
        let document = include_str!("../../FORMAT.md");
        let mut words: Vec<_> = Reason::ALL.iter().map(|r| r.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(document.contains(&format!("| {} | ", reason.code())), "{reason:?}");
        }
    }

    #[test]
    fn what_the_attacker_wrote_is_escaped() {
        let refusal = Refusal::new(Reason::Malformed, "x\x1b]0;", "a", "b\nrefused: nothing");
        assert!(!refusal.to_string().contains('\x1b'));
        assert_eq!(refusal.to_string().lines().count(), 4);
    }
}
