//! `proofmark-verifier`: one command line, one printer, one exit.

use proofmark_verifier::cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cli::main())
}
