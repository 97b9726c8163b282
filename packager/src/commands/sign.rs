//! `proofmark sign`.

use std::path::PathBuf;

use proofmark::exit::{Refusal, Refuse};
use proofmark::proposal::{Desk, Subject};
use proofmark::{resign, rotation};
use proofmark_core::trust::Trust;
use serde_json::json;

use super::Done;
use super::place::{KeyArguments, RepositoryArguments, confirm, core};

/// Sign what is in force once more, with another key: before a rotation takes an old key away
///
/// Adds the key's signature to the newest index, and to every bundle that it assigns, where the trust document that is proposed gives the
/// key that role. Nothing changes for hosts until the rotation is published. Look at what you sign: with it you vouch for what runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: the release machine gets a new key, ci-2\n  \
    proofmark trust rotate --add ci=ci:ci-2=ci-2.pub --remove ci-1 --repository releases --key root-1.key\n  \
    proofmark sign --under trust-2 --repository releases --key ci-2.key\n  \
    proofmark publish trust-2 --repository releases && proofmark head --repository releases --key head-1.key")]
pub(crate) struct Arguments {
    #[command(flatten)]
    repository: RepositoryArguments,
    /// The rotation that gives the key its role [default: the newest trust]
    #[arg(long, value_name = "trust-N", value_parser = core::<Subject>)]
    under: Option<Subject>,
    /// Directory with that rotation, if it came by mail
    #[arg(long, value_name = "DIR")]
    proposal: Vec<PathBuf>,
    #[command(flatten)]
    key: KeyArguments,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The trust document of a proposed rotation.
pub(super) fn proposed(desk: &Desk<'_>, subject: Subject) -> Result<Trust, Refusal> {
    match subject {
        Subject::Trust(version) => Ok(rotation::read(desk, version).map_err(|error| error.refusal())?.next),
        other => Err(Refusal::new(proofmark::exit::Exit::Usage, "not-a-rotation", "only a rotation gives keys a role", other)
            .want("trust-N")
            .have(other)
            .next("proofmark review lists no other; leave --under out to sign under the newest trust")),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.repository.open(&mut words)?;
    let desk = Desk::new(&repository, &arguments.proposal, None);
    let trust = match arguments.under {
        None => (**repository.trust()).clone(),
        Some(subject) => proposed(&desk, subject)?,
    };
    let key = arguments.key.load()?;
    let wanted = resign::wanted(&repository, &trust, &key).map_err(|error| error.refusal())?;
    if wanted.is_empty() {
        words += "nothing to sign: this key has signed all that it can\n";
    } else if !arguments.yes {
        let list: String = wanted.iter().map(|item| format!("  {}\n", item.words())).collect();
        confirm(&format!("in force now, without a signature by this key:\n{list}"), "Sign all of it?")?;
    }
    let _lock = repository.lock().map_err(|error| error.refusal())?;
    let mut data = String::new();
    for item in &wanted {
        data += &format!("{}\n", resign::sign(&repository, &trust, &key, item).map_err(|error| error.refusal())?);
        words += &format!("signed: {}\n", item.words());
    }
    if let Some(subject) = arguments.under {
        let left = rotation::obstacles(&repository, &trust).map_err(|error| error.refusal())?;
        for obstacle in &left {
            words += &format!("still: {}\n", obstacle.line());
        }
        if left.is_empty() {
            words += &format!("next: proofmark publish {subject} {}\n", arguments.repository.again());
        }
    }
    let json = json!({ "ok": true, "signed": data.lines().collect::<Vec<_>>() });
    Ok(Done { data, json: format!("{json:#}\n"), words })
}
