//! Whether two builds are one: byte for byte, and where not, what differs and why it probably does.
//!
//! The verdict is `Report::is_identical`, and it looks at nothing but bytes. Sections, strings and causes are for the reader;
//! they must never turn a difference into a match.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};
use serde::Serialize;

use crate::exit::{IoContext, IoError};
use crate::files;
use crate::text;

mod cause;

pub use cause::Cause;

/// The comparison of two sets of files.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What differs among the outputs, by path.
    pub differences: Vec<Difference>,
    /// Files made on the way that differ: libraries, and what build scripts wrote. They name the crate to blame.
    pub blame: Vec<Blame>,
}

/// One file that differs.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Its path among the outputs.
    pub path: String,
    /// How.
    pub kind: Kind,
}

/// How a file differs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Kind {
    /// It is in the first set only.
    OnlyFirst,
    /// It is in the second set only.
    OnlySecond,
    /// Both have it, with other bytes.
    Bytes {
        /// Sizes of both, in bytes.
        sizes: [u64; 2],
        /// Offset of the first byte that differs.
        offset: u64,
        /// ELF section of that byte in the first file.
        section: Option<String>,
        /// Printable text around that byte, in each file.
        strings: [Option<String>; 2],
        /// What is likely behind it.
        cause: Cause,
    },
}

/// A file made on the way that differs.
#[derive(Debug, Clone, Serialize)]
pub struct Blame {
    /// Crate.
    pub krate: String,
    /// What of it: its library, or what its build script wrote.
    pub path: String,
    /// Text around the first byte that differs.
    pub strings: [Option<String>; 2],
}

impl Report {
    /// Nothing differs.
    pub fn is_identical(&self) -> bool {
        self.differences.is_empty()
    }

    /// The report in words, one fact a line.
    pub fn words(&self) -> String {
        let mut out = Vec::new();
        for Difference { path, kind } in &self.differences {
            match kind {
                Kind::OnlyFirst => out.push(format!("{path}: made by the first build only")),
                Kind::OnlySecond => out.push(format!("{path}: made by the second build only")),
                Kind::Bytes { sizes, offset, section, strings, cause } => {
                    let section = section.as_ref().map_or(String::new(), |name| format!(" in section {name}"));
                    let sizes = if sizes[0] == sizes[1] { String::new() } else { format!(" ({} and {} bytes)", sizes[0], sizes[1]) };
                    out.push(format!("{path}: differs from offset {offset:#x}{section}{sizes}"));
                    for (build, string) in ["first", "second"].iter().zip(strings) {
                        out.extend(string.as_ref().map(|string| format!("  {build:6} {string:?}")));
                    }
                    out.push(format!("  likely {cause}"));
                }
            }
        }
        for Blame { krate, path, strings } in self.blame.iter().take(8) {
            out.push(format!("crate {krate}: {path} differs"));
            for (build, string) in ["first", "second"].iter().zip(strings) {
                out.extend(string.as_ref().map(|string| format!("  {build:6} {string:?}")));
            }
        }
        out.join("\n")
    }
}

/// Compares outputs: pairs of the path they are known by and the file, for each build.
pub fn compare(first: &[(String, PathBuf)], second: &[(String, PathBuf)]) -> Result<Report, IoError> {
    let (first, second): (BTreeMap<_, _>, BTreeMap<_, _>) = (first.iter().cloned().collect(), second.iter().cloned().collect());
    let mut differences = Vec::new();
    for (path, a) in &first {
        match second.get(path) {
            None => differences.push(Difference { path: path.clone(), kind: Kind::OnlyFirst }),
            Some(b) => differences.extend(compare_files(a, b)?.map(|kind| Difference { path: path.clone(), kind })),
        }
    }
    differences.extend(
        second.keys().filter(|path| !first.contains_key(*path)).map(|path| Difference { path: path.clone(), kind: Kind::OnlySecond }),
    );
    Ok(Report { differences, blame: Vec::new() })
}

/// Looks through cargo's two output directories for the crates whose files differ. Only called when something does.
pub fn blame(first: &Path, second: &Path) -> Result<Vec<Blame>, IoError> {
    let mut found = Vec::new();
    for path in files::regular_below(first)? {
        let Some(krate) = crate_of(&path) else { continue };
        let other = second.join(&path);
        if !other.is_file() {
            continue;
        }
        if let Some(Kind::Bytes { strings, .. }) = compare_files(&first.join(&path), &other)? {
            found.push(Blame { krate, path: path.display().to_string(), strings });
        }
    }
    // What a build script wrote is nearer to the cause than a library made from it.
    found.sort_by_key(|blame| (!blame.path.contains("/out/"), blame.path.clone()));
    Ok(found)
}

/// The crate of a file in cargo's output directory: `.../deps/libNAME-HASH.rlib`, or `.../build/NAME-HASH/out/...` and `output`.
fn crate_of(path: &Path) -> Option<String> {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
    let name = |part: &str| part.rsplit_once('-').map(|(name, _)| name.to_owned());
    if let Some(at) = parts.iter().position(|part| *part == "build") {
        return match parts.get(at + 2) {
            Some(&"out" | &"output") => name(parts[at + 1]),
            _ => None,
        };
    }
    let file = parts.last()?;
    (parts.contains(&"deps") && (file.ends_with(".rlib") || file.ends_with(".so")))
        .then(|| name(file.strip_prefix("lib").unwrap_or(file)))?
}

fn compare_files(a: &Path, b: &Path) -> Result<Option<Kind>, IoError> {
    let (a, b) = (std::fs::read(a).at("read", a)?, std::fs::read(b).at("read", b)?);
    if a == b {
        return Ok(None);
    }
    let offset = a.iter().zip(&b).position(|(x, y)| x != y).unwrap_or(a.len().min(b.len()));
    // The first difference may be a header or build id that only follows from another: prefer one inside a section with content.
    let (offset, section) = telling_offset(&a, &b).unwrap_or((offset, section_at(&a, offset)));
    let strings = [string_at(&a, offset), string_at(&b, offset)];
    let cause = cause::guess(section.as_deref(), &strings, a.len() == b.len());
    Ok(Some(Kind::Bytes { sizes: [a.len() as u64, b.len() as u64], offset: offset as u64, section, strings, cause }))
}

/// The first difference inside the contents of one ELF section, most telling sections first: constants before code before notes.
fn telling_offset(a: &[u8], b: &[u8]) -> Option<(usize, Option<String>)> {
    let (first, second) = (object::File::parse(a).ok()?, object::File::parse(b).ok()?);
    let mut found = Vec::new();
    for section in first.sections() {
        let (Ok(name), Some((start, _))) = (section.name(), section.file_range()) else { continue };
        let other = second.section_by_name(name)?;
        let (Ok(x), Ok(y)) = (section.data(), other.data()) else { continue };
        let differs = x.iter().zip(y).position(|(x, y)| x != y).or((x.len() != y.len()).then_some(x.len().min(y.len())));
        if let Some(at) = differs {
            // The same offset must make sense in both files for the strings to be comparable.
            let shifted = other.file_range().is_none_or(|(other, _)| other != start);
            let rank = [".rodata", ".data.rel.ro", ".data", ".comment", ".text"].iter().position(|known| *known == name).unwrap_or(9);
            found.push((shifted, rank, start as usize + at, name.to_owned()));
        }
    }
    found.sort();
    found.into_iter().next().map(|(_, _, offset, name)| (offset, Some(name)))
}

fn section_at(file: &[u8], offset: usize) -> Option<String> {
    let file = object::File::parse(file).ok()?;
    let holds = |range: Option<(u64, u64)>| range.is_some_and(|(start, size)| (start..start + size).contains(&(offset as u64)));
    file.sections().find(|section| holds(section.file_range())).and_then(|section| section.name().ok().map(str::to_owned))
}

/// The printable text around `offset`, if it is at least four characters long; at most 60 on each side.
fn string_at(file: &[u8], offset: usize) -> Option<String> {
    let printable = |byte: &u8| (0x20..0x7f).contains(byte);
    let before = file.get(..offset)?.iter().rev().take(60).take_while(|byte| printable(byte)).count();
    let after = file.get(offset..)?.iter().take(60).take_while(|byte| printable(byte)).count();
    let found = &file[offset - before..offset + after];
    (found.len() >= 4).then(|| text::one_line(&String::from_utf8_lossy(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &[u8], b: &[u8]) -> Report {
        let dir = tempfile::tempdir().unwrap();
        let (x, y) = (dir.path().join("x"), dir.path().join("y"));
        std::fs::write(&x, a).unwrap();
        std::fs::write(&y, b).unwrap();
        compare(&[("bin/p".into(), x)], &[("bin/p".into(), y)]).unwrap()
    }

    #[test]
    fn equal_bytes_are_identical_and_one_bit_is_not() {
        assert!(differ(b"same", b"same").is_identical());
        assert!(!differ(b"same", b"sbme").is_identical());
        assert!(!differ(b"same", b"same ").is_identical());
        let missing = compare(&[("a".into(), "x".into())], &[]).unwrap();
        assert!(matches!(missing.differences[0].kind, Kind::OnlyFirst));
    }

    #[test]
    fn a_difference_names_offset_and_both_strings() {
        let report = differ(b"\0\0built at 12:00:01\0", b"\0\0built at 12:00:03\0");
        let Kind::Bytes { offset, strings, .. } = &report.differences[0].kind else { panic!("{report:?}") };
        assert_eq!((*offset, strings[1].as_deref()), (18, Some("built at 12:00:03")));
        assert!(report.words().contains("0x12"));
    }

    #[test]
    fn a_difference_in_this_programs_own_constants_names_the_section() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = object::File::parse(&*program).unwrap();
        let (start, size) = elf.section_by_name(".rodata").unwrap().file_range().unwrap();
        let mut other = program.clone();
        other[(start + size / 2) as usize] ^= 1;
        let Kind::Bytes { section, offset, .. } = differ(&program, &other).differences[0].kind.clone() else { panic!() };
        assert_eq!((section.as_deref(), offset), (Some(".rodata"), start + size / 2));
    }

    #[test]
    fn blame_finds_the_crate_in_cargos_file_names() {
        for (path, want) in [
            ("x86_64-unknown-linux-gnu/release/deps/libserde_json-0a1b.rlib", Some("serde_json")),
            ("x86_64-unknown-linux-gnu/release/build/leaky-0a1b/out/stamp.rs", Some("leaky")),
            ("release/deps/libproc-0a1b.so", Some("proc")),
            ("release/build/leaky-0a1b/build-script-build", None),
            ("release/deps/x-0a1b.d", None),
        ] {
            assert_eq!(crate_of(Path::new(path)).as_deref(), want, "{path}");
        }
    }
}
