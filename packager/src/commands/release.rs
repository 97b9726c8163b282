//! `proofmark release`.

use std::path::PathBuf;

use proofmark::build::{self, Options, Supply};
use proofmark::exit::{Exit, Refusal, Refuse};
use proofmark::release::{self, Product, Request};
use proofmark_core::Digest;
use proofmark_core::name::{GroupName, Name};
use serde_json::json;

use super::Done;
use super::build::EffortArguments;
use super::place::{KeyArguments, RepositoryArguments, core};
use crate::terminal::Console;

/// Build twice, pack a bundle for each environment, sign and publish it, and propose the index that assigns it
///
/// Builds as `proofmark build` does. Each environment gets a bundle of its own, with the same programs. The proposal puts the bundle on
/// every [[group]] of the environment; other groups stay as they are. Hosts see nothing of it before a reviewer has approved it
/// (proofmark approve) and it is published (proofmark publish).
///
/// Refused: a flag that the ledger does not have or has retired, a program that holds the code of a retired flag [79], a ledger that
/// lost an entry [79], a host in two groups [86], a second proposal of one version [84].
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  proofmark release --environment uat --environment prod --repository releases --key keys/ci-1.key --proposer alice"
)]
pub(crate) struct Arguments {
    /// Environment of proofmark.toml; may be repeated
    #[arg(long = "environment", value_name = "ENV", required = true, value_parser = core::<Name>)]
    environments: Vec<Name>,
    #[command(flatten)]
    repository: RepositoryArguments,
    #[command(flatten)]
    key: KeyArguments,
    /// Only these groups; may be repeated [default: all of the environments]
    #[arg(long = "group", value_name = "ENV/ROLE", value_parser = core::<GroupName>)]
    groups: Vec<GroupName>,
    /// Who asks for this release, as trust names holders: that person cannot approve it [default: the holder of the key]
    #[arg(long, value_name = "HOLDER", value_parser = core::<Name>)]
    proposer: Option<Name>,
    /// A bundle that some hosts may still hold, besides the one their group has now; may be repeated
    #[arg(long = "also-from", value_name = "SHA256", value_parser = core::<Digest>)]
    also_from: Vec<Digest>,
    /// Directory of proofmark.toml
    #[arg(long, value_name = "DIR", default_value = ".")]
    workspace: PathBuf,
    /// Do not build: take what `proofmark build --out DIR` made of this commit, perhaps on a machine that has no key
    #[arg(long, value_name = "DIR")]
    built: Option<PathBuf>,
    /// Rust toolchain [default: what `rustc --print sysroot` says in the workspace]
    #[arg(long, value_name = "DIR")]
    toolchain: Option<PathBuf>,
    /// Take the layers of proofmark.lock from files that are named by their SHA-256, such as inputs/ of a release repository, and not
    /// from this machine's package client and toolchain
    #[arg(long, value_name = "DIR", conflicts_with = "toolchain")]
    layers: Option<PathBuf>,
    /// Where temporary files go, some gigabytes for a large workspace [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    #[command(flatten)]
    effort: EffortArguments,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.repository.open(&mut words)?;
    let key = arguments.key.load()?;
    let proposer = release::check_key(&repository, &key, arguments.proposer.as_ref()).map_err(|error| error.refusal())?;
    let worker = std::env::current_exe().map_err(|error| Refusal::new(Exit::Internal, "exe", "cannot find this program", error))?;
    let options = Options {
        workspace: arguments.workspace.clone(),
        toolchain: arguments.toolchain.clone(),
        lock: None,
        layers: arguments.layers.clone(),
        scratch: arguments.scratch.clone(),
        supply: Supply::Checkout,
        worker,
        effort: arguments.effort.effort(),
    };
    let mut environments = arguments.environments.clone();
    environments.sort();
    environments.dedup();
    let request = Request {
        environments,
        groups: arguments.groups.clone(),
        proposer: Some(proposer),
        also_from: arguments.also_from.iter().copied().collect(),
    };
    let console = Console::new();
    let built = match &arguments.built {
        Some(directory) => build::reopen(directory, &options, &console),
        None => build::double_build(&options, &console),
    };
    let built = built.map_err(|error| error.refusal())?;
    let released = release::release(&repository, &key, &Product::from(&built), &request, &console).map_err(|error| error.refusal())?;
    drop(console);

    for note in &released.notes {
        words += &format!("note: {note}\n");
    }
    let again = arguments.repository.again();
    words += &match released.proposal {
        Some(version) => format!(
            "proposal {version}, by {}\nnext: a reviewer other than {} runs: proofmark approve {version} {again} --key REVIEWER.key\n",
            released.proposer, released.proposer
        ),
        None => "no group changes: the newest index assigns these bundles already\n".into(),
    };
    let data = released.bundles.iter().map(|bundle| format!("{}\n", bundle.sha256sum)).collect();
    let json = json!({ "ok": true, "bundles": released.bundles, "proposal": released.proposal, "proposer": released.proposer, "notes": released.notes });
    Ok(Done { data, json: format!("{json:#}\n"), words })
}
