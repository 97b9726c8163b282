//! Files that are no programs: TOML and JSON by key and value, other text by line, the rest by size and digest.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_core::manifest::{File, FileMode};
use proofmark_core::name::MemberPath;
use serde_json::Value;
use similar::TextDiff;

use super::{FileChange, values};
use crate::contents::Contents;

/// Lines of one file's difference that are kept.
const LINES: usize = 200;

/// Files that come, go or change. A file that comes is told by its size: its lines are all new.
pub(super) fn changes(before: Option<&Contents>, after: &Contents) -> Vec<FileChange> {
    let plain = |file: &&File| file.mode != FileMode::Program;
    let by_path = |contents: &Contents| -> BTreeMap<MemberPath, File> {
        contents.manifest.files.iter().filter(plain).map(|file| (file.path.clone(), file.clone())).collect()
    };
    let (old, new) = (before.map(by_path).unwrap_or_default(), by_path(after));
    let mut out = Vec::new();
    for path in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let size = |file: &File| format!("{} bytes", file.size);
        let (what, summary) = match (old.get(path), new.get(path)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(a), Some(b)) if a.sha256 == b.sha256 => ("mode", format!("{:o} -> {:o}", a.mode.bits(), b.mode.bits())),
            (Some(a), Some(b)) => ("changed", format!("{} -> {}, sha256 {}", size(a), size(b), b.sha256)),
            (Some(a), None) => ("gone", size(a)),
            (None, Some(b)) => ("new", format!("{}, sha256 {}", size(b), b.sha256)),
            (None, None) => continue,
        };
        let text = |contents: Option<&Contents>| -> Option<String> { String::from_utf8(contents?.small.get(path)?.clone()).ok() };
        let lines = match (text(before), text(Some(after))) {
            _ if what == "mode" => Vec::new(),
            (a, Some(b)) if a.is_some() || !old.contains_key(path) => lines(path.as_str(), a.as_deref(), &b),
            _ => Vec::new(),
        };
        let shown = path.as_str().strip_prefix("root/").unwrap_or(path.as_str());
        out.push(FileChange { path: shown.to_owned(), what, summary, lines });
    }
    out
}

/// By key where both sides are of a format that has keys, else by line.
fn lines(path: &str, old: Option<&str>, new: &str) -> Vec<String> {
    let parse: Option<fn(&str) -> Option<Value>> = match path.rsplit('.').next() {
        Some("toml") => Some(|text| toml::from_str::<toml::Table>(text).ok().map(|table| values::json(&table))),
        Some("json") => Some(|text| proofmark_core::json::value(text.as_bytes()).ok()),
        _ => None,
    };
    let mut out = Vec::new();
    let by_key = parse.and_then(|parse| Some((old.map(parse), parse(new)?)));
    match by_key {
        Some((None, new)) => values::differences("", None, Some(&new), &mut out),
        Some((Some(Some(old)), new)) => values::differences("", Some(&old), Some(&new), &mut out),
        _ => out = by_line(old.unwrap_or_default(), new),
    }
    if out.is_empty() && old != Some(new) {
        // Comments and white space, which no key tells.
        out = by_line(old.unwrap_or_default(), new);
    }
    if out.len() > LINES {
        let more = out.len() - LINES;
        out.truncate(LINES);
        out.push(format!("... and {more} more"));
    }
    out
}

fn by_line(old: &str, new: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(old, new).unified_diff().context_radius(0).to_string();
    diff.lines().filter(|line| !line.starts_with("@@")).map(str::to_owned).collect()
}
