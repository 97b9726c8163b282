//! `verify`: all checks of what the host has accepted, without starting anything and without network.
//!
//! It changes nothing. It does not judge whether a start is permitted now: that is `status`.

use crate::chain::Reading;
use crate::host::Host;
use crate::report::Report;
use crate::run::accepted;
use crate::store::{Depth, Entry};
use crate::update::assign;
use proofmark_core::name::GroupName;
use proofmark_core::{Reason, Refusal, Result};
use serde_json::{Map, Value, json};

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Documents, manifest, every file of the store.
    Files,
    /// And the bundle they came from: its signatures, and every byte of it.
    Bundle,
}

/// Verifies one group, or every group that has something staged.
pub fn verify(host: &Host, group: Option<&GroupName>, extent: Extent) -> Result<Report> {
    let (snapshot, documents) = accepted(host)?;
    let state = &snapshot.state;
    let reading = Reading::cached(state, crate::clock::now()?, &*documents);
    let chain = reading.accepted()?;
    let names: Vec<&GroupName> = match group {
        Some(name) => vec![name],
        None => state.groups.iter().filter(|(_, followed)| followed.active.is_some()).map(|(name, _)| name).collect(),
    };
    let mut groups = Map::new();
    let mut lines = vec![format!(
        "ok: trust {}, head {}, index {}: signatures and digests",
        chain.trust().version,
        chain.head().version,
        chain.index().version
    )];
    for name in names {
        let file = assign(&reading, &chain, state, name)?;
        let staged = state.active(name).map(|active| active.group);
        if staged != Some(file.digest()) {
            let have = staged.map_or_else(|| "nothing staged".to_owned(), |digest| format!("group file {digest} staged"));
            return Err(Refusal::new(
                Reason::NotStaged,
                format_args!("group {name}"),
                format_args!("group file {} staged", file.digest()),
                have,
            ));
        }
        let entry = Entry::require(host, &file)?;
        let manifest = entry.manifest()?;
        entry.check(&manifest, Depth::Content)?;
        if extent == Extent::Bundle {
            entry.check_bundle(chain.trust(), &entry.signatures(chain.trust())?, true)?;
        }
        let what = if extent == Extent::Bundle { "the bundle, its signatures and every file" } else { "every file" };
        lines.push(format!("ok: {name}: {} {}: {what}", manifest.product, manifest.release));
        groups.insert(
            name.to_string(),
            json!({ "product": manifest.product, "release": manifest.release, "bundle": file.bundle.digest()?, "files": manifest.files.len() }),
        );
    }
    let mut report = Report::new(json!({
        "result": "ok", "full": extent == Extent::Bundle, "trust": chain.trust().version, "head": chain.head().version,
        "index": chain.index().version, "groups": Value::Object(groups),
    }));
    lines.into_iter().for_each(|line| report.line(line));
    Ok(report)
}
