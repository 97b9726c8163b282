//! What differs between two ELF files: sections by name, then symbols, then the text in the data sections.

use std::collections::{BTreeMap, BTreeSet};

use object::SectionKind;

use super::image::{Image, Section as Found};
use super::report::{Member, Section, Text};
use super::symbols::References;
use super::{hex, strings, symbols};

/// Sections told of one file.
const TOLD: usize = 200;

/// Sections with text that a program may print, or that names tools.
const TEXTS: [&str; 5] = [".rodata", ".data.rel.ro", ".data", ".comment", ".interp"];

/// Fills in what is known of the difference between two ELF files.
pub(super) fn look(member: &mut Member, object: Option<&str>, files: [&[u8]; 2], notes: &mut Vec<String>) {
    let (Some(a), Some(b)) = (Image::read(files[0]), Image::read(files[1])) else {
        notes.push(format!("{}: not a 64-bit ELF file that can be read; compared as bytes", member.path));
        member.strings.extend(strings::compare(files[0], files[1], object));
        return;
    };
    let mut budget = Budget { left: 4 * (files[0].len() + files[1].len()) as u64, spent: false };
    sections(member, object, &a, &b, &mut budget);
    symbols::compare(member, object, &a, &b, &mut budget, notes);
    texts(member, object, &a, &b, &mut budget);
    if budget.spent {
        notes.push(format!("{}: its sections or symbols overlap; not all of them were compared", member.path));
    }
}

/// How many more bytes are looked at. Honest files need their own size two or three times; headers that lie could ask for more.
pub(super) struct Budget {
    left: u64,
    spent: bool,
}

impl Budget {
    /// Whether that many bytes may be looked at.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => self.left = left,
            None => self.spent = true,
        }
        !self.spent
    }
}

fn sections(member: &mut Member, object: Option<&str>, a: &Image<'_>, b: &Image<'_>, budget: &mut Budget) {
    let mut found = Vec::new();
    for (name, pair) in paired(a, b) {
        let sizes = pair.map(|section| section.map(|section| section.size));
        let (differing, hex) = match pair {
            [Some(x), Some(y)] => {
                if !budget.take(x.data.len() + y.data.len()) {
                    break;
                }
                match hex::first_difference(x.data, y.data) {
                    None if x.size == y.size => continue,
                    None => (x.size.abs_diff(y.size), None),
                    Some(at) => (hex::differing(x.data, y.data), Some(hex::around(x.data, y.data, at, [x.offset, y.offset]))),
                }
            }
            [x, y] => (x.or(y).map_or(0, |section| section.size), None),
        };
        let follows = follows(&name, pair);
        found.push(Section { object: object.map(str::to_owned), name, sizes, differing, follows, hex });
    }
    found.sort_by_key(|section| (section.follows, TEXTS.iter().position(|text| *text == section.name).unwrap_or(TEXTS.len())));
    let room = TOLD.saturating_sub(member.sections.len());
    member.sections.extend(found.into_iter().take(room));
}

/// Sections of both files by name, the n-th of a name with the n-th.
fn paired<'a, 'b>(a: &'b Image<'a>, b: &'b Image<'a>) -> BTreeMap<String, [Option<&'b Found<'a>>; 2]> {
    let mut pairs: BTreeMap<String, [Option<&Found<'_>>; 2]> = BTreeMap::new();
    for (side, image) in [a, b].into_iter().enumerate() {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for section in &image.sections {
            let n = count.entry(&section.name).or_default();
            *n += 1;
            let name = if *n == 1 { section.name.clone() } else { format!("{} ({n})", section.name) };
            pairs.entry(name).or_default()[side] = Some(section);
        }
    }
    pairs
}

/// Whether a section only reflects the others: identity, names, unwinding, relocations, debug information.
fn follows(name: &str, pair: [Option<&Found<'_>>; 2]) -> bool {
    let kind = pair.into_iter().flatten().map(|section| section.kind).next();
    let by_kind = matches!(kind, Some(SectionKind::Metadata | SectionKind::Debug | SectionKind::DebugString));
    let prefixes =
        [".note.", ".eh_frame", ".gcc_except_table", ".rela", ".rel.", ".symtab", ".strtab", ".shstrtab", ".dyn", ".gnu", ".debug"];
    (by_kind && name != ".comment") || (prefixes.iter().any(|prefix| name.starts_with(prefix)))
}

/// Text of the data sections that differs, and which function points to it.
fn texts(member: &mut Member, object: Option<&str>, a: &Image<'_>, b: &Image<'_>, budget: &mut Budget) {
    let mut references: Option<[References; 2]> = None;
    let mut seen = BTreeSet::new();
    for (name, pair) in paired(a, b) {
        let [Some(x), Some(y)] = pair else { continue };
        let is_text = TEXTS.iter().any(|text| name == *text || name.strip_prefix(text).is_some_and(|rest| rest.starts_with('.')));
        if !is_text || x.data == y.data || !budget.take(x.data.len() + y.data.len()) {
            continue;
        }
        for found in strings::differences(x.data, y.data) {
            let section = match object {
                Some(object) => format!("{name} of {object}"),
                None => name.clone(),
            };
            let places = [(a, x, found.at[0]), (b, y, found.at[1])];
            let [of_a, of_b] = references.get_or_insert_with(|| [References::of(a), References::of(b)]);
            let used_by = places
                .into_iter()
                .zip([&*of_a, &*of_b])
                .find_map(|((image, section, at), references)| references.user(image, section.address.checked_add(at? as u64)?));
            if seen.insert(found.text.clone()) {
                member.strings.push(Text { section: Some(section), text: found.text, used_by });
            }
        }
    }
    let rank = |text: &Text| TEXTS.iter().position(|known| text.section.as_deref() == Some(known)).unwrap_or(TEXTS.len());
    member.strings.sort_by_key(rank);
    member.strings.truncate(strings::TOLD);
}
