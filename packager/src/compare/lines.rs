//! What differs between two texts, by line.

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::report::Line;
use super::strings;

/// Differences told.
const TOLD: usize = 100;
/// Lines on each side that are aligned; the algorithm's worst case is quadratic in them. Beyond, line N is compared with line N.
const ALIGNED: usize = 4000;

/// The lines that differ, in order.
pub(super) fn compare(a: &str, b: &str) -> Vec<Line> {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('\n').collect(), b.split('\n').collect());
    let line = |x: Option<usize>, y: Option<usize>| Line {
        numbers: [x, y].map(|at| at.map(|at| at + 1)),
        text: [x.map(|at| a[at]), y.map(|at| b[at])].map(|text| text.map(strings::cut)),
    };
    let mut found = Vec::new();
    if a.len().max(b.len()) > ALIGNED {
        let at = |at: usize, len: usize| (at < len).then_some(at);
        let differing = (0..a.len().max(b.len())).filter(|&i| a.get(i) != b.get(i));
        found.extend(differing.take(TOLD).map(|i| line(at(i, a.len()), at(i, b.len()))));
        return found;
    }
    for op in capture_diff_slices(Algorithm::Myers, &a, &b) {
        let (old, new) = match op {
            DiffOp::Equal { .. } => continue,
            other => (other.old_range(), other.new_range()),
        };
        for at in 0..old.len().max(new.len()) {
            if found.len() < TOLD {
                found.push(line((at < old.len()).then(|| old.start + at), (at < new.len()).then(|| new.start + at)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned_and_numbered_on_both_sides() {
        let found = compare("a\nb\nc\n", "a\nx\nnew\nc\n");
        let told: Vec<_> = found.iter().map(|line| (line.numbers, line.text[0].as_deref(), line.text[1].as_deref())).collect();
        assert_eq!(told, [([Some(2), Some(2)], Some("b"), Some("x")), ([None, Some(3)], None, Some("new"))]);
        let long = "x\n".repeat(ALIGNED + 1);
        assert_eq!(compare(&long, &(long.clone() + "y")).len(), 1);
    }
}
