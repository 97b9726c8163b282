//! From a workspace to outputs that two builds agree on. The one function that decides is [`double_build`].
//!
//! Both builds get the same inputs at the same places inside and as different an outside as this machine allows. Nothing leaves this
//! file unless both wrote the same bytes; it must never retry, normalise or strip until they do.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::buildinfo::{self, BuildInfo, Machine, Output};
use crate::config::{self, Config, ConfigError};
use crate::environment::{Cache, Wanted};
use crate::exit::{IoContext, IoError};
use crate::inputs::Collected;
use crate::progress::Progress;
use crate::source::Source;
use crate::{digest, environment, files, interrupt, lockfile, rustflags, sandbox, vendor, workspace};

mod agree;
mod ask;
mod blame;
mod classes;
mod closure;
mod error;
mod factors;
mod keep;
mod made_of;
mod plan;
mod reopen;
mod run;
mod supply;
mod units;

use agree::{Agreed, agree};
use ask::Asked;
pub use blame::{Blamed, Origin};
pub use classes::{Class, Classes};
pub use closure::Closure;
pub use error::Error;
pub use factors::Factor;
pub use keep::Differ;
use plan::{Inputs, cargo_build, programs};
pub use reopen::reopen;
use run::Site;
pub use supply::{Archive, Supply};
use units::Needs;
pub use units::Unit;

/// What to build, and with what.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of `proofmark.toml`.
    pub workspace: PathBuf,
    /// Toolchain directory, instead of the one that `rustc` means in the workspace.
    pub toolchain: Option<PathBuf>,
    /// A `proofmark.lock` for a commit that has none, instead of the workspace's.
    pub lock: Option<PathBuf>,
    /// A directory of layers by digest, instead of this machine's package client and toolchain.
    pub layers: Option<PathBuf>,
    /// Where the temporary directories go; the system's place for them where absent.
    pub scratch: Option<PathBuf>,
    /// Where source and crates come from.
    pub supply: Supply,
    /// The `proofmark` program, which is started once for each sandbox (see [`sandbox::WORKER`]).
    pub worker: PathBuf,
    /// How much is done to find a difference.
    pub effort: Effort,
}

impl Options {
    /// The environment that `config` asks for, where a committed lock would be in the exported `source`.
    fn environment<'a>(&'a self, config: &'a Config, source: &'a Path) -> Wanted<'a> {
        Wanted {
            config,
            source,
            workspace: &self.workspace,
            lock: self.lock.as_deref(),
            toolchain: self.toolchain.as_deref(),
            layers: self.layers.as_deref(),
        }
    }
}

/// How much is done to find a difference.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How many builds are compared, 2 to [`Effort::MOST`]. All but the first vary everything.
    pub builds: usize,
    /// Trace the first build too, and compare what both opened.
    pub trace: bool,
    /// Build twice more without the deterministic machine, to class every crate.
    pub classify: bool,
}

impl Effort {
    /// The most builds.
    pub const MOST: usize = 8;
}

impl Default for Effort {
    fn default() -> Self {
        Self { builds: 2, trace: false, classify: false }
    }
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
    /// `closure.txt`: the files that were opened, whose digest stands in buildinfo.
    pub closure: Vec<u8>,
    /// `machine.json`: facts about this machine, for people; never hashed into anything.
    pub machine: Vec<u8>,
    work: TempDir,
}

/// Builds the commit at HEAD twice and compares.
pub fn double_build(options: &Options, progress: &dyn Progress) -> Result<Built, Error> {
    progress.step("checking the source tree");
    if matches!(options.supply, Supply::Checkout) && !options.workspace.join(config::FILE).is_file() {
        return Err(ConfigError::Missing(options.workspace.join(config::FILE)).into());
    }
    let source = options.supply.inspect(&options.workspace)?;
    let scratch = options.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let work = tempfile::Builder::new().prefix("proofmark-").tempdir_in(&scratch).at("create a directory in", &scratch)?;
    let base = work.path().canonicalize().at("open", work.path())?;
    files::create(&base.join("inputs"))?;
    let inputs = Inputs::new(base.join("inputs"));
    options.supply.export(&options.workspace, &source, &inputs.source())?;
    let (config, config_bytes) = config::load(&inputs.source())?;
    let (crates, lock_bytes) = lockfile::read(&inputs.source())?;

    let cache = Cache::open()?;
    let environment = environment::prepare(&options.environment(&config, &inputs.source()), &cache, progress)?;
    for note in &environment.notes {
        progress.step(&format!("note: {note}"));
    }
    let (toolchain, target) = (&environment.toolchain, environment.target.clone());
    let cargo = toolchain.directory.join("bin/cargo");
    let ask = Asked::new(options, &environment, &inputs.source(), source.time);
    workspace::check(&ask.metadata()?, &config, Path::new(ask::SOURCE))?;
    let ours = rustflags::ours(config.linking, &target);
    let keep = environment.keep(&cache);
    let cfg = keep.derived(&format!("cfg of {target}"), "", || {
        Ok::<_, Error>(
            ask.cfg(&target)?
                .join(
                    "
",
                )
                .into_bytes(),
        )
    })?;
    let cfg: Vec<String> = String::from_utf8_lossy(&cfg).lines().map(str::to_owned).collect();
    let flags = rustflags::arguments(&inputs.source(), &ours, &target, &cfg)?;
    interrupt::check()?;
    progress.step(&format!("unpacking {} crates", crates.len()));
    let mut collected =
        vendor::vendor(&cargo, &inputs.source(), &crates, options.supply.crates(), &inputs.vendor(), source.time, progress)?;
    inputs.settings(&vendor::source_replacement(&crates, "/vendor"), &environment.root, source.time)?;

    let argv = cargo_build(&config, &target, &flags);
    let mut env = sandbox::environment(source.time);
    env.insert("CARGO_INCREMENTAL".into(), "0".into());
    env.extend(config.build.env.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    let site = Site {
        worker: &options.worker,
        base: &base,
        scratch: &scratch,
        inputs: &inputs,
        root: &environment.root,
        keep: &keep,
        toolchain: &toolchain.directory,
        env: &env,
        argv: &argv,
        target: &target,
        time: source.time,
        writable_source: config.build.writable_source,
        progress,
    };
    site.prepare()?;
    let outputs_of = |directory: &Path| programs(&config, directory, &target);
    let Agreed { first, closure, seconds, units, compiled, notes } = agree(&site, options.effort, &Needs::new(&lock_bytes), &outputs_of)?;
    let classes = if options.effort.classify {
        let classes = classes::classify(&site, &Needs::new(&lock_bytes), &units)?;
        classes::check(&classes, config.build.enforced.as_deref())?;
        Some(classes)
    } else {
        None
    };
    let graph = made_of::resolve(&site, &config, &toolchain.host, &compiled)?;
    let marked = made_of::mark(&graph, &config, outputs_of(&first), &base, source.time)?;
    let staged = base.join("staged");
    let outputs = stage(&marked, &staged, source.time)?;
    collected.push(Collected::source(&source.tree, &inputs.source())?);
    collected.extend(environment::inputs(&environment.lock, &cache)?);
    collected.sort_by(|a, b| a.input.cmp(&b.input));
    let buildinfo = BuildInfo {
        config: &config,
        target: &target,
        source: &source,
        cargo_lock: digest::sha256(&lock_bytes),
        proofmark_toml: digest::sha256(&config_bytes),
        toolchain,
        environment: environment.record(),
        c_toolchain: environment.c_toolchain.as_ref(),
        crates: &crates,
        rustflags: &ours,
        cargo: &argv,
        env: &env,
        outputs: &outputs,
        graph: &graph,
        inputs: &collected.iter().map(|collected| &collected.input).collect::<Vec<_>>(),
        units: &units,
        closure: closure::closure(&closure),
    };
    let buildinfo = buildinfo::to_json(&buildinfo);
    let machine = buildinfo::machine_json(&Machine::this(seconds, notes, classes));
    let (source_dir, closure) = (inputs.source(), closure.into_bytes());
    Ok(Built { config, source, target, source_dir, staged, outputs, inputs: collected, buildinfo, closure, machine, work })
}

impl Built {
    /// Copies outputs, `buildinfo.json`, `closure.txt` and `machine.json` to `out`, which is replaced as a whole: made beside it, then renamed.
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
        files::write(&new.join("closure.txt"), &self.closure, false, self.source.time)?;
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
