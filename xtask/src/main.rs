//! This repository's own commands: `cargo xtask COMMAND`. One file a command; what a command decides is decided there.
//!
//! Nothing here may be needed to build, sign or verify a release: that is `proofmark` and `proofmark-verifier`.

// Nothing of what xtask reads here reaches a bundle or a verdict.
#![allow(clippy::disallowed_methods, reason = "commands for people and CI look at the machine they run on")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod ci;
mod core;
mod demo;
mod elsewhere;
mod fuzz;
mod release;
mod scale;
mod survey;
mod test;
mod tool;
mod vectors;

/// Commands of the Proofmark repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// See it work on the example router.
    Demo(demo::Args),
    /// Release the example router: `proofmark release` on examples/router.
    Release(release::Args),
    /// Run all tests; say what this machine cannot run.
    Test(test::Args),
    /// Measure, beside the alternatives.
    Bench(bench::Args),
    /// What a long history and a large fleet cost, beside none.
    Scale(scale::Args),
    /// Build real published programs twice, as a stranger would.
    Survey(survey::Args),
    /// Build the leaky fixture in another Debian suite, and compare.
    Elsewhere(elsewhere::Args),
    /// Everything a change has to pass, in order.
    Ci(ci::Args),
    /// Give every parser of foreign bytes whatever breaks it, for a while.
    Fuzz(fuzz::Args),
    /// Write the conformance vectors, or say whether they are what is written.
    Vectors(vectors::Args),
    /// Size of the trusted core: lines and dependencies.
    Core(core::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = tool::forward_signals() {
        eprintln!("warning: signals are not forwarded to child processes: {error}");
    }
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Release(args) => release::run(args),
        Command::Test(args) => test::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Scale(args) => scale::run(args),
        Command::Survey(args) => survey::run(args),
        Command::Elsewhere(args) => elsewhere::run(args),
        Command::Ci(args) => ci::run(args),
        Command::Fuzz(args) => fuzz::run(args),
        Command::Vectors(args) => vectors::run(args),
        Command::Core(args) => core::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if tool::interrupted() => {
            eprintln!("interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
