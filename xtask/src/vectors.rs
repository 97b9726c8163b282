//! `cargo xtask vectors`: the conformance vectors of tests/vectors, written or compared.

use anyhow::{Context, Result, bail};
use proofmark_tests::vectors;

use crate::tool;

/// Arguments of `vectors`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail where the files are not what would be written.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let directory = vectors::directory(&tool::root());
    let unreadable = || format!("cannot read or write {}", directory.display());
    if !args.check {
        eprintln!("{} files in {}", vectors::write(&directory).with_context(unreadable)?, directory.display());
        return Ok(());
    }
    let differences = vectors::difference(&directory).with_context(unreadable)?;
    if !differences.is_empty() {
        let most = 20.min(differences.len());
        bail!(
            "{} files of tests/vectors are not what is generated:\n{}\nnext: cargo xtask vectors, and argue for every byte that changes: the vectors are the format",
            differences.len(),
            differences[..most].join("\n")
        );
    }
    Ok(())
}
