//! `proofmark assign`.

use std::collections::BTreeSet;

use proofmark::exit::{Refusal, Refuse};
use proofmark::history::{self, Wanted};
use proofmark::verbs::{self, Plan, Policy, VerbError};
use proofmark_core::Digest;
use proofmark_core::name::{GroupName, Name};

use super::Done;
use super::place::core;
use super::propose::ProposeArguments;

/// Propose to put a bundle that is published already on further groups
///
/// For a release that one group has tried: the very same bytes go to the next one. The bundle is found in the newest index that assigned
/// it; it must be of the group's environment. Hosts and policy of a group stay as they are; a new group needs --host.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  proofmark assign 1.3 prod/router --repository releases --key keys/ci-1.key --proposer alice\n  \
    proofmark assign 1.3 prod/spare --host spr-1 --host spr-2 --repository releases --key keys/ci-1.key")]
pub(crate) struct Arguments {
    /// Release, or SHA-256 of a bundle
    #[arg(value_name = "RELEASE|SHA256", value_parser = core::<Wanted>)]
    bundle: Wanted,
    /// Groups that get it
    #[arg(value_name = "ENV/ROLE", required = true, value_parser = core::<GroupName>)]
    groups: Vec<GroupName>,
    /// Product, where several have such a release [default: that of the group]
    #[arg(long, value_name = "NAME", value_parser = core::<Name>)]
    product: Option<Name>,
    /// Exact hosts of a new group; may be repeated
    #[arg(long = "host", value_name = "HOST", value_parser = core::<Name>)]
    hosts: Vec<Name>,
    /// A bundle that some hosts may still hold, besides the one their group has now; may be repeated
    #[arg(long = "also-from", value_name = "SHA256", value_parser = core::<Digest>)]
    also_from: Vec<Digest>,
    #[command(flatten)]
    pub(super) propose: ProposeArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    arguments.propose.propose(|repository, published| {
        let mut changed = Vec::new();
        for name in &arguments.groups {
            let old = published.groups.get(name).map(|group| &**group);
            let product = arguments.product.as_ref().or(old.map(|old| &old.bundle.product));
            let suits = |group: &proofmark_core::group::Group| {
                group.environment == name.environment && product.is_none_or(|product| group.bundle.product == *product)
            };
            let found = history::find(repository, &arguments.bundle, &suits).map_err(|error| error.refusal())?;
            let Some((_, source)) = found else {
                let anywhere = history::find(repository, &arguments.bundle, &|_| true).map_err(|error| error.refusal())?;
                if let Some((_, other)) = anywhere {
                    let have = format!("a bundle of product {} for environment {}", other.bundle.product, other.environment);
                    return Err(VerbError::Elsewhere { wanted: arguments.bundle.to_string(), group: name.clone(), have }.refusal());
                }
                let known = match product {
                    Some(product) => history::releases(repository, product, &name.environment, 8).map_err(|error| error.refusal())?,
                    None => Vec::new(),
                };
                return Err(VerbError::NoBundle { wanted: arguments.bundle.to_string(), group: name.clone(), known }.refusal());
            };
            let hosts: BTreeSet<Name> = match old {
                Some(old) => {
                    let all: BTreeSet<Name> = old.hosts.keys().cloned().collect();
                    verbs::check_whole(old, &arguments.hosts.iter().cloned().collect()).map_err(|error| error.refusal())?;
                    all
                }
                None => arguments.hosts.iter().cloned().collect(),
            };
            // The ledger is the product's: what any group of it knows stays known, and retired stays retired.
            let mut ledger = source.ledger.clone();
            for group in published.groups.values().filter(|group| group.bundle.product == source.bundle.product) {
                ledger = verbs::merge_ledgers(name, &group.ledger, &ledger).map_err(|error| error.refusal())?;
            }
            let also_from = arguments.also_from.iter().copied().collect();
            let plan = Plan { group: name.clone(), hosts, bundle: source.bundle.clone(), ledger, also_from, policy: Policy::default() };
            changed.push(verbs::assign(repository.trust(), old, plan).map_err(|refusal| refusal.refusal())?);
        }
        Ok(changed)
    })
}
