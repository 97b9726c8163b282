//! What an explanation says, as plain data: the shape behind `--json` (docs/explain.md), the text and the page.
//!
//! Every string from outside was made harmless when it was taken up ([`crate::text`]). This file must never decide anything.

use serde::Serialize;

use super::cause::Finding;

/// The comparison of two builds, bundles, binaries or other files.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// Number of this shape; raised when a key changes its meaning.
    pub format: u32,
    /// `explanation`.
    pub kind: &'static str,
    /// The verdict: by bytes, and by nothing else.
    pub identical: bool,
    /// Always false: no signature and no group file was looked at.
    pub verified: bool,
    /// What was compared.
    pub sides: [Side; 2],
    /// How many members are the same on both sides.
    pub same: usize,
    /// What differs, the most telling first.
    pub members: Vec<Member>,
    /// Likely causes, the most likely first.
    pub causes: Vec<Finding>,
    /// What was not looked at, and why.
    pub notes: Vec<String>,
}

/// One of the two things compared.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// As it was named.
    pub path: String,
    /// What it is.
    pub kind: SideKind,
    /// Bytes; of a tree, of all that was compared.
    pub size: u64,
    /// SHA-256; none for a tree.
    pub sha256: Option<String>,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SideKind {
    /// A bundle (FORMAT.md section 6).
    Bundle,
    /// A directory: a build, or cargo's output directory.
    Tree,
    /// A single file: a program, a library, anything.
    File,
}

/// A file that is not the same on both sides.
#[derive(Debug, Clone, Serialize)]
pub struct Member {
    /// Its path.
    pub path: String,
    /// What it is for.
    pub role: Role,
    /// How it differs.
    pub change: Change,
    /// What its content is.
    pub content: Content,
    /// Sizes in bytes, where there is one.
    pub sizes: [Option<u64>; 2],
    /// Permissions, where they differ: octal.
    pub modes: Option<[String; 2]>,
    /// Offset of the first byte that differs.
    pub offset: Option<u64>,
    /// The bytes around it.
    pub hex: Option<Hex>,
    /// ELF sections that differ.
    pub sections: Vec<Section>,
    /// Functions and statics that differ in more than the addresses in them.
    pub symbols: Vec<Symbol>,
    /// How many functions differ in nothing but addresses: they follow from a change elsewhere.
    pub moved: usize,
    /// Printable text that differs.
    pub strings: Vec<Text>,
    /// Keys of a JSON document that differ.
    pub fields: Vec<Field>,
    /// Lines of a text that differ.
    pub lines: Vec<Line>,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A program or file of the product.
    Output,
    /// A document that says what the rest was made from: `manifest.json`, `buildinfo.json`.
    Record,
    /// Written by a build script.
    BuildScript,
    /// A library, a macro or an object made on the way.
    Unit,
    /// Anything else.
    Other,
}

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is on the first side only.
    OnlyFirst,
    /// It is on the second side only.
    OnlySecond,
    /// The bytes differ.
    Bytes,
    /// The bytes are the same; only the permissions differ.
    Mode,
}

/// What the content of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A program, shared library or object.
    Elf,
    /// A static library, such as an rlib.
    Archive,
    /// A JSON document.
    Json,
    /// Lines of UTF-8.
    Text,
    /// Anything else.
    Bytes,
}

/// Bytes of both sides around one place, as hex digits.
#[derive(Debug, Clone, Serialize)]
pub struct Hex {
    /// Offset of the first of them, on each side.
    pub offsets: [u64; 2],
    /// The bytes, two digits each, separated by spaces.
    pub bytes: [String; 2],
}

/// An ELF section that differs.
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    /// Member of the archive it is in.
    pub object: Option<String>,
    /// Its name, demangled.
    pub name: String,
    /// Sizes, where there is one.
    pub sizes: [Option<u64>; 2],
    /// How many bytes differ, those that one side lacks included.
    pub differing: u64,
    /// It follows from the others: build ids, symbol tables, unwinding and debug information.
    pub follows: bool,
    /// The bytes around the first difference.
    pub hex: Option<Hex>,
}

/// A function or static that differs.
#[derive(Debug, Clone, Serialize)]
pub struct Symbol {
    /// Member of the archive it is in.
    pub object: Option<String>,
    /// Its name, demangled; `function at 0x...` where the file has no names.
    pub name: String,
    /// What is known of it.
    pub kind: SymbolKind,
    /// How it differs.
    pub change: Change,
    /// The crate it is from, by its name.
    pub krate: Option<String>,
    /// Addresses.
    pub addresses: [Option<u64>; 2],
    /// Sizes, bytes.
    pub sizes: [Option<u64>; 2],
    /// First differing byte, counted from its start.
    pub offset: Option<u64>,
    /// The bytes around it.
    pub hex: Option<Hex>,
    /// A source location that a panic in it would name.
    pub location: Option<String>,
    /// Of code without a name: text that it points to.
    pub mentions: Vec<String>,
}

/// What a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SymbolKind {
    /// Code.
    Function,
    /// Code that unwinding tables give the bounds of, in a file without names.
    Unnamed,
    /// A static.
    Static,
}

/// Printable text that differs.
#[derive(Debug, Clone, Serialize)]
pub struct Text {
    /// Section it is in.
    pub section: Option<String>,
    /// The text on each side, cut to what surrounds the difference.
    pub text: [Option<String>; 2],
    /// The function that points to it.
    pub used_by: Option<String>,
}

/// A key of a JSON document that differs.
#[derive(Debug, Clone, Serialize)]
pub struct Field {
    /// JSON pointer (RFC 6901).
    pub pointer: String,
    /// The value on each side, as JSON, cut.
    pub values: [Option<String>; 2],
}

/// A line of a text that differs.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Line numbers, from 1.
    pub numbers: [Option<usize>; 2],
    /// The text, cut.
    pub text: [Option<String>; 2],
}

impl Member {
    /// A member of which nothing but this is known yet.
    pub(super) fn new(path: &str, role: Role, change: Change, sizes: [Option<u64>; 2]) -> Self {
        Self {
            path: crate::text::one_line(path),
            role,
            change,
            content: Content::Bytes,
            sizes,
            modes: None,
            offset: None,
            hex: None,
            sections: Vec::new(),
            symbols: Vec::new(),
            moved: 0,
            strings: Vec::new(),
            fields: Vec::new(),
            lines: Vec::new(),
        }
    }
}
