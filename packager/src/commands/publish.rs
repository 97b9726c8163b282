//! `proofmark publish`.

use proofmark::exit::{Refusal, Refuse};
use proofmark::proposal::{Desk, Subject};
use proofmark::proposed;
use serde_json::json;

use super::Done;
use super::propose::ProposalArguments;

/// Put an approved proposal in place, so that the next head can name it
///
/// Checks all of it once more with the core: signatures of every group of keys, the second person, group files, and every byte of every
/// new bundle; for a rotation, that everything in force verifies under it. Needs no key. Can be cut off and run again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  proofmark publish --repository releases && proofmark head --repository releases --key keys/head-1.key\n  \
    proofmark publish trust-2 --repository releases\n  \
    proofmark publish --repository releases --proposal from-ci --proposal from-alice    # signatures that came by mail"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    proposal: ProposalArguments,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.proposal.repository.open(&mut words)?;
    let _lock = repository.lock().map_err(|error| error.refusal())?;
    let desk = Desk::new(&repository, &arguments.proposal.proposal, None);
    let subject = desk.find_to_publish(arguments.proposal.what.as_deref()).map_err(|error| error.refusal())?;
    let placed = proposed::publish(&desk, subject)?;
    let head = format!("next: proofmark head {} --key HEAD.key", arguments.proposal.repository.again());
    let state = if placed.again { "was in place; checked again" } else { "is in place" };
    words += &match subject {
        Subject::Index(version) => format!("index {version} {state}\n{head}\n"),
        Subject::Trust(version) => {
            format!("trust {version} {state}; hosts follow it with the next head, signed by a key of trust {version}\n{head}\n")
        }
        Subject::Resume(halt) => format!("halt {halt} is lifted, and hosts hear of it with the next head\n{head}\n"),
        Subject::Adopt(_) => format!(
            "all signatures are there. It is not published: carry the directory of {} to the host\nnext: see proofmark-verifier adopt --help, on that host\n",
            subject.file()
        ),
    };
    let json = json!({ "ok": true, "proposal": subject.to_string(), "path": placed.path, "sha256": placed.sha256 });
    let path = placed.path.unwrap_or_else(|| subject.file());
    Ok(Done { data: format!("{}  {path}\n", placed.sha256), json: format!("{json:#}\n"), words })
}
