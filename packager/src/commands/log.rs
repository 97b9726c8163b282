//! `proofmark log`.

use proofmark::exit::{Exit, Refusal, Refuse};
use proofmark::log;
use serde_json::json;

use super::Done;
use super::place::RepositoryArguments;

/// Walk the chain of what was published, and verify all of it again: who signed what, what changed, halts and resumes
///
/// Every index is verified under the newest trust document whose keys signed it, and held against the one before: prev, group files, what only
/// grows. Where the chain breaks, the place is shown and the command ends with 84. Needs no key.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  proofmark log --repository releases\n  proofmark log --halts --repository releases\n  \
    proofmark log --repository releases --json | jq '.log.indexes[] | {document, signed_by}'")]
pub(crate) struct Arguments {
    #[command(flatten)]
    repository: RepositoryArguments,
    /// Show indexes from this version on; all are verified
    #[arg(long, value_name = "N", default_value_t = 1)]
    from: u64,
    /// Halts only
    #[arg(long)]
    halts: bool,
    /// Print it, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.repository.open(&mut words)?;
    let mut log = log::log(&repository, arguments.from).map_err(|error| error.refusal())?;
    let broken = log.broken();
    if !broken.is_empty() {
        return Err(Refusal::new(Exit::Rollback, "chain-broken", "the chain of what was published is broken", repository.place())
            .want("every document verified, each index following the one before")
            .have(broken.join("\n"))
            .next("compare with another mirror; what is missing or changed there too: tell your security team"));
    }
    if arguments.halts {
        log.trusts.clear();
        log.indexes.clear();
        log.head = None;
    }
    words += if log.is_whole() {
        "every document above was verified, and each index follows the one before\n"
    } else {
        "every document that is here was verified, and each index follows the one before it where that is here.\n\
         Of what is not here nothing is known: who has an older copy or an archive can tell whether gc removed it\n"
    };
    let json = json!({ "ok": true, "log": log });
    Ok(Done { data: log.words(), json: format!("{json:#}\n"), words })
}
