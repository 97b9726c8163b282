//! Source locations that code points to: what a panic would print. They tell where a function comes from when its name is gone.

use super::blame;
use super::image::Image;
use crate::text;

/// Longest path in a location, bytes.
const PATH: u64 = 1024;
/// Texts told of one function, and characters of each.
const MENTIONS: usize = 4;
const MENTION: usize = 48;

/// Addresses that x86-64 code takes or loads constants from, relative to itself: `lea`, and loads of the two-byte opcodes. Pairs of the place and what it leads to.
pub(super) fn targets(address: u64, code: &[u8]) -> impl Iterator<Item = (u64, u64)> + '_ {
    code.windows(6).enumerate().filter_map(move |(at, window)| {
        // ModRM with mod 00 and r/m 101: a distance of four bytes follows (Intel SDM, volume 2, table 2-7).
        let is_distance = window[1] & 0xc7 == 0x05;
        let is_taken = window[0] == 0x8d || (at > 0 && code[at - 1] == 0x0f && matches!(window[0], 0x10 | 0x28 | 0x6f));
        (is_distance && is_taken).then(|| {
            let distance = i32::from_le_bytes([window[2], window[3], window[4], window[5]]);
            let place = address.wrapping_add(at as u64);
            (place, place.wrapping_add(6).wrapping_add_signed(distance.into()))
        })
    })
}

/// The location in the project's own code, else any, that code at `address` would name in a panic: `PATH:LINE`.
pub(super) fn of(image: &Image<'_>, address: u64, code: &[u8]) -> Option<String> {
    if !image.is_x86_64 || image.is_object {
        return None;
    }
    let mut any = None;
    for (_, target) in targets(address, code) {
        let Some((path, line)) = read(image, target) else { continue };
        let location = format!("{path}:{line}");
        if !blame::is_standard_path(&path) {
            return Some(location);
        }
        any.get_or_insert(location);
    }
    any
}

/// Text that code at `address` points to. Rust's strings have no end of their own, so that what follows in memory may follow here.
pub(super) fn mentions(image: &Image<'_>, address: u64, code: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, target) in targets(address, code).filter(|_| image.is_x86_64) {
        let Some(bytes) = image.section_at(target).filter(|section| section.name == ".rodata").and_then(|_| image.bytes_at(target)) else {
            continue;
        };
        let length = bytes.iter().take(MENTION).take_while(|byte| (0x20..0x7f).contains(*byte)).count();
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if length >= 8 && !found.contains(&text) && found.len() < MENTIONS {
            found.push(text);
        }
    }
    found
}

/// `core::panic::Location` as rustc lays it out: pointer and length of the path, line, column.
fn read(image: &Image<'_>, address: u64) -> Option<(String, u32)> {
    let bytes = image.bytes_at(address)?;
    let path = image.pointer_at(address).or_else(|| bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)))?;
    let length = u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
    let line = u32::from_le_bytes(*bytes.get(16..)?.first_chunk()?);
    let column = u32::from_le_bytes(*bytes.get(20..)?.first_chunk()?);
    if !(4..=PATH).contains(&length) || line == 0 || line > 1_000_000 || column == 0 || column > 10_000 {
        return None;
    }
    let path = image.bytes_at(path)?.get(..usize::try_from(length).ok()?)?;
    let path = std::str::from_utf8(path).ok().filter(|path| path.ends_with(".rs"))?;
    Some((text::one_line(path), line))
}
