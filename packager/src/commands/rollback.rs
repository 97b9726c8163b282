//! `proofmark rollback`.

use proofmark::exit::{Refusal, Refuse};
use proofmark::halts;
use proofmark::history::{self, Wanted};
use proofmark::verbs::{self, VerbError};
use proofmark_core::Digest;
use proofmark_core::name::{GroupName, Name};

use super::Done;
use super::place::core;
use super::propose::{ProposeArguments, group};

/// Propose to take a whole group back to a bundle that it had before
///
/// A rollback is a new, higher index like any other: it needs a second person, and hosts take it with the next head. Refused: a part of a
/// group [88], a revoked bundle [83], and, while no halt stops the group, a bundle of another wire epoch [88]. Before you go back, ask what
/// the old code does with the state, the messages and the flags of the new one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  proofmark rollback prod/router --repository releases --key keys/ci-1.key --proposer alice\n  \
    proofmark rollback prod/router --to 1.1 --revoke-current --repository releases --key keys/ci-1.key --proposer alice")]
pub(crate) struct Arguments {
    /// The group, as a whole
    #[arg(value_name = "ENV/ROLE", value_parser = core::<GroupName>)]
    group: GroupName,
    /// Release, or SHA-256 of a bundle [default: what the group had before]
    #[arg(long, value_name = "RELEASE|SHA256", value_parser = core::<Wanted>)]
    to: Option<Wanted>,
    /// Revoke the bundle that is left, for ever, in the same step
    #[arg(long)]
    revoke_current: bool,
    /// Hosts, if you want to name them: all of the group, or it is refused; may be repeated
    #[arg(long = "host", value_name = "HOST", value_parser = core::<Name>)]
    hosts: Vec<Name>,
    /// A bundle that some hosts may still hold, besides the one the group has now; may be repeated
    #[arg(long = "also-from", value_name = "SHA256", value_parser = core::<Digest>)]
    also_from: Vec<Digest>,
    #[command(flatten)]
    pub(super) propose: ProposeArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    arguments.propose.propose(|repository, published| {
        let old = group(published, &arguments.group)?;
        verbs::check_whole(old, &arguments.hosts.iter().cloned().collect()).map_err(|error| error.refusal())?;
        let now = old.bundle.digest().map_err(|refusal| refusal.refusal())?;
        let of_product =
            |group: &proofmark_core::group::Group| group.environment == old.environment && group.bundle.product == old.bundle.product;
        let found = match &arguments.to {
            Some(wanted) => history::find(repository, wanted, &of_product),
            None => history::before(repository, &arguments.group, now),
        };
        let Some((_, target)) = found.map_err(|error| error.refusal())? else {
            let known = history::releases(repository, &old.bundle.product, &old.environment, 8).map_err(|error| error.refusal())?;
            let wanted = arguments.to.as_ref().map_or_else(|| "the bundle before".to_owned(), ToString::to_string);
            return Err(VerbError::NoBundle { wanted, group: arguments.group.clone(), known }.refusal());
        };
        let in_force = halts::in_force(repository).map_err(|error| error.refusal())?;
        let halted = halts::stop_group(&in_force, old);
        let also_from = arguments.also_from.iter().copied().collect();
        let next = verbs::rollback(old, &target.bundle, &also_from, arguments.revoke_current, halted).map_err(|error| error.refusal())?;
        Ok(vec![next])
    })
}
