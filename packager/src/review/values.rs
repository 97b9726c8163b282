//! Two values compared by key: launch, policy, configuration.

use proofmark_core::group::Group;
use proofmark_core::manifest::Launch;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The value as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Leaves of two JSON values that differ, as `PATH: OLD -> NEW`, `+ PATH: NEW`, `- PATH: OLD`.
pub(super) fn differences(path: &str, old: Option<&Value>, new: Option<&Value>, out: &mut Vec<String>) {
    let nothing = Map::new();
    let map = |value: Option<&Value>| value.is_none_or(Value::is_object);
    match (old, new) {
        (old, new) if old == new => {}
        (old, new) if map(old) && map(new) => {
            let (a, b) = (old.and_then(Value::as_object).unwrap_or(&nothing), new.and_then(Value::as_object).unwrap_or(&nothing));
            if a.is_empty() && b.is_empty() {
                out.push(format!("{} {path}: {{}}", if old.is_none() { '+' } else { '-' }));
            }
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differences(&path, a.get(key), b.get(key), out);
            }
        }
        // Lists of tables, as TOML's `[[venue]]`: by position, so that one value that changes is one line.
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.iter().chain(b).all(Value::is_object) => {
            for n in 0..a.len().max(b.len()) {
                differences(&format!("{path}[{n}]"), a.get(n), b.get(n), out);
            }
        }
        (None, Some(new)) => out.push(format!("+ {path}: {new}")),
        (Some(old), None) => out.push(format!("- {path}: {old}")),
        (Some(old), Some(new)) => out.push(format!("{path}: {old} -> {new}")),
        (None, None) => {}
    }
}

/// What is not said: absent, null, empty lists and tables. Not worth a line of a group that is new.
fn silent(line: &str) -> bool {
    line.ends_with(": []") || line.ends_with(": null") || line.ends_with(": {}") || line.ends_with(": false")
}

/// Differences of the launch.
pub(super) fn launch(old: Option<&Launch>, new: &Launch) -> Vec<String> {
    let mut out = Vec::new();
    differences("", old.map(json).as_ref(), Some(&json(new)), &mut out);
    if old.is_none() {
        out.retain(|line| !silent(line));
    }
    out
}

/// Everything of a group file that is not shown elsewhere.
pub(super) fn policy(old: Option<&Group>, new: &Group) -> Vec<String> {
    let rest = |group: &Group| {
        let mut value = json(group);
        if let Value::Object(map) = &mut value {
            for shown in ["format", "kind", "repository", "environment", "role", "hosts", "bundle", "mode", "from", "ledger", "revoked"] {
                map.remove(shown);
            }
        }
        value
    };
    let mut out = Vec::new();
    differences("", old.map(rest).as_ref(), Some(&rest(new)), &mut out);
    if old.is_none() {
        out.retain(|line| !silent(line));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_by_key_and_tables_of_a_list_by_position() {
        let old: Value = serde_json::json!({ "flags": [7], "a": { "x": 1 }, "venue": [{ "name": "n", "weight": 3 }], "gone": true });
        let new: Value =
            serde_json::json!({ "flags": [9], "a": { "x": 1, "y": {} }, "venue": [{ "name": "n", "weight": 2 }, { "name": "s" }] });
        let mut out = Vec::new();
        differences("", Some(&old), Some(&new), &mut out);
        let want = ["+ a.y: {}", "flags: [7] -> [9]", "- gone: true", "venue[0].weight: 3 -> 2", "+ venue[1].name: \"s\""];
        assert_eq!(out, want);
    }
}
