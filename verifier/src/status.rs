//! `status`: who this host is, what it has accepted, and whether each group would start now, and if not, why.
//!
//! It changes nothing, and looks at no file's content: `verify` does.

use crate::chain::Reading;
use crate::halts::InForce;
use crate::host::Host;
use crate::report::{Report, refusal_json};
use crate::run::{accepted, judge};
use crate::state;
use crate::store::{Depth, Entry};
use proofmark_core::admission::{Active, Listed, Permit};
use proofmark_core::name::GroupName;
use proofmark_core::{Result, Time};
use serde_json::{Map, Value, json};

/// Shows the host. Refuses only where there is no state to show.
pub fn status(host: &Host) -> Result<Report> {
    let state = state::load(&host.layout)?.state;
    let identity = &state.identity;
    let (expires, listed) = match head(host) {
        Ok((expires, listed)) => (Ok(expires), listed),
        Err(refusal) => (Err(refusal), Listed::default()),
    };
    let mut lines = vec![
        format!("host        {} in {}", identity.host, identity.environment),
        format!("repository  {}", identity.repository),
        format!("trust       {}", state.trust.version),
        format!("index       {}", state.index.map_or_else(|| "none".to_owned(), |pin| pin.version.to_string())),
    ];
    let head = state.head.as_ref().map(|head| (head.version, head.issued));
    let until = match &expires {
        Ok(until) => format!("expires {until}"),
        Err(refusal) => format!("not usable [{} {}]", refusal.reason().code(), refusal.reason().word()),
    };
    lines.push(
        head.map_or_else(|| "head        none".to_owned(), |(version, issued)| format!("head        {version}, issued {issued}, {until}")),
    );
    let mut groups = Map::new();
    for (name, followed) in &state.groups {
        let (would, mut json) = match would_start(host, name) {
            Ok(would) => (would.line, would.json),
            Err(refusal) => {
                let reason = refusal.reason();
                let line =
                    format!("would be refused [{} {}]: want {}; have {}", reason.code(), reason.word(), refusal.want(), refusal.have());
                (line, json!({ "would_start": false, "refusal": refusal_json(&refusal) }))
            }
        };
        if let (Value::Object(json), Some(active)) = (&mut json, &followed.active) {
            json.insert("bundle".into(), json!(active.bundle));
            json.insert("product".into(), json!(active.product));
            json.insert("started".into(), json!(active.started));
            json.insert("active".into(), json!(active));
            json.insert("previous".into(), json!(followed.previous));
        }
        let text = |active: &Active| format!("{} {}, bundle {}", active.product, active.release, active.bundle);
        lines.push(format!("{name}: {}", followed.active.as_ref().map_or_else(|| "nothing staged".to_owned(), text)));
        if let Some(previous) = &followed.previous {
            lines.push(format!("  before: {}", text(previous)));
        }
        lines.push(format!("  {would}"));
        groups.insert(name.to_string(), json);
    }
    let mut report = Report::new(json!({
        "result": "ok",
        "host": identity.host, "environment": identity.environment, "repository": identity.repository,
        "first_trust": identity.first_trust,
        "trust": state.trust, "index": state.index, "head": state.head, "head_expires": expires.ok(),
        "groups": Value::Object(groups),
    }));
    lines.into_iter().for_each(|line| report.line(line));
    InForce::of(&state, &listed).report(&mut report);
    Ok(report)
}

/// What only the accepted head says: its end, and the halts it lists.
fn head(host: &Host) -> Result<(Time, Listed)> {
    let (snapshot, documents) = accepted(host)?;
    let reading = Reading::cached(&snapshot.state, crate::clock::now()?, &*documents);
    let chain = reading.accepted()?;
    Ok((chain.head().expires, chain.listed(|digest| reading.listed_halt(digest))))
}

struct Would {
    line: String,
    json: Value,
}

fn would_start(host: &Host, name: &GroupName) -> Result<Would> {
    let judged = judge(host, name)?;
    let entry = Entry::require(host, &judged.group)?;
    let manifest = entry.manifest()?;
    entry.check(&manifest, Depth::Listing)?;
    let release = format!("{} {}", manifest.product, manifest.release);
    let (line, grace) = match judged.permit {
        Permit::Fresh => (format!("would start: {release}"), None),
        Permit::Grace(expired) => (format!("would start: {release}, within the grace: the head expired at {expired}"), Some(expired)),
    };
    Ok(Would { line, json: json!({ "would_start": true, "release": manifest.release, "grace_since": grace }) })
}
