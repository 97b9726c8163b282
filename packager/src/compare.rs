//! Whether two builds are one: byte for byte, and where not, what differs and why it probably does.
//!
//! The verdict looks at nothing but bytes (`side::Item::is_same`). Sections, functions, strings and causes are for the reader; they must
//! never turn a difference into a match. The same engine serves a build whose two runs differ and `proofmark explain`.
//!
//! The story: `side` opens both sides (`bundle`, `tree`, or one file), `pairs` matches their files, `member` looks into each pair
//! that differs (`elf`, `symbols`, `strings`, `lines`, `fields`), `cause` guesses why, `words` and `page` show it.
//! Everything read here is hostile: each step has its bound, and says so in `notes` where it stopped at one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proofmark_core::Reason;

use crate::exit::{Exit, IoError, Refusal, Refuse};
use crate::interrupt::{self, Interrupted};

mod blame;
mod bundle;
pub mod cause;
mod diffoscope;
mod elf;
mod fields;
mod hex;
mod image;
mod lines;
mod location;
mod member;
mod moved;
mod page;
mod pairs;
pub mod report;
mod side;
mod strings;
mod symbols;
mod tree;
mod words;

pub use cause::Cause;
pub use diffoscope::{DiffoscopeError, diffoscope, is_installed};
pub use page::page;
pub use report::Explanation;
pub use words::{short, text};

use pairs::Pair;
use report::{Change, Member, Role};
use side::{Item, Stored};

/// Largest document that is read as JSON, bytes.
const RECORD: u64 = 16 << 20;
/// Members that are looked into; the rest is only listed.
const LOOKED_INTO: usize = 64;
/// Members that are listed.
const LISTED: usize = 1024;

/// A comparison that could not be made. That the two differ is none of these.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Stopped by a signal.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A bundle is not one that agrees with itself.
    #[error("{0}")]
    Bundle(proofmark_core::Refusal),
    /// More than this program looks at.
    #[error("{}: {what}", .path.display())]
    Limit {
        /// Where.
        path: PathBuf,
        /// What would have been accepted.
        what: String,
    },
    /// A bundle against a tree, or the like.
    #[error("two different kinds of things")]
    Kinds {
        /// The two.
        paths: [PathBuf; 2],
        /// What they are.
        kinds: [report::SideKind; 2],
    },
}

impl Refuse for CompareError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Interrupted(error) => error.refusal(),
            // The core speaks of a group file, which there is not: whatever it misses, the bundle is not what itself says.
            Self::Bundle(refusal) if !matches!(refusal.reason(), Reason::Io | Reason::Internal) => {
                Refusal::new(Exit::Malformed, "bundle", "a bundle that does not agree with itself", refusal.subject())
                    .want(refusal.want())
                    .have(refusal.have())
                    .next("get it again from the repository; if it comes back, compare with another mirror and tell your security team")
            }
            Self::Bundle(refusal) => refusal.refusal(),
            Self::Limit { path, what } => Refusal::new(Exit::Malformed, "limit", "too large to compare", path.display()).want(what),
            Self::Kinds { paths, kinds } => Refusal::new(Exit::Usage, "kinds", "cannot compare", paths[1].display())
                .want(format!("a {}, as {} is", kinds[0].word(), paths[0].display()))
                .have(format!("a {}", kinds[1].word()))
                .next("name two bundles, two programs, or two build directories; a bundle is unpacked with: tar --zstd -xf BUNDLE -C DIR"),
        }
    }
}

/// The verdict on two sets of outputs: pairs of the path they are known by and the file. Equal only if every path is in both, with the
/// same bytes.
pub fn is_same(first: &[(String, PathBuf)], second: &[(String, PathBuf)]) -> Result<bool, IoError> {
    if first.len() != second.len() {
        return Ok(false);
    }
    for ((path, a), (other, b)) in first.iter().zip(second) {
        if path != other || !Item::of_file(a)?.is_same(&Item::of_file(b)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compares two bundles, files or trees, and explains what differs.
pub fn explain(first: &Path, second: &Path) -> Result<Explanation, CompareError> {
    let [a, b] = side::open(first, second)?;
    let pairs = pairs::pair(&a.items, &b.items);
    let mut differing = Vec::new();
    let mut same = 0;
    // A record of the inputs that is the same on both sides: they do not differ for another source.
    let mut known_same = false;
    for pair in &pairs.all {
        interrupt::check()?;
        match verdict(pair)? {
            None => {
                same += 1;
                known_same |= pair.role() == Role::Record;
            }
            Some(change) => differing.push((pair, change)),
        }
    }
    differing.sort_by(|(x, _), (y, _)| (x.role(), x.path).cmp(&(y.role(), y.path)));

    let mut notes: Vec<String> = a.notes.iter().chain(&b.notes).cloned().chain(pairs.notes.iter().cloned()).collect();
    let total = differing.len();
    let mut members = Vec::new();
    let mut seen = BTreeSet::new();
    let mut repeated = 0;
    for (number, (pair, change)) in differing.into_iter().take(LISTED).enumerate() {
        interrupt::check()?;
        if number >= LOOKED_INTO {
            members.push(pair.member(change));
            continue;
        }
        // Cargo links one program to several names: one explanation is enough.
        if change == Change::Bytes && !seen.insert([pair.digest(0)?, pair.digest(1)?]) {
            repeated += 1;
            continue;
        }
        members.push(look(pair, change, &mut notes)?);
    }
    if repeated > 0 {
        notes.push(format!("{repeated} more files differ by the same bytes under another name"));
    }
    if total > LOOKED_INTO {
        notes.push(format!("{total} files differ; {LOOKED_INTO} were looked into, and {} are listed", total.min(LISTED)));
    }
    let identical = total == 0;
    let causes = cause::find(&members, &pairs.notes, known_same);
    Ok(Explanation { format: 1, kind: "explanation", identical, verified: false, sides: [a.side, b.side], same, members, causes, notes })
}

/// Whether a pair is the same. Content first; permissions only where it is.
fn verdict(pair: &Pair<'_>) -> Result<Option<Change>, IoError> {
    Ok(match pair.items {
        [Some(a), Some(b)] if !a.is_same(b)? => Some(Change::Bytes),
        [Some(a), Some(b)] if a.mode != b.mode => Some(Change::Mode),
        [Some(_), Some(_)] => None,
        [Some(_), None] => Some(Change::OnlyFirst),
        [None, _] => Some(Change::OnlySecond),
    })
}

/// Looks into one pair that differs.
fn look(pair: &Pair<'_>, change: Change, notes: &mut Vec<String>) -> Result<Member, CompareError> {
    let mut member = pair.member(change);
    if let ([Some(a), Some(b)], Change::Bytes) = (pair.items, change) {
        match (a.read()?, b.read()?) {
            (Some(x), Some(y)) => member::look(&mut member, [&x, &y], notes),
            _ => notes.push(format!("{}: too large to be looked into", member.path)),
        }
    }
    Ok(member)
}

impl Item {
    /// An output on disk.
    fn of_file(path: &Path) -> Result<Self, IoError> {
        use crate::exit::IoContext;
        let size = side::regular(path)?.metadata().at("inspect", path)?.len();
        Ok(Self { role: Role::Output, size, mode: None, content: Stored::File(path.to_owned()) })
    }
}

#[cfg(test)]
mod tests;
