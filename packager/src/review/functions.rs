//! Programs that differ: which functions came and went, by the symbols; where a program has none, by its words and the ledger's markers.
//!
//! Functions of dependencies and of the standard library are counted and not listed: they change with every version. It never says that two
//! programs behave alike: only their bytes can say that.

use std::collections::BTreeSet;

use memchr::memmem;
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use proofmark_core::manifest::FileMode;
use proofmark_core::name::MemberPath;
use serde::Serialize;

use super::flags::Told;
use super::inputs;
use crate::contents::Contents;

/// Names that are kept of each list.
const KEPT: usize = 400;
/// Shortest word of a stripped program that is compared, bytes.
const WORD: usize = 6;

/// A program that differs.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramChange {
    /// Path in the payload's root.
    pub path: String,
    /// `new`, `gone`, `changed`.
    pub what: &'static str,
    /// Bytes before and after.
    pub size: (u64, u64),
    /// `functions`, or `words` where a program has no symbols.
    pub by: &'static str,
    /// Of the project itself: those that are gone.
    pub removed: Vec<String>,
    /// Of the project itself: those that came.
    pub added: Vec<String>,
    /// How many of dependencies and the standard library went and came.
    pub others: (usize, usize),
    /// Markers of the ledger's flags that are gone or came: `"power peg" of flag 7 is gone`.
    pub markers: Vec<String>,
}

/// Compares the programs of two bundles. Of a bundle that follows none, there is nothing to say that its size does not.
pub(super) fn changes(before: Option<&Contents>, after: &Contents, told: &Told) -> Vec<ProgramChange> {
    let paths = |contents: &Contents| -> BTreeSet<MemberPath> {
        contents.manifest.files.iter().filter(|file| file.mode == FileMode::Program).map(|file| file.path.clone()).collect()
    };
    let (old, new) = (before.map(paths).unwrap_or_default(), paths(after));
    let mut out = Vec::new();
    for path in old.union(&new) {
        let find = |contents: Option<&Contents>| {
            contents?.manifest.files.iter().find(|file| file.path == *path).map(|file| (file.size, file.sha256))
        };
        let (was, is) = (find(before), find(Some(after)));
        let what = match (was, is) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "gone",
            (None, _) => "new",
        };
        let (a, b) = (bytes(before, path), bytes(Some(after), path));
        let mut change = ProgramChange {
            path: path.as_str().strip_prefix("root/").unwrap_or(path.as_str()).to_owned(),
            what,
            size: (was.map_or(0, |was| was.0), is.map_or(0, |is| is.0)),
            by: "functions",
            removed: Vec::new(),
            added: Vec::new(),
            others: (0, 0),
            markers: markers(a, b, told),
        };
        if let (Some(a), Some(b)) = (a, b) {
            let foreign: BTreeSet<String> = before.into_iter().chain([after]).flat_map(inputs::crate_names).collect();
            compare(a, b, &foreign, &mut change);
        }
        out.push(change);
    }
    out
}

fn bytes<'a>(contents: Option<&'a Contents>, path: &MemberPath) -> Option<&'a [u8]> {
    contents?.programs.get(path).map(Vec::as_slice)
}

fn compare(a: &[u8], b: &[u8], foreign: &BTreeSet<String>, change: &mut ProgramChange) {
    let (old, new) = match (functions(a), functions(b)) {
        (Some(old), Some(new)) => (old, new),
        _ => {
            change.by = "words";
            (words(a), words(b))
        }
    };
    let list = |of: &BTreeSet<String>, without: &BTreeSet<String>| {
        let (own, others): (Vec<&String>, Vec<&String>) = of.difference(without).partition(|name| is_own(name, foreign));
        (own.into_iter().take(KEPT).cloned().collect::<Vec<String>>(), others.len())
    };
    let (removed, gone) = list(&old, &new);
    let (added, came) = list(&new, &old);
    (change.removed, change.added, change.others) = (removed, added, (gone, came));
}

/// Names of the functions in the symbol table, without the hashes of the compiler; `None` where there is no table.
fn functions(program: &[u8]) -> Option<BTreeSet<String>> {
    let file = object::File::parse(program).ok()?;
    let mut names = BTreeSet::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition()) {
        let Ok(name) = symbol.name() else { continue };
        names.insert(format!("{:#}", rustc_demangle::demangle(name)));
    }
    (!names.is_empty()).then_some(names)
}

/// Words in the constants of a program without symbols.
fn words(program: &[u8]) -> BTreeSet<String> {
    let section = object::File::parse(program).ok().and_then(|file| file.section_by_name(".rodata")?.data().ok().map(<[u8]>::to_vec));
    let bytes = section.as_deref().unwrap_or(program);
    let word = |part: &[u8]| {
        String::from_utf8(part.to_vec()).ok().filter(|word| word.len() >= WORD && word.bytes().any(|b| b.is_ascii_lowercase()))
    };
    bytes.split(|b| !b.is_ascii_alphanumeric() && *b != b'_').filter_map(word).collect()
}

/// Whether a function is the project's own: the first crate in its name is none of the locked ones, and not the standard library's. Code that
/// the compiler makes for each type, and closures, are no functions that a reviewer knows.
fn is_own(name: &str, foreign: &BTreeSet<String>) -> bool {
    const STANDARD: [&str; 8] = ["std", "core", "alloc", "compiler_builtins", "panic_unwind", "panic_abort", "rustc_demangle", "hashbrown"];
    if name.contains(['{', '\u{1b}']) {
        return false;
    }
    let Some((first, _)) = name.trim_start_matches(['<', '&', '[']).trim_start_matches("dyn ").trim_start_matches("mut ").split_once("::")
    else {
        // C has no crates; a stripped program has only words.
        return !name.contains(['<', '(']) && !name.starts_with('_') && foreign.is_empty();
    };
    !STANDARD.contains(&first) && !foreign.contains(first)
}

fn markers(a: Option<&[u8]>, b: Option<&[u8]>, told: &Told) -> Vec<String> {
    let has = |bytes: Option<&[u8]>, marker: &str| bytes.is_some_and(|bytes| memmem::find(bytes, marker.as_bytes()).is_some());
    let mut out = Vec::new();
    for (id, row) in told {
        for marker in &row.markers {
            let word = match (has(a, marker), has(b, marker)) {
                (true, false) => "is gone",
                (false, true) => "came",
                _ => continue,
            };
            out.push(format!("{marker:?} of flag {id} {word}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_own_functions_are_told_from_those_of_crates_and_of_the_standard_library() {
        let foreign: BTreeSet<String> = ["serde_json".to_owned()].into();
        for own in [
            "routing::strategy::retail",
            "<routing::strategy::PowerPeg as routing::plan::Strategy>::next",
            "<&routing::Flag as core::fmt::Debug>::fmt",
        ] {
            assert!(is_own(own, &foreign), "{own}");
        }
        for other in [
            "core::ptr::drop_in_place",
            "<std::io::Stdin as std::io::Read>::read",
            "serde_json::from_str",
            "routing::a::{{closure}}",
            "mi_malloc",
        ] {
            assert!(!is_own(other, &foreign), "{other}");
        }
    }

    #[test]
    fn a_program_without_symbols_is_compared_by_its_words() {
        let mut change = ProgramChange {
            path: "bin/a".into(),
            what: "changed",
            size: (0, 0),
            by: "functions",
            removed: vec![],
            added: vec![],
            others: (0, 0),
            markers: vec![],
        };
        compare(b"\x7fELF power peg: child_order sent\0common", b"\x7fELF retail: programme\0common", &BTreeSet::new(), &mut change);
        assert_eq!(
            (change.by, change.removed, change.added),
            ("words", vec!["child_order".into()], vec!["programme".into(), "retail".into()])
        );
    }
}
