//! Whom the survey asks. At least four have C code, at least two stamp the build's time or the state of git into the program.

/// A published program.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Why it is in the list.
    pub(super) what: &'static str,
    /// Cargo features instead of the default ones.
    pub(super) features: Option<&'static [&'static str]>,
    /// Whether its build script writes into the source tree.
    pub(super) writable_source: bool,
    /// A build id that its own `.cargo/config.toml` asks the linker for, and that must be in the result.
    pub(super) own_build_id: Option<&'static str>,
}

const fn program(name: &'static str, version: &'static str, what: &'static str) -> Program {
    Program { name, version, what, features: None, writable_source: false, own_build_id: None }
}

pub(super) const PROGRAMS: [Program; 10] = [
    program("diskus", "0.9.0", "pure Rust"),
    Program { writable_source: true, ..program("zoxide", "0.10.0", "a build script that writes into the source tree") },
    Program {
        own_build_id: Some("70726f6f666d61726b2d737572766579"),
        ..program("hexyl", "0.17.0", "proc macros, linker flags of its own")
    },
    program("pastel", "0.12.0", "tables generated at build time"),
    program("oxipng", "10.2.1", "C code (libdeflate)"),
    program("b3sum", "1.8.7", "C code and assembler (BLAKE3)"),
    Program { features: Some(&["pcre2"]), ..program("ripgrep", "15.2.0", "C code (PCRE2)") },
    program("eza", "0.23.5", "C code (libgit2, zlib), asks for the date"),
    program("git-interactive-rebase-tool", "2.4.1", "C code (libgit2, zlib), stamps date and git state"),
    program("joshuto", "0.9.9", "stamps time, user, git state, compiler (shadow-rs)"),
];
