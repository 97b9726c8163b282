//! An explanation as one page of HTML.

use super::report::{Explanation, Member, Section, Symbol, SymbolKind};
use super::words::{side_words, sizes_words};
use crate::html::{Cell, Page, Tone};

const SIDES: [&str; 2] = ["first", "second"];

/// The page.
pub fn page(explanation: &Explanation) -> String {
    let mut page = Page::new("Proofmark: what differs");
    let verdict = if explanation.identical {
        Cell::new(Tone::Good, "Identical: every byte is the same.")
    } else {
        let count = explanation.members.len();
        Cell::new(Tone::Bad, format!("Different: {count} of {} files differ.", count + explanation.same))
    };
    page.paragraph(verdict);
    page.paragraph(Cell::new(
        Tone::Soft,
        "Unverified: no signature and no group file was looked at. This tells what differs, not which side is right.",
    ));
    let side = |at: usize| side_words(&explanation.sides[at]);
    page.sides(SIDES, [Some(&side(0)), Some(&side(1))]);
    causes(&mut page, explanation);
    members(&mut page, explanation);
    for (number, member) in explanation.members.iter().enumerate().filter(|(_, member)| member.hex.is_some()) {
        page.section(number + 1, &member.path);
        details(&mut page, member);
    }
    if !explanation.notes.is_empty() {
        page.heading("Not looked at");
        explanation.notes.iter().for_each(|note| page.paragraph(note.clone()));
    }
    page.finish()
}

fn causes(page: &mut Page, explanation: &Explanation) {
    if explanation.causes.is_empty() {
        return;
    }
    page.heading("Likely causes");
    let rows: Vec<Vec<Cell>> = explanation
        .causes
        .iter()
        .map(|finding| {
            let place = finding.place.as_ref().map_or(String::new(), |place| format!(", {place}"));
            let krate = finding.krate.clone().unwrap_or_default();
            vec![finding.cause.to_string().into(), krate.into(), format!("{}{place}", finding.member).into(), finding.remedy.into()]
        })
        .collect();
    page.table(&["Cause", "Crate", "Seen in", "Remedy"], &rows);
}

fn members(page: &mut Page, explanation: &Explanation) {
    if explanation.members.is_empty() {
        return;
    }
    page.heading("Files that differ");
    let rows: Vec<Vec<Cell>> = explanation
        .members
        .iter()
        .enumerate()
        .map(|(number, member)| {
            let path = Cell::new(Tone::Plain, member.path.clone());
            let path = if member.hex.is_some() { path.to_section(number + 1) } else { path };
            let size = |side: usize| Cell::new(Tone::Number, member.sizes[side].map_or(String::new(), |size| size.to_string()));
            let offset = member.offset.map_or(String::new(), |offset| format!("{offset:#x}"));
            vec![path, member.change.words().into(), size(0), size(1), Cell::new(Tone::Number, offset), summary(member).into()]
        })
        .collect();
    page.table(&["File", "How", "Bytes, first", "Bytes, second", "First at", "What"], &rows);
}

/// The most telling thing of a member, in a few words.
fn summary(member: &Member) -> String {
    let modes = member.modes.as_ref().map(|[a, b]| format!("permissions {a} and {b}"));
    let symbol = || member.symbols.first().map(|symbol| format!("in {}", symbol.name));
    let section = || member.sections.first().map(|section| format!("in section {}", section.name));
    let field = || member.fields.first().map(|field| format!("key {}", field.pointer));
    let line = || member.lines.first().and_then(|line| line.numbers.iter().flatten().next().map(|number| format!("line {number}")));
    modes.or_else(symbol).or_else(section).or_else(field).or_else(line).unwrap_or_default()
}

fn details(page: &mut Page, member: &Member) {
    if !member.symbols.is_empty() || member.moved > 0 {
        page.heading("Functions and statics");
        if member.moved > 0 {
            page.paragraph(Cell::new(Tone::Soft, format!("{} more functions differ in addresses alone.", member.moved)));
        }
        let rows: Vec<Vec<Cell>> = member.symbols.iter().map(symbol_row).collect();
        page.table(&["Name", "How", "Bytes", "Crate", "Near"], &rows);
        for symbol in &member.symbols {
            if let Some(hex) = &symbol.hex {
                page.paragraph(Cell::new(Tone::Code, symbol.name.clone()));
                let captions = [0, 1].map(|side| format!("{}, at address {:#x}", SIDES[side], hex.offsets[side]));
                page.sides([&captions[0], &captions[1]], [Some(&hex.bytes[0]), Some(&hex.bytes[1])]);
            }
            symbol.mentions.iter().for_each(|text| page.paragraph(Cell::new(Tone::Soft, format!("points to text {text:?}"))));
        }
    }
    if !member.strings.is_empty() {
        page.heading("Text");
        for text in &member.strings {
            let user = text.used_by.as_ref().map_or(String::new(), |user| format!(", used by {user}"));
            page.paragraph(Cell::new(Tone::Soft, format!("{}{user}", text.section.as_deref().unwrap_or("in the file"))));
            page.sides(SIDES, [text.text[0].as_deref(), text.text[1].as_deref()]);
        }
    }
    for field in &member.fields {
        page.paragraph(Cell::new(Tone::Code, field.pointer.clone()));
        page.sides(SIDES, [field.values[0].as_deref(), field.values[1].as_deref()]);
    }
    for line in &member.lines {
        let captions = [0, 1].map(|side| line.numbers[side].map_or("no such line".to_owned(), |number| format!("line {number}")));
        page.sides([&captions[0], &captions[1]], [line.text[0].as_deref(), line.text[1].as_deref()]);
    }
    if !member.sections.is_empty() {
        page.heading("Sections");
        let rows: Vec<Vec<Cell>> = member.sections.iter().map(section_row).collect();
        page.table(&["Section", "Bytes that differ", "Bytes", "Note"], &rows);
        for section in &member.sections {
            if let Some(hex) = &section.hex {
                page.paragraph(Cell::new(Tone::Code, section.name.clone()));
                sides_of_hex(page, hex);
            }
        }
    } else if let Some(hex) = member.hex.as_ref().filter(|_| member.fields.is_empty() && member.lines.is_empty()) {
        page.heading("Bytes");
        sides_of_hex(page, hex);
    }
}

fn sides_of_hex(page: &mut Page, hex: &super::report::Hex) {
    let captions = [0, 1].map(|side| format!("{}, at offset {:#x}", SIDES[side], hex.offsets[side]));
    page.sides([&captions[0], &captions[1]], [Some(&hex.bytes[0]), Some(&hex.bytes[1])]);
}

fn symbol_row(symbol: &Symbol) -> Vec<Cell> {
    let kind = if symbol.kind == SymbolKind::Static { "static, " } else { "" };
    vec![
        Cell::new(Tone::Code, symbol.name.clone()),
        format!("{kind}{}", symbol.change.words()).into(),
        Cell::new(Tone::Number, sizes_words(symbol.sizes)),
        symbol.krate.clone().unwrap_or_default().into(),
        Cell::new(Tone::Code, symbol.location.clone().unwrap_or_default()),
    ]
}

fn section_row(section: &Section) -> Vec<Cell> {
    let object = section.object.as_ref().map_or(String::new(), |object| format!(" of {object}"));
    vec![
        Cell::new(Tone::Code, format!("{}{object}", section.name)),
        Cell::new(Tone::Number, section.differing.to_string()),
        Cell::new(Tone::Number, sizes_words(section.sizes)),
        if section.follows { Cell::new(Tone::Soft, "follows from the others") } else { "".into() },
    ]
}
