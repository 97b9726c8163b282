//! `manifest.json` (section 6): every file of a bundle and the one way to start it.

use crate::digest::Digest;
use crate::group::{FlagState, Group};
use crate::json::{self, Document};
use crate::limits;
use crate::name::{AbsolutePath, Commit, MemberPath, Name, Release, Target, is_at_or_below};
use crate::refusal::{Reason, Refusal, Result};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Number of the determinism contract that this code packs and reads: packer, compressor, build.
pub const CONTRACT: u64 = 1;

/// A manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub format: u64,
    /// `manifest`.
    pub kind: String,
    /// [`CONTRACT`] of the packer.
    pub contract: u64,
    /// Product.
    pub product: Name,
    /// Release.
    pub release: Release,
    /// Environment.
    pub environment: Name,
    /// Target.
    pub target: Target,
    /// Wire epoch.
    pub wire_epoch: u64,
    /// Where it was built from.
    pub source: Source,
    /// SHA-256 of the buildinfo.
    pub buildinfo: Digest,
    /// Flags in force, sorted by id.
    pub flags: Vec<Flag>,
    /// Every file, sorted by path.
    pub files: Vec<File>,
    /// How the process starts.
    pub launch: Launch,
}

/// The source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Commit.
    pub commit: Commit,
    /// Git tree of the workspace in it.
    pub tree: Commit,
    /// The commit's time; the mtime of every member.
    pub time: Time,
}

/// A flag in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flag {
    /// Ledger id.
    pub id: u64,
    /// Ledger name.
    pub name: Name,
    /// SHA-256 of the ledger's meaning.
    pub meaning: Digest,
}

/// A file of the bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// `root/...` or `hosts/NAME/...`.
    pub path: MemberPath,
    /// Bytes.
    pub size: u64,
    /// Permissions.
    pub mode: FileMode,
    /// SHA-256.
    pub sha256: Digest,
}

/// The two modes a file can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileMode {
    /// 0644
    #[serde(rename = "0644")]
    Data,
    /// 0755
    #[serde(rename = "0755")]
    Program,
}

impl FileMode {
    /// Permission bits.
    pub fn bits(self) -> u32 {
        match self {
            FileMode::Data => 0o644,
            FileMode::Program => 0o755,
        }
    }
}

/// The one way to start the payload. What is not here, it does not get.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Arguments; the first is the program's absolute path.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// User, a name.
    pub user: Name,
    /// Permission to be root.
    pub dangerous_root: bool,
    /// Resource limits.
    pub limits: Limits,
    /// Capabilities it keeps, sorted.
    pub capabilities: Vec<Capability>,
    /// Writable directory, if any.
    pub state: Option<AbsolutePath>,
    /// Credentials, sorted; found at `/run/credentials/NAME`.
    pub credentials: Vec<Name>,
    /// Variables of the service manager it is given, sorted.
    pub supervisor: Vec<SupervisorVariable>,
    /// Files of the host it sees, sorted by path.
    pub host_files: Vec<HostFile>,
}

/// Resource limits; `None` leaves the verifier's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// RLIMIT_NOFILE.
    pub open_files: Option<u64>,
    /// RLIMIT_NPROC.
    pub processes: Option<u64>,
    /// RLIMIT_CORE, bytes.
    pub core_bytes: Option<u64>,
    /// RLIMIT_AS, bytes.
    pub memory_bytes: Option<u64>,
}

/// Capabilities that may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names are Linux's, see capabilities(7)")]
pub enum Capability {
    CapIpcLock,
    CapNetAdmin,
    CapNetBindService,
    CapNetRaw,
    CapSysNice,
}

/// Variables of the service manager that may be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names are systemd's, see sd_notify(3)")]
pub enum SupervisorVariable {
    NotifySocket,
    WatchdogPid,
    WatchdogUsec,
}

impl SupervisorVariable {
    /// The variable's name.
    pub fn name(self) -> &'static str {
        match self {
            SupervisorVariable::NotifySocket => "NOTIFY_SOCKET",
            SupervisorVariable::WatchdogPid => "WATCHDOG_PID",
            SupervisorVariable::WatchdogUsec => "WATCHDOG_USEC",
        }
    }
}

/// A file of the host that the payload sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostFile {
    /// Where it is, on the host and in the payload's root.
    pub path: AbsolutePath,
    /// Its SHA-256, or `unverified`.
    pub sha256: Expected,
}

/// What is known of a host file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Expected {
    /// These bytes.
    Digest(Digest),
    /// Any bytes: the host's own business.
    Untrusted(Unverified),
}

/// The word `unverified`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unverified {
    /// The word.
    Unverified,
}

/// Where the payload finds its credentials, relative to its root.
pub const CREDENTIALS: &str = "run/credentials";

impl Document for Manifest {
    const KIND: &'static str = "manifest";
    const LIMIT: usize = limits::MANIFEST;

    fn check(&self) -> Result<()> {
        if self.contract != CONTRACT {
            return Err(Refusal::new(Reason::UnknownFormat, "contract", CONTRACT, self.contract));
        }
        let ids: Vec<u64> = self.flags.iter().map(|flag| flag.id).collect();
        json::sorted(&ids, limits::FLAGS, "flags")?;
        let paths: Vec<&MemberPath> = self.files.iter().map(|file| &file.path).collect();
        json::sorted(&paths, limits::FILES, "files")?;
        if self.source.time.unix() > limits::TAR_TIME {
            return Err(Refusal::new(Reason::Limit, "source.time", "a time that 11 octal digits hold", self.source.time));
        }
        self.launch.check(self)?;
        let overlaid: BTreeSet<&str> = self.files.iter().filter_map(|file| file.path.split().0).collect();
        json::at_most(overlaid.len(), limits::HOSTS, "hosts with files of their own")?;
        self.check_tree(None)?;
        overlaid.into_iter().try_for_each(|host| self.check_tree(Some(host)))
    }
}

impl Manifest {
    /// The payload's files on a host: `root/` overlaid by `hosts/HOST/`, by *path*.
    pub fn files_for(&self, host: Option<&str>) -> BTreeMap<&str, &File> {
        let layer = |wanted: Option<&str>| {
            let of_layer = move |file: &&File| file.path.split().0 == wanted;
            self.files.iter().filter(of_layer).map(|file| (file.path.split().1, file)).collect::<Vec<_>>()
        };
        let mut files: BTreeMap<&str, &File> = layer(None).into_iter().collect();
        if host.is_some() {
            files.extend(layer(host));
        }
        files
    }

    /// Sum of all file sizes, saturating.
    pub fn content_size(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// No case twins, no file that is another's directory, nothing where the verifier mounts something.
    fn check_tree(&self, host: Option<&str>) -> Result<()> {
        let files = self.files_for(host);
        let refuse = |path: &str, want: &str, have: String| Err(Refusal::new(Reason::Policy, format_args!("file {path}"), want, have));
        let mut folded: BTreeMap<String, &str> = BTreeMap::new();
        for path in files.keys() {
            if let Some(twin) = folded.insert(path.to_ascii_lowercase(), path) {
                return refuse(path, "paths that differ in more than case", format!("{twin} as well"));
            }
            let absolute = format!("/{path}");
            let state = self.launch.state.iter().map(AbsolutePath::as_str);
            let host_files = self.launch.host_files.iter().map(|file| file.path.as_str());
            let mut mounts = ["/proc", "/dev", "/run/credentials"].into_iter().chain(state).chain(host_files);
            if let Some(mount) = mounts.find(|mount| is_at_or_below(&absolute, mount) || is_at_or_below(mount, &absolute)) {
                return refuse(path, "a path outside what the verifier mounts", format!("at, below or above {mount}"));
            }
        }
        for path in folded.keys() {
            let mut parent = path.as_str();
            while let Some((dir, _)) = parent.rsplit_once('/') {
                if folded.contains_key(dir) {
                    return refuse(path, "directories that are not files", format!("{dir} is a file"));
                }
                parent = dir;
            }
        }
        Ok(())
    }

    /// The manifest is the one that the group file describes, and its flags are in the ledger (K1, K16).
    pub fn check_group(&self, group: &Group) -> Result<()> {
        let entry = &group.bundle;
        let subject = format!("bundle of group {}", group.name());
        if self.environment != group.environment {
            return Err(Refusal::new(Reason::Environment, subject, format_args!("environment {}", group.environment), &self.environment));
        }
        if self.target != entry.target {
            return Err(Refusal::new(Reason::Target, subject, &entry.target, &self.target));
        }
        let identity = |product: &Name, release: &Release, epoch: u64, commit: &Commit| {
            format!("{product} {release}, wire epoch {epoch}, commit {commit}")
        };
        let want = identity(&entry.product, &entry.release, entry.wire_epoch, &entry.source_commit);
        let have = identity(&self.product, &self.release, self.wire_epoch, &self.source.commit);
        if want != have {
            return Err(Refusal::new(Reason::Product, subject, want, have));
        }
        for flag in &self.flags {
            let entry = group.ledger.iter().find(|entry| entry.id == flag.id);
            if !entry.is_some_and(|entry| entry.name == flag.name && entry.meaning == flag.meaning && entry.state == FlagState::Active) {
                let want = entry.map_or_else(
                    || format!("flag {} in the ledger", flag.id),
                    |entry| format!("flag {} as in the ledger: {} ({:?}), meaning {}", entry.id, entry.name, entry.state, entry.meaning),
                );
                return Err(Refusal::new(
                    Reason::FlagLedger,
                    subject,
                    want,
                    format_args!("{} in force, meaning {}", flag.name, flag.meaning),
                ));
            }
        }
        Ok(())
    }
}

impl Launch {
    fn check(&self, manifest: &Manifest) -> Result<()> {
        let refuse =
            |subject: &str, want: &str, have: &str| Err(Refusal::new(Reason::Policy, format_args!("launch: {subject}"), want, have));
        json::at_most(self.argv.len(), limits::ARGV, "argv")?;
        json::at_most(self.env.len(), limits::ARGV, "env")?;
        json::sorted(&self.credentials, limits::GRANTS, "credentials")?;
        let names = |list: &[Capability]| list.iter().map(|c| *c as u8).collect::<Vec<_>>();
        json::sorted(&names(&self.capabilities), limits::GRANTS, "capabilities")?;
        json::sorted(&self.supervisor.iter().map(|v| v.name()).collect::<Vec<_>>(), limits::GRANTS, "supervisor")?;
        let paths: Vec<&AbsolutePath> = self.host_files.iter().map(|file| &file.path).collect();
        json::sorted(&paths, limits::GRANTS, "host_files")?;

        let program = self.argv.first().and_then(|first| first.strip_prefix('/'));
        let is_program = |path: &str| manifest.files_for(None).get(path).is_some_and(|file| file.mode == FileMode::Program);
        if !program.is_some_and(is_program) {
            return refuse(
                "argv",
                "the absolute path of a file with mode 0755 under root/",
                self.argv.first().map_or("nothing", String::as_str),
            );
        }
        for (name, value) in &self.env {
            let first = name.bytes().next().is_some_and(|c| c.is_ascii_uppercase() || c == b'_');
            let rest = name.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_');
            if !first || !rest || name.len() > 64 {
                return refuse("env", "names [A-Z_][A-Z0-9_]{0,63}", name);
            }
            if name.starts_with("LD_") || name == "GLIBC_TUNABLES" || self.supervisor.iter().any(|v| v.name() == name) {
                return refuse("env", "no variable of the loader or of the service manager", name);
            }
            if value.contains(['\0', '\n', '\r']) {
                return refuse("env", "values without NUL and line ends", name);
            }
        }
        if self.user.as_str() == "root" && !self.dangerous_root {
            return refuse("user", "a user other than root, or dangerous_root", "root");
        }
        let mounts = self.state.iter().chain(self.host_files.iter().map(|file| &file.path));
        for path in mounts {
            if ["/proc", "/dev", "/run"].iter().any(|dir| path.is_at_or_below(dir)) {
                return refuse("state and host_files", "paths outside /proc, /dev and /run", path.as_str());
            }
        }
        if let Some(state) = &self.state
            && let Some(file) =
                self.host_files.iter().find(|file| file.path.is_at_or_below(state.as_str()) || state.is_at_or_below(file.path.as_str()))
        {
            return refuse("host_files", "paths outside the state directory", file.path.as_str());
        }
        let above = |file: &HostFile, other: &HostFile| file.path != other.path && file.path.is_at_or_below(other.path.as_str());
        if let Some(file) = self.host_files.iter().find(|file| self.host_files.iter().any(|other| above(file, other))) {
            return refuse("host_files", "files, none below another", file.path.as_str());
        }
        Ok(())
    }
}
