//! The only place where code of the project being built runs: cargo, its build scripts, its procedural macros.
//!
//! New user, mount, pid, network, IPC and UTS namespaces, by the `hakoniwa` crate. The root is made of one operating system
//! ([`Root`]), the toolchain, the source and the crates, all read-only at fixed paths, and one writable directory, /target. What is
//! not listed in [`Spec`] does not exist inside. Environment, user, host name, umask and working directory are constants.
//!
//! Each run has a process of its own, the worker (`proofmark` with [`WORKER`] as its first argument): it takes on what the
//! sandbox must hide (user, umask, time zone, processor count), and when it dies, the namespace dies with it, and all within.
//! This file must never run anything with more rights than its caller has, nor give a process inside the outer user id 0.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::files;
use crate::progress::Progress;
use crate::tool::{self, Outcome, ToolError};

pub mod machine;
mod missing;
pub mod witness;
mod worker;

pub use worker::main as worker_main;

/// First argument that turns `proofmark` into a worker. Hidden: it is no part of the command line that people use.
pub const WORKER: &str = "__sandbox";

/// User and group inside, whatever they are outside.
const BUILDER: u32 = 1000;

/// Exit code of a worker whose sandbox could not be set up (hakoniwa's own; cargo never uses it).
const SETUP_FAILED: i32 = 125;

/// Where the sandbox's operating system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// This machine's own /usr, in place and read-only, with its choice of alternatives.
    Host,
    /// A tree that was made of locked layers; nothing of this machine.
    Layers(PathBuf),
}

impl Root {
    /// The directory that holds this operating system's `usr`, `bin`, ...
    pub fn directory(&self) -> &Path {
        match self {
            Self::Host => Path::new("/"),
            Self::Layers(tree) => tree,
        }
    }
}

/// Whether the inside is the deterministic machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Machine {
    /// Every answer of the machine is a constant ([`machine`]).
    On,
    /// The machine answers for itself, within the sandbox's walls: to find out which code depends on it.
    Off,
}

/// What is in the sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// The operating system.
    pub root: Root,
    /// The machine.
    pub machine: Machine,
    /// Directories and files of this machine, with their place inside, read-only.
    pub read_only: Vec<(PathBuf, String)>,
    /// Directories of this machine, with their place inside, writable.
    pub writable: Vec<(PathBuf, String)>,
    /// Places inside that are hidden under an empty directory.
    pub hidden: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
}

impl Spec {
    /// Puts the directory `own` in the place of what is read-only at `inside`, to be written.
    pub fn make_writable(&mut self, inside: &str, own: &Path) {
        self.read_only.retain(|(_, place)| place != inside);
        self.writable.push((own.to_owned(), inside.to_owned()));
    }
}

/// What the outside looks like during one run. The inside must not be able to tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outside {
    /// User and group ids outside. Only root can choose; without, it is the caller's.
    pub ids: Option<(u32, u32)>,
    /// Host name. Only root can choose.
    pub hostname: Option<String>,
    /// Soft limit of open files.
    pub open_files: u64,
    /// umask of the worker.
    pub umask: u32,
    /// How many processors the worker leaves unused, if it can.
    pub spare_processors: usize,
    /// Environment of the worker.
    pub env: BTreeMap<String, String>,
}

/// What a worker is asked to do, as JSON in a file.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    spec: Spec,
    outside: Outside,
    /// Directory that the outer user can reach, for mount points.
    stage: PathBuf,
    argv: Vec<String>,
}

/// The sandbox failed; not what ran in it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Preparing failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The worker could not be run, or was stopped.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// This machine does not allow what the sandbox needs.
    #[error("{missing}: {says}")]
    Unavailable {
        /// What is missing.
        missing: String,
        /// What the kernel or the library said.
        says: String,
        /// How to get it.
        next: String,
    },
    /// The machine's library does not compile.
    #[error("the deterministic machine does not compile: {0}")]
    Machine(String),
    /// It worked before and fails now.
    #[error("the sandbox failed: {0}")]
    Failed(String),
}

impl Refuse for SandboxError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Tool(error) => error.refusal(),
            Self::Unavailable { missing, says, next } => {
                Refusal::new(Exit::Platform, "no-sandbox", "this machine cannot isolate a build", missing)
                    .want("user, mount, pid, network, IPC and UTS namespaces")
                    .have(says)
                    .next(next)
            }
            Self::Machine(says) => Refusal::new(Exit::Platform, "no-machine", "the deterministic machine cannot be made", "cc")
                .want("a C compiler and glibc 2.33 or later, on x86-64 or AArch64")
                .have(says)
                .next("build in a locked environment: proofmark lock"),
            Self::Failed(says) => Refusal::new(Exit::Internal, "sandbox", "the sandbox failed", "during the build")
                .have(says)
                .next("look for an out-of-memory kill in dmesg, then call again"),
        }
    }
}

/// Ids for runs by root, one for each run: any that nobody has. Above the range of users and system users of every
/// distribution, below that of subordinate ids.
pub const OUTER_IDS: [u32; 2] = [64_101, 64_102];

/// Whether the caller may choose the user outside: root, and not the root of a user namespace that lacks those ids.
pub fn may_choose_user() -> bool {
    let mapped = |path: &str| {
        let map = fs::read_to_string(path).unwrap_or_default();
        OUTER_IDS.iter().all(|id| map.lines().any(|line| in_range(line, *id)))
    };
    rustix::process::geteuid().is_root() && mapped("/proc/self/uid_map") && mapped("/proc/self/gid_map")
}

/// A line of user_namespaces(7): first id inside, first id outside, count.
fn in_range(line: &str, id: u32) -> bool {
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    matches!(numbers[..], [first, _, count] if (first..first + count).contains(&u64::from(id)))
}

/// Runs `argv` inside, in /src, and returns when every process inside is gone.
pub fn run(worker: &Path, spec: &Spec, outside: &Outside, argv: &[String], progress: &dyn Progress) -> Result<Outcome, SandboxError> {
    // Not below TMPDIR where the user changes: the outer user must be able to walk there, and root's own directories are closed.
    let parent = if outside.ids.is_some() { PathBuf::from("/tmp") } else { std::env::temp_dir() };
    let stage = tempfile::Builder::new().prefix("proofmark-stage-").tempdir_in(&parent).at("create a directory in", parent)?;
    let path = stage.path().canonicalize().at("open", stage.path())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).at("set the mode of", &path)?;
    for name in ["root", "m"] {
        files::create(&path.join(name))?;
    }
    if let Some((uid, gid)) = outside.ids {
        for directory in spec.writable.iter().map(|(directory, _)| directory).chain([&path.join("root")]) {
            files::give(directory, uid, gid)?;
        }
    }
    let request = Request { spec: spec.clone(), outside: outside.clone(), stage: path.clone(), argv: argv.to_vec() };
    let file = path.join("request.json");
    let json = serde_json::to_vec(&request).map_err(std::io::Error::from).at("write", &file)?;
    files::write(&file, &json, false, 0)?;
    let outcome = tool::run(Command::new(worker).arg(WORKER).arg(&file).env_clear().envs(&outside.env).current_dir("/"), progress)?;
    if outcome.code == Some(SETUP_FAILED) || outcome.code.is_none() {
        return Err(SandboxError::Failed(outcome.tail(5)));
    }
    Ok(outcome)
}

/// The first run of a command: where it fails, the machine is likely to lack something, which is named.
pub fn run_first(worker: &Path, spec: &Spec, outside: &Outside, argv: &[String], progress: &dyn Progress) -> Result<Outcome, SandboxError> {
    match run(worker, spec, outside, argv, progress) {
        Err(SandboxError::Failed(says)) => Err(missing::explain(&says)),
        other => other,
    }
}

/// Writes /etc into the new directory `to`: what the layers have there, or the system's choice among installed alternatives
/// (/usr/bin/cc is a link through it); over that, the few files that say who and where: one user, one group, no host names.
pub fn write_etc(to: &Path, root: &Root, time: u64) -> Result<(), IoError> {
    files::create(to)?;
    match root {
        Root::Host => links(Path::new("/etc/alternatives"), &to.join("alternatives"), time)?,
        Root::Layers(tree) => files::copy_tree(&tree.join("etc"), to, time)?,
    }
    for (name, text) in [
        ("passwd", "builder:x:1000:1000:builder:/home/builder:/bin/sh\n"),
        ("group", "builder:x:1000:\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
        ("hosts", ""),
    ] {
        files::remove(&to.join(name))?;
        files::write(&to.join(name), text.as_bytes(), false, time)?;
    }
    files::settle(to, time)
}

fn links(from: &Path, to: &Path, time: u64) -> Result<(), IoError> {
    if !from.is_dir() {
        return Ok(());
    }
    files::create(to)?;
    for link in files::listed(from)? {
        if let (Ok(target), Some(name)) = (fs::read_link(&link), link.file_name())
            && let Some(target) = target.to_str()
        {
            files::symlink(target, &to.join(name), time)?;
        }
    }
    Ok(())
}

/// The constant part of the environment inside.
pub fn environment(time: u64) -> BTreeMap<String, String> {
    let fixed = [
        ("PATH", "/toolchain/bin:/usr/bin:/bin"),
        ("HOME", "/home/builder"),
        ("USER", "builder"),
        ("CARGO_HOME", "/home/builder/.cargo"),
        // Also for a cargo that a build script runs: it is to do without an index, not to ask for one.
        ("CARGO_NET_OFFLINE", "true"),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
    ];
    let mut env: BTreeMap<String, String> = fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    env.insert("SOURCE_DATE_EPOCH".into(), time.to_string());
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_a_small_user_namespace_cannot_choose() {
        assert!(in_range("         0          0 4294967295", OUTER_IDS[1]));
        assert!(!in_range("         0       1000          1", OUTER_IDS[0]));
        assert!(!in_range("", OUTER_IDS[0]));
    }
}
