//! `cargo xtask release`: `proofmark release` on the example router, with the arguments as they come,
//! for example `--environment prod --repository DIR --key FILE`.
//!
//! Decides nothing: what a release is, stands in packager.

use anyhow::Result;

use crate::tool;

/// Arguments of `release`: those of `proofmark release`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Handed on to `proofmark release`; `--help` shows them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs `proofmark release` of this tree on examples/router.
pub(crate) fn run(args: Args) -> Result<()> {
    let mut command = tool::cargo();
    // Paths among the arguments are the caller's.
    command.current_dir(std::env::current_dir()?).args(["run", "--quiet", "--manifest-path"]).arg(tool::root().join("Cargo.toml"));
    command.args(["--package", "proofmark", "--", "release", "--workspace"]).arg(tool::router());
    tool::run(command.args(args.arguments))
}
