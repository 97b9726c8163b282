//! `update`: from what a repository offers to what this host has accepted (FORMAT.md section 7.1, steps 1 to 14).
//!
//! Nothing is visible before everything has passed. Then, in this order: bundles, documents, and `state.json`, whose rename is
//! the commit. A crash before it leaves the old state with its own documents and bundles; the next update cleans up.

use crate::chain::{Reading, signatures};
use crate::config::Config;
use crate::documents;
use crate::failure;
use crate::halts;
use crate::host::Host;
use crate::paths::signature;
use crate::report::{self, Report};
use crate::source::{self, Memory, Source};
use crate::state::{self, Snapshot};
use crate::store::{self, Depth, Entry, Prepared, bundle_path};
use proofmark_core::admission::{Chain, State};
use proofmark_core::group::Group;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::{Digest, Reason, Refusal, Result, Verified, limits};
use serde_json::json;
use std::collections::BTreeSet;

/// Tries each repository; the first one that passes everything wins.
pub fn update(host: &Host) -> Result<Report> {
    let _lock = state::lock_updates(&host.layout, &host.disk)?;
    let snapshot = state::load(&host.layout)?;
    let config = Config::require(&host.layout)?;
    store::clean(host)?;
    first_success(&config.repository, |source| update_from(host, &snapshot, source))
}

/// Asks each repository, who says to know most first; if all fail, what was refused tells more than what did not answer.
pub fn first_success<T>(addresses: &[String], mut attempt: impl FnMut(&dyn Source) -> Result<T>) -> Result<T> {
    let mut worst: Option<Refusal> = None;
    for (address, source) in source::in_order(addresses) {
        let refusal = match source.and_then(|source| attempt(&*source)) {
            Ok(done) => return Ok(done),
            Err(refusal) => refusal,
        };
        if addresses.len() > 1 {
            report::say(format_args!("repository {}:\n{refusal}", proofmark_core::text::escape(address)));
        }
        let tells_nothing = |r: &Refusal| matches!(r.reason(), Reason::Unreachable | Reason::Io);
        if worst.as_ref().is_none_or(|worst| tells_nothing(worst) && !tells_nothing(&refusal)) {
            worst = Some(refusal);
        }
    }
    Err(worst.unwrap_or_else(|| Refusal::new(Reason::Usage, "repository", "at least one", "none")))
}

fn update_from(host: &Host, snapshot: &Snapshot, source: &dyn Source) -> Result<Report> {
    let state = &snapshot.state;
    let cache: Box<dyn Source> = match documents::open(&host.layout, state) {
        Ok(directory) => Box::new(directory),
        // They can all be had again, and are judged by the digests in the state.
        Err(_) => Box::new(Memory::default()),
    };
    let reading = Reading::offered(state, crate::clock::now()?, &*cache, source);
    let latest = reading.latest()?;
    // A halt counts at once, whatever becomes of the rest.
    let early = halts::latch_hinted(host, &reading, &latest)?;
    let chain = reading.offered_chain(&latest)?;
    let (name, group) = assigned(&reading, &chain, state)?;
    for active in state.all_active() {
        // A group that this host no longer belongs to: its ledger and revocations still hold should it come back.
        reading.previous(active.group)?;
    }
    let prepared = stage(host, state, source, &chain, &group)?;
    let mut next = chain.advance(&[(name.clone(), &group)])?;
    next.keep_noted(&early);
    let in_force = halts::settle(&reading, &chain, &latest, &mut next)?;
    let mut report = describe(state, &next, &name, &group, prepared.is_some());
    in_force.report(&mut report);
    if let Some(prepared) = prepared {
        prepared.commit(host)?;
    }
    commit(host, &next, &reading.seen())?;
    halts::announce(&early, &next);
    let mut keep: BTreeSet<Digest> = group.rollback_targets.iter().copied().collect();
    keep.extend([state, &next].into_iter().flat_map(State::all_active).map(|active| active.bundle));
    store::prune(host, &keep);
    documents::prune(&host.layout, &[state, &next].into_iter().flat_map(|state| &state.head).map(|head| head.sha256).collect::<Vec<_>>());
    Ok(report)
}

/// The one followed group that lists this host (steps 9 to 11).
pub fn assigned(reading: &Reading, chain: &Chain, state: &State) -> Result<(GroupName, Verified<Group>)> {
    let host = &state.identity.host;
    let mut listed = Vec::new();
    for name in state.groups.keys() {
        if let Some(bytes) = reading.group(chain, name)?
            && Group::verify(chain.trust(), chain.index(), name, &bytes)?.hosts.contains_key(host)
        {
            listed.push(name.clone());
        }
    }
    Chain::check_one_group(&listed, host)?;
    // Where none lists it, the first one says what is wrong.
    let Some(name) = listed.into_iter().next().or_else(|| state.groups.keys().next().cloned()) else {
        return Err(Refusal::new(Reason::State, "state.json", "a group that this host follows", "none"));
    };
    let group = assign(reading, chain, state, &name)?;
    Ok((name, group))
}

/// One group's file, for this host.
pub fn assign(reading: &Reading, chain: &Chain, state: &State, name: &GroupName) -> Result<Verified<Group>> {
    let bytes = reading.group(chain, name)?.unwrap_or_default();
    let previous = state.active(name).map(|active| reading.previous(active.group)).transpose()?;
    chain.assign(name, &bytes, previous.as_ref(), std::env::consts::ARCH)
}

/// Gets the bundle, or finds that the store has it. `None`: nothing to put in place.
fn stage(host: &Host, state: &State, source: &dyn Source, chain: &Chain, group: &Group) -> Result<Option<Prepared>> {
    let trust = chain.trust();
    // The last update checked its bundle's signatures under the accepted trust. Which of several groups that was, the state
    // does not say: another one's bundle may have been checked under an older trust alone.
    let same_trust = state.trust.sha256 == trust.digest();
    let digest = group.bundle.digest()?;
    let mut active = state.all_active().peekable();
    let was_checked = same_trust && active.peek().is_some() && active.all(|active| active.bundle == digest);
    let whole = |entry: &Entry| -> Result<()> {
        entry.check(&entry.manifest()?, Depth::Content)?;
        if was_checked {
            return Ok(());
        }
        let path = bundle_path(group)?;
        let found: Vec<(Name, Vec<u8>)> =
            signatures(trust.roles.bundle.keys(), |key| source.read(&signature(&path, key), limits::SIGNATURE))?;
        entry.check_bundle(trust, &found, false)?;
        entry.keep_signatures(host, &found)
    };
    match Entry::open(host, group)?.map(|entry| whole(&entry)) {
        Some(Ok(())) => Ok(None),
        // Absent, or damaged: another one takes its place if it passes everything.
        _ => store::prepare(host, source, trust, group).map(Some),
    }
}

/// Documents, then the state.
fn commit(host: &Host, next: &State, seen: &Memory) -> Result<()> {
    put_documents(host, next, seen)?;
    // A start that reads state and documents waits for this rename, and for nothing before it.
    let _lock = state::lock(&host.layout, &host.disk, true)?;
    state::commit(host, next.clone())
}

/// The documents of the head that `next` names: where nothing reads them yet, unless they are there already.
pub(crate) fn put_documents(host: &Host, next: &State, seen: &Memory) -> Result<()> {
    let head = next.head.as_ref().map(|mark| mark.sha256);
    let head = head.ok_or_else(|| Refusal::new(Reason::Internal, "state", "an accepted head", "none"))?;
    let target = host.layout.documents_of(head);
    if !documents::are_there(&target, seen) {
        let directory = documents::prepare(&host.disk, &host.layout.documents(), seen)?;
        host.disk.commit_directory(directory.path(), &target).map_err(failure::io(&target, "to be put in place"))?;
    }
    Ok(())
}

fn describe(before: &State, after: &State, name: &GroupName, group: &Group, fetched: bool) -> Report {
    let active = |state: &State| state.active(name).cloned();
    let (old, new) = (active(before), active(after));
    let change = match (&old, &new) {
        (Some(old), Some(new)) if old == new => "unchanged",
        (Some(old), Some(new)) if old.bundle == new.bundle => "new group file, same bundle",
        (Some(_), _) => "staged, in place of another bundle",
        (None, _) => "staged",
    };
    let head = after.head.as_ref().map_or(0, |mark| mark.version);
    let index = after.index.map_or(0, |pin| pin.version);
    let bundle = new.map(|active| active.bundle.to_string()).unwrap_or_default();
    let release = format!("{} {}", group.bundle.product, group.bundle.release);
    let mut report = Report::new(json!({
        "result": "done", "trust": after.trust.version, "index": index, "head": head,
        "groups": { name.to_string(): {
            "change": change, "fetched": fetched, "product": group.bundle.product, "release": group.bundle.release, "bundle": bundle,
        } },
    }));
    report.line(format!("accepted: head {head}, index {index}, trust {}", after.trust.version));
    report.line(format!("{name}: {change}: {release}, bundle {bundle}"));
    report
}
