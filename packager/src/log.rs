//! The chain of what was published: every trust document, index, halt and resume, each verified again, in the order of their versions.
//!
//! Where the chain breaks it says where, and why, and goes on: an auditor wants to see all of it. It must never show as signed what the core
//! has not verified.

use std::collections::BTreeMap;

use proofmark_core::group::Group;
use proofmark_core::halt::Halt;
use proofmark_core::head::Head;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::signature::Kind;
use proofmark_core::{Digest, Refusal, Verified};
use serde::Serialize;

use crate::assignment::Assignment;
use crate::halts;
use crate::history;
use crate::repository::{Heads, Repository, RepositoryError};

/// All of it.
#[derive(Debug, Serialize)]
pub struct Log {
    /// Trust documents.
    pub trusts: Vec<Entry>,
    /// Indexes.
    pub indexes: Vec<Entry>,
    /// Halts and their ends.
    pub halts: Vec<Entry>,
    /// The newest head.
    pub head: Option<Entry>,
    /// Open proposals.
    pub proposals: Vec<String>,
}

/// One document.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// `trust 2`, `index 7`, `halt DIGEST`.
    pub document: String,
    /// SHA-256, where it could be read.
    pub sha256: Option<Digest>,
    /// Keys whose signatures the core accepted.
    pub signed_by: Vec<Name>,
    /// What it says, one fact a line.
    pub says: Vec<String>,
    /// Where the chain breaks: the core's words.
    pub broken: Vec<String>,
}

impl Entry {
    fn of<T>(document: String, verified: &Verified<T>, says: Vec<String>) -> Self {
        let signed_by = verified.signers().iter().cloned().collect();
        Entry { document, sha256: Some(verified.digest()), signed_by, says, broken: Vec::new() }
    }

    /// Documents that are not here. What is gone was removed, or hidden: nobody can tell, and nothing is said of it but that.
    fn gap(document: String) -> Self {
        let says = vec!["not here: removed by proofmark gc, or lost".to_owned()];
        Entry { document, sha256: None, signed_by: Vec::new(), says, broken: Vec::new() }
    }

    fn is_gap(&self) -> bool {
        self.sha256.is_none() && self.broken.is_empty()
    }

    fn broken(document: String, why: String) -> Self {
        Entry { document, sha256: None, signed_by: Vec::new(), says: Vec::new(), broken: vec![why] }
    }
}

/// Why a document is not what it should be: the core's words on one line. An error of the store is none.
fn why(error: RepositoryError) -> Result<String, RepositoryError> {
    let line = |refusal: &Refusal| {
        format!(
            "{}: want {}, have {} [{} {}]",
            refusal.subject(),
            refusal.want(),
            refusal.have(),
            refusal.reason().code(),
            refusal.reason().word()
        )
    };
    match error {
        RepositoryError::Refused(refusal) => Ok(line(&refusal)),
        RepositoryError::Missing { path, .. } => Ok(format!("{path} is missing")),
        other => Err(other),
    }
}

/// Walks the chain. `from` is the first index that is told; all are verified.
///
/// # Errors
/// Reading failed; the trust chain itself is broken, without which nothing can be verified.
pub fn log(repository: &Repository, from: u64) -> Result<Log, RepositoryError> {
    let mut trusts = Vec::new();
    for (number, trust) in repository.trusts().iter().enumerate() {
        let before = number.checked_sub(1).and_then(|before| repository.trusts().get(before));
        let mut says = Vec::new();
        let has = |trust: &Verified<proofmark_core::trust::Trust>, key: &Name| trust.keys.contains_key(key);
        for (key, entry) in trust.keys.iter().filter(|(key, _)| before.is_none_or(|before| !has(before, key))) {
            says.push(format!("+ key {key} ({})", entry.holder));
        }
        for (key, entry) in before.iter().flat_map(|before| &before.keys).filter(|(key, _)| !has(trust, key)) {
            says.push(format!("- key {key} ({})", entry.holder));
        }
        trusts.push(Entry::of(format!("trust {}", trust.version), trust, says));
    }
    let Heads { current, newest, .. } = repository.heads()?;
    let head = match newest {
        0 => None,
        version => Some(match current {
            Some(head) => {
                let says = format!(
                    "trust {}, index {}, issued {}, until {}, {} halts in force",
                    head.trust.version,
                    head.index.version,
                    head.issued,
                    head.expires,
                    head.halts.len()
                );
                let mut entry = Entry::of(format!("head {version}"), &head, vec![says]);
                entry.broken.extend(unpinned(repository, &head)?);
                entry
            }
            None => Entry::broken(format!("head {version}"), "no trust document of the chain accepts its signature".into()),
        }),
    };
    Ok(Log { trusts, indexes: indexes(repository, from)?, halts: halt_entries(repository)?, head, proposals: open(repository)? })
}

/// What the newest head vouches for, and is not here or is another.
fn unpinned(repository: &Repository, head: &Head) -> Result<Vec<String>, RepositoryError> {
    let trust = repository.trusts().iter().find(|trust| trust.version == head.trust.version).map(Verified::digest);
    let index = match history::published(repository, head.index.version) {
        Ok((published, _)) => Some(published.index.digest()),
        Err(error) => {
            // An error of the store is none of the chain's.
            why(error)?;
            None
        }
    };
    let pins = [("trust", head.trust.version, head.trust.sha256, trust), ("index", head.index.version, head.index.sha256, index)];
    let missing = pins.into_iter().filter(|(_, _, want, have)| *have != Some(*want));
    Ok(missing.map(|(kind, version, want, _)| format!("pins {kind} {version} with sha256 {want}, which is not here")).collect())
}

fn open(repository: &Repository) -> Result<Vec<String>, RepositoryError> {
    let open = crate::proposal::Desk::of(repository).open();
    match open {
        Ok(subjects) => Ok(subjects.iter().map(ToString::to_string).collect()),
        Err(crate::proposal::ProposalError::Repository(error)) => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}

fn indexes(repository: &Repository, from: u64) -> Result<Vec<Entry>, RepositoryError> {
    let mut before: Option<Assignment> = None;
    let mut out = Vec::new();
    let mut last = 0;
    for version in repository.versions(Kind::Index)? {
        if version > last + 1 {
            let only = version == last + 2;
            out.push(Entry::gap(if only { format!("index {}", last + 1) } else { format!("index {} to {}", last + 1, version - 1) }));
            before = None;
        }
        last = version;
        let document = format!("index {version}");
        let (published, trust) = match history::published(repository, version) {
            Ok(found) => found,
            Err(error) => {
                out.push(Entry::broken(document, why(error)?));
                before = None;
                continue;
            }
        };
        let now = Assignment::from(&published);
        let mut says = vec![format!("by {}, under trust {}", published.index.proposer, trust.version)];
        says.extend(changes(before.as_ref().map(|before| &before.groups), &now.groups));
        let mut entry = Entry::of(document, &published.index, says);
        // Without the one before there is nothing to hold it against; the break has been told there.
        if before.is_some() || version == 1 {
            entry.broken.extend(
                now.check(trust, before.as_ref())
                    .err()
                    .map(|refusal| format!("{}: want {}, have {}", refusal.subject(), refusal.want(), refusal.have())),
            );
        }
        before = Some(now);
        if version >= from || !entry.broken.is_empty() {
            out.push(entry);
        }
    }
    Ok(out)
}

/// What an index changed, one fact a line.
fn changes(before: Option<&BTreeMap<GroupName, Group>>, now: &BTreeMap<GroupName, Group>) -> Vec<String> {
    let mut out = Vec::new();
    for (name, group) in now {
        let old = before.and_then(|before| before.get(name));
        if old == Some(group) {
            continue;
        }
        let bundle = &group.bundle;
        out.push(match old {
            Some(old) if old.bundle == *bundle => {
                format!("{name}: {} {} as before, {}", bundle.product, bundle.release, other_changes(old, group))
            }
            Some(old) => format!("{name}: {} {} -> {}, {}", bundle.product, old.bundle.release, bundle.release, group.mode),
            None => format!("{name}: {} {}, {}, {} hosts", bundle.product, bundle.release, group.mode, group.hosts.len()),
        });
        let revoked = group.revoked.iter().filter(|digest| old.is_none_or(|old| !old.revoked.contains(digest)));
        out.extend(revoked.map(|digest| format!("{name}: revoked {digest}")));
    }
    out
}

fn other_changes(old: &Group, new: &Group) -> String {
    let mut out = Vec::new();
    out.extend(new.hosts.keys().filter(|host| !old.hosts.contains_key(*host)).map(|host| format!("+ host {host}")));
    out.extend(old.hosts.keys().filter(|host| !new.hosts.contains_key(*host)).map(|host| format!("- host {host}")));
    for (is_same, what) in [
        (old.ledger == new.ledger, "ledger"),
        (old.gate == new.gate && old.freshness == new.freshness && old.silence == new.silence, "policy"),
        (old.revoked == new.revoked, "revocations"),
    ] {
        out.extend((!is_same).then(|| what.to_owned()));
    }
    if out.is_empty() { "hosts as before".into() } else { out.join(", ") }
}

fn halt_entries(repository: &Repository) -> Result<Vec<Entry>, RepositoryError> {
    let in_force = halts::in_force(repository)?;
    let newest_first: Vec<_> = repository.trusts().iter().rev().collect();
    let mut out = Vec::new();
    for digest in repository.list("halt")?.iter().filter_map(|name| name.strip_suffix(".halt.json")?.parse::<Digest>().ok()) {
        let document = format!("halt {digest}");
        let mut accepted = None;
        for trust in &newest_first {
            let Some(file) = halts::read(repository, digest, trust)? else { break };
            if let Ok(halt) = Halt::verify(trust, &file) {
                accepted = Some(halt);
                break;
            }
        }
        let Some(halt) = accepted else {
            out.push((None, Entry::broken(document, "no key that any trust document of the chain names for halts has signed it".into())));
            continue;
        };
        let mut says = vec![format!("{}, by {} at {}: {:?}", halt.scope, halt.by, halt.issued, halt.reason)];
        says.push(match halts::resume(repository, digest, &newest_first)? {
            Some(resume) => format!(
                "lifted at {}, proposed by {}, signed by {}: {:?}",
                resume.issued,
                resume.proposer,
                names(resume.signers()),
                resume.reason
            ),
            None if in_force.iter().any(|halt| halt.digest == digest) => "IN FORCE".into(),
            None => "not in force: its key is in trust no more, and no head lists it".into(),
        });
        out.push((Some(halt.issued), Entry::of(document, &halt, says)));
    }
    out.sort_by(|(a, x), (b, y)| (a, &x.document).cmp(&(b, &y.document)));
    Ok(out.into_iter().map(|(_, entry)| entry).collect())
}

fn names(names: &std::collections::BTreeSet<Name>) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

impl Log {
    /// Every break, `DOCUMENT: WHY`.
    pub fn broken(&self) -> Vec<String> {
        let all = self.trusts.iter().chain(&self.indexes).chain(&self.halts).chain(&self.head);
        all.flat_map(|entry| entry.broken.iter().map(move |why| format!("{}: {why}", entry.document))).collect()
    }

    /// Whether there is every index from the first to the last.
    pub fn is_whole(&self) -> bool {
        !self.indexes.iter().any(Entry::is_gap)
    }

    /// In words, one document a paragraph.
    pub fn words(&self) -> String {
        let mut out = String::new();
        for entry in self.trusts.iter().chain(&self.indexes).chain(&self.halts).chain(&self.head) {
            if entry.is_gap() {
                out += &format!("{}: {}\n", entry.document, entry.says.join(", "));
                continue;
            }
            let digest = entry.sha256.map_or_else(|| "?".to_owned(), |digest| digest.to_string());
            let by: Vec<&str> = entry.signed_by.iter().map(Name::as_str).collect();
            let name = if entry.document.starts_with("halt") { entry.document.clone() } else { format!("{:10} {digest}", entry.document) };
            out += &format!("{name}  signed by {}\n", if by.is_empty() { "nobody".into() } else { by.join(", ") });
            for line in &entry.says {
                out += &format!("  {}\n", proofmark_core::text::escape(line));
            }
            for line in &entry.broken {
                out += &format!("  BROKEN  {}\n", proofmark_core::text::escape(line));
            }
        }
        for proposal in &self.proposals {
            out += &format!("open proposal {proposal}\n");
        }
        out
    }
}
