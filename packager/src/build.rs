//! From a workspace to outputs that two builds agree on. The one function that decides is [`double_build`].
//!
//! Both builds get the same inputs at the same places inside and as different an outside as this machine allows. Nothing leaves this
//! file unless both wrote the same bytes; it must never retry, normalise or strip until they do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use crate::buildinfo::{self, BuildInfo, Machine, Output};
use crate::cc::{self, CcError};
use crate::compare::{self, Report};
use crate::config::{self, Config, ConfigError};
use crate::digest;
use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::files;
use crate::interrupt::{self, Interrupted};
use crate::lockfile::{self, LockError};
use crate::progress::Progress;
use crate::rustflags::{self, FlagError};
use crate::sandbox::{self, Outside, SandboxError, Spec};
use crate::source::{self, Source, SourceError};
use crate::toolchain::{self, ToolchainError};
use crate::vendor::{self, VendorError};
use crate::workspace::{self, WorkspaceError};

/// How many jobs cargo runs, on every machine: build scripts see it as NUM_JOBS.
const JOBS: &str = "4";

/// What to build, and with what.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of `proofmark.toml`.
    pub workspace: PathBuf,
    /// Toolchain directory, instead of the one that `rustc` means in the workspace.
    pub toolchain: Option<PathBuf>,
    /// Where the temporary directories go; the system's place for them where absent.
    pub scratch: Option<PathBuf>,
    /// The `proofmark` program, which is started once for each sandbox (see [`sandbox::WORKER`]).
    pub worker: PathBuf,
}

/// A finished build whose two runs were identical. Dropping it removes its directories.
#[derive(Debug)]
pub struct Built {
    /// What `proofmark.toml` of the commit says.
    pub config: Config,
    /// Commit, tree, time.
    pub source: Source,
    /// Target triple.
    pub target: String,
    /// The exported source tree: environment files are read from here, not from the working tree.
    pub source_dir: PathBuf,
    /// Holds `root/...`, the layout of the bundle.
    pub staged: PathBuf,
    /// The programs, sorted by path.
    pub outputs: Vec<Output>,
    /// `buildinfo.json`: the same bytes on every machine with the same inputs.
    pub buildinfo: Vec<u8>,
    /// `machine.json`: facts about this machine, for people; never hashed into anything.
    pub machine: Vec<u8>,
    work: TempDir,
}

/// A build that yields nothing.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the transparent variants are documented where they are declared")]
pub enum Error {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Vendor(#[from] VendorError),
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    #[error(transparent)]
    Cc(#[from] CcError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Flags(#[from] FlagError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// `cargo build` failed.
    #[error("cargo build failed in the {run} build; log in {}", .log.display())]
    Cargo {
        /// "first" or "second".
        run: &'static str,
        /// Its last lines.
        says: String,
        /// The whole output.
        log: PathBuf,
    },
    /// The two builds differ.
    #[error("the two builds differ")]
    Differ(Box<Report>),
}

impl Refuse for Error {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Interrupted(error) => error.refusal(),
            Self::Config(error) => error.refusal(),
            Self::Source(error) => error.refusal(),
            Self::Lock(error) => error.refusal(),
            Self::Vendor(error) => error.refusal(),
            Self::Toolchain(error) => error.refusal(),
            Self::Cc(error) => error.refusal(),
            Self::Workspace(error) => error.refusal(),
            Self::Flags(error) => error.refusal(),
            Self::Sandbox(error) => error.refusal(),
            Self::Cargo { says, .. } if lock_is_stale(says) => Refusal::new(Exit::Usage, "lock-stale", "out of date", "Cargo.lock")
                .have(says)
                .next("cargo update --workspace, then commit Cargo.lock"),
            Self::Cargo { run, says, log } => {
                Refusal::new(Exit::Usage, "cargo", "cargo build failed", format!("{run} build")).have(says).next(format!(
                    "read {}; code that needs the network, the home directory or an unlisted program must do without",
                    log.display()
                ))
            }
            Self::Differ(report) => Refusal::new(
                Exit::Hash,
                "differ",
                "the two builds differ",
                report.differences.first().map_or("", |first| &first.path),
            )
            .want("the same bytes from both builds")
            .have(report.words())
            .next("make that crate write the same bytes each time: SOURCE_DATE_EPOCH instead of the clock, sorted maps, no random numbers"),
        }
    }
}

/// Whether cargo's message means that Cargo.lock does not fit Cargo.toml. Either it says so, or it misses a crate in /vendor, which
/// holds all that Cargo.lock names.
fn lock_is_stale(says: &str) -> bool {
    (says.contains("lock file") && says.contains("--locked"))
        || (says.contains("directory source `/vendor`") && says.contains("required by package"))
}

/// Builds the commit at HEAD twice and compares.
pub fn double_build(options: &Options, progress: &dyn Progress) -> Result<Built, Error> {
    progress.step("checking the source tree");
    if !options.workspace.join(config::FILE).is_file() {
        return Err(ConfigError::Missing(options.workspace.join(config::FILE)).into());
    }
    let source = source::inspect(&options.workspace)?;
    let scratch = options.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let work = tempfile::Builder::new().prefix("proofmark-").tempdir_in(&scratch).at("create a directory in", &scratch)?;
    let base = work.path().canonicalize().at("open", work.path())?;
    let mut inputs = Inputs { directory: base.join("inputs") };
    fs::create_dir(&inputs.directory).at("create", &inputs.directory)?;
    source::export(&options.workspace, &source, &inputs.source())?;
    let (config, config_bytes) = config::load(&inputs.source())?;
    let (crates, lock_bytes) = lockfile::read(&inputs.source())?;

    let toolchain = toolchain::find(&options.workspace, options.toolchain.as_deref())?;
    let target = config.target.as_ref().map_or_else(|| toolchain.host.clone(), ToString::to_string);
    let cargo = toolchain.directory.join("bin/cargo");
    workspace::check(&workspace::metadata(&cargo, &inputs.source())?, &config, &inputs.source())?;
    let ours = rustflags::ours(config.linking, &target);
    let flags = rustflags::arguments(&inputs.source(), &ours, &target, &toolchain.cfg(&target)?)?;
    progress.step("reading the compilers");
    let toolchain = toolchain.lock(&target)?;
    let c_toolchain = cc::record()?;
    interrupt::check()?;
    progress.step(&format!("unpacking {} crates", crates.len()));
    vendor::vendor(&cargo, &inputs.source(), &crates, &inputs.vendor(), source.time, progress)?;
    inputs.settings(&vendor::source_replacement(&crates, "/vendor"), source.time)?;

    let argv = cargo_build(&config, &target, &flags);
    let mut env = sandbox::environment(source.time);
    env.insert("CARGO_INCREMENTAL".into(), "0".into());
    env.extend(config.build.env.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    let mut seconds = Vec::new();
    let mut targets = Vec::new();
    for (number, run) in ["first", "second"].into_iter().enumerate() {
        // The second build finds everything at another path of the machine.
        if number == 1 {
            inputs.move_to(base.join("the-second-build-is-elsewhere"))?;
        }
        let directory = base.join(["target", "another-target-directory"][number]);
        fs::create_dir(&directory).at("create", &directory)?;
        let spec = inputs.spec(&toolchain.directory, &directory, &env);
        let outside = outside(number);
        if number == 0 {
            sandbox::probe(&options.worker, &spec, &outside)?;
        }
        progress.step(&format!("building, {run} of two"));
        let begin = Instant::now();
        let outcome = sandbox::run(&options.worker, &spec, &outside, &argv, progress)?;
        seconds.push(begin.elapsed().as_secs_f64());
        if !outcome.success {
            return Err(Error::Cargo { run, says: outcome.tail(20), log: keep_log(&scratch, &outcome.lines)? });
        }
        targets.push(directory);
    }

    progress.step("comparing");
    let [first, second] = [&targets[0], &targets[1]].map(|directory| programs(&config, directory, &target));
    let mut report = compare::compare(&first, &second)?;
    if !report.is_identical() {
        report.blame = compare::blame(&targets[0], &targets[1])?;
        return Err(Error::Differ(Box::new(report)));
    }
    let staged = base.join("staged");
    let outputs = stage(&first, &staged, source.time)?;
    let buildinfo = BuildInfo {
        config: &config,
        target: &target,
        source: &source,
        cargo_lock: digest::sha256(&lock_bytes),
        proofmark_toml: digest::sha256(&config_bytes),
        toolchain: &toolchain,
        c_toolchain: &c_toolchain,
        crates: &crates,
        rustflags: &ours,
        cargo: &argv,
        env: &env,
        outputs: &outputs,
    };
    let buildinfo = buildinfo::to_json(&buildinfo);
    let machine = buildinfo::machine_json(&Machine::this(seconds));
    Ok(Built { config, source, target, source_dir: inputs.source(), staged, outputs, buildinfo, machine, work })
}

impl Built {
    /// Copies outputs, `buildinfo.json` and `machine.json` to `out`, which is replaced as a whole: made beside it, then renamed.
    pub fn write_to(&self, out: &Path) -> Result<(), IoError> {
        let parent = match out.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).at("create", parent)?;
        let beside = tempfile::Builder::new().prefix(".proofmark-").tempdir_in(parent).at("create a directory in", parent)?;
        let new = beside.path().join("new");
        fs::create_dir(&new).at("create", &new)?;
        files::directory(&new, Path::new("."))?;
        for output in &self.outputs {
            let bytes = self.staged.join(&output.path);
            let bytes = fs::read(&bytes).at("read", &bytes)?;
            files::directory(&new, Path::new(&output.path).parent().unwrap_or(Path::new("")))?;
            files::write(&new.join(&output.path), &bytes, true, self.source.time)?;
        }
        files::write(&new.join("buildinfo.json"), &self.buildinfo, false, self.source.time)?;
        files::write(&new.join("machine.json"), &self.machine, false, self.source.time)?;
        // rename(2) does not replace a directory with content: the old one steps aside and goes with `beside`.
        match fs::rename(out, beside.path().join("old")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).at("replace", out),
            _ => {}
        }
        fs::rename(&new, out).at("create", out)
    }

    /// The directory that holds `staged` and `source_dir`; room for whatever is made of them.
    pub fn work_dir(&self) -> &Path {
        self.work.path()
    }
}

/// The inputs of a build on this machine, below one directory.
struct Inputs {
    directory: PathBuf,
}

impl Inputs {
    fn source(&self) -> PathBuf {
        self.directory.join("src")
    }

    fn vendor(&self) -> PathBuf {
        self.directory.join("vendor")
    }

    /// The settings that are ours: /etc, and cargo's configuration.
    fn settings(&self, cargo_config: &str, time: u64) -> Result<(), IoError> {
        sandbox::write_etc(&self.directory.join("etc"), time)?;
        let directory = self.directory.join("proofmark");
        fs::create_dir(&directory).at("create", &directory)?;
        files::directory(&directory, Path::new("."))?;
        files::write(&directory.join("cargo.toml"), cargo_config.as_bytes(), false, time)?;
        files::settle(&directory, time)
    }

    fn move_to(&mut self, directory: PathBuf) -> Result<(), IoError> {
        fs::rename(&self.directory, &directory).at("rename", &self.directory)?;
        self.directory = directory;
        Ok(())
    }

    fn spec(&self, toolchain: &Path, target: &Path, env: &BTreeMap<String, String>) -> Spec {
        let inside = |name: &str| (self.directory.join(name), format!("/{name}"));
        let mut read_only = vec![(toolchain.to_path_buf(), "/toolchain".to_owned())];
        read_only.extend(["src", "vendor", "etc", "proofmark"].map(inside));
        // rust-src changes the bytes of a binary by being there (paths of the standard library in panics).
        let rust_src = "lib/rustlib/src";
        let hidden = if toolchain.join(rust_src).is_dir() { vec![format!("/toolchain/{rust_src}")] } else { Vec::new() };
        Spec { read_only, writable: vec![(target.to_path_buf(), "/target".to_owned())], hidden, env: env.clone() }
    }
}

/// The outside of one of the two builds: as different as one machine can make them.
fn outside(number: usize) -> Outside {
    let env = [
        [("TZ", "Pacific/Kiritimati"), ("LANG", "C"), ("USER", "first"), ("HOME", "/")],
        [("TZ", "America/St_Johns"), ("LC_ALL", "tr_TR.UTF-8"), ("USER", "second-user"), ("HOME", "/nonexistent")],
    ];
    Outside {
        ids: sandbox::may_choose_user().then(|| (sandbox::OUTER_IDS[number], sandbox::OUTER_IDS[number])),
        umask: [0o022, 0o077][number],
        // One processor less: what asks for their number is found out here, and not on a customer's machine.
        spare_processors: number,
        env: env[number].iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

/// The command line inside.
fn cargo_build(config: &Config, target: &str, flags: &[String]) -> Vec<String> {
    let mut argv: Vec<String> = [
        "/toolchain/bin/cargo",
        "build",
        "--locked",
        "--offline",
        "--manifest-path",
        "/src/Cargo.toml",
        "--config",
        "/proofmark/cargo.toml",
    ]
    .map(str::to_owned)
    .to_vec();
    argv.extend_from_slice(flags);
    for (option, value) in [("--target-dir", "/target"), ("--jobs", JOBS), ("--target", target), ("--profile", config.profile.as_str())] {
        argv.extend([option.to_owned(), value.to_owned()]);
    }
    if !config.default_features {
        argv.push("--no-default-features".into());
    }
    for feature in &config.features {
        argv.extend(["--features".to_owned(), feature.to_string()]);
    }
    let mut packages: Vec<&str> = config.binaries.iter().map(|binary| binary.package.as_str()).collect();
    packages.dedup();
    for package in packages {
        argv.extend(["--package".to_owned(), package.to_owned()]);
    }
    for binary in &config.binaries {
        argv.extend(["--bin".to_owned(), binary.name.to_string()]);
    }
    argv
}

/// Where cargo puts the programs below `directory`, with their place in the bundle.
fn programs(config: &Config, directory: &Path, target: &str) -> Vec<(String, PathBuf)> {
    // The built-in profiles share two directories (The Cargo Book, "Build cache").
    let profile = match config.profile.as_str() {
        "dev" | "test" => "debug",
        "bench" => "release",
        other => other,
    };
    let suffix = if target.contains("-windows-") { ".exe" } else { "" };
    let mut found: Vec<(String, PathBuf)> = config
        .binaries
        .iter()
        .map(|binary| {
            (format!("root/{}", binary.bundle_path()), directory.join(target).join(profile).join(format!("{}{suffix}", binary.name)))
        })
        .collect();
    found.sort();
    found
}

fn stage(programs: &[(String, PathBuf)], staged: &Path, time: u64) -> Result<Vec<Output>, IoError> {
    fs::create_dir(staged).at("create", staged)?;
    let mut outputs = Vec::new();
    for (path, file) in programs {
        let bytes = fs::read(file).at("read", file)?;
        files::directory(staged, Path::new(path).parent().unwrap_or(Path::new("")))?;
        files::write(&staged.join(path), &bytes, true, time)?;
        outputs.push(Output { path: path.clone(), size: bytes.len() as u64, sha256: digest::sha256(&bytes) });
    }
    files::settle(staged, time)?;
    Ok(outputs)
}

/// Writes cargo's whole output where it stays after the temporary directories have gone.
fn keep_log(scratch: &Path, lines: &[String]) -> Result<PathBuf, IoError> {
    let file = tempfile::Builder::new().prefix("proofmark-build-").suffix(".log").tempfile_in(scratch).at("create a file in", scratch)?;
    let (_, path) = file.keep().map_err(|error| error.error).at("keep a file in", scratch)?;
    fs::write(&path, lines.join("\n") + "\n").at("write", &path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_missing_in_vendor_is_a_stale_lock_file_and_a_compile_error_is_not() {
        let missing = "error: no matching package named `libc` found\nlocation searched: directory source `/vendor` (which is replacing registry `crates-io`)\nrequired by package `plain v0.1.0 (/src)`";
        let refusal = |says: &str| Error::Cargo { run: "first", says: says.into(), log: "x.log".into() }.refusal().reason;
        assert_eq!(refusal(missing), "lock-stale");
        assert_eq!(refusal("error: cannot update the lock file /src/Cargo.lock because --locked was passed"), "lock-stale");
        assert_eq!(refusal("error: could not compile `plain`"), "cargo");
    }
}
