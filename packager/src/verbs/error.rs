//! Why a verb does not make a group file: the words for a person at 9:31.

use proofmark_core::Digest;
use proofmark_core::name::{GroupName, Name};

use crate::exit::{Exit, Refusal, Refuse};

/// No group file was made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "fields are what their names say; the texts below are the documentation")]
pub enum VerbError {
    /// The core refuses.
    #[error(transparent)]
    Refused(#[from] proofmark_core::Refusal),
    /// The group has that bundle already.
    #[error("{group} has release {release} already")]
    Same { group: GroupName, release: String },
    /// A way back to a revoked bundle.
    #[error("{group}: release {release} is revoked")]
    RevokedTarget { group: GroupName, release: String, bundle: Digest },
    /// A way back across wire epochs, while the group runs.
    #[error("{group}: from wire epoch {from} to {to}")]
    WireEpoch { group: GroupName, from: u64, to: u64 },
    /// Some hosts of a group.
    #[error("{asked} of {all} hosts of {group}")]
    Part { group: GroupName, asked: usize, all: usize, left: Vec<String> },
    /// The bundle that is to be revoked is assigned.
    #[error("{group} is to run release {release}")]
    RevokeAssigned { group: GroupName, release: String },
    /// The group does not list the host.
    #[error("{group} does not list {host}")]
    NoHost { group: GroupName, host: Name, hosts: Vec<String> },
    /// A group without hosts.
    #[error("{host} is the last host of {group}")]
    LastHost { group: GroupName, host: Name },
    /// An id with two meanings.
    #[error("flag {id} is {old} and {new}")]
    Ledger { group: GroupName, id: u64, old: Name, new: Name },
    /// The newest index has no such group.
    #[error("no group {group}")]
    NoGroup { group: GroupName, known: Vec<String> },
    /// No published index ever assigned such a bundle where it could be used.
    #[error("no bundle {wanted}")]
    NoBundle { wanted: String, group: GroupName, known: Vec<String> },
    /// The bundle was made for something else.
    #[error("bundle {wanted} is for {have}")]
    Elsewhere { wanted: String, group: GroupName, have: String },
    /// The proposal would change nothing.
    #[error("nothing changes")]
    NoChange { what: String },
}

impl Refuse for VerbError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal.refusal(),
            Self::Same { group, release } => Refusal::new(Exit::Usage, "same-bundle", "the group has this bundle already", group)
                .want(format!("a bundle other than that of release {release}"))
                .have("the same")
                .next("proofmark log shows what a group had before; name it with --to"),
            Self::RevokedTarget { group, release, bundle } => {
                Refusal::new(Exit::Revoked, "revoked", "no way back to a revoked bundle", format!("group {group}, release {release}"))
                    .want("a bundle that is not revoked; a revocation is for ever")
                    .have(format!("{bundle}, revoked by the newest index"))
                    .next("go back further (--to RELEASE), or release a commit that is right: proofmark release")
            }
            Self::WireEpoch { group, from, to } => {
                Refusal::new(Exit::Gate, "wire-epoch", "no way back across wire epochs while the group runs", format!("group {group}"))
                    .want(format!("a bundle of wire epoch {from}, or a halt in force for the whole group"))
                    .have(format!("wire epoch {to}, and no halt: hosts of both epochs would run side by side"))
                    .next(format!(
                        "stop all of it first, then go back, then resume:\n\
                         proofmark halt {group} --reason \"rollback to wire epoch {to}\" --key OPERATOR.key\n\
                         proofmark rollback {group} ...; approve, publish and head as usual; proofmark resume {group}"
                    ))
            }
            Self::Part { group, asked, all, left } => {
                Refusal::new(Exit::Gate, "part-of-a-group", "a group goes back as a whole or not at all", format!("group {group}"))
                    .want(format!("all {all} hosts, or none named"))
                    .have(format!("{asked} of {all}; left out: {}", left.join(", ")))
                    .next(format!(
                        "do not split a group under fire: that is how old code and new code come to run side by side.\n\
                         proofmark halt {group} --reason \"...\" --key OPERATOR.key   # stops all of it\n\
                         proofmark rollback {group}                                   # then takes all of it back"
                    ))
            }
            Self::RevokeAssigned { group, release } => Refusal::new(
                Exit::Revoked,
                "assigned",
                "the newest index tells hosts to run this bundle",
                format!("group {group}, release {release}"),
            )
            .want("a bundle that no group is to run")
            .have(format!("{group} has it"))
            .next(format!(
                "stop it at once with a halt: proofmark halt --bundle SHA256 --reason \"...\" --key OPERATOR.key\n\
                         then replace and revoke it in one step: proofmark rollback {group} --revoke-current"
            )),
            Self::NoHost { group, host, hosts } => {
                Refusal::new(Exit::NoGroup, "host-not-in-group", "the group does not list this host", format!("group {group}, host {host}"))
                    .want(format!("one of {}", hosts.join(", ")))
                    .have(host)
                    .next("check the name; proofmark host admit lists a host")
            }
            Self::LastHost { group, host } => {
                Refusal::new(Exit::NoGroup, "last-host", "a group has at least one host", format!("group {group}, host {host}"))
                    .want("another host in the group")
                    .have("none")
                    .next(format!("a group that is no longer wanted stays listed: stop it for good with a halt (proofmark halt {group})"))
            }
            Self::Ledger { group, id, old, new } => {
                Refusal::new(Exit::Ledger, "flag-reused", "one flag id with two meanings", format!("group {group}, flag {id}"))
                    .want(format!("flag {id} is {old}, for ever"))
                    .have(format!("flag {id} as {new}, in the ledger of the bundle that is to be assigned"))
                    .next("release that feature under a new id: proofmark release")
            }
            Self::NoGroup { group, known } => Refusal::new(Exit::NoGroup, "no-group", "the newest index has no such group", group)
                .want(if known.is_empty() { "a published index".into() } else { format!("one of {}", known.join(", ")) })
                .have(group)
                .next("check the name; proofmark release or proofmark assign --host makes a new group"),
            Self::NoBundle { wanted, group, known } => {
                Refusal::new(Exit::NotInIndex, "no-bundle", "no index ever assigned such a bundle", format!("group {group}, {wanted}"))
                    .want(format!("a release of environment {} that was published, by number or SHA-256", group.environment))
                    .have(if known.is_empty() { "none was".into() } else { known.join("\n") })
                    .next("proofmark release makes and proposes a new one")
            }
            Self::Elsewhere { wanted, group, have } => Refusal::new(
                Exit::Environment,
                "wrong-environment",
                "this bundle was made for something else",
                format!("group {group}, {wanted}"),
            )
            .want(format!("a bundle for environment {}, of the group's product", group.environment))
            .have(have)
            .next(format!(
                "each environment has a bundle of its own, with the same programs: proofmark release --environment {}",
                group.environment
            )),
            Self::NoChange { what } => Refusal::new(Exit::Usage, "no-change", "the newest index says so already", what)
                .want("something that changes")
                .have("an index that would be the same")
                .next("nothing is to be done; hosts follow the newest head"),
        }
    }
}
