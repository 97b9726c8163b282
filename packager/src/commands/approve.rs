//! `proofmark approve`.

use std::io::Cursor;

use proofmark::exit::{Refusal, Refuse};
use proofmark::proposal::{self, ProposalError};
use proofmark::review;
use proofmark::signing::Signer;
use proofmark_core::signature::{Kind, file_name};
use serde_json::json;

use super::Done;
use super::place::{KeyArguments, RepositoryArguments, confirm};

/// Check a proposal, show what it changes, and add a second person's signature
///
/// Everything that `proofmark review` checks and shows comes first, then a question, then the signature. The proposer's own key is
/// refused [80], and so is a key that is not a reviewer's [80].
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark approve --repository releases --key keys/alice-1.key")]
pub(crate) struct Arguments {
    /// Version of the proposal [default: the one after the newest index]
    #[arg(value_name = "N")]
    version: Option<u64>,
    #[command(flatten)]
    repository: RepositoryArguments,
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
    let repository = arguments.repository.open(&mut words)?;
    let refused = |error: ProposalError| error.refusal();
    let newest = repository.newest(Kind::Index).map_err(|error| error.refusal())?;
    let version = arguments.version.unwrap_or(newest + 1);
    if version <= newest {
        return Err(refused(ProposalError::AlreadyPublished(version)));
    }
    let shown = proposal::read(&repository, version).map_err(refused)?;
    let key = arguments.key.load()?;
    let signer = Signer::new(repository.trust(), Kind::Index, &key).map_err(|error| error.refusal())?;
    proposal::check_approver(repository.trust(), &shown, signer.name()).map_err(|refusal| refusal.refusal())?;
    let review = review::review(&repository, &shown).map_err(refused)?;
    if !arguments.yes {
        confirm(&review.words(), &format!("Sign index {version} as {}?", signer.name()))?;
    } else if !arguments.json {
        words += &review.words();
    }

    let _lock = repository.lock().map_err(|error| error.refusal())?;
    // What is signed is what was shown, whatever has happened to the files since.
    let file = file_name(Kind::Index, version);
    let signature = signer.sign(Kind::Index, Some(version), &file, &mut Cursor::new(&shown.file.bytes)).map_err(|error| error.refusal())?;
    proposal::approve(&repository, &shown, signer.name(), &signature).map_err(refused)?;
    let after = proposal::read(&repository, version).map_err(refused)?;
    let trust = repository.trust();
    let missing =
        trust.roles.index.check_met(&after.signers, Some((&trust.second_person, &trust.keys_of(&after.next.index.proposer)))).err();
    words += &match &missing {
        None => format!(
            "signed by {}; all signatures are there\nnext: proofmark publish {version} {}\n",
            signer.name(),
            arguments.repository.again()
        ),
        Some(refusal) => format!("signed by {}; still missing: {}, have {}\n", signer.name(), refusal.want(), refusal.have()),
    };
    for unsigned in &review.unsigned {
        words += &format!("before it can be published, builders sign: {unsigned}\n");
    }
    let json = json!({ "ok": true, "version": version, "signed_by": signer.name(), "complete": missing.is_none(), "review": review });
    Ok(Done { data: format!("proposals/{version}/{file}.{}.minisig\n", signer.name()), json: format!("{json:#}\n"), words })
}
