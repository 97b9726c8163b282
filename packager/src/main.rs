//! The `proofmark` program: parses, dispatches, prints, ends. One printer and one exit; the commands are in `commands/`.

#![allow(clippy::result_large_err, reason = "a refusal is made once in a run, and then the program ends")]

use std::process::ExitCode;

use clap::Parser;

mod commands;
mod terminal;

fn main() -> ExitCode {
    // Before the command line: a worker is not a command (see proofmark::sandbox).
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == proofmark::sandbox::WORKER) {
        return match arguments.next() {
            Some(request) => ExitCode::from(proofmark::sandbox::worker_main(request.as_ref())),
            None => ExitCode::from(2),
        };
    }
    // clap ends the program itself for --help (0) and usage errors (2).
    let cli = commands::Cli::parse();
    if let Err(error) = proofmark::interrupt::install() {
        eprintln!("warning: signals are not caught: {error}");
    }
    terminal::finish(cli.command.is_json(), cli.command.run())
}
