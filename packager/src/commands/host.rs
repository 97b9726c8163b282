//! `proofmark host`.

use std::path::PathBuf;

use clap::Subcommand;
use proofmark::exit::{Refusal, Refuse};
use proofmark::keys;
use proofmark::verbs::{self, Policy};
use proofmark_core::group::{Gate, Lease};
use proofmark_core::name::{GroupName, Name};

use super::Done;
use super::place::core;
use super::propose::{ProposeArguments, group, seconds};

/// Propose another list of hosts for a group, or another policy
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Admit(Admit),
    Remove(Remove),
    Policy(Rules),
}

/// Propose to list hosts in a group, or to give listed ones their record key
///
/// A host is in one group [86]. Also say so in proofmark.toml: the next release lists exactly the hosts that stand there.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  proofmark host admit prod/router rtr-9 --repository releases --key keys/ci-1.key --proposer alice\n  \
    proofmark host admit prod/router rtr-1 --record-key rtr-1.pub --repository releases --key keys/ci-1.key"
)]
struct Admit {
    /// The group
    #[arg(value_name = "ENV/ROLE", value_parser = core::<GroupName>)]
    group: GroupName,
    /// Names of the hosts, as their `init` was told
    #[arg(value_name = "HOST", required = true, value_parser = core::<Name>)]
    hosts: Vec<Name>,
    /// Public key of the host's records, for one host
    #[arg(long, value_name = "FILE.pub")]
    record_key: Option<PathBuf>,
    #[command(flatten)]
    propose: ProposeArguments,
}

/// Propose to take hosts out of a group: they get nothing new. What they run is not stopped by that
///
/// To stop one: proofmark halt --host HOST.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark host remove prod/router rtr-8 --repository releases --key keys/ci-1.key --proposer alice")]
struct Remove {
    /// The group
    #[arg(value_name = "ENV/ROLE", value_parser = core::<GroupName>)]
    group: GroupName,
    /// Names of the hosts
    #[arg(value_name = "HOST", required = true, value_parser = core::<Name>)]
    hosts: Vec<Name>,
    #[command(flatten)]
    propose: ProposeArguments,
}

/// Propose a group's gate, freshness and silence; what is not named stays as it is
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  proofmark host policy prod/router --restart 72h --repository releases --key keys/ci-1.key --proposer alice"
)]
struct Rules {
    /// The group
    #[arg(value_name = "ENV/ROLE", value_parser = core::<GroupName>)]
    group: GroupName,
    /// all: a start needs a go for the whole group; none: each host by itself
    #[arg(long, value_parser = gate)]
    gate: Option<Gate>,
    /// How long after its issue a head lets something new start: 24h
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    activate: Option<i64>,
    /// How long after a head's end what ran before may restart: 168h
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    restart: Option<i64>,
    /// strict: what runs is stopped when the head ends; grace: it may go on
    #[arg(long, value_parser = lease)]
    lease: Option<Lease>,
    /// How long every channel may be silent before an alert: 60s
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    alert: Option<i64>,
    /// How long every channel may be silent before what runs is stopped: 10m, or never
    #[arg(long, value_name = "TIME|never", value_parser = stop)]
    stop: Option<Stop>,
    #[command(flatten)]
    propose: ProposeArguments,
}

/// When silence stops what runs.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Never,
    After(i64),
}

fn gate(text: &str) -> Result<Gate, String> {
    match text {
        "all" => Ok(Gate::All),
        "none" => Ok(Gate::None),
        _ => Err("want all or none".into()),
    }
}

fn lease(text: &str) -> Result<Lease, String> {
    match text {
        "grace" => Ok(Lease::Grace),
        "strict" => Ok(Lease::Strict),
        _ => Err("want grace or strict".into()),
    }
}

fn stop(text: &str) -> Result<Stop, String> {
    if text == "never" { Ok(Stop::Never) } else { seconds(text).map(Stop::After) }
}

impl Arguments {
    pub(super) fn is_json(&self) -> bool {
        match &self.command {
            Command::Admit(admit) => admit.propose.json,
            Command::Remove(remove) => remove.propose.json,
            Command::Policy(rules) => rules.propose.json,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    match &arguments.command {
        Command::Admit(Admit { group: name, hosts, record_key, propose }) => propose.propose(|_, published| {
            let key = record_key.as_ref().map(|path| keys::load_public(path)).transpose().map_err(|error| error.refusal())?;
            if key.is_some() && hosts.len() > 1 {
                return Err(Refusal::new(proofmark::exit::Exit::Usage, "one-key", "a record key belongs to one host", name)
                    .want("one HOST with --record-key")
                    .have(format!("{} hosts", hosts.len()))
                    .next("call once for each host that has a key"));
            }
            let next = hosts.iter().fold(group(published, name)?.clone(), |group, host| verbs::admit(&group, host, key.clone()));
            Ok(vec![next])
        }),
        Command::Remove(Remove { group: name, hosts, propose }) => propose.propose(|_, published| {
            let next = hosts.iter().try_fold(group(published, name)?.clone(), |group, host| verbs::remove(&group, host));
            Ok(vec![next.map_err(|error| error.refusal())?])
        }),
        Command::Policy(rules) => rules.propose.propose(|_, published| {
            let seconds = |time: Option<i64>| time.map(i64::unsigned_abs);
            let policy = Policy {
                gate: rules.gate,
                activate_seconds: seconds(rules.activate),
                restart_seconds: seconds(rules.restart),
                lease: rules.lease,
                alert_seconds: seconds(rules.alert),
                stop_seconds: rules.stop.map(|stop| match stop {
                    Stop::Never => None,
                    Stop::After(time) => Some(time.unsigned_abs()),
                }),
            };
            Ok(vec![verbs::set_policy(group(published, &rules.group)?, policy)])
        }),
    }
}
