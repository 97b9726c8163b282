//! Everything that a build was made of, by digest: what buildinfo lists, and what the repository keeps under `inputs/`, so that anybody
//! can build the release again from the repository alone (FORMAT.md section 6, "Inputs").
//!
//! An input is what its digest says, wherever it came from. This file must never name an input by anything but its content.

use std::path::PathBuf;

use proofmark_core::Digest;
use serde::{Deserialize, Serialize};

mod archive;
pub mod tree;

pub use archive::{ArchiveError, archive};

/// One input, as buildinfo lists it. Sorted by kind and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What it is.
    pub kind: Kind,
    /// For people: a crate or package with its version, a git tree.
    pub name: String,
    /// Of the file, or of the tree stream.
    pub sha256: Digest,
    /// Bytes of the file, or of the tree stream.
    pub size: u64,
}

/// What an input is, and with it how it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A `.crate` file.
    Crate,
    /// A package of the operating system layers.
    Deb,
    /// `proofmark.lock`.
    Lock,
    /// The Rust toolchain: a tree.
    Rust,
    /// The source of the commit: a tree.
    Source,
}

impl Kind {
    /// As buildinfo spells it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Crate => "crate",
            Kind::Deb => "deb",
            Kind::Lock => "lock",
            Kind::Rust => "rust",
            Kind::Source => "source",
        }
    }

    /// Kept as a compressed tree stream, not as the file itself.
    pub fn is_tree(self) -> bool {
        matches!(self, Kind::Rust | Kind::Source)
    }
}

impl Input {
    /// Where a repository keeps it.
    pub fn path(&self) -> String {
        format!("{DIRECTORY}/{}", self.file())
    }

    /// Its file name there.
    pub fn file(&self) -> String {
        format!("{}{}", self.sha256, if self.kind.is_tree() { ".tar.zst" } else { "" })
    }
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.name)
    }
}

/// An input that this machine has.
#[derive(Debug, Clone)]
pub struct Collected {
    /// Which.
    pub input: Input,
    /// Where.
    pub content: Content,
}

/// Where the bytes of an input are on this machine.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file.
    File(PathBuf),
    /// In many files, which make a tree stream.
    Tree(Vec<tree::Entry>),
}

impl Collected {
    /// The source of a commit, exported at `directory`, under the id of its git tree.
    pub fn source(tree: &str, directory: &std::path::Path) -> Result<Self, tree::TreeError> {
        let entries = tree::below(directory)?;
        let (sha256, size) = tree::digest(&entries)?;
        let input = Input { kind: Kind::Source, name: tree.to_owned(), sha256, size };
        Ok(Collected { input, content: Content::Tree(entries) })
    }
}

/// Directory of inputs in a repository.
const DIRECTORY: &str = "inputs";
