//! Matches the files of two sides: by path, and by path without cargo's hash where that leads to one.
//!
//! Matching only decides what is compared with what. A file that finds no partner is a difference.

use std::collections::BTreeMap;

use proofmark_core::Digest;

use super::report::{Change, Member, Role};
use super::side::Item;
use crate::exit::IoError;

/// A file on both sides, or on one.
pub(super) struct Pair<'a> {
    pub(super) path: &'a str,
    pub(super) items: [Option<&'a Item>; 2],
}

/// All files of both sides.
pub(super) struct Pairs<'a> {
    pub(super) all: Vec<Pair<'a>>,
    pub(super) notes: Vec<String>,
}

/// What a note about other hashes in file names says; [`super::cause`] knows it.
pub(super) const OTHER_HASH: &str = "cargo's hash in their names differs";

impl Pair<'_> {
    /// What it is for.
    pub(super) fn role(&self) -> Role {
        self.items.iter().flatten().map(|item| item.role).next().unwrap_or(Role::Other)
    }

    /// SHA-256 of one side's content.
    pub(super) fn digest(&self, side: usize) -> Result<Option<Digest>, IoError> {
        self.items[side].map(Item::digest).transpose()
    }

    /// The beginning of an explanation of it.
    pub(super) fn member(&self, change: Change) -> Member {
        let mut member = Member::new(self.path, self.role(), change, self.items.map(|item| item.map(|item| item.size)));
        if let [Some(a), Some(b)] = self.items
            && let (Some(x), Some(y)) = (a.mode, b.mode)
            && x != y
        {
            member.modes = Some([x, y].map(|mode| format!("{mode:04o}")));
        }
        member
    }
}

/// Matches all files.
pub(super) fn pair<'a>(first: &'a BTreeMap<String, Item>, second: &'a BTreeMap<String, Item>) -> Pairs<'a> {
    let mut all = Vec::new();
    let mut left: [BTreeMap<String, Vec<(&str, &Item)>>; 2] = Default::default();
    for (path, item) in first {
        match second.get(path) {
            Some(other) => all.push(Pair { path, items: [Some(item), Some(other)] }),
            None => left[0].entry(without_hash(path)).or_default().push((path, item)),
        }
    }
    for (path, item) in second.iter().filter(|(path, _)| !first.contains_key(*path)) {
        left[1].entry(without_hash(path)).or_default().push((path, item));
    }
    let mut renamed = 0;
    let [left, mut right] = left;
    for (stem, items) in left {
        match (items.as_slice(), right.get(&stem).map(Vec::as_slice)) {
            ([(path, a)], Some([(_, b)])) => {
                all.push(Pair { path, items: [Some(a), Some(b)] });
                right.remove(&stem);
                renamed += 1;
            }
            _ => all.extend(items.iter().map(|(path, item)| Pair { path, items: [Some(*item), None] })),
        }
    }
    all.extend(right.values().flatten().map(|(path, item)| Pair { path, items: [None, Some(*item)] }));
    let notes = if renamed > 0 { vec![format!("{renamed} files were matched although {OTHER_HASH}")] } else { Vec::new() };
    Pairs { all, notes }
}

/// The path without `-` and 16 hex digits, which cargo derives from compiler, profile, features and flags.
fn without_hash(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('-') {
        let (head, tail) = rest.split_at(at + 1);
        out.push_str(head);
        let digits = tail.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count();
        let ends = !tail.as_bytes().get(digits).is_some_and(u8::is_ascii_alphanumeric);
        rest = if digits == 16 && ends { &tail[16..] } else { tail };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cargos_hash_is_ignored_in_a_name() {
        assert_eq!(without_hash("deps/libserde-json-0123456789abcdef.rlib"), "deps/libserde-json-.rlib");
        assert_eq!(without_hash("build/x-0123456789abcdef/out/a-b"), "build/x-/out/a-b");
        for kept in ["a-0123456789abcde.x", "a-0123456789abcdef0.x", "a-0123456789ABCDEF.x", "a", ""] {
            assert_eq!(without_hash(kept), kept);
        }
    }
}
