//! Halts in the course of an update (FORMAT.md section 7.2): hinted ones are latched at once, listed ones are kept and latched, and
//! resumes lift.
//!
//! It decides nothing: what latches and what lifts is `proofmark_core::admission`'s. A halt that nobody signed is told, and ignored.

use crate::chain::{Reading, digest_path};
use crate::host::Host;
use crate::report::{self, Report};
use crate::state;
use proofmark_core::admission::{Chain, Listed, State, describe};
use proofmark_core::halt::Halt;
use proofmark_core::json::Document;
use proofmark_core::latest::Latest;
use proofmark_core::resume::Resume;
use proofmark_core::text::escape;
use proofmark_core::{Digest, Kind, Result};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Step 2: latches, durably, what `latest` hints at and a key of role `halt` has signed; whatever becomes of the rest of the update.
/// Gives the stored state.
pub fn latch_hinted(host: &Host, reading: &Reading, latest: &Latest) -> Result<State> {
    let stored = state::load(&host.layout)?.state;
    let news: Vec<Digest> = unknown(&stored, &latest.halts);
    if news.is_empty() {
        return Ok(stored);
    }
    // A mirror that holds back a trust document must not hold back a halt with it.
    let Ok(session) = reading.session(latest.trust).or_else(|_| reading.accepted_session()) else { return Ok(stored) };
    let mut files = Vec::new();
    for digest in news {
        match reading.named(Kind::Halt, digest, Halt::LIMIT, &session.trust().roles.halt) {
            Ok(file) => files.extend(file),
            Err(refusal) => tell(digest, &refusal),
        }
    }
    let (next, ()) = state::note(host, |next| {
        for file in &files {
            if let Err(refusal) = session.latch(next, file) {
                tell(Digest::of(&file.bytes), &refusal);
            }
        }
        Ok(())
    })?;
    announce(&stored, &next);
    Ok(next)
}

/// The rest, in `next`, once the chain is accepted: listed halts are latched where they are signed, and resumes lift.
pub fn settle(reading: &Reading, chain: &Chain, latest: &Latest, next: &mut State) -> Result<InForce> {
    let trust = chain.trust();
    let listed = chain.listed(|digest| reading.listed_halt(digest));
    let named: BTreeSet<Digest> = chain.head().halts.iter().chain(&latest.halts).chain(next.latched.keys()).copied().collect();
    for digest in unknown(next, &named) {
        if let Some(file) = reading.named(Kind::Halt, digest, Halt::LIMIT, &trust.roles.halt)? {
            // Signed by nobody who may: a listed one counts all the same, as long as it is listed.
            let _ = chain.latch(next, &file);
        }
    }
    let candidates: BTreeSet<Digest> = next.latched.keys().copied().chain(listed.iter().map(|(digest, _)| *digest)).collect();
    for digest in candidates {
        let Some(file) = reading.named(Kind::Resume, digest, Resume::LIMIT, &trust.roles.index)? else { continue };
        if let Err(refusal) = chain.lift(next, digest, &file) {
            report::say(format_args!("note: {} lifts nothing:\n{refusal}", digest_path(Kind::Resume, digest)));
        }
    }
    Ok(InForce::of(next, &listed))
}

fn unknown<'d>(state: &State, digests: impl IntoIterator<Item = &'d Digest>) -> Vec<Digest> {
    let known = |digest: &&Digest| state.lifted.contains(digest) || state.latched.get(digest).is_some_and(Option::is_some);
    digests.into_iter().filter(|digest| !known(digest)).copied().collect()
}

fn tell(digest: Digest, refusal: &proofmark_core::Refusal) {
    report::say(format_args!("note: {} stops nothing:\n{refusal}", digest_path(Kind::Halt, digest)));
}

/// One line for each change, and none for what stays as it is.
pub fn announce(before: &State, after: &State) {
    for (digest, halt) in after.latched.iter().filter(|(digest, _)| !before.latched.contains_key(digest)) {
        report::say(format_args!("ALERT: {}: {}", after.identity.host, escape(&describe(digest, halt.as_ref()))));
    }
    for digest in after.lifted.iter().filter(|digest| !before.lifted.contains(digest)) {
        report::say(format_args!("ALERT: {}: halt {digest} is lifted", after.identity.host));
    }
}

/// Every halt that this host takes into account.
pub struct InForce(BTreeMap<Digest, (bool, Option<Halt>)>);

impl InForce {
    /// Latched ones, and listed ones that `state` has not seen lifted.
    pub fn of(state: &State, listed: &Listed) -> Self {
        let latched = state.latched.iter().map(|(digest, halt)| (*digest, (true, halt.clone())));
        let listed =
            listed.iter().filter(|(digest, _)| !state.lifted.contains(digest)).map(|(digest, halt)| (*digest, (false, halt.clone())));
        InForce(listed.chain(latched).collect())
    }

    /// Adds them to a report.
    pub fn report(&self, report: &mut Report) {
        for (digest, (latched, halt)) in &self.0 {
            let how = if *latched { "latched" } else { "listed" };
            report.line(format!("{how}: {}", escape(&describe(digest, halt.as_ref()))));
        }
        report.field("halts", self.json());
    }

    fn json(&self) -> Value {
        let one = |(digest, (latched, halt)): (&Digest, &(bool, Option<Halt>))| {
            let halt = halt.as_ref();
            json!({
                "halt": digest, "latched": latched, "scope": halt.map(|halt| &halt.scope), "mode": halt.map(|halt| halt.mode),
                "drain_seconds": halt.and_then(|halt| halt.drain_seconds), "reason": halt.map(|halt| escape(&halt.reason)),
                "by": halt.map(|halt| &halt.by), "issued": halt.map(|halt| halt.issued),
            })
        };
        Value::Array(self.0.iter().map(one).collect())
    }
}
