//! `proofmark halt`.

use proofmark::exit::{Exit, Refusal, Refuse};
use proofmark::halts::{self, Order};
use proofmark::signing::Signer;
use proofmark_core::halt::Scope;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::{Digest, Kind};
use serde_json::json;

use super::Done;
use super::place::{KeyArguments, RepositoryArguments, core};
use super::propose::now;

/// Stop a group, a host, a bundle or everything, now
///
/// One key of role halt is enough. It is signed, written, and named by `latest` at once: it asks nobody, waits for no other command and needs
/// no index and no head. Hosts see it at their next look. It latches, and ends only by a resume that two people sign (proofmark resume).
///
/// Killing a router does not cancel its orders: they rest at the venue. Have cancel-on-disconnect there, or call the venue's desk now.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  proofmark halt prod/router --reason \"child orders without parent\" --repository releases --key keys/ops-1.key\n  \
    proofmark halt --bundle 3f2a... --reason \"fills are counted twice\" --repository releases --key keys/ops-1.key\n  \
    proofmark halt --host rtr-8 --reason \"old code\" --drain 20s --repository releases --key keys/ops-1.key\n  \
    proofmark halt --everything --reason \"exchange asks\" --repository releases --key keys/ops-1.key"
)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["group", "host", "bundle", "everything"]))]
pub(crate) struct Arguments {
    /// Every host of a group
    #[arg(value_name = "ENV/ROLE", value_parser = core::<GroupName>)]
    group: Option<GroupName>,
    /// One host, whatever it runs
    #[arg(long, value_name = "HOST", value_parser = core::<Name>)]
    host: Option<Name>,
    /// One bundle, wherever it runs
    #[arg(long, value_name = "SHA256", value_parser = core::<Digest>)]
    bundle: Option<Digest>,
    /// All of the repository
    #[arg(long)]
    everything: bool,
    /// Why, for those who come after: 1 to 120 bytes
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Let it end by itself for so long first: 20s, at most one hour [default: kill at once]
    #[arg(long, value_name = "TIME", value_parser = super::propose::seconds)]
    drain: Option<i64>,
    #[command(flatten)]
    repository: RepositoryArguments,
    #[command(flatten)]
    key: KeyArguments,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let scope = match (&arguments.group, &arguments.host, &arguments.bundle) {
        (Some(group), _, _) => Scope::Group(group.clone()),
        (_, Some(host), _) => Scope::Host(host.clone()),
        (_, _, Some(bundle)) => Scope::Bundle(*bundle),
        _ => Scope::Everything,
    };
    let mut words = String::new();
    // Nothing that somebody has put behind the newest trust keeps a halt from going out.
    let (repository, end) = arguments.repository.open_as_far(&mut words)?;
    if let Some(end) = end {
        words +=
            &format!("WARNING: trust {} is not the end of the chain, and what follows it is refused: {end}\n", repository.trust().version);
    }
    let key = arguments.key.load()?;
    let signer = Signer::new(repository.trust(), Kind::Halt, &key).map_err(|error| error.refusal())?;
    let drain_seconds = arguments.drain.map(i64::unsigned_abs);
    let order = Order { scope: scope.clone(), drain_seconds, reason: arguments.reason.clone() };
    let (digest, announced) = halts::halt(&repository, &signer, order, now()?).map_err(|error| error.refusal())?;
    words += &format!("halt {digest}: {scope}, by {}\n", signer.name());
    words += &unknown(&repository, &scope).unwrap_or_default();
    words += if announced {
        "It is out: hosts see it at their next look.\n"
    } else {
        "WARNING: it is written, but `latest` has no room to name it: hosts see it with the NEXT HEAD, so publish one now.\n"
    };
    words += &format!(
        "Killing a router does not cancel its orders: check cancel-on-disconnect, call the venues.\n\
         next: proofmark head {0} --key HEAD.key, so that no mirror can hide it; to lift it: proofmark resume {1} {0} --reason \"...\" --key CI.key\n",
        arguments.repository.again(),
        &digest.to_string()[..12]
    );
    let json = json!({ "ok": true, "halt": digest, "announced": announced, "scope": scope, "path": format!("halt/{digest}.halt.json") });
    Ok(Done { data: format!("{digest}\n"), json: format!("{json:#}\n"), words })
}

/// A word when nothing that is published fits: the halt is out all the same, and a slip of the finger would stop nothing.
fn unknown(repository: &proofmark::repository::Repository, scope: &Scope) -> Option<String> {
    let published = repository.published().ok()??;
    let fits = published.groups.iter().any(|(name, group)| match scope {
        Scope::Everything => true,
        Scope::Group(wanted) => wanted == name,
        Scope::Host(host) => group.hosts.contains_key(host),
        Scope::Bundle(bundle) => group.bundle.digest().ok() == Some(*bundle),
    });
    let known: Vec<String> = published.groups.keys().map(ToString::to_string).collect();
    (!fits)
        .then(|| format!("WARNING: the newest index has no {scope}: this halt stops nothing that it names. Groups: {}\n", known.join(", ")))
}

/// Which halts in force a person means: by scope, by the beginning of a digest.
pub(super) fn no_halt(what: impl std::fmt::Display, known: Vec<String>) -> Refusal {
    Refusal::new(Exit::Usage, "no-halt", "no such halt is in force", what)
        .want("a halt in force, by its group or by the beginning of its digest")
        .have(if known.is_empty() { "none".into() } else { known.join("\n") })
        .next("proofmark log --halts shows all of them")
}
