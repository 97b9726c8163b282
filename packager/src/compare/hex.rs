//! The bytes around a difference.

use super::report::Hex;

/// Bytes shown.
const SHOWN: usize = 16;

/// The first position at which two byte strings differ; the end of the shorter one where that is a prefix.
pub(super) fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let common = a.len().min(b.len());
    // Blocks first: comparing slices is much faster than byte by byte, and these may be large.
    let block = a.chunks(4096).zip(b.chunks(4096)).position(|(x, y)| x != y).map_or(0, |block| block * 4096);
    let at = (block..common).find(|&at| a[at] != b[at]);
    at.or((a.len() != b.len()).then_some(common))
}

/// How many bytes differ, those that one side lacks included.
pub(super) fn differing(a: &[u8], b: &[u8]) -> u64 {
    let within = a.chunks(4096).zip(b.chunks(4096)).filter(|(x, y)| x != y);
    let within: usize = within.map(|(x, y)| x.iter().zip(y).filter(|(x, y)| x != y).count()).sum();
    (within + a.len().abs_diff(b.len())) as u64
}

/// Bytes of both around position `at`, where the two begin at `bases` of their files.
pub(super) fn around(a: &[u8], b: &[u8], at: usize, bases: [u64; 2]) -> Hex {
    let start = at.saturating_sub(SHOWN / 4);
    let shown = |bytes: &[u8]| {
        let bytes = bytes.get(start..bytes.len().min(start + SHOWN)).unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    };
    Hex { offsets: bases.map(|base| base.saturating_add(start as u64)), bytes: [shown(a), shown(b)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found_in_any_block_and_at_the_end() {
        let a = vec![0; 10_000];
        for at in [0, 4095, 4096, 9999] {
            let mut b = a.clone();
            b[at] = 1;
            assert_eq!((first_difference(&a, &b), differing(&a, &b)), (Some(at), 1));
        }
        assert_eq!(first_difference(&a, &a), None);
        assert_eq!((first_difference(&a, &a[..5000]), differing(&a, &a[..5000])), (Some(5000), 5000));
        assert_eq!(around(b"abcdef", b"abcdEf", 4, [0, 9]).bytes, ["61 62 63 64 65 66", "61 62 63 64 45 66"]);
    }
}
