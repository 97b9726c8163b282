//! `proofmark revoke`.

use std::collections::BTreeSet;

use proofmark::exit::{Refusal, Refuse};
use proofmark::history::{self, Wanted};
use proofmark::verbs::{self, VerbError};
use proofmark_core::Digest;
use proofmark_core::name::GroupName;

use super::Done;
use super::place::core;
use super::propose::{ProposeArguments, group};

/// Propose to revoke bundles: no host of the groups starts them again, ever
///
/// Revocations only grow. A bundle that a group is to run cannot be revoked: halt it (proofmark halt --bundle), then replace and revoke it in
/// one step (proofmark rollback --revoke-current).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark revoke 3f2a...64 hex digits --repository releases --key keys/ci-1.key --proposer alice")]
pub(crate) struct Arguments {
    /// SHA-256 of each bundle
    #[arg(value_name = "SHA256", required = true, value_parser = core::<Digest>)]
    bundles: Vec<Digest>,
    /// Only these groups; may be repeated [default: every group of the bundle's product and environment]
    #[arg(long = "group", value_name = "ENV/ROLE", value_parser = core::<GroupName>)]
    groups: Vec<GroupName>,
    #[command(flatten)]
    pub(super) propose: ProposeArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    arguments.propose.propose(|repository, published| {
        let mut changed = std::collections::BTreeMap::new();
        for bundle in &arguments.bundles {
            let mut names = arguments.groups.clone();
            if names.is_empty() {
                let found = history::find(repository, &Wanted::Digest(*bundle), &|_| true).map_err(|error| error.refusal())?;
                let Some((_, source)) = found else {
                    let Some(some) = published.groups.keys().next() else { continue };
                    return Err(VerbError::NoBundle { wanted: bundle.to_string(), group: some.clone(), known: Vec::new() }
                        .refusal()
                        .next("check the digest; to revoke a bundle that was never assigned, name the groups: --group ENV/ROLE"));
                };
                let same = |group: &proofmark_core::group::Group| {
                    group.environment == source.environment && group.bundle.product == source.bundle.product
                };
                names.extend(published.groups.iter().filter(|(_, group)| same(group)).map(|(name, _)| name.clone()));
            }
            for name in names {
                let old = match changed.get(&name) {
                    Some(group) => group,
                    None => group(published, &name)?,
                };
                let next = verbs::revoke(old, &BTreeSet::from([*bundle])).map_err(|error| error.refusal())?;
                changed.insert(name, next);
            }
        }
        Ok(changed.into_values().collect())
    })
}
