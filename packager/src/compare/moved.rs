//! Whether two pieces of code or data differ in nothing but addresses.
//!
//! One longer string moves all that comes after it, and with it the distances that instructions hold. Without this, a change of one
//! function would read as a change of thousands. The rule: every differing byte must lie in a field of four bytes (a distance or an
//! address) or of eight (a pointer that the loader fills in), and the two fields must lead to the same thing: the same symbol at the same
//! offset, or equal bytes in the same section. It can err, either way; no verdict depends on it.

use super::image::Image;

/// How far a pointer to a pointer is followed.
const DEPTH: usize = 3;

/// A piece of an image.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) address: u64,
    pub(super) data: &'a [u8],
}

/// See the head of the file. Only for linked x86-64 files: elsewhere instructions spread addresses over bits.
pub(super) fn only_addresses(a: &Image<'_>, x: Piece<'_>, b: &Image<'_>, y: Piece<'_>) -> bool {
    if x.data.len() != y.data.len() || a.is_object || b.is_object || !a.is_x86_64 || !b.is_x86_64 {
        return false;
    }
    let mut free = 0;
    let mut at = 0;
    while at < x.data.len() {
        if x.data[at] == y.data[at] {
            at += 1;
            continue;
        }
        let earliest = at.saturating_sub(3).max(free);
        match (earliest..=at).find(|&start| is_same_field(a, x, b, y, start)) {
            Some(start) => {
                free = start + 4;
                at = free;
            }
            None => match pointer_around(a, x, b, y, at) {
                Some(end) => {
                    free = end;
                    at = end;
                }
                None => return false,
            },
        }
    }
    true
}

fn is_same_field(a: &Image<'_>, x: Piece<'_>, b: &Image<'_>, y: Piece<'_>, start: usize) -> bool {
    let (Some(p), Some(q)) = (number(x.data, start), number(y.data, start)) else { return false };
    let next = start as u64 + 4;
    // After the distance an instruction may still have a constant of 1, 2 or 4 bytes; the distance counts from its end.
    let relative = [0, 1, 2, 4].iter().any(|more| {
        let target = |piece: Piece<'_>, distance: i32| piece.address.wrapping_add(next + more).wrapping_add_signed(distance.into());
        same_target(a, target(x, p), b, target(y, q), DEPTH)
    });
    relative || same_target(a, u64::from(p.cast_unsigned()), b, u64::from(q.cast_unsigned()), DEPTH)
}

/// The end of the pointer that position `at` is in, if both sides have one there that leads to the same thing.
fn pointer_around(a: &Image<'_>, x: Piece<'_>, b: &Image<'_>, y: Piece<'_>, at: usize) -> Option<usize> {
    (at.saturating_sub(7)..=at).find_map(|start| {
        let [p, q] = [a.pointer_at(x.address + start as u64)?, b.pointer_at(y.address + start as u64)?];
        same_target(a, p, b, q, DEPTH).then_some(start + 8)
    })
}

fn same_target(a: &Image<'_>, x: u64, b: &Image<'_>, y: u64, depth: usize) -> bool {
    match (a.symbol_at(x), b.symbol_at(y)) {
        (Some((f, i)), Some((g, j))) => return f.name == g.name && i == j,
        (None, None) => {}
        _ => return false,
    }
    let (Some(s), Some(t)) = (a.section_at(x), b.section_at(y)) else { return false };
    if s.name != t.name {
        return false;
    }
    if s.data.is_empty() && t.data.is_empty() {
        // Memory that starts as zeros: nothing there to compare.
        return true;
    }
    if let (Some(p), Some(q)) = (a.pointer_at(x), b.pointer_at(y)) {
        return depth > 0 && same_target(a, p, b, q, depth - 1);
    }
    let (Some(m), Some(n)) = (a.bytes_at(x), b.bytes_at(y)) else { return false };
    let (Some(p), Some(q)) = (number(m, 0), number(n, 0)) else { return m == n };
    // A jump table holds distances from itself.
    p == q || (depth > 0 && same_target(a, x.wrapping_add_signed(p.into()), b, y.wrapping_add_signed(q.into()), depth - 1))
}

fn number(data: &[u8], at: usize) -> Option<i32> {
    data.get(at..)?.first_chunk().map(|bytes| i32::from_le_bytes(*bytes))
}
