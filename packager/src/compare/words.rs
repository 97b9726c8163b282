//! An explanation in words: a short form that fits a screen, and all of it.
//!
//! Everything in an [`Explanation`] is harmless for a terminal already; this file must not print anything else.

use super::cause::Finding;
use super::report::{Change, Explanation, Member, Section, Side, SideKind, Symbol, SymbolKind, Text};

/// How much of each kind is told.
#[derive(Clone, Copy)]
struct Extent {
    members: usize,
    sections: usize,
    symbols: usize,
    strings: usize,
    causes: usize,
    is_long: bool,
}

const SHORT: Extent = Extent { members: 6, sections: 3, symbols: 3, strings: 2, causes: 3, is_long: false };
const LONG: Extent = Extent { members: 1024, sections: 200, symbols: 200, strings: 200, causes: 12, is_long: true };

impl SideKind {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Tree => "directory",
            Self::File => "file",
        }
    }
}

impl Change {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::OnlyFirst => "on the first side only",
            Self::OnlySecond => "on the second side only",
            Self::Bytes => "differs",
            Self::Mode => "has other permissions",
        }
    }
}

/// The whole report of `explain`: both sides, what differs, likely causes, what was not looked at.
pub fn text(explanation: &Explanation, verbose: bool) -> String {
    let mut out = Vec::new();
    for (name, side) in ["first", "second"].iter().zip(&explanation.sides) {
        out.push(format!("{name:6}  {}", side_words(side)));
    }
    out.push("        unverified: no signature and no group file was looked at; this tells what differs, not which side is right".into());
    out.push(String::new());
    out.push(body(explanation, if verbose { LONG } else { SHORT }));
    out.join("\n") + "\n"
}

/// What differs and why, for a refusal.
pub fn short(explanation: &Explanation) -> String {
    body(explanation, SHORT)
}

/// One side in a line.
pub(super) fn side_words(side: &Side) -> String {
    let digest = side.sha256.as_ref().map_or(String::new(), |digest| format!(", sha256 {digest}"));
    format!("{} ({}, {} bytes{digest})", side.path, side.kind.word(), side.size)
}

/// Sizes of both sides, where they say something.
pub(super) fn sizes_words(sizes: [Option<u64>; 2]) -> String {
    match sizes {
        [Some(a), Some(b)] if a == b => format!("{a} bytes"),
        [Some(a), Some(b)] => format!("{a} and {b} bytes"),
        [Some(a), None] | [None, Some(a)] => format!("{a} bytes"),
        [None, None] => String::new(),
    }
}

fn body(explanation: &Explanation, extent: Extent) -> String {
    let mut out = Vec::new();
    if explanation.identical {
        out.push(format!("identical: {} of {}", explanation.same, explanation.same));
    } else {
        let count = explanation.members.len();
        out.push(format!("{count} of {} files differ", count + explanation.same));
    }
    for member in explanation.members.iter().take(extent.members) {
        member_words(member, extent, &mut out);
    }
    more(explanation.members.len(), extent.members, "files", "", &mut out);
    for finding in explanation.causes.iter().take(extent.causes) {
        finding_words(finding, extent, &mut out);
    }
    more(explanation.causes.len(), extent.causes, "likely causes", "", &mut out);
    out.extend(explanation.notes.iter().filter(|_| extent.is_long).map(|note| format!("note    {note}")));
    out.join("\n")
}

fn member_words(member: &Member, extent: Extent, out: &mut Vec<String>) {
    let sizes = sizes_words(member.sizes);
    let offset = member.offset.map_or(String::new(), |offset| format!(", first at {offset:#x}"));
    let modes = member.modes.as_ref().map_or(String::new(), |[a, b]| format!(": {a} and {b}"));
    out.push(format!("{}: {}{modes} ({sizes}{offset})", member.path, member.change.words()));
    let primary = member.sections.iter().filter(|section| extent.is_long || !section.follows);
    primary.clone().take(extent.sections).for_each(|section| section_words(section, out));
    more(primary.count(), extent.sections, "sections", "  ", out);
    let follow: Vec<&str> = member.sections.iter().filter(|section| section.follows).map(|section| section.name.as_str()).collect();
    if !extent.is_long && !follow.is_empty() {
        let names = follow.iter().take(4).copied().collect::<Vec<_>>().join(", ");
        out.push(format!("  and what follows from it: {names}{}", if follow.len() > 4 { ", ..." } else { "" }));
    }
    member.symbols.iter().take(extent.symbols).for_each(|symbol| symbol_words(symbol, extent, out));
    more(member.symbols.len(), extent.symbols, "functions and statics", "  ", out);
    if member.moved > 0 {
        out.push(format!("  {} functions differ in addresses alone", member.moved));
    }
    member.strings.iter().take(extent.strings).for_each(|text| text_words(text, out));
    more(member.strings.len(), extent.strings, "texts", "  ", out);
    for line in member.lines.iter().take(extent.strings) {
        let number = line.numbers.iter().flatten().next().copied().unwrap_or_default();
        out.push(format!("  line {number}"));
        both(&line.text, out);
    }
    more(member.lines.len(), extent.strings, "lines", "  ", out);
    for field in member.fields.iter().take(2 * extent.strings) {
        out.push(format!("  key {}", field.pointer));
        both(&field.values, out);
    }
    more(member.fields.len(), 2 * extent.strings, "keys", "  ", out);
    if let Some(hex) = member.hex.as_ref().filter(|_| extent.is_long || member.has_no_detail()) {
        both(&hex.bytes.clone().map(Some), out);
    }
}

impl Member {
    /// Nothing is known of it but that its bytes differ.
    fn has_no_detail(&self) -> bool {
        self.sections.is_empty() && self.symbols.is_empty() && self.strings.is_empty() && self.lines.is_empty() && self.fields.is_empty()
    }
}

fn section_words(section: &Section, out: &mut Vec<String>) {
    let object = section.object.as_ref().map_or(String::new(), |object| format!(" of {object}"));
    out.push(match section.sizes {
        [Some(_), Some(_)] => {
            format!("  section {}{object}: {} bytes differ ({})", section.name, section.differing, sizes_words(section.sizes))
        }
        [Some(_), None] => format!("  section {}{object}: {}", section.name, Change::OnlyFirst.words()),
        _ => format!("  section {}{object}: {}", section.name, Change::OnlySecond.words()),
    });
}

fn symbol_words(symbol: &Symbol, extent: Extent, out: &mut Vec<String>) {
    let kind = match symbol.kind {
        SymbolKind::Function => "function ",
        SymbolKind::Static => "static ",
        SymbolKind::Unnamed => "",
    };
    let krate = symbol.krate.as_ref().map_or(String::new(), |krate| format!(", crate {krate}"));
    let location = symbol.location.as_ref().map_or(String::new(), |location| format!(", near {location}"));
    let at = symbol.offset.map_or(String::new(), |offset| format!(" from byte {offset}"));
    out.push(format!("  {kind}{}: {}{at} ({}{krate}{location})", symbol.name, symbol.change.words(), sizes_words(symbol.sizes)));
    if let Some(hex) = &symbol.hex {
        both(&hex.bytes.clone().map(Some), out);
    }
    out.extend(symbol.mentions.iter().map(|text| format!("    points to text {text:?}")));
    if let Some(object) = symbol.object.as_ref().filter(|_| extent.is_long) {
        out.push(format!("    in {object}"));
    }
}

fn text_words(text: &Text, out: &mut Vec<String>) {
    let section = text.section.as_ref().map_or(String::new(), |section| format!(" in {section}"));
    let user = text.used_by.as_ref().map_or(String::new(), |user| format!(", used by {user}"));
    out.push(format!("  text{section}{user}"));
    both(&text.text, out);
}

fn finding_words(finding: &Finding, extent: Extent, out: &mut Vec<String>) {
    let krate = finding.krate.as_ref().map_or(String::new(), |krate| format!(" (crate {krate})"));
    out.push(format!("likely  {}{krate}", finding.cause));
    if extent.is_long {
        let place = finding.place.as_ref().map_or(String::new(), |place| format!(", {place}"));
        out.push(format!("  seen in {}{place}", finding.member));
        both(&finding.evidence, out);
    }
    out.push(format!("  remedy  {}", finding.remedy));
}

fn both(texts: &[Option<String>; 2], out: &mut Vec<String>) {
    for (name, text) in ["first", "second"].iter().zip(texts) {
        out.extend(text.as_ref().map(|text| format!("    {name:6}  {text}")));
    }
}

fn more(have: usize, told: usize, what: &str, indent: &str, out: &mut Vec<String>) {
    if have > told {
        out.push(format!("{indent}and {} more {what}", have - told));
    }
}
