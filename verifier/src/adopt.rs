//! `adopt`: the way back for a host whose state is missing or damaged (FORMAT.md section 7.5). It needs a document that the index's
//! groups signed for this one host, and a head that is newer than that document.
//!
//! It is never first use and never replaces a whole state. What it writes is floors, identity and halts; `update` does the rest.

use crate::chain::Reading;
use crate::halts::{self, InForce};
use crate::host::Host;
use crate::init::{self, Identity};
use crate::latch;
use crate::report::Report;
use crate::source::{Memory, Source};
use crate::state;
use crate::update::{self, first_success};
use proofmark_core::admission::State;
use proofmark_core::adopt::Adopt;
use proofmark_core::{Reason, Refusal, Result};
use serde_json::json;
use std::path::Path;

/// Rebuilds the state of the host that `given` names, as `document` allows.
pub fn adopt(host: &Host, given: &Identity, document: &Path) -> Result<Report> {
    let _lock = state::lock_updates(&host.layout, &host.disk)?;
    check_lost(host)?;
    init::check_groups(given)?;
    let repository = init::addresses(&given.repository)?;
    init::check_config(host, &repository)?;
    let (state, documents, in_force) = first_success(&repository, |source| walk(given, document, source))?;
    init::write_config(host, &repository)?;
    update::put_documents(host, &state, &documents)?;
    state::replace_lost(host, &state)?;
    let head = state.head.as_ref().map_or(0, |head| head.version);
    let mut report = Report::new(json!({
        "result": "done", "host": given.host, "environment": given.environment, "repository": state.identity.repository,
        "trust": state.trust.version, "head": head, "index": state.index.map(|pin| pin.version),
    }));
    report.line(format!("{} has a state again, in {} for repository {}", given.host, given.environment, state.identity.repository));
    report.line(format!("accepted: head {head}, trust {}", state.trust.version));
    in_force.report(&mut report);
    report.line("next: proofmark-verifier update".to_owned());
    Ok(report)
}

/// Only where there is no whole state: missing, or damaged.
fn check_lost(host: &Host) -> Result<()> {
    match state::load(&host.layout) {
        Ok(_) => {
            let want = "a host whose state is missing or damaged";
            Err(Refusal::new(Reason::StateExists, host.layout.state().display(), want, "a whole state"))
        }
        Err(e) if matches!(e.reason(), Reason::State | Reason::NotSetUp) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Twice through the chain: as at first contact, which gives the trust that judges the document; then above the document's floors.
fn walk(given: &Identity, document: &Path, source: &dyn Source) -> Result<(State, Memory, InForce)> {
    let (fresh, pinned) = init::pin(given, source)?;
    let now = crate::clock::now()?;
    let reading = Reading::offered(&fresh, now, &pinned, source);
    let latest = reading.latest()?;
    let chain = reading.offered_chain(&latest)?;
    let adopt = Adopt::verify(chain.trust(), &latch::read(document, chain.trust().roles.index.keys())?)?;
    let adopted = fresh.adopted(&adopt, now)?;

    let reading = Reading::offered(&adopted, now, &pinned, source);
    let chain = reading.offered_chain(&latest)?;
    let mut next = chain.advance(&[])?;
    let in_force = halts::settle(&reading, &chain, &latest, &mut next)?;
    Ok((next, reading.seen(), in_force))
}
