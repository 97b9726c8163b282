//! `proofmark review`.

use proofmark::exit::{Refusal, Refuse};
use proofmark::proposal::Desk;
use proofmark::proposed;

use super::Done;
use super::propose::ProposalArguments;

/// Show what a proposal would change, from checked bytes: hosts, bundles, flags, configuration, functions, dependencies, launch
///
/// Checks signatures, every byte of every new bundle, and every rule that an index must follow. Signs nothing and needs no key. Also for
/// rotations of trust, resumes and adopt documents.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  proofmark review --repository releases\n  proofmark review trust-2 --repository releases\n  \
    proofmark review --repository releases --proposal from-alice     # a directory that came by mail")]
pub(crate) struct Arguments {
    #[command(flatten)]
    proposal: ProposalArguments,
    /// Every line of every difference, not one screen
    #[arg(long)]
    full: bool,
    /// Print the review, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.proposal.repository.open(&mut words)?;
    let desk = Desk::new(&repository, &arguments.proposal.proposal, None);
    let subject = desk.find(arguments.proposal.what.as_deref()).map_err(|error| error.refusal())?;
    let shown = proposed::open(&desk, subject)?;
    let again = arguments.proposal.again();
    words += &match shown.missing(&desk) {
        Some(_) => format!("next: proofmark approve {subject} {again} --key YOUR.key\n"),
        None => format!("next: proofmark publish {subject} {again}\n"),
    };
    let json = serde_json::json!({ "ok": true, "proposal": subject.to_string(), "review": shown.json(&desk) });
    let data = if arguments.full { shown.full_words(&desk) } else { shown.words(&desk) };
    Ok(Done { data, json: format!("{json:#}\n"), words })
}
