//! Flags: ledger rows by id, and which are in force, with the texts behind the digests where the proposal tells them.
//!
//! A text is shown as a meaning only when it has the digest that is signed. Markers are nobody's signature: they are looked for, not believed.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_core::group::{FlagState, Group};
use proofmark_core::{Digest, Reason, Refusal};
use serde::Serialize;

use crate::contents::Contents;
use crate::ledger;
use crate::proposal::{FLAGS, Proposal};

/// What the proposal tells of the ledger, by id.
pub(super) type Told = BTreeMap<u64, ledger::Row>;

/// One fact about a flag.
#[derive(Clone, Debug, Serialize)]
pub struct FlagChange {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What happens to it: `ON`, `off`, `new`, `RETIRED`, `new, retired`.
    pub what: Vec<&'static str>,
    /// What it means, where the proposal tells it.
    pub meaning: Option<String>,
}

/// Reads the texts. Each meaning must have the digest that some group file of the proposal gives its id.
pub(super) fn told(proposal: &Proposal) -> Result<Told, Refusal> {
    let Some(bytes) = proposal.others.get(FLAGS) else { return Ok(Told::new()) };
    let malformed =
        |have: &dyn std::fmt::Display| Refusal::new(Reason::Malformed, FLAGS, "what proofmark release writes beside an index", have);
    let value = proofmark_core::json::value(bytes).map_err(|error| malformed(&error))?;
    let told: ledger::Told = serde_json::from_value(value).map_err(|error| malformed(&error))?;
    let mut rows = Told::new();
    for row in told.flags {
        let digest = Digest::of(row.meaning.as_bytes());
        let signed = proposal.next.groups.values().flat_map(|group| &group.ledger).filter(|entry| entry.id == row.id);
        if let Some(entry) = signed.clone().find(|entry| entry.meaning != digest) {
            let subject = format!("{FLAGS}: flag {}", row.id);
            return Err(Refusal::new(
                Reason::Digest,
                subject,
                format_args!("the meaning with sha256 {}, which is signed", entry.meaning),
                digest,
            ));
        }
        if signed.count() > 0 {
            rows.insert(row.id, row);
        }
    }
    Ok(rows)
}

/// What happens to each flag that anything happens to.
pub(super) fn changes(old: Option<&Group>, before: Option<&Contents>, new: &Group, after: &Contents, told: &Told) -> Vec<FlagChange> {
    let on = |contents: &Contents| -> BTreeSet<u64> { contents.manifest.flags.iter().map(|flag| flag.id).collect() };
    let (was, is) = (before.map(on).unwrap_or_default(), on(after));
    let mut out = Vec::new();
    for entry in &new.ledger {
        let retired = entry.state == FlagState::Retired;
        let mut what = Vec::new();
        match old.and_then(|old| old.ledger.iter().find(|other| other.id == entry.id)) {
            None => what.extend(["new", "retired"].iter().take(if retired { 2 } else { 1 }).copied()),
            Some(other) if other.state != entry.state => what.push("RETIRED"),
            Some(_) => {}
        }
        match (was.contains(&entry.id), is.contains(&entry.id)) {
            (false, true) => what.push("ON"),
            (true, false) => what.push("off"),
            _ => {}
        }
        if !what.is_empty() {
            let meaning = told.get(&entry.id).map(|row| row.meaning.clone());
            out.push(FlagChange { id: entry.id, name: entry.name.to_string(), what, meaning });
        }
    }
    out
}
