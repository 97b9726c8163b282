//! Puts together what speaks for which cause: records first, since they say it outright, then text, then code.

use super::super::report::{Change, Content, Member, Role, Symbol};
use super::super::{blame, pairs};
use super::guess::{changed_word, guess};
use super::{Cause, Finding};

/// Findings told.
const TOLD: usize = 12;

/// Likely causes, the most likely first. What build scripts wrote is nearer to a cause than what was made from it.
pub(in super::super) fn find(members: &[Member], notes: &[String], known_same: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    members.iter().filter(|member| member.role == Role::Record).for_each(|member| records(member, &mut found));
    // Records that differ in results alone say that the inputs were the same.
    let same_inputs = found.is_empty() && (known_same || members.iter().any(|member| member.path == "buildinfo.json"));
    let other_inputs = !found.is_empty();
    // Two commits have two times: a stamp of them is as it should be, and no clock was read.
    let other_time =
        members.iter().any(|member| member.role == Role::Record && member.fields.iter().any(|field| field.pointer == COMMIT_TIME));
    for member in members.iter().filter(|member| member.role == Role::BuildScript) {
        texts(member, &mut found);
    }
    for member in members.iter().filter(|member| !matches!(member.role, Role::BuildScript | Role::Record)) {
        files(member, &mut found);
        texts(member, &mut found);
    }
    found.retain(|finding| !(other_time && finding.cause == Cause::Time));
    if found.is_empty() && notes.iter().any(|note| note.contains(pairs::OTHER_HASH)) {
        let member = members.first().map_or(String::new(), |member| member.path.clone());
        found.push(finding(Cause::Flags, member, Some("names of cargo's files".into()), [None, None], None));
    }
    // Text explains the code around it; where there is none, the code is all there is.
    if found.is_empty() {
        members.iter().filter(|member| member.role != Role::Record).for_each(|member| code(member, same_inputs, &mut found));
    } else if other_inputs {
        name_the_code(members, &mut found);
    }
    if found.is_empty()
        && let Some(member) = members.iter().find(|member| member.change != Change::Mode)
    {
        let follows = !member.sections.is_empty() && member.sections.iter().all(|section| section.follows);
        let cause = if follows && member.symbols.is_empty() { Cause::Identity } else { Cause::Unknown };
        found.push(finding(cause, member.path.clone(), None, [None, None], blame::of_path(&member.path)));
    }
    let mut told: Vec<Finding> = Vec::new();
    for one in found {
        let follows =
            |other: &Finding| other.cause == one.cause && changed_words(&one).is_some_and(|words| changed_words(other) == Some(words));
        if !told.iter().any(|other| (other.cause, &other.krate) == (one.cause, &one.krate) || follows(other)) {
            told.push(one);
        }
    }
    // Records, then build scripts, then the rest, as they were found; what only follows comes last.
    told.sort_by_key(|finding| matches!(finding.cause, Cause::Unknown | Cause::Identity));
    told.truncate(TOLD);
    told
}

/// What is another on each side of the evidence. The same in two places is one difference, and the first place is nearer to its cause.
fn changed_words(finding: &Finding) -> Option<(&str, &str)> {
    let [Some(a), Some(b)] = &finding.evidence else { return None };
    Some(changed_word(a, b))
}

fn finding(cause: Cause, member: String, place: Option<String>, evidence: [Option<String>; 2], krate: Option<String>) -> Finding {
    Finding { cause, member, place, evidence, krate, remedy: cause.remedy() }
}

/// Keys of `buildinfo.json` that name an input, the most telling first. The others (digests, sizes, units, closure) only reflect these.
const BUILDINFO: [(&str, Cause); 15] = [
    ("/source/commit", Cause::Source),
    ("/source/tree", Cause::Source),
    ("/cargo_lock", Cause::Source),
    ("/crates", Cause::Source),
    (COMMIT_TIME, Cause::Source),
    ("/toolchain", Cause::Toolchain),
    ("/environment", Cause::Toolchain),
    ("/c_toolchain", Cause::Toolchain),
    ("/contract", Cause::Toolchain),
    ("/rustflags", Cause::Flags),
    ("/cargo", Cause::Flags),
    ("/linking", Cause::Flags),
    ("/target", Cause::Flags),
    ("/env", Cause::Environment),
    ("/proofmark_toml", Cause::Configuration),
];
/// The variable that nobody sets: it follows from the commit.
const COMMIT_TIME: &str = "/env/SOURCE_DATE_EPOCH";
/// The same of `manifest.json`.
const MANIFEST: [(&str, Cause); 8] = [
    ("/source/commit", Cause::Source),
    ("/source/tree", Cause::Source),
    ("/contract", Cause::Toolchain),
    ("/launch", Cause::Configuration),
    ("/flags", Cause::Configuration),
    ("/environment", Cause::Configuration),
    ("/wire_epoch", Cause::Configuration),
    ("/release", Cause::Configuration),
];

/// What records say of the inputs.
fn records(member: &Member, found: &mut Vec<Finding>) {
    let keys: &[(&str, Cause)] = if member.path == "manifest.json" { &MANIFEST } else { &BUILDINFO };
    let mut named: Vec<_> =
        member.fields.iter().filter_map(|field| Some((keys.iter().position(|(key, _)| is_at(&field.pointer, key))?, field))).collect();
    named.sort_by_key(|(row, _)| *row);
    for (row, field) in named {
        found.push(finding(keys[row].1, member.path.clone(), Some(field.pointer.clone()), field.values.clone(), None));
    }
}

/// A pointer (RFC 6901) is at a key or below it.
fn is_at(pointer: &str, key: &str) -> bool {
    pointer.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Text that differs, in whatever kind of file.
fn texts(member: &Member, found: &mut Vec<Finding>) {
    let of_file = blame::of_path(&member.path);
    let strings = member.strings.iter().map(|text| {
        let user = text.used_by.as_deref().and_then(blame::of_symbol);
        let place = match (&text.section, &text.used_by) {
            (Some(section), Some(user)) => Some(format!("{section}, used by {user}")),
            (section, _) => section.clone(),
        };
        (place, &text.text, user)
    });
    let lines = member.lines.iter().map(|line| {
        let number = line.numbers.iter().flatten().next();
        (number.map(|number| format!("line {number}")), &line.text, None)
    });
    let fields = member.fields.iter().map(|field| (Some(field.pointer.clone()), &field.values, None));
    for (place, text, user) in strings.chain(lines).chain(fields) {
        let [Some(a), Some(b)] = text else { continue };
        if let Some(cause) = guess(a, b) {
            let krate = of_file.clone().or_else(|| blame::of_text(a)).or(user);
            found.push(finding(cause, member.path.clone(), place, text.clone(), krate));
        }
    }
    // Lines that were only put into another order differ in both places.
    let side = |side: usize| {
        let mut lines: Vec<&String> = member.lines.iter().filter_map(|line| line.text[side].as_ref()).collect();
        lines.sort();
        lines
    };
    if !member.lines.is_empty() && side(0) == side(1) {
        found.push(finding(Cause::Order, member.path.clone(), None, member.lines[0].text.clone(), of_file));
    }
}

/// A file of the bundle that no compiler made is configuration.
fn files(member: &Member, found: &mut Vec<Finding>) {
    let of_bundle = ["root/", "hosts/"].iter().any(|start| member.path.starts_with(start));
    if of_bundle && matches!(member.content, Content::Text | Content::Json) && member.change == Change::Bytes {
        let line = member.lines.first();
        let evidence = line.map(|line| line.text.clone()).or_else(|| member.fields.first().map(|field| field.values.clone()));
        found.push(finding(Cause::Configuration, member.path.clone(), None, evidence.unwrap_or_default(), None));
    }
}

/// Code that differs, with no text to say why.
fn code(member: &Member, same_inputs: bool, found: &mut Vec<Finding>) {
    if let Some(symbol) = changed(member) {
        let krate = symbol.krate.clone().or_else(|| blame::of_path(&member.path));
        let evidence = symbol.hex.as_ref().map_or([None, None], |hex| hex.bytes.clone().map(Some));
        let cause = if same_inputs { Cause::Unknown } else { Cause::Source };
        found.push(finding(cause, member.path.clone(), Some(symbol.name.clone()), evidence, krate));
    } else if member.moved > 0 && member.sections.iter().any(|section| section.name == ".text") {
        found.push(finding(Cause::Order, member.path.clone(), Some(".text".into()), [None, None], blame::of_path(&member.path)));
    }
}

/// Another source is known from the records: the crate is that of the function that changed.
fn name_the_code(members: &[Member], found: &mut [Finding]) {
    let symbol = members.iter().filter(|member| member.role == Role::Output).find_map(changed);
    for finding in found.iter_mut().filter(|finding| finding.cause == Cause::Source) {
        finding.krate = finding.krate.take().or_else(|| symbol.and_then(|symbol| symbol.krate.clone()));
    }
}

fn changed(member: &Member) -> Option<&Symbol> {
    member.symbols.iter().find(|symbol| symbol.change == Change::Bytes).or(member.symbols.first())
}
