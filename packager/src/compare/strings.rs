//! Printable text that differs between two pieces of data, cut to what surrounds each difference.

use std::collections::BTreeMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::report::Text;
use crate::text;

/// Differences told of one file.
pub(super) const TOLD: usize = 200;

/// Shortest run of printable characters that counts as text.
const RUN: usize = 4;
/// Characters shown on each side of a difference.
const CONTEXT: usize = 40;
/// Longest text that is told, characters.
const SHOWN: usize = 160;
/// Runs on each side that are matched by likeness, which is quadratic in them; beyond, by order.
const MATCHED: usize = 200;
/// Bytes in which single characters are aligned; quadratic as well.
const ALIGNED: usize = 2000;

/// Text that differs.
pub(super) struct Difference {
    pub(super) text: [Option<String>; 2],
    /// Where it begins in each piece.
    pub(super) at: [Option<usize>; 2],
}

/// Text that differs, for the report.
pub(super) fn compare(a: &[u8], b: &[u8], section: Option<&str>) -> Vec<Text> {
    let found = differences(a, b).into_iter().take(TOLD);
    found.map(|found| Text { section: section.map(str::to_owned), text: found.text, used_by: None }).collect()
}

/// Runs of text that only one of the two has, each matched with what stands for it in the other.
pub(super) fn differences(a: &[u8], b: &[u8]) -> Vec<Difference> {
    let (mut only_a, mut only_b) = (runs(a), runs(b));
    let mut count: BTreeMap<&[u8], [usize; 2]> = BTreeMap::new();
    for (side, list) in [&only_a, &only_b].into_iter().enumerate() {
        list.iter().for_each(|(_, run)| count.entry(run).or_default()[side] += 1);
    }
    // Equal counts cancel; where they do not, the last ones of the longer side are the surplus.
    let keep = |side: usize, list: &mut Vec<(usize, &[u8])>| {
        let mut seen: BTreeMap<&[u8], usize> = BTreeMap::new();
        list.retain(|(_, run)| {
            let n = seen.entry(run).or_default();
            *n += 1;
            count.get(run).is_none_or(|count| *n > count[1 - side])
        });
    };
    keep(0, &mut only_a);
    keep(1, &mut only_b);

    let mut found = Vec::new();
    for (x, y) in matched(only_a, only_b) {
        match (x, y) {
            (Some((i, x)), Some((j, y))) => hunks((i, x), (j, y), &mut found),
            (x, y) => {
                let of = |run: Option<(usize, &[u8])>| run.map(|(_, run)| shown(run));
                found.push(Difference { text: [of(x), of(y)], at: [x.map(|x| x.0), y.map(|y| y.0)] });
            }
        }
        if found.len() >= TOLD {
            break;
        }
    }
    found
}

/// Text on one line, at most [`SHOWN`] characters.
pub(super) fn cut(found: &str) -> String {
    let found = text::one_line(found);
    match found.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &found[..at]),
        None => found,
    }
}

fn shown(run: &[u8]) -> String {
    cut(&String::from_utf8_lossy(&run[..run.len().min(4 * SHOWN)]))
}

type Run<'a> = (usize, &'a [u8]);

/// Runs of at least [`RUN`] printable ASCII characters, with their place.
fn runs(data: &[u8]) -> Vec<Run<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    for piece in data.split(|byte| !(0x20..0x7f).contains(byte)) {
        if piece.len() >= RUN {
            found.push((at, piece));
        }
        at += piece.len() + 1;
    }
    found
}

/// Each run with the most similar one of the other side.
fn matched<'a>(a: Vec<Run<'a>>, mut b: Vec<Run<'a>>) -> Vec<(Option<Run<'a>>, Option<Run<'a>>)> {
    let mut pairs = Vec::new();
    if a.len().max(b.len()) > MATCHED {
        let n = a.len().max(b.len());
        return (0..n).map(|at| (a.get(at).copied(), b.get(at).copied())).collect();
    }
    for x in a {
        let likeness = |y: &Run<'_>| {
            let (front, back) = common(x.1, y.1);
            front + back
        };
        let best = (0..b.len()).max_by_key(|&at| (likeness(&b[at]), std::cmp::Reverse(b[at].0.abs_diff(x.0))));
        // With nothing in common it may still be the one that stands for it, if it is the only one.
        match best.filter(|&at| likeness(&b[at]) > 0 || b.len() == 1) {
            Some(at) => pairs.push((Some(x), Some(b.remove(at)))),
            None => pairs.push((Some(x), None)),
        }
    }
    pairs.extend(b.into_iter().map(|y| (None, Some(y))));
    pairs
}

/// Lengths of the common beginning and, after it, of the common end.
fn common(x: &[u8], y: &[u8]) -> (usize, usize) {
    let front = x.iter().zip(y).take_while(|(x, y)| x == y).count();
    let back = x[front..].iter().rev().zip(y[front..].iter().rev()).take_while(|(x, y)| x == y).count();
    (front, back)
}

/// The places where two runs differ. Rust puts many strings into one run: each difference becomes one entry with what surrounds it.
fn hunks((i, x): Run<'_>, (j, y): Run<'_>, found: &mut Vec<Difference>) {
    let (front, back) = common(x, y);
    let (middle_x, middle_y) = (&x[front..x.len() - back], &y[front..y.len() - back]);
    let mut changes: Vec<[std::ops::Range<usize>; 2]> = Vec::new();
    if middle_x.len().max(middle_y.len()) <= ALIGNED {
        for op in capture_diff_slices(Algorithm::Myers, middle_x, middle_y) {
            if matches!(op, DiffOp::Equal { .. }) {
                continue;
            }
            let (old, new) = (op.old_range(), op.new_range());
            match changes.last_mut() {
                // A few equal characters between two changes are chance.
                Some([last_old, last_new]) if old.start - last_old.end < 16 => {
                    last_old.end = old.end;
                    last_new.end = new.end;
                }
                _ => changes.push([old, new]),
            }
        }
    } else {
        changes.push([0..middle_x.len(), 0..middle_y.len()]);
    }
    for [old, new] in changes {
        let around = |run: &[u8], range: &std::ops::Range<usize>| {
            let (start, end) = (front + range.start, front + range.end);
            let (from, to) = (start.saturating_sub(CONTEXT), run.len().min(end + CONTEXT));
            shown(&run[from..to])
        };
        found.push(Difference {
            text: [Some(around(x, &old)), Some(around(y, &new))],
            at: [Some(i + front + old.start), Some(j + front + new.start)],
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(a: &[u8], b: &[u8]) -> Vec<[Option<String>; 2]> {
        differences(a, b).into_iter().map(|found| found.text).collect()
    }

    #[test]
    fn only_the_text_that_differs_is_told_wherever_it_moved() {
        let found = told(b"\0same text\0built at 12:00:01\0", b"\0built at 12:00:03\0\0\0same text\0");
        assert_eq!(found, [[Some("built at 12:00:01".to_owned()), Some("built at 12:00:03".to_owned())]]);
    }

    #[test]
    fn two_differences_in_one_long_run_are_two() {
        let run = |a: &str, b: &str| format!("{a}{}{b}", "-".repeat(500)).into_bytes();
        let found = told(&run("alpha", "omega"), &run("alphx", "omegx"));
        assert_eq!(found.len(), 2);
        assert!(found[0][0].as_ref().unwrap().starts_with("alpha-") && found[1][1].as_ref().unwrap().ends_with("omegx"), "{found:?}");
    }

    #[test]
    fn text_on_one_side_only_is_told_as_such() {
        assert_eq!(told(b"abcd\0", b"abcd\0wxyz\0"), [[None, Some("wxyz".to_owned())]]);
    }
}
