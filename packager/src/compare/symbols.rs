//! Functions and statics that differ, by name; in files without names, by the bounds that unwinding tables give.

use std::collections::{BTreeMap, BTreeSet};

use gimli::{BaseAddresses, EhFrameHdr, LittleEndian, Pointer};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::elf::Budget;
use super::image::{Image, Symbol as Found, part};
use super::moved::{Piece, only_addresses};
use super::report::{Change, Member, Symbol, SymbolKind};
use super::{blame, hex, location};

/// Symbols told of one file.
const TOLD: usize = 200;
/// Functions without names that are aligned by size; the algorithm's worst case is quadratic in them.
const ALIGNED: usize = 20_000;

/// Fills in the symbols of `member` that differ, and counts those that only moved.
pub(super) fn compare(
    member: &mut Member,
    object: Option<&str>,
    a: &Image<'_>,
    b: &Image<'_>,
    budget: &mut Budget,
    notes: &mut Vec<String>,
) {
    let has_names = |image: &Image<'_>| image.symbols.iter().any(|symbol| symbol.kind == SymbolKind::Function);
    let mut found = Vec::new();
    if has_names(a) && has_names(b) {
        named(object, a, b, budget, member, &mut found);
    } else if !a.is_object && !b.is_object {
        let before = notes.len();
        unnamed(a, b, budget, member, &mut found, notes);
        if notes.len() == before {
            notes.push(format!("{}: no names in it (stripped); functions are told by address and panic location", member.path));
        }
    }
    // Changed bodies before new and lost ones; within those, the project's own before the standard library's.
    found.sort_by_key(|symbol| {
        let one_sided = symbol.change != Change::Bytes;
        let standard = match (symbol.kind, &symbol.location) {
            (SymbolKind::Unnamed, location) => location.as_deref().is_none_or(blame::is_standard_path),
            _ => symbol.krate.as_deref().is_none_or(blame::is_standard),
        };
        (one_sided, standard, symbol.kind == SymbolKind::Static)
    });
    let room = TOLD.saturating_sub(member.symbols.len());
    if found.len() > room {
        notes.push(format!("{}: {} functions and statics differ; {room} are told", member.path, found.len()));
    }
    member.symbols.extend(found.into_iter().take(room));
}

fn named(object: Option<&str>, a: &Image<'_>, b: &Image<'_>, budget: &mut Budget, member: &mut Member, found: &mut Vec<Symbol>) {
    // First by the exact name, then, among those left over, by the name without hash.
    let mut left: BTreeMap<&[u8], Vec<&Found<'_>>> = BTreeMap::new();
    for symbol in b.symbols.iter().rev() {
        left.entry(symbol.key).or_default().push(symbol);
    }
    let mut pairs = Vec::new();
    let mut single = Vec::new();
    for symbol in &a.symbols {
        match left.get_mut(symbol.key).and_then(Vec::pop) {
            Some(other) => pairs.push((symbol, other)),
            None => single.push(symbol),
        }
    }
    let mut rest: BTreeMap<&str, Vec<&Found<'_>>> = BTreeMap::new();
    for symbol in left.into_values().flatten() {
        rest.entry(&symbol.name).or_default().push(symbol);
    }
    for symbol in single {
        match rest.get_mut(symbol.name.as_str()).and_then(Vec::pop) {
            Some(other) => pairs.push((symbol, other)),
            None => found.push(told(object, a, [Some(symbol), None])),
        }
    }
    found.extend(rest.into_values().flatten().map(|symbol| told(object, b, [None, Some(symbol)])));
    // Aliases of one function are one.
    let mut seen = BTreeSet::new();
    for (x, y) in pairs {
        if x.data == y.data || !seen.insert((x.address, x.section, y.address)) {
            continue;
        }
        if !budget.take(x.data.len() + y.data.len()) {
            return;
        }
        if only_addresses(a, Piece { address: x.address, data: x.data }, b, Piece { address: y.address, data: y.data }) {
            member.moved += 1;
        } else {
            found.push(told(object, a, [Some(x), Some(y)]));
        }
    }
}

/// Pairs functions by their order and size. Calls between them can be followed, since both sides then name them alike.
fn unnamed(a: &Image<'_>, b: &Image<'_>, budget: &mut Budget, member: &mut Member, found: &mut Vec<Symbol>, notes: &mut Vec<String>) {
    let (mut x, mut y) = (functions(a), functions(b));
    if x.is_empty() || y.is_empty() {
        return;
    }
    if x.len() == y.len() {
        (0..x.len()).for_each(|at| pair_up(&mut x, &mut y, at, at));
    } else if x.len().max(y.len()) <= ALIGNED {
        let sizes = |list: &[Found<'_>]| list.iter().map(|function| function.size).collect::<Vec<_>>();
        for op in capture_diff_slices(Algorithm::Myers, &sizes(&x), &sizes(&y)) {
            let (old, new) = (op.old_range(), op.new_range());
            if matches!(op, DiffOp::Equal { .. }) || old.len() == new.len() {
                old.zip(new).for_each(|(i, j)| pair_up(&mut x, &mut y, i, j));
            }
        }
    } else {
        notes.push(format!("{}: {} and {} functions without names, too many to align", member.path, x.len(), y.len()));
        return;
    }
    let by_name: BTreeMap<String, Found<'_>> = y.iter().map(|function| (function.name.clone(), function.clone())).collect();
    let (a, b) = (a.with_symbols(x), b.with_symbols(y));
    for x in &a.symbols {
        let Some(y) = by_name.get(&x.name).filter(|_| x.name.starts_with('#')) else {
            found.push(told(None, &a, [Some(x), None]));
            continue;
        };
        if x.data == y.data || !budget.take(x.data.len() + y.data.len()) {
            continue;
        }
        if only_addresses(&a, Piece { address: x.address, data: x.data }, &b, Piece { address: y.address, data: y.data }) {
            member.moved += 1;
        } else {
            found.push(told(None, &a, [Some(x), Some(y)]));
        }
    }
    found.extend(b.symbols.iter().filter(|y| !y.name.starts_with('#')).map(|y| told(None, &b, [None, Some(y)])));
}

fn pair_up(x: &mut [Found<'_>], y: &mut [Found<'_>], i: usize, j: usize) {
    x[i].name = format!("#{i}");
    y[j].name = format!("#{i}");
}

/// Functions by the search table of `.eh_frame_hdr` (Linux Standard Base, 10.6.2): each begins where the table says and ends where the
/// next begins.
fn functions<'a>(image: &Image<'a>) -> Vec<Found<'a>> {
    let Some(section) = image.section(".eh_frame_hdr") else { return Vec::new() };
    let bases = BaseAddresses::default().set_eh_frame_hdr(section.address);
    let Ok(header) = EhFrameHdr::new(section.data, LittleEndian).parse(&bases, 8) else { return Vec::new() };
    let mut starts = BTreeSet::new();
    if let Some(table) = header.table() {
        let mut entries = table.iter(&bases);
        while let Ok(Some((Pointer::Direct(start), _))) = entries.next() {
            starts.insert(start);
        }
    }
    let ends = starts.iter().skip(1).copied().chain([u64::MAX]);
    let function = |(start, end): (&u64, u64)| {
        let section = image.section_at(*start)?;
        let size = end.min(section.address.checked_add(section.size)?) - start;
        let data = part(section.data, start - section.address, size)?;
        Some(Found { key: b"", name: String::new(), kind: SymbolKind::Unnamed, address: *start, size, section: 0, data })
    };
    starts.iter().zip(ends).filter_map(function).collect()
}

/// What is told of a symbol; `image` is the one of the first side that has it.
fn told(object: Option<&str>, image: &Image<'_>, pair: [Option<&Found<'_>>; 2]) -> Symbol {
    let [x, y] = pair;
    let symbol = x.or(y);
    let (name, kind) = symbol.map_or((String::new(), SymbolKind::Function), |symbol| (symbol.name.clone(), symbol.kind));
    let location = symbol.filter(|_| kind != SymbolKind::Static).and_then(|symbol| location::of(image, symbol.address, symbol.data));
    // Of a function with a name, the standard library's code in it says nothing.
    let location = location.filter(|location| kind == SymbolKind::Unnamed || !blame::is_standard_path(location));
    let (offset, hex, change) = match (x, y) {
        (Some(x), Some(y)) => {
            let at = hex::first_difference(x.data, y.data);
            let bases = [x.address, y.address];
            (at.map(|at| at as u64), at.map(|at| hex::around(x.data, y.data, at, bases)), Change::Bytes)
        }
        (Some(_), None) => (None, None, Change::OnlyFirst),
        _ => (None, None, Change::OnlySecond),
    };
    let (name, krate) = if kind == SymbolKind::Unnamed {
        let address = symbol.map_or(0, |symbol| symbol.address);
        (format!("function at {address:#x}"), location.as_deref().and_then(blame::of_text))
    } else {
        let krate = blame::of_symbol(&name);
        (name, krate)
    };
    let mentions = symbol.filter(|_| kind == SymbolKind::Unnamed).map(|symbol| location::mentions(image, symbol.address, symbol.data));
    Symbol {
        object: object.map(str::to_owned),
        name,
        kind,
        change,
        krate,
        addresses: pair.map(|symbol| symbol.map(|symbol| symbol.address)),
        sizes: pair.map(|symbol| symbol.map(|symbol| symbol.size)),
        offset,
        hex,
        location,
        mentions: mentions.unwrap_or_default(),
    }
}

/// Which code points where.
pub(super) struct References {
    /// Target, and the place that points to it; sorted.
    found: Vec<(u64, u64)>,
}

/// References of one section that are kept.
const REFERENCES: usize = 2_000_000;
/// Farthest that text can be from the address that code takes of it.
const NEAR: u64 = 4096;

impl References {
    /// All that a linked x86-64 file has; none for others.
    pub(super) fn of(image: &Image<'_>) -> Self {
        let mut found = Vec::new();
        if image.is_x86_64 && !image.is_object {
            found.extend(image.pointers().map(|(place, target)| (target, place)));
            for section in image.sections.iter().filter(|section| section.kind == object::SectionKind::Text) {
                let here = location::targets(section.address, section.data).map(|(place, target)| (target, place));
                found.extend(here.take(REFERENCES));
            }
        }
        found.sort_unstable();
        Self { found }
    }

    /// The function that points to what begins at or shortly before `address`, through one table of pointers at most.
    pub(super) fn user(&self, image: &Image<'_>, address: u64) -> Option<String> {
        let place = self.place(address)?;
        let name = |place: u64| image.symbol_at(place).map(|(symbol, _)| symbol.name.clone());
        name(place).or_else(|| name(self.place(place)?))
    }

    fn place(&self, address: u64) -> Option<u64> {
        let after = self.found.partition_point(|(target, _)| *target <= address);
        let (target, place) = self.found[after.checked_sub(1)?];
        (address - target <= NEAR).then_some(place)
    }
}
