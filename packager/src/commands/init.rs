//! `proofmark init`.

use std::path::PathBuf;

use proofmark::exit::{Refusal, Refuse};
use proofmark::init;
use proofmark::text;

use super::Done;

/// Write a proofmark.toml to start from
///
/// Reads the Cargo workspace and writes a commented proofmark.toml at its root: product and release from Cargo.toml, its binaries,
/// one environment `prod`, how to start the program, one group of hosts. It builds as it is. An existing file is never touched.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  proofmark init --bin router\n  git add proofmark.toml && git commit -m 'Add proofmark.toml'\n  proofmark build"
)]
pub(crate) struct Arguments {
    /// Root of the Cargo workspace
    #[arg(long, value_name = "DIR", default_value = ".")]
    workspace: PathBuf,
    /// Release this binary only; may be repeated [default: all]
    #[arg(long = "bin", value_name = "NAME")]
    binaries: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let path = init::init(&arguments.workspace, &arguments.binaries).map_err(|error| error.refusal())?;
    let mut words = String::new();
    if !arguments.workspace.join("Cargo.lock").is_file() {
        words += "note: there is no Cargo.lock yet; cargo generate-lockfile writes it, and it must be committed\n";
    }
    words += "next: read it, then: git add proofmark.toml Cargo.lock && git commit -m 'Add proofmark.toml' && proofmark build\n";
    Ok(Done { data: format!("{}\n", text::one_line(&path.display().to_string())), words, ..Done::default() })
}
