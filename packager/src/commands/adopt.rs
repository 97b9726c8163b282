//! `proofmark adopt`.

use proofmark::exit::{Refusal, Refuse};
use proofmark::proposal::Desk;
use proofmark::signing::Signer;
use proofmark::statement;
use proofmark_core::Kind;
use proofmark_core::name::Name;
use serde_json::json;

use super::Done;
use super::place::core;
use super::propose::{ProposeArguments, now, seconds};

/// Propose the way back for a host whose state is lost: it needs what an index needs
///
/// A host that lost its state cannot know what it must not go back to. This document tells it: trust, index and head as floors, and the halts
/// that it must latch. It is signed like an index, carried to that one host, and ends soon.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark adopt rtr-1 --repository releases --key ci-1.key --proposer alice --out for-bob\n  \
    proofmark approve --proposal for-bob --repository releases --key bob-1.key\n  \
    proofmark publish --proposal for-bob --repository releases     # checks that all signatures are there; then carry for-bob to rtr-1")]
pub(crate) struct Arguments {
    /// The host
    #[arg(value_name = "HOST", value_parser = core::<Name>)]
    host: Name,
    /// How long it can be used, at most 168h
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
    valid: i64,
    #[command(flatten)]
    pub(super) propose: ProposeArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.propose.repository.open(&mut words)?;
    let key = arguments.propose.key.load()?;
    let signer = Signer::new(repository.trust(), Kind::Adopt, &key).map_err(|error| error.refusal())?;
    let proposer = arguments.propose.proposer(&repository, signer.name());
    let (subject, bytes) =
        statement::adopt(&repository, &arguments.host, proposer.clone(), now()?, arguments.valid).map_err(|error| error.refusal())?;
    let _lock = arguments.propose.out.is_none().then(|| repository.lock()).transpose().map_err(|error| error.refusal())?;
    let desk = Desk::new(&repository, &[], arguments.propose.out.as_deref());
    let place = statement::write(&desk, subject, &bytes, &signer).map_err(|error| error.refusal())?;
    words += &arguments.propose.next(subject, &proposer, &place);
    let json = json!({ "ok": true, "proposal": subject.to_string(), "place": place, "proposer": proposer });
    Ok(Done { data: format!("{place}\n"), json: format!("{json:#}\n"), words })
}
