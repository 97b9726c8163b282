//! A review as text for a terminal, one screen of it: what matters first, and a count where a list is long. Every text from outside is
//! escaped here.

use std::fmt::Write as _;

use proofmark_core::group::Entry;
use proofmark_core::text::escape;

use super::{FileChange, GroupChange, ProgramChange, Review};

/// How much of each list is shown.
#[derive(Clone, Copy)]
enum Width {
    Screen,
    Full,
}

impl Width {
    fn lines(self, screen: usize) -> usize {
        match self {
            Width::Screen => screen,
            Width::Full => usize::MAX,
        }
    }

    /// A text, cut to what fits on a line.
    fn cut(self, text: &str, most: usize) -> String {
        let text = escape(text);
        match self {
            Width::Screen if text.chars().count() > most => format!("{}...", text.chars().take(most).collect::<String>()),
            _ => text,
        }
    }
}

impl Review {
    /// One screen.
    pub fn words(&self) -> String {
        self.write(Width::Screen)
    }

    /// Every line of every difference.
    pub fn full_words(&self) -> String {
        self.write(Width::Full)
    }

    fn write(&self, width: Width) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "index {}, proposed by {}, sha256 {}", self.version, self.proposer, self.sha256);
        let _ = writeln!(out, "  signed     {}", self.signatures.join(", "));
        for missing in self.missing.iter().chain(&self.unsigned) {
            let _ = writeln!(out, "  missing    {missing}");
        }
        for change in &self.changes {
            change.write(&mut out, width);
        }
        if !self.unchanged.is_empty() {
            let names: Vec<String> = self.unchanged.iter().map(ToString::to_string).collect();
            let _ = writeln!(out, "\nunchanged: {}", names.join(", "));
        }
        out
    }
}

/// `  LABEL      TEXT`.
fn row(out: &mut String, label: &str, text: impl std::fmt::Display) {
    let _ = writeln!(out, "  {label:10} {text}");
}

/// Some lines under one label, and how many more there are.
fn rows(out: &mut String, label: &str, lines: &[String], most: usize, width: Width) {
    for line in lines.iter().take(most) {
        row(out, label, width.cut(line, 96));
    }
    if lines.len() > most {
        row(out, label, format_args!("... and {} more: --full", lines.len() - most));
    }
}

fn digest(entry: &Entry) -> &str {
    entry.sha256sum.get(..64).unwrap_or_default()
}

impl GroupChange {
    fn write(&self, out: &mut String, width: Width) {
        let names = |names: &[proofmark_core::name::Name]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
        let mode = self.mode.as_str().unwrap_or("?");
        let after = &self.after;
        let title = match &self.before {
            None => format!("NEW GROUP, {mode} {} {}", after.product, after.release),
            Some(before) if before == after => format!("{} {}, the same bundle as before", after.product, after.release),
            Some(before) if before.product == after.product => format!("{} {} -> {}, {mode}", after.product, before.release, after.release),
            Some(before) => format!("{} {} -> {} {}, {mode}", before.product, before.release, after.product, after.release),
        };
        let _ = writeln!(out, "\n{}: {title}, on {} host{}", self.group, self.hosts.len(), if self.hosts.len() == 1 { "" } else { "s" });
        row(out, "hosts", width.cut(&names(&self.hosts), 96));
        if !self.is_new && !self.hosts_added.is_empty() {
            row(out, "+ hosts", names(&self.hosts_added));
        }
        if !self.hosts_removed.is_empty() {
            row(out, "- hosts", format_args!("{} (what they run is not stopped by this)", names(&self.hosts_removed)));
        }
        if !self.record_keys.is_empty() {
            row(out, "records", format_args!("another record key: {}", names(&self.record_keys)));
        }
        self.write_bundle(out);
        for flag in &self.flags {
            let meaning = flag.meaning.as_ref().map_or(String::new(), |meaning| format!("  \"{}\"", width.cut(meaning, 60)));
            row(out, "flag", format_args!("{} {}: {}{meaning}", flag.id, flag.name, flag.what.join(", ")));
        }
        for file in &self.files {
            file.write(out, width, self.is_new);
        }
        for program in &self.programs {
            program.write(out, width);
        }
        for other in &self.same_programs_as {
            row(out, "programs", format_args!("the very ones, byte for byte, of {other}"));
        }
        for other in &self.other_programs_than {
            row(out, "PROGRAMS", format_args!("OF THE SAME RELEASE AND NOT THE SAME BYTES AS {other}"));
        }
        rows(out, "crate", &self.crates, width.lines(8), width);
        rows(out, "build", &self.build, width.lines(8), width);
        rows(out, "launch", &self.launch, width.lines(if self.is_new { 4 } else { 8 }), width);
        for revoked in &self.revoked {
            row(out, "REVOKED", format_args!("{revoked}, for ever"));
        }
        rows(out, "policy", &self.policy, width.lines(if self.is_new { 2 } else { 8 }), width);
        self.write_same(out);
    }

    fn write_bundle(&self, out: &mut String) {
        let after = &self.after;
        let Some(before) = self.before.as_ref().filter(|before| *before != after) else {
            if self.is_new {
                row(out, "bundle", digest(after));
                row(out, "commit", format_args!("{}, wire epoch {}, {}", after.source_commit, after.wire_epoch, after.target));
            }
            return;
        };
        row(out, "bundle", format_args!("{} (was {}...)", digest(after), &digest(before)[..12]));
        row(out, "commit", format_args!("{} (was {}...)", after.source_commit, &before.source_commit.as_str()[..12]));
        for from in self.from.iter().filter(|from| from.to_string() != digest(before)) {
            row(out, "replaces", format_args!("also {from}"));
        }
        if before.wire_epoch != after.wire_epoch {
            let text = format!("{} -> {}: no host may run the one beside the other", before.wire_epoch, after.wire_epoch);
            row(out, "WIRE EPOCH", text);
        }
        if before.target != after.target {
            row(out, "TARGET", format_args!("{} -> {}", before.target, after.target));
        }
    }

    /// What was compared and is the same, in one line: it was looked at.
    fn write_same(&self, out: &mut String) {
        if self.is_new || self.before.as_ref() == Some(&self.after) {
            return;
        }
        let mut same = Vec::new();
        let crates = format!("{} crates", self.crate_count);
        for (label, is_same) in [
            ("hosts", self.hosts_added.is_empty() && self.hosts_removed.is_empty()),
            ("flags", self.flags.is_empty()),
            ("files", self.files.is_empty()),
            ("programs", self.programs.is_empty()),
            (crates.as_str(), self.crates.is_empty()),
            ("compilers and build flags", self.build.is_empty()),
            ("launch", self.launch.is_empty()),
            ("policy", self.policy.is_empty()),
        ] {
            if is_same {
                same.push(label);
            }
        }
        if !same.is_empty() {
            row(out, "the same", same.join(", "));
        }
    }
}

impl FileChange {
    fn write(&self, out: &mut String, width: Width, is_new: bool) {
        let most = width.lines(if is_new { 0 } else { 8 });
        if self.lines.is_empty() || most == 0 {
            row(out, "file", format_args!("{} {}: {}", self.path, self.what, width.cut(&self.summary, 60)));
        }
        let lines: Vec<String> = self.lines.iter().map(|line| format!("{}  {line}", self.path)).collect();
        if most > 0 {
            rows(out, "config", &lines, most, width);
        }
    }
}

impl ProgramChange {
    fn write(&self, out: &mut String, width: Width) {
        let (old, new) = self.size;
        let size = match self.what {
            "changed" => format!("{old} -> {new} bytes"),
            "gone" => format!("gone, {old} bytes"),
            _ => format!("{new} bytes"),
        };
        let own = if self.by == "functions" { "functions of its own" } else { "words (it has no symbols)" };
        let counts = match self.what {
            "changed" => format!(
                "; {own}: {} gone, {} new; of crates and std: {} and {}",
                self.removed.len(),
                self.added.len(),
                self.others.0,
                self.others.1
            ),
            _ => String::new(),
        };
        row(out, "program", format_args!("{}: {size}{counts}", self.path));
        for (sign, names) in [("- fn", &self.removed), ("+ fn", &self.added)] {
            let sign = if self.by == "functions" { sign } else { &sign[..1] };
            rows(out, &format!("  {sign}"), names, width.lines(6), width);
        }
        rows(out, "  marker", &self.markers, width.lines(4), width);
    }
}
