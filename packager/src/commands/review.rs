//! `proofmark review`.

use proofmark::exit::{Refusal, Refuse};
use proofmark::{proposal, review};

use super::Done;
use super::place::RepositoryArguments;

/// Show what a proposal would change, from checked bytes: hosts, bundles, flags, launch, files
///
/// Checks signatures, every byte of every new bundle, and every rule that an index must follow. Signs nothing and needs no key.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark review --repository releases")]
pub(crate) struct Arguments {
    /// Version of the proposal [default: the one after the newest index]
    #[arg(value_name = "N")]
    version: Option<u64>,
    #[command(flatten)]
    repository: RepositoryArguments,
    /// Print the review, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.repository.open(&mut words)?;
    let version = arguments.version.map_or_else(|| proposal::open_version(&repository), Ok).map_err(|error| error.refusal())?;
    let proposal = proposal::read(&repository, version).map_err(|error| error.refusal())?;
    let review = review::review(&repository, &proposal).map_err(|error| error.refusal())?;
    words += &if review.missing.is_some() {
        format!("next: proofmark approve {version} {} --key REVIEWER.key\n", arguments.repository.again())
    } else {
        format!("next: proofmark publish {version} {}\n", arguments.repository.again())
    };
    let json = serde_json::json!({ "ok": true, "review": review });
    Ok(Done { data: review.words(), json: format!("{json:#}\n"), words })
}
