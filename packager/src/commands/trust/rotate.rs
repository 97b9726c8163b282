//! `proofmark trust rotate` and `proofmark trust show`.

use std::path::PathBuf;

use proofmark::exit::{Refusal, Refuse};
use proofmark::keys;
use proofmark::proposal::{Desk, Subject};
use proofmark::rotation::{self, Edit, NewKey, Place};
use proofmark::signing::Signer;
use proofmark_core::Kind;
use proofmark_core::name::Name;
use proofmark_core::trust::Key;
use serde_json::json;

use super::{NamedKey, key};
use crate::commands::Done;
use crate::commands::place::{KeyArguments, RepositoryArguments, core};

/// Propose the next trust document: keys come, go, and thresholds change
///
/// GROUP is a key group in every role that has it; ROLE/GROUP is that group in one role only (trust, index, bundle, head, halt, go), and is
/// made where it does not exist. Edits are made in this order: additions, removals, thresholds. The document is signed by the old role trust
/// and by the new, each on their own machine: the first signs here, the others with proofmark approve trust-N, and proofmark publish
/// trust-N puts it in place.
///
/// It cannot be published as long as the newest index or a bundle that it assigns would not verify under it: hosts would stop at their next
/// update. What is missing is shown; the new keys sign it first, with proofmark sign --under trust-N. A key's name is never given to another
/// key, however long ago it was dropped [92].
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # Alice has a new key; her old one ends.\n  \
    proofmark trust rotate --add reviewers=alice:alice-2=alice-2.pub --remove alice-1 --repository releases --key root-1.key\n  \
    # Two reviewers must sign; Carol and Dave build again, and one of them must sign every bundle.\n  \
    proofmark trust rotate --threshold reviewers=2 --add bundle/builders=carol:carol-b1=carol.pub \\\n    \
    --add bundle/builders=dave:dave-b1=dave.pub --repository releases --key root-1.key\n  \
    # A second owner, by mail: he approves on his machine.\n  \
    proofmark trust rotate --add owners=eve:eve-1=eve.pub --threshold owners=2 --out for-eve --repository releases --key root-1.key")]
pub(super) struct Rotate {
    #[command(flatten)]
    repository: RepositoryArguments,
    /// A key for a group: HOLDER:NAME=FILE.pub for a new one, NAME for one that trust has; may be repeated
    #[arg(long, value_name = "GROUP=KEY", value_parser = addition)]
    add: Vec<Addition>,
    /// A key goes, from every group or from one; may be repeated
    #[arg(long, value_name = "NAME|GROUP=NAME", value_parser = removal)]
    remove: Vec<Edit>,
    /// How many of a group's keys must sign; may be repeated
    #[arg(long, value_name = "GROUP=N", value_parser = threshold)]
    threshold: Vec<Edit>,
    /// A group goes, with its keys; may be repeated
    #[arg(long = "drop", value_name = "GROUP", value_parser = core::<Place>)]
    drops: Vec<Place>,
    /// The group of role index in which the proposer's own signature does not count
    #[arg(long, value_name = "GROUP", value_parser = core::<Name>)]
    second_person: Option<Name>,
    #[command(flatten)]
    key: KeyArguments,
    /// Write the proposal to a directory, to be mailed, and not to the repository
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Show who may sign what: each role, its groups of keys, and their holders
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  proofmark trust show --repository releases\n  proofmark trust show 1 --repository releases --json | jq .trust.keys"
)]
pub(super) struct Show {
    /// Version [default: the newest]
    #[arg(value_name = "N")]
    version: Option<u64>,
    #[command(flatten)]
    repository: RepositoryArguments,
    /// Print it as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `GROUP=HOLDER:NAME=FILE` or `GROUP=NAME`.
#[derive(Clone, Debug)]
enum Addition {
    New(Place, NamedKey),
    Known(Place, Name),
}

fn addition(text: &str) -> Result<Addition, String> {
    let (place, rest) = text.split_once('=').ok_or("want GROUP=HOLDER:NAME=FILE, as reviewers=alice:alice-2=alice-2.pub, or GROUP=NAME")?;
    let place: Place = core(place)?;
    match rest.contains('=') {
        true => Ok(Addition::New(place, key(rest)?)),
        false => Ok(Addition::Known(place, core(rest)?)),
    }
}

fn removal(text: &str) -> Result<Edit, String> {
    match text.split_once('=') {
        None => Ok(Edit::Remove(core(text)?)),
        Some((place, name)) => Ok(Edit::RemoveFrom(core(place)?, core(name)?)),
    }
}

fn threshold(text: &str) -> Result<Edit, String> {
    let (place, number) = text.split_once('=').ok_or("want GROUP=N, as reviewers=2")?;
    Ok(Edit::Threshold(core(place)?, number.parse().map_err(|_| "want GROUP=N, as reviewers=2".to_owned())?))
}

pub(super) fn rotate(arguments: &Rotate) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.repository.open(&mut words)?;
    let mut edits = Vec::new();
    for addition in &arguments.add {
        edits.push(match addition {
            Addition::Known(place, name) => Edit::AddKnown(place.clone(), name.clone()),
            Addition::New(place, NamedKey { holder, name, file }) => {
                let public = keys::load_public(file).map_err(|error| error.refusal())?;
                Edit::Add(place.clone(), NewKey { name: name.clone(), key: Key { holder: holder.clone(), public } })
            }
        });
    }
    edits.extend(arguments.remove.iter().chain(&arguments.threshold).cloned());
    edits.extend(arguments.drops.iter().cloned().map(Edit::Drop));
    edits.extend(arguments.second_person.iter().cloned().map(Edit::SecondPerson));
    let (next, bytes) = rotation::draft(&repository, &edits).map_err(|error| error.refusal())?;
    let key = arguments.key.load()?;
    let signer = Signer::new(repository.trust(), Kind::Trust, &key).map_err(|error| error.refusal())?;
    let _lock = arguments.out.is_none().then(|| repository.lock()).transpose().map_err(|error| error.refusal())?;
    let desk = Desk::new(&repository, &[], arguments.out.as_deref());
    let place = rotation::write(&desk, &next, &bytes, &signer).map_err(|error| error.refusal())?;

    let places: Vec<PathBuf> = arguments.out.iter().cloned().collect();
    let shown = rotation::read(&Desk::new(&repository, &places, None), next.version).map_err(|error| error.refusal())?;
    let subject = Subject::Trust(next.version);
    let again = arguments.repository.again();
    let mailed = if arguments.out.is_some() { format!(" --proposal {place}") } else { String::new() };
    words += &shown.words();
    words += &match (shown.missing(), shown.obstacles.is_empty()) {
        (Some(_), _) => format!("next: proofmark approve {subject} {again}{mailed} --key OTHER.key\n"),
        (None, false) => format!("next: proofmark sign --under {subject} {again}{mailed} --key NEW.key\n"),
        (None, true) => format!("next: proofmark publish {subject} {again}{mailed}\n"),
    };
    let json = json!({ "ok": true, "proposal": subject.to_string(), "place": place, "review": shown.json() });
    Ok(Done { data: format!("{place}\n"), json: format!("{json:#}\n"), words })
}

pub(super) fn show(arguments: &Show) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.repository.open(&mut words)?;
    let newest = repository.trust();
    let version = arguments.version.unwrap_or(newest.version);
    let Some(trust) = repository.trusts().iter().find(|trust| trust.version == version) else {
        return Err(Refusal::new(proofmark::exit::Exit::Usage, "no-trust", "there is no such trust document", format!("trust {version}"))
            .want(format!("1 to {}", newest.version))
            .have(version)
            .next("proofmark trust show"));
    };
    let data = format!("trust {version}, sha256 {}\n{}", trust.digest(), rotation::words::show(trust));
    let json = json!({ "ok": true, "version": version, "sha256": trust.digest(), "newest": newest.version, "trust": **trust });
    Ok(Done { data, json: format!("{json:#}\n"), words })
}
