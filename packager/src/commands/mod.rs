//! The command line: one file for each command. A new one is a variant here and a file beside.
//!
//! Commands return what is to be printed; they never print or end the program themselves (but for progress).

use clap::{Parser, Subcommand};
use proofmark::exit::Refusal;

mod adopt;
mod approve;
mod assign;
mod build;
mod explain;
mod export;
mod gc;
mod halt;
mod head;
mod host;
mod init;
mod key;
mod lock;
mod log;
mod place;
mod propose;
mod publish;
mod release;
mod reproduce;
mod resume;
mod review;
mod revoke;
mod rollback;
mod sbom;
mod sign;
mod trust;

/// Builds a release twice, stamps it, and lets hosts start nothing that lacks the stamp.
#[derive(Debug, Parser)]
#[command(name = "proofmark", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done, 2 usage or a tree that cannot be released, 79 flag ledger, 80 signature or second person, 81 the builds, \
    a checksum or a digest differ, 84 written before with other content, 86 host in two groups, 90 malformed file, 91 this machine lacks something, \
    92 trust, 95 input or output, 99 internal, 130 interrupted; all of them: verifier/FORMAT.md, section 9.\n\n\
    Start with:  proofmark init && git add proofmark.toml && git commit -m 'Add proofmark.toml' && proofmark build"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Arguments),
    Lock(lock::Arguments),
    Build(build::Arguments),
    Explain(explain::Arguments),
    Sbom(sbom::Arguments),
    Key(key::Arguments),
    Trust(trust::Arguments),
    Release(release::Arguments),
    Reproduce(reproduce::Arguments),
    Review(review::Arguments),
    Approve(approve::Arguments),
    Publish(publish::Arguments),
    Head(head::Arguments),
    Export(export::Arguments),
    Assign(assign::Arguments),
    Rollback(rollback::Arguments),
    Revoke(revoke::Arguments),
    Host(host::Arguments),
    Sign(sign::Arguments),
    Halt(halt::Arguments),
    Resume(resume::Arguments),
    Adopt(adopt::Arguments),
    Log(log::Arguments),
    Gc(gc::Arguments),
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
            Self::Lock(arguments) => lock::run(arguments),
            Self::Build(arguments) => build::run(arguments),
            Self::Explain(arguments) => explain::run(arguments),
            Self::Sbom(arguments) => sbom::run(arguments),
            Self::Key(arguments) => key::run(arguments),
            Self::Trust(arguments) => trust::run(arguments),
            Self::Release(arguments) => release::run(arguments),
            Self::Reproduce(arguments) => reproduce::run(arguments),
            Self::Review(arguments) => review::run(arguments),
            Self::Approve(arguments) => approve::run(arguments),
            Self::Publish(arguments) => publish::run(arguments),
            Self::Head(arguments) => head::run(arguments),
            Self::Export(arguments) => export::run(arguments),
            Self::Assign(arguments) => assign::run(arguments),
            Self::Rollback(arguments) => rollback::run(arguments),
            Self::Revoke(arguments) => revoke::run(arguments),
            Self::Host(arguments) => host::run(arguments),
            Self::Sign(arguments) => sign::run(arguments),
            Self::Halt(arguments) => halt::run(arguments),
            Self::Resume(arguments) => resume::run(arguments),
            Self::Adopt(arguments) => adopt::run(arguments),
            Self::Log(arguments) => log::run(arguments),
            Self::Gc(arguments) => gc::run(arguments),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Init(_) => false,
            Self::Lock(arguments) => arguments.json,
            Self::Build(arguments) => arguments.json,
            Self::Explain(arguments) => arguments.json,
            Self::Sbom(arguments) => arguments.json,
            Self::Key(arguments) => arguments.is_json(),
            Self::Trust(arguments) => arguments.is_json(),
            Self::Release(arguments) => arguments.json,
            Self::Reproduce(arguments) => arguments.json,
            Self::Review(arguments) => arguments.json,
            Self::Approve(arguments) => arguments.json,
            Self::Publish(arguments) => arguments.json,
            Self::Head(arguments) => arguments.json,
            Self::Export(arguments) => arguments.is_json(),
            Self::Assign(arguments) => arguments.propose.json,
            Self::Rollback(arguments) => arguments.propose.json,
            Self::Revoke(arguments) => arguments.propose.json,
            Self::Host(arguments) => arguments.is_json(),
            Self::Sign(arguments) => arguments.json,
            Self::Halt(arguments) => arguments.json,
            Self::Resume(arguments) => arguments.propose.json,
            Self::Adopt(arguments) => arguments.propose.json,
            Self::Log(arguments) => arguments.json,
            Self::Gc(arguments) => arguments.json,
        }
    }
}
