//! From a workspace to outputs that two builds agree on. The one function that decides is [`double_build`].
//!
//! Both builds get the same inputs at the same places inside and as different an outside as this machine allows. Nothing leaves this
//! file unless both wrote the same bytes; it must never retry, normalise or strip until they do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use crate::buildinfo::{self, BuildInfo, Machine, Output};
use crate::config::{self, Config, ConfigError};
use crate::exit::{IoContext, IoError};
use crate::inputs::Collected;
use crate::progress::Progress;
use crate::source::{self, Source};
use crate::{cc, compare, digest, files, graph, interrupt, lockfile, rustflags, sandbox, toolchain, vendor, workspace};

mod error;
mod made_of;
mod plan;
mod reopen;

pub use error::Error;
use plan::{Inputs, cargo_build, outside, programs};
pub use reopen::reopen;

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
    /// Everything it was made of, and where that is.
    pub inputs: Vec<Collected>,
    /// `buildinfo.json`: the same bytes on every machine with the same inputs.
    pub buildinfo: Vec<u8>,
    /// `machine.json`: facts about this machine, for people; never hashed into anything.
    pub machine: Vec<u8>,
    work: TempDir,
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
    files::create(&inputs.directory)?;
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
    let mut collected = vendor::vendor(&cargo, &inputs.source(), &crates, &inputs.vendor(), source.time, progress)?;
    let root = sandbox::Root::Host;
    inputs.settings(&vendor::source_replacement(&crates, "/vendor"), &root, source.time)?;

    let argv = cargo_build(&config, &target, &flags);
    let mut env = sandbox::environment(source.time);
    env.insert("CARGO_INCREMENTAL".into(), "0".into());
    env.extend(config.build.env.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    let mut seconds = Vec::new();
    let mut targets = Vec::new();
    let mut compiled = Vec::new();
    for (number, run) in ["first", "second"].into_iter().enumerate() {
        // The second build finds everything at another path of the machine.
        if number == 1 {
            inputs.move_to(base.join("the-second-build-is-elsewhere"))?;
        }
        let directory = base.join(["target", "another-target-directory"][number]);
        files::create(&directory)?;
        let spec = inputs.spec(&root, &toolchain.directory, &directory, &env);
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
        compiled.push(graph::artifacts(&outcome.stdout, &target)?);
    }

    progress.step("comparing");
    compiled[0].check_same(&compiled[1])?;
    let directory = base.join("metadata");
    files::create(&directory)?;
    let spec = inputs.spec(&root, &toolchain.directory, &directory, &env);
    let graph = made_of::resolve(options, &spec, &config, [&target, &toolchain.host], &compiled[0])?;
    let built = [&targets[0], &targets[1]].map(|directory| programs(&config, directory, &target));
    let built = made_of::mark(&graph, &config, built, &base, source.time)?;
    let [first, second] = built;
    let mut report = compare::compare(&first, &second)?;
    if !report.is_identical() {
        report.blame = compare::blame(&targets[0], &targets[1])?;
        return Err(Error::Differ(Box::new(report)));
    }
    let staged = base.join("staged");
    let outputs = stage(&first, &staged, source.time)?;
    // Here, and not before the builds: the second finds the tree elsewhere.
    collected.push(Collected::source(&source.tree, &inputs.source())?);
    collected.sort_by(|a, b| a.input.cmp(&b.input));
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
        graph: &graph,
        inputs: &collected.iter().map(|collected| &collected.input).collect::<Vec<_>>(),
    };
    let buildinfo = buildinfo::to_json(&buildinfo);
    let machine = buildinfo::machine_json(&Machine::this(seconds));
    Ok(Built { config, source, target, source_dir: inputs.source(), staged, outputs, inputs: collected, buildinfo, machine, work })
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
        files::create(&new)?;
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

fn stage(programs: &[(String, PathBuf)], staged: &Path, time: u64) -> Result<Vec<Output>, IoError> {
    files::create(staged)?;
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
