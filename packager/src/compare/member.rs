//! Looks into two files that differ: finds out what they are, and hands them to whoever knows that kind.

use object::read::archive::ArchiveFile;

use super::report::{Content, Member};
use super::{elf, fields, hex, lines, strings};
use crate::text;

/// Members of an archive that are looked into.
const OBJECTS: usize = 4096;
/// Longest text that is compared by lines, bytes.
const TEXT: usize = 4 << 20;

/// Fills in what is known of the difference between `files`.
pub(super) fn look(member: &mut Member, files: [&[u8]; 2], notes: &mut Vec<String>) {
    let [a, b] = files;
    let Some(at) = hex::first_difference(a, b) else { return };
    member.offset = Some(at as u64);
    member.hex = Some(hex::around(a, b, at, [0, 0]));
    let both = |start: &[u8]| files.iter().all(|file| file.starts_with(start));
    if both(b"\x7fELF") {
        member.content = Content::Elf;
        elf::look(member, None, files, notes);
    } else if both(b"!<arch>\n") {
        member.content = Content::Archive;
        archive(member, files, notes);
    } else if let Some(found) = fields::compare(a, b) {
        member.content = Content::Json;
        member.fields = found;
    } else if let (Some(x), Some(y)) = (plain_text(a), plain_text(b)) {
        member.content = Content::Text;
        member.lines = lines::compare(x, y);
    } else {
        member.strings = strings::compare(a, b, None);
    }
}

fn plain_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= TEXT)?;
    (!text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))).then_some(text)
}

/// Members of two archives by name; of each pair that differs, what an ELF object tells, or the text in it.
fn archive(member: &mut Member, files: [&[u8]; 2], notes: &mut Vec<String>) {
    let (Some(a), Some(b)) = (objects(files[0]), objects(files[1])) else {
        notes.push(format!("{}: an archive that cannot be read as one", member.path));
        member.strings = strings::compare(files[0], files[1], None);
        return;
    };
    let others: std::collections::BTreeMap<&str, &[u8]> = b.iter().map(|(name, data)| (name.as_str(), *data)).collect();
    for (name, data) in &a {
        let Some(other) = others.get(name.as_str()).filter(|other| *other != data) else { continue };
        if data.starts_with(b"\x7fELF") && other.starts_with(b"\x7fELF") {
            elf::look(member, Some(name), [data, other], notes);
        } else if name != "/" && name != "lib.rmeta" {
            member.strings.extend(strings::compare(data, other, Some(name)));
        }
    }
    let names = |list: &[(String, &[u8])]| list.iter().map(|(name, _)| name.clone()).collect::<std::collections::BTreeSet<_>>();
    let (x, y) = (names(&a), names(&b));
    if x != y {
        let only = |x: &std::collections::BTreeSet<String>, y: &std::collections::BTreeSet<String>| x.difference(y).next().cloned();
        let example = only(&x, &y).or_else(|| only(&y, &x)).unwrap_or_default();
        notes.push(format!("{}: the archives have other members, {example} among them", member.path));
    }
}

fn objects(file: &[u8]) -> Option<Vec<(String, &[u8])>> {
    let archive = ArchiveFile::parse(file).ok()?;
    let mut found = Vec::new();
    for object in archive.members().take(OBJECTS) {
        let object = object.ok()?;
        found.push((text::one_line(&String::from_utf8_lossy(object.name())), object.data(file).ok()?));
    }
    Some(found)
}
