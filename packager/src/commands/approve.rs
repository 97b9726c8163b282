//! `proofmark approve`.

use std::path::PathBuf;

use proofmark::exit::{Refusal, Refuse};
use proofmark::memory::Memory;
use proofmark::proposal::Desk;
use proofmark::proposed::{self, Proposed};
use serde_json::json;

use super::Done;
use super::place::{KeyArguments, confirm};
use super::propose::ProposalArguments;

/// Check a proposal, show what it changes, and add your signature
///
/// Everything that `proofmark review` checks and shows comes first, then a question, then the signature over the very bytes that were
/// shown. Refused: the proposer's own key as the second person's, a key whose group has signed already or that is in no group of the role
/// [80], and a second proposal of one version, wherever it lies [84]: what you approve is written down in ~/.local/state/proofmark.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  proofmark approve --repository releases --key keys/alice-1.key\n  \
    proofmark approve trust-2 --repository releases --key keys/root-2.key\n  \
    proofmark approve --proposal from-ci --out for-ci --repository mirror --key alice-1.key    # by mail: no write access is needed")]
pub(crate) struct Arguments {
    #[command(flatten)]
    proposal: ProposalArguments,
    /// Write the signed proposal to this directory, to be mailed [default: where it came from]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArguments,
    /// Do not ask: for those who have read `proofmark review`
    #[arg(long)]
    yes: bool,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.proposal.repository.open(&mut words)?;
    let mailed = &arguments.proposal.proposal;
    let desk = Desk::new(&repository, mailed, arguments.out.as_deref());
    let subject = desk.find(arguments.proposal.what.as_deref()).map_err(|error| error.refusal())?;
    let shown = proposed::open(&desk, subject)?;
    let key = arguments.key.load()?;
    let signer = shown.signer(&desk, &key)?;
    if !arguments.yes {
        confirm(&shown.words(&desk), &format!("Sign {} as {}?", subject.file(), signer.name()))?;
    } else if !arguments.json {
        words += &shown.words(&desk);
    }
    Memory::of(&repository.trust().repository).keep(subject, shown.digest()).map_err(|error| error.refusal())?;
    let in_repository = mailed.is_empty() && arguments.out.is_none();
    let _lock = in_repository.then(|| repository.lock()).transpose().map_err(|error| error.refusal())?;
    let place = shown.approve(&desk, &signer)?;

    // What lies there now, read as anybody would read it.
    let places: Vec<PathBuf> = mailed.iter().chain(&arguments.out).cloned().collect();
    let after = proposed::open(&Desk::new(&repository, &places, None), subject)?;
    let again = arguments.proposal.again();
    let missing = after.missing(&desk);
    words += &match &missing {
        None => format!("signed by {}; all signatures are there\nnext: proofmark publish {subject} {again}\n", signer.name()),
        Some(missing) => format!("signed by {}; still missing: {missing}\n", signer.name()),
    };
    if let Proposed::Index(_, review) = &after {
        for unsigned in &review.unsigned {
            words += &format!("before it can be published, builders sign: {unsigned}\n");
        }
    }
    if !in_repository {
        words += &format!("mail the directory {place} back; whoever publishes takes it with --proposal\n");
    }
    let json = json!({ "ok": true, "proposal": subject.to_string(), "signed_by": signer.name(), "complete": missing.is_none(), "place": place, "review": shown.json(&desk) });
    Ok(Done { data: format!("{place}/{}.{}.minisig\n", subject.file(), signer.name()), json: format!("{json:#}\n"), words })
}
