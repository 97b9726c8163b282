//! What is proposed: its kind, its version, and the names of its files, in a repository and in the mail.

use std::fmt;
use std::str::FromStr;

use proofmark_core::Digest;
use proofmark_core::signature::{Kind, digest_name, file_name};

use crate::repository::plain_number;

/// A document that several people sign before it is put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Index N.
    Index(u64),
    /// Trust N: a rotation.
    Trust(u64),
    /// The end of a halt, named by the halt's digest.
    Resume(Digest),
    /// The way back for a host, named by its own digest.
    Adopt(Digest),
}

impl Subject {
    /// What signatures of it are for.
    pub fn kind(self) -> Kind {
        match self {
            Subject::Index(_) => Kind::Index,
            Subject::Trust(_) => Kind::Trust,
            Subject::Resume(_) => Kind::Resume,
            Subject::Adopt(_) => Kind::Adopt,
        }
    }

    /// Its version, if its kind has one.
    pub fn version(self) -> Option<u64> {
        match self {
            Subject::Index(version) | Subject::Trust(version) => Some(version),
            Subject::Resume(_) | Subject::Adopt(_) => None,
        }
    }

    /// Name of the document's file.
    pub fn file(self) -> String {
        match self {
            Subject::Index(version) | Subject::Trust(version) => file_name(self.kind(), version),
            Subject::Resume(digest) | Subject::Adopt(digest) => digest_name(self.kind(), digest),
        }
    }

    /// Where the proposal lies in a repository.
    pub fn directory(self) -> String {
        format!("proposals/{self}")
    }

    /// The subject of a document's file name.
    pub fn of_file(name: &str) -> Option<Self> {
        let (version, kind) = name.strip_suffix(".json")?.split_once('.')?;
        match kind {
            "index" => plain_number(version).map(Subject::Index),
            "trust" => plain_number(version).map(Subject::Trust),
            "resume" => version.parse().ok().map(Subject::Resume),
            "adopt" => version.parse().ok().map(Subject::Adopt),
            _ => None,
        }
    }
}

impl FromStr for Subject {
    type Err = &'static str;
    /// `2` is index 2, `trust-2` is trust 2; `resume-` and `adopt-` are followed by a digest.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "not a proposal: want N for an index, trust-N, resume-SHA256 or adopt-SHA256";
        match text.split_once('-') {
            None => plain_number(text).map(Subject::Index).ok_or(wrong),
            Some(("trust", version)) => plain_number(version).map(Subject::Trust).ok_or(wrong),
            Some(("resume", digest)) => digest.parse().map(Subject::Resume).map_err(|_| wrong),
            Some(("adopt", digest)) => digest.parse().map(Subject::Adopt).map_err(|_| wrong),
            Some(_) => Err(wrong),
        }
    }
}

impl fmt::Display for Subject {
    /// As it stands on a command line and in `proposals/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Index(version) => write!(f, "{version}"),
            Subject::Trust(version) => write!(f, "trust-{version}"),
            Subject::Resume(digest) => write!(f, "resume-{digest}"),
            Subject::Adopt(digest) => write!(f, "adopt-{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_one_spelling_and_one_file() {
        for subject in [Subject::Index(2), Subject::Trust(17), Subject::Resume(Digest::of(b"h")), Subject::Adopt(Digest::of(b"a"))] {
            assert_eq!(subject.to_string().parse(), Ok(subject));
            assert_eq!(Subject::of_file(&subject.file()), Some(subject));
        }
        for bad in ["", "0", "02", "index-2", "trust-", "trust-0", "../2", "trust-2/.."] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
        for bad in ["2.group.json", "2.index.json.ci-1.minisig", "0.index.json", "index.json"] {
            assert_eq!(Subject::of_file(bad), None, "{bad}");
        }
    }
}
