//! `status`: who this host is, what it has accepted, and whether each group would start now, and if not, why.
//!
//! It changes nothing, and looks at no file's content: `verify` does.

use crate::chain::Reading;
use crate::host::Host;
use crate::report::{Report, refusal_json};
use crate::run::{accepted, judge};
use crate::state;
use crate::store::{Depth, Entry};
use proofmark_core::Result;
use proofmark_core::admission::Permit;
use proofmark_core::name::GroupName;
use serde_json::{Map, Value, json};

/// Shows the host. Refuses only where there is no state to show.
pub fn status(host: &Host) -> Result<Report> {
    let state = state::load(&host.layout)?.state;
    let identity = &state.identity;
    let expires = expires(host);
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
    for (name, active) in &state.groups {
        let (would, mut json) = match would_start(host, name) {
            Ok(would) => (would.line, would.json),
            Err(refusal) => {
                let reason = refusal.reason();
                let line =
                    format!("would be refused [{} {}]: want {}; have {}", reason.code(), reason.word(), refusal.want(), refusal.have());
                (line, json!({ "would_start": false, "refusal": refusal_json(&refusal) }))
            }
        };
        if let (Value::Object(json), Some(active)) = (&mut json, active) {
            json.insert("bundle".into(), json!(active.bundle));
            json.insert("product".into(), json!(active.product));
            json.insert("started".into(), json!(active.started));
        }
        let staged =
            active.as_ref().map_or_else(|| "nothing staged".to_owned(), |active| format!("{}, bundle {}", active.product, active.bundle));
        lines.push(format!("{name}: {staged}"));
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
    Ok(report)
}

fn expires(host: &Host) -> Result<proofmark_core::Time> {
    let (snapshot, documents) = accepted(host)?;
    let reading = Reading::cached(&snapshot.state, crate::clock::now()?, &*documents);
    Ok(reading.chain()?.head().expires)
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
