//! The command line: one file for each command. A new one is a variant here and a file beside.
//!
//! Commands return what is to be printed; they never print or end the program themselves (but for progress).

use clap::{Parser, Subcommand};
use proofmark::exit::Refusal;

mod build;
mod init;

/// Builds a release twice, stamps it, and lets hosts start nothing that lacks the stamp.
#[derive(Debug, Parser)]
#[command(name = "proofmark", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done, 2 usage or a tree that cannot be released, 81 the builds or a checksum differ, 90 malformed file, \
    91 this machine lacks something, 95 input or output, 99 internal, 130 interrupted.\n\n\
    Start with:  proofmark init && git add proofmark.toml && git commit -m 'Add proofmark.toml' && proofmark build"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Arguments),
    Build(build::Arguments),
}

/// What a command has to say when all is well.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Data for standard output.
    pub(crate) data: String,
    /// The same as JSON, for --json.
    pub(crate) json: String,
    /// Words for standard error.
    pub(crate) words: String,
}

impl Command {
    pub(crate) fn run(&self) -> Result<Done, Refusal> {
        match self {
            Self::Init(arguments) => init::run(arguments),
            Self::Build(arguments) => build::run(arguments),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Init(_) => false,
            Self::Build(arguments) => arguments.json,
        }
    }
}
