//! What the two were built from, as their buildinfo files say: crates and their versions, compilers, flags, environment of the build.
//!
//! The manifests pin both files by digest. A file of another shape than expected is compared as far as it goes, and never refused: it says
//! nothing that a host relies on.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::values;
use crate::contents::Contents;

fn document(contents: &Contents) -> Value {
    proofmark_core::json::value(&contents.buildinfo).unwrap_or_default()
}

/// Name, and all versions with their digests.
fn versions(contents: &Contents) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut out: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let document = document(contents);
    for entry in document.get("crates").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
        out.entry(text("name")).or_default().insert(text("version"), text("sha256"));
    }
    out
}

/// Crates that came, went or changed, one a line.
pub(super) fn crates(before: Option<&Contents>, after: &Contents) -> Vec<String> {
    let Some(before) = before else { return Vec::new() };
    let (old, new) = (versions(before), versions(after));
    let list = |versions: &BTreeMap<String, String>| versions.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut out = Vec::new();
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        match (old.get(name), new.get(name)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) if list(a) == list(b) => out.push(format!("{name} {}: THE SAME VERSION WITH OTHER CONTENT", list(b))),
            (Some(a), Some(b)) => out.push(format!("{name} {} -> {}", list(a), list(b))),
            (Some(a), None) => out.push(format!("- {name} {}", list(a))),
            (None, Some(b)) => out.push(format!("+ {name} {}", list(b))),
            (None, None) => {}
        }
    }
    out
}

/// How many crates it was built from.
pub(super) fn crate_count(contents: &Contents) -> usize {
    versions(contents).values().map(BTreeMap::len).sum()
}

/// Names of the crates as they stand in names of functions.
pub(super) fn crate_names(contents: &Contents) -> Vec<String> {
    versions(contents).into_keys().map(|name| name.replace('-', "_")).collect()
}

/// Compilers, flags and environment: everything of buildinfo but what is told elsewhere or follows from the rest.
pub(super) fn build(before: Option<&Contents>, after: &Contents) -> Vec<String> {
    let Some(before) = before else { return Vec::new() };
    let rest = |contents: &Contents| {
        let mut value = document(contents);
        if let Value::Object(map) = &mut value {
            let told = [
                "product",
                "release",
                "source",
                "crates",
                "cargo_lock",
                "proofmark_toml",
                "outputs",
                "graph",
                "inputs",
                "units",
                "closure",
            ];
            map.retain(|key, _| !told.contains(&key.as_str()));
            // The clock inside follows the commit.
            if let Some(Value::Object(env)) = map.get_mut("env") {
                env.remove("SOURCE_DATE_EPOCH");
            }
            // Which files a compiler consists of is summed up by its digest.
            if let Some(Value::Object(c)) = map.get_mut("c_toolchain") {
                c.remove("files");
            }
        }
        value
    };
    let mut out = Vec::new();
    values::differences("", Some(&rest(before)), Some(&rest(after)), &mut out);
    out
}
