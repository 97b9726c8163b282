//! One ELF file in memory: what is at an address, which name it has, and where its pointers lead.
//!
//! The file is hostile. Nothing is decompressed, counts are capped, and a section or symbol that leads nowhere is one that is not there.

use std::collections::BTreeMap;

use object::read::elf::ElfFile64;
use object::{Architecture, Endianness, Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionKind, elf};

use super::report::SymbolKind;
use crate::text;

/// Sections that are looked at.
const SECTIONS: usize = 100_000;
/// Symbols that are looked at.
const SYMBOLS: usize = 500_000;
/// Relocations that are looked at.
const RELOCATIONS: usize = 1_000_000;
/// Longest name that is demangled, bytes, and longest that is shown, characters.
const NAME: usize = 4096;
const SHOWN: usize = 240;

/// An ELF file.
#[derive(Clone)]
pub(super) struct Image<'a> {
    pub(super) sections: Vec<Section<'a>>,
    /// Functions and statics with a size, by address.
    pub(super) symbols: Vec<Symbol<'a>>,
    /// Pointers that the loader fills in: where they are, and what they will point to.
    pointers: BTreeMap<u64, u64>,
    /// Indexes of the sections that are in memory, by address.
    mapped: Vec<usize>,
    /// A relocatable object: addresses are offsets in sections, and code holds none.
    pub(super) is_object: bool,
    pub(super) is_x86_64: bool,
}

/// A section.
#[derive(Clone)]
pub(super) struct Section<'a> {
    pub(super) name: String,
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
    pub(super) data: &'a [u8],
    pub(super) kind: SectionKind,
}

/// A function or static.
#[derive(Clone)]
pub(super) struct Symbol<'a> {
    /// As it is in the file: the same only for the same compiler and crate versions.
    pub(super) key: &'a [u8],
    pub(super) name: String,
    pub(super) kind: SymbolKind,
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) section: usize,
    pub(super) data: &'a [u8],
}

impl<'a> Image<'a> {
    /// Reads headers, symbols and relocations; `None` if that cannot be done.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let file = ElfFile64::<Endianness>::parse(bytes).ok()?;
        let mut sections = Vec::new();
        let mut by_index = BTreeMap::new();
        for section in file.sections().take(SECTIONS) {
            by_index.insert(section.index().0, sections.len());
            sections.push(Section {
                name: demangled(section.name_bytes().unwrap_or_default()),
                address: section.address(),
                size: section.size(),
                offset: section.file_range().map_or(0, |(offset, _)| offset),
                // Not `uncompressed_data`: a small file could hold a very large one.
                data: section.data().unwrap_or_default(),
                kind: section.kind(),
            });
        }
        let is_object = file.kind() == object::ObjectKind::Relocatable;
        let mut symbols = Vec::new();
        for symbol in file.symbols().take(SYMBOLS) {
            let kind = match symbol.kind() {
                object::SymbolKind::Text => SymbolKind::Function,
                object::SymbolKind::Data => SymbolKind::Static,
                _ => continue,
            };
            let index = symbol.section_index().and_then(|index| by_index.get(&index.0).copied());
            let (Some(index), Ok(key)) = (index, symbol.name_bytes()) else { continue };
            let (address, size): (u64, u64) = (symbol.address(), symbol.size());
            let section: &Section<'a> = &sections[index];
            let start = if is_object { Some(address) } else { address.checked_sub(section.address) };
            let Some(data) = start.and_then(|start| part(section.data, start, size)) else { continue };
            if size > 0 && !key.is_empty() {
                symbols.push(Symbol { key, name: demangled(key), kind, address, size, section: index, data });
            }
        }
        // In an object, addresses begin anew in each section.
        let section = |symbol: &Symbol<'_>| if is_object { symbol.section } else { 0 };
        symbols.sort_by(|a, b| (section(a), a.address, a.size, a.key).cmp(&(section(b), b.address, b.size, b.key)));
        let mut pointers = BTreeMap::new();
        for (place, relocation) in file.dynamic_relocations().into_iter().flatten().take(RELOCATIONS) {
            let is_relative = matches!(
                relocation.flags(),
                RelocationFlags::Elf { r_type } if r_type == elf::R_X86_64_RELATIVE || r_type == elf::R_AARCH64_RELATIVE
            );
            if is_relative || relocation.target() == RelocationTarget::Absolute {
                pointers.insert(place, relocation.addend().cast_unsigned());
            }
        }
        let mut mapped: Vec<usize> = (0..sections.len()).filter(|&at| !is_object && sections[at].address > 0).collect();
        mapped.sort_by_key(|&at| (sections[at].address, at));
        Some(Self { sections, symbols, pointers, mapped, is_object, is_x86_64: file.architecture() == Architecture::X86_64 })
    }

    /// The section that an address is in.
    pub(super) fn section_at(&self, address: u64) -> Option<&Section<'a>> {
        let after = self.mapped.partition_point(|&at| self.sections[at].address <= address);
        let section = &self.sections[self.mapped[after.checked_sub(1)?]];
        (address - section.address < section.size).then_some(section)
    }

    /// Bytes from an address on; fewer where the section ends.
    pub(super) fn bytes_at(&self, address: u64) -> Option<&'a [u8]> {
        let section = self.section_at(address)?;
        section.data.get(usize::try_from(address - section.address).ok()?..)
    }

    /// The symbol that an address is in, and how far.
    pub(super) fn symbol_at(&self, address: u64) -> Option<(&Symbol<'a>, u64)> {
        if self.is_object {
            return None;
        }
        let after = self.symbols.partition_point(|symbol| symbol.address <= address);
        let mut first = after.checked_sub(1)?;
        while first > 0 && self.symbols[first - 1].address == self.symbols[first].address && after - first < 16 {
            first -= 1;
        }
        let symbol = &self.symbols[first];
        let into = address.checked_sub(symbol.address)?;
        (into < symbol.size).then_some((symbol, into))
    }

    /// What the pointer at an address will point to.
    pub(super) fn pointer_at(&self, address: u64) -> Option<u64> {
        self.pointers.get(&address).copied()
    }

    /// All pointers that the loader fills in: place and target.
    pub(super) fn pointers(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.pointers.iter().map(|(place, target)| (*place, *target))
    }

    /// The same file with other symbols, which are sorted by address.
    pub(super) fn with_symbols(&self, symbols: Vec<Symbol<'a>>) -> Self {
        Self { symbols, ..self.clone() }
    }

    /// The section of this name.
    pub(super) fn section(&self, name: &str) -> Option<&Section<'a>> {
        self.sections.iter().find(|section| section.name == name)
    }
}

/// Part of `data`, if it is all there.
pub(super) fn part(data: &[u8], start: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(start).ok()?;
    data.get(start..start.checked_add(usize::try_from(size).ok()?)?)
}

/// A name as people know it: demangled, without hash, harmless, cut. Works on section names such as `.text.SYMBOL` too.
pub(super) fn demangled(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(&name[..name.len().min(NAME)]);
    let (prefix, symbol) = match name.find("._ZN").or_else(|| name.find("._R")) {
        Some(at) => name.split_at(at + 1),
        None => ("", &*name),
    };
    let plain = match rustc_demangle::try_demangle(symbol) {
        Ok(found) => format!("{prefix}{found:#}"),
        Err(_) => name.into_owned(),
    };
    let plain = text::one_line(&plain);
    match plain.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &plain[..at]),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_hash_and_their_mangling() {
        assert_eq!(demangled(b"_ZN7routing4desk5enter17h0123456789abcdefE"), "routing::desk::enter");
        assert_eq!(demangled(b".text._ZN7routing4desk5enter17h0123456789abcdefE"), ".text.routing::desk::enter");
        assert_eq!(demangled(b"_RNvNtCs1234_7mycrate3foo3bar"), "mycrate::foo::bar");
        assert_eq!(demangled(b"memcpy"), "memcpy");
        assert_eq!(demangled(b"a\x1b[2J"), "a\\u{1b}[2J");
        assert!(demangled(&[b'x'; 9999]).len() < 300);
    }
}
