//! `proofmark trust`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use proofmark::ceremony::{self, Member, Party};
use proofmark::exit::{Refusal, Refuse};
use proofmark::keys;
use proofmark::repository::Repository;
use proofmark::store;
use proofmark_core::name::Name;
use serde_json::json;

use super::Done;
use super::place::{KeysArguments, shown};

mod rotate;

/// Make, change and show the document that says who may sign what
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(Init),
    Rotate(rotate::Rotate),
    Show(rotate::Show),
}

/// Make a new release repository with its first trust document
///
/// Each key is given as HOLDER:NAME=FILE.pub: the person or machine that holds it, the key's name for ever, and its public key file.
/// Bundles are signed by ci and, where there are any, by independent builders: people who build the same commit again on machines of
/// their own and sign the same bytes (proofmark reproduce --sign). An index needs ci and a reviewer who is not the proposer. Heads are
/// signed by the head key, which has no other role. Halts and goes are the operators', or without operators the reviewers'.
///
/// Prints the SHA-256 that every host must pin: hand it to hosts and reviewers over a channel of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    proofmark trust init --repository releases \\\n    \
    --owner root:root-1=keys/root-1.pub --ci ci:ci-1=keys/ci-1.pub \\\n    \
    --reviewer alice:alice-1=keys/alice-1.pub --reviewer bob:bob-1=keys/bob-1.pub \\\n    \
    --builder carol:carol-1=keys/carol-1.pub --builder dave:dave-1=keys/dave-1.pub --threshold builders=2 \\\n    \
    --head clock:head-1=keys/head-1.pub --sign keys/root-1.key")]
struct Init {
    /// The new repository: a directory, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR", env = "PROOFMARK_REPOSITORY")]
    repository: PathBuf,
    /// Signs trust documents; keep it offline
    #[arg(long = "owner", value_name = "HOLDER:NAME=FILE", required = true, value_parser = key)]
    owners: Vec<NamedKey>,
    /// The machine that builds
    #[arg(long = "ci", value_name = "HOLDER:NAME=FILE", required = true, value_parser = key)]
    ci: Vec<NamedKey>,
    /// Independent builder: must sign every bundle too, after building it again
    #[arg(long = "builder", value_name = "HOLDER:NAME=FILE", value_parser = key)]
    builders: Vec<NamedKey>,
    /// The second person
    #[arg(long = "reviewer", value_name = "HOLDER:NAME=FILE", required = true, value_parser = key)]
    reviewers: Vec<NamedKey>,
    /// Signs heads; online
    #[arg(long = "head", value_name = "HOLDER:NAME=FILE", required = true, value_parser = key)]
    head: Vec<NamedKey>,
    /// Halts and says go [default: the reviewers]
    #[arg(long = "operator", value_name = "HOLDER:NAME=FILE", value_parser = key)]
    operators: Vec<NamedKey>,
    /// How many of a group's keys must sign [default: 1]; GROUP is owners, ci, builders, reviewers, head or operators
    #[arg(long = "threshold", value_name = "GROUP=N", value_parser = threshold)]
    thresholds: Vec<(Party, u64)>,
    #[command(flatten)]
    keys: KeysArguments,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    json: bool,
}

/// `HOLDER:NAME=FILE`.
#[derive(Clone, Debug)]
struct NamedKey {
    holder: Name,
    name: Name,
    file: PathBuf,
}

fn key(text: &str) -> Result<NamedKey, String> {
    let wrong = || "want HOLDER:NAME=FILE, as alice:alice-1=keys/alice-1.pub".to_owned();
    let (who, file) = text.split_once('=').ok_or_else(wrong)?;
    let (holder, name) = who.split_once(':').ok_or_else(wrong)?;
    let parse = |text: &str| text.parse().map_err(|why: &str| format!("{text:?} is {why}"));
    Ok(NamedKey { holder: parse(holder)?, name: parse(name)?, file: file.into() })
}

fn threshold(text: &str) -> Result<(Party, u64), String> {
    let parties = [Party::Owners, Party::Ci, Party::Builders, Party::Reviewers, Party::Head, Party::Operators];
    let wrong = || "want GROUP=N, as reviewers=2".to_owned();
    let (group, number) = text.split_once('=').ok_or_else(wrong)?;
    let party = parties.into_iter().find(|party| party.word() == group).ok_or_else(wrong)?;
    Ok((party, number.parse().map_err(|_| wrong())?))
}

impl Arguments {
    pub(super) fn is_json(&self) -> bool {
        match &self.command {
            Command::Init(init) => init.json,
            Command::Rotate(rotate) => rotate.json,
            Command::Show(show) => show.json,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    match &arguments.command {
        Command::Init(arguments) => init(arguments),
        Command::Rotate(arguments) => rotate::rotate(arguments),
        Command::Show(arguments) => rotate::show(arguments),
    }
}

fn init(init: &Init) -> Result<Done, Refusal> {
    let parties = [
        (Party::Owners, &init.owners),
        (Party::Ci, &init.ci),
        (Party::Builders, &init.builders),
        (Party::Reviewers, &init.reviewers),
        (Party::Head, &init.head),
        (Party::Operators, &init.operators),
    ];
    let mut members = Vec::new();
    for (party, named) in parties {
        for NamedKey { holder, name, file } in named {
            let public = keys::load_public(file).map_err(|error| error.refusal())?;
            members.push(Member { party, holder: holder.clone(), name: name.clone(), public });
        }
    }
    let thresholds: BTreeMap<Party, u64> = init.thresholds.iter().copied().collect();
    let id = ceremony::new_repository().map_err(|error| error.refusal())?;
    let (trust, bytes) = ceremony::first_trust(id, &members, &thresholds).map_err(|error| error.refusal())?;
    let owners = init.keys.load()?;
    let signatures = ceremony::sign(&trust, &bytes, &owners).map_err(|error| error.refusal())?;
    let store = store::open(&init.repository).map_err(|error| error.refusal())?;
    let repository = Repository::create(store, &bytes, &signatures).map_err(|error| error.refusal())?;
    let digest = repository.first_trust();
    let place = shown(&init.repository);
    let words = format!(
        "repository {} in {place}\n\
         The digest above is what hosts and reviewers pin. Hand it over on a channel of its own, never beside the repository.\n\
         next: export PROOFMARK_TRUST={digest}\n      proofmark release --environment ENV --repository {place} --key CI.key\n",
        trust.repository
    );
    let json = json!({ "ok": true, "repository": trust.repository, "trust_sha256": digest, "version": trust.version });
    Ok(Done { data: format!("{digest}\n"), json: format!("{json:#}\n"), words })
}
