//! `proofmark publish`.

use proofmark::exit::{Refusal, Refuse};
use proofmark::proposal;
use proofmark::repository::document_path;
use proofmark_core::signature::Kind;
use serde_json::json;

use super::Done;
use super::place::RepositoryArguments;

/// Put an approved proposal in place, so that the next head can name it
///
/// Checks all of it once more with the core: signatures of every group of keys, the second person, group files, and every byte of every
/// new bundle. Needs no key. Can be cut off and run again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark publish --repository releases && proofmark head --repository releases --key keys/head-1.key")]
pub(crate) struct Arguments {
    /// Version of the proposal [default: the one after the newest index]
    #[arg(value_name = "N")]
    version: Option<u64>,
    #[command(flatten)]
    repository: RepositoryArguments,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.repository.open(&mut words)?;
    let _lock = repository.lock().map_err(|error| error.refusal())?;
    let version = arguments.version.map_or_else(|| proposal::open_version(&repository), Ok).map_err(|error| error.refusal())?;
    let (digest, again) = proposal::publish(&repository, version).map_err(|error| error.refusal())?;
    let path = document_path(Kind::Index, version);
    words += &format!(
        "index {version} {}\nnext: proofmark head {} --key HEAD.key\n",
        if again { "was in place; checked again" } else { "is in place" },
        arguments.repository.again()
    );
    let json = json!({ "ok": true, "version": version, "index": path, "sha256": digest });
    Ok(Done { data: format!("{digest}  {path}\n"), json: format!("{json:#}\n"), words })
}
