//! What can be varied around a build on one machine. The inside must not be able to tell; the second build varies everything, and after
//! a difference each factor alone says which one leaked.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::sandbox::{self, Outside};

/// One thing that another machine has otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// Paths of all inputs and outputs, the order in which directories list them, and the file system of the sources.
    Place,
    /// User and group.
    User,
    /// umask, and the limit of open files.
    Limits,
    /// Number of processors.
    Processors,
    /// Time zone, locale, user name and whatever else an environment holds.
    Environment,
    /// Host name.
    HostName,
}

impl Factor {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Place, Self::User, Self::Limits, Self::Processors, Self::Environment, Self::HostName];
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Place => "the place: paths, directory order, file system",
            Self::User => "the user",
            Self::Limits => "umask and limits",
            Self::Processors => "the number of processors",
            Self::Environment => "time zone, locale and environment",
            Self::HostName => "the host name",
        })
    }
}

/// The outside of one run, with these factors varied.
pub(super) fn outside(varied: &[Factor]) -> Outside {
    let pick = |factor: Factor| usize::from(varied.contains(&factor));
    let env: [&[(&str, &str)]; 2] = [
        &[("TZ", "Pacific/Kiritimati"), ("LANG", "C"), ("USER", "first"), ("HOME", "/")],
        &[
            ("TZ", "America/St_Johns"),
            ("LC_ALL", "tr_TR.UTF-8"),
            ("USER", "second-user"),
            ("HOME", "/nonexistent"),
            ("NOISE", "1f9a0c57e3"),
        ],
    ];
    let root = sandbox::may_choose_user();
    let id = sandbox::OUTER_IDS[pick(Factor::User)];
    let env: BTreeMap<_, _> =
        env[pick(Factor::Environment)].iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Outside {
        ids: root.then_some((id, id)),
        hostname: root.then(|| ["first", "another-machine"][pick(Factor::HostName)].to_owned()),
        open_files: [4096, 512][pick(Factor::Limits)],
        umask: [0o022, 0o077][pick(Factor::Limits)],
        // One processor less: what asks for their number is found out here, and not on a customer's machine.
        spare_processors: pick(Factor::Processors),
        env,
    }
}
