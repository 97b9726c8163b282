//! `proofmark.toml`: what a project declares about its release. Strict: an unknown key, a name outside its grammar or a
//! contradiction is an error with file, line and next step.
//!
//! This file must never fill a gap by looking at the machine; a default is a constant or absent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proofmark_core::group::{Gate, Lease};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::names::{BundlePath, CargoName, EnvName, Group, HostDigest, HostPath, Line, Name, PackageName, Release, SourcePath, Target};
use crate::verbs::Policy;

mod check;

use check::Contradiction;

/// Name of the file, at the root of the workspace.
pub const FILE: &str = "proofmark.toml";

/// A whole `proofmark.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the product.
    pub product: Name,
    /// Version of this release.
    pub release: Release,
    /// Target triple; the compiler's host where absent.
    pub target: Option<Target>,
    /// How the C library is linked.
    #[serde(default)]
    pub linking: Linking,
    /// Cargo profile.
    #[serde(default = "release_profile")]
    pub profile: CargoName,
    /// Cargo features.
    #[serde(default)]
    pub features: Vec<CargoName>,
    /// Whether the packages' default features are on.
    #[serde(default = "yes")]
    pub default_features: bool,
    /// Epoch of the wire protocol: one group never runs two.
    pub wire_epoch: u64,
    /// The flag ledger, if the product has one.
    pub ledger: Option<SourcePath>,
    /// Programs to build.
    #[serde(rename = "binary")]
    pub binaries: Vec<Binary>,
    /// Environments a bundle is made for.
    #[serde(rename = "environment")]
    pub environments: Vec<Environment>,
    /// How a host starts the product.
    pub launch: Launch,
    /// Groups of hosts.
    #[serde(default, rename = "group")]
    pub groups: Vec<HostGroup>,
    /// The build's own settings.
    #[serde(default)]
    pub build: BuildSection,
}

/// How the C library is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Linking {
    /// `-C target-feature=+crt-static` on *-linux-gnu: the bundle needs no loader and no library.
    #[default]
    Static,
    /// As the target does it by default.
    Dynamic,
}

/// One `[[binary]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    /// Cargo package.
    pub package: CargoName,
    /// Binary target of that package.
    pub name: CargoName,
    /// Where it goes in the bundle; `bin/NAME` where absent.
    pub path: Option<BundlePath>,
}

/// One `[[environment]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// `prod`, `uat`, ...
    pub name: Name,
    /// Flags in force, by ledger id.
    #[serde(default)]
    pub flags: Vec<u64>,
    /// Files of this environment.
    #[serde(default, rename = "file")]
    pub files: Vec<EnvironmentFile>,
}

/// One `[[environment.file]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentFile {
    /// File of the workspace.
    pub source: SourcePath,
    /// Where it goes in the bundle.
    pub path: BundlePath,
    /// Mode 0755 instead of 0644.
    #[serde(default)]
    pub executable: bool,
    /// For that host only, laid over the file of the same path.
    pub host: Option<Name>,
}

/// `[launch]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Arguments; the first is the program, `/PATH` in the bundle.
    pub argv: Vec<Line>,
    /// Unix user on the host.
    pub user: Name,
    /// Allows `user = "root"`.
    #[serde(default)]
    pub dangerous_root: bool,
    /// State directory.
    pub state: Option<HostPath>,
    /// Names of secrets that the host provides.
    #[serde(default)]
    pub credentials: Vec<Name>,
    /// Variables of the supervisor that are passed on.
    #[serde(default)]
    pub supervisor: Vec<Supervisor>,
    /// Linux capabilities.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Files of the host that are visible.
    #[serde(default)]
    pub host_files: Vec<HostFile>,
    /// Environment.
    #[serde(default)]
    pub env: BTreeMap<EnvName, Line>,
    /// Resource limits.
    #[serde(default)]
    pub limits: Limits,
}

/// The closed list of supervisor variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names are systemd's: sd_notify(3), sd_watchdog_enabled(3)")]
pub enum Supervisor {
    NotifySocket,
    WatchdogPid,
    WatchdogUsec,
}

/// The closed list of capabilities (FORMAT.md section 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names are the kernel's: capabilities(7)")]
pub enum Capability {
    CapIpcLock,
    CapNetAdmin,
    CapNetBindService,
    CapNetRaw,
    CapSysNice,
}

/// One of `host_files`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostFile {
    /// The file on the host.
    pub path: HostPath,
    /// Its digest, or `unverified`.
    pub sha256: HostDigest,
}

/// `[launch.limits]`; absent means the host's own limit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// RLIMIT_NOFILE.
    pub open_files: Option<u64>,
    /// RLIMIT_NPROC.
    pub processes: Option<u64>,
    /// RLIMIT_CORE, bytes.
    pub core_bytes: Option<u64>,
    /// Memory, bytes.
    pub memory_bytes: Option<u64>,
}

/// One `[[group]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostGroup {
    /// `ENV/ROLE`.
    pub name: Group,
    /// Its exact hosts.
    pub hosts: Vec<Name>,
    /// `all`: a start needs a go that says every host is ready; `none`. What is absent here and below stays as it is published.
    pub gate: Option<Gate>,
    /// Seconds after a head's `issued` in which it activates.
    pub activate_seconds: Option<u64>,
    /// Seconds after a head's end in which what ran restarts.
    pub restart_seconds: Option<u64>,
    /// `strict`: what runs is stopped when the head ends; `grace`.
    pub lease: Option<Lease>,
    /// Seconds of silence before an alert.
    pub alert_seconds: Option<u64>,
    /// Seconds of silence before what runs is stopped; 0: never.
    pub stop_seconds: Option<u64>,
}

impl HostGroup {
    /// What is said of gate, freshness and silence.
    pub fn policy(&self) -> Policy {
        let HostGroup { gate, activate_seconds, restart_seconds, lease, alert_seconds, .. } = *self;
        let stop_seconds = self.stop_seconds.map(|seconds| (seconds > 0).then_some(seconds));
        Policy { gate, activate_seconds, restart_seconds, lease, alert_seconds, stop_seconds }
    }
}

/// `[build]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildSection {
    /// Whether each program says in its section `.dep-v0` what it is made of, for scanners (see [`crate::auditable`]).
    #[serde(default = "yes")]
    pub auditable: bool,
    /// Environment of the build, beside the fixed one.
    #[serde(default)]
    pub env: BTreeMap<EnvName, Line>,
    /// Crates that are allowed to be the same twice only under the deterministic machine; checked by `build --classify`. Where absent,
    /// all are.
    pub enforced: Option<Vec<String>>,
    /// Whether the project's build scripts may write into the source tree, against cargo's rule that they write to OUT_DIR: each build
    /// then has a copy of its own, which goes with it.
    #[serde(default)]
    pub writable_source: bool,
    /// Whose operating system is inside.
    #[serde(default)]
    pub environment: System,
    /// Debian packages whose closure is that system; [`PACKAGES`] where absent.
    packages: Option<Vec<PackageName>>,
}

/// Whose operating system a build sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// That of the packages that `proofmark.lock` names.
    #[default]
    Packages,
    /// The building machine's own. What it builds, another machine cannot rebuild.
    Host,
}

/// The packages of a build that names none: a C compiler with the C library's headers, the locale C.UTF-8, a shell and the basic tools.
pub const PACKAGES: &[&str] = &["coreutils", "dash", "gcc", "libc-bin", "libc6-dev"];

impl BuildSection {
    /// Whether the building machine's own system is asked for.
    pub fn is_host(&self) -> bool {
        self.environment == System::Host
    }

    /// The packages asked for, sorted; none where the system is the host's.
    pub fn packages(&self) -> Vec<String> {
        let mut packages: Vec<String> = match &self.packages {
            _ if self.is_host() => Vec::new(),
            Some(packages) => packages.iter().map(ToString::to_string).collect(),
            None => PACKAGES.iter().map(|name| (*name).to_owned()).collect(),
        };
        packages.sort();
        packages
    }
}

impl Default for BuildSection {
    fn default() -> Self {
        Self {
            auditable: true,
            env: BTreeMap::new(),
            enforced: None,
            writable_source: false,
            environment: System::Packages,
            packages: None,
        }
    }
}

impl Binary {
    /// Where the program goes in the bundle.
    pub fn bundle_path(&self) -> String {
        self.path.as_ref().map_or_else(|| format!("bin/{}", self.name), ToString::to_string)
    }
}

/// `proofmark.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// There is none.
    #[error("{}: not found", .0.display())]
    Missing(PathBuf),
    /// It is not what it must be.
    #[error("{}:{line}: {message}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl Refuse for ConfigError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Missing(path) => Refusal::new(Exit::Usage, "no-config", "this workspace has no proofmark.toml", path.display())
                .next("proofmark init   # writes one to start from; then commit it"),
            Self::Invalid { path, line, message } => {
                Refusal::new(Exit::Malformed, "config", "proofmark.toml is not valid", format!("{}:{line}", path.display()))
                    .have(message.trim_end())
                    .next(format!("correct line {line}, commit, and call again; `proofmark init --help` describes the file"))
            }
        }
    }
}

/// Reads `proofmark.toml` in `workspace`. Also returns its bytes, whose digest is an input of the build.
pub fn load(workspace: &Path) -> Result<(Config, Vec<u8>), ConfigError> {
    let path = workspace.join(FILE);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(ConfigError::Missing(path)),
        other => other.at("read", &path)?,
    };
    let text = String::from_utf8(bytes.clone()).map_err(|_| ConfigError::Invalid {
        path: PathBuf::from(FILE),
        line: 1,
        message: "the file is not UTF-8".into(),
    })?;
    Ok((parse(&text, Path::new(FILE))?, bytes))
}

/// Parses the text of a `proofmark.toml`; `path` is used in messages only.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let config: Config = toml::from_str(text).map_err(|error| ConfigError::Invalid {
        path: path.into(),
        line: error.span().map_or(1, |span| line_at(text, span.start)),
        message: error.message().to_owned(),
    })?;
    check::check(&config).map_err(|Contradiction { about, message }| ConfigError::Invalid {
        path: path.into(),
        // Cross-checks have no span of their own; the value they are about is found again.
        line: text.find(&format!("\"{about}\"")).or_else(|| text.find(&about)).map_or(1, |at| line_at(text, at)),
        message,
    })?;
    Ok(config)
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|&&b| b == b'\n').count() + 1
}

fn release_profile() -> CargoName {
    "release".parse().expect("a constant that follows the grammar")
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
