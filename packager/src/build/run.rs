//! One run of cargo in the sandbox, from fresh directories, with a given part of the outside varied.
//!
//! Two runs of one [`Site`] have the same inputs. What a run asked for and cannot have is an error here, whatever cargo made of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use super::Error;
use super::ask::SOURCE;
use super::factors::{Factor, outside};
use super::plan::{Inputs, Places};
use crate::environment::Keep;
use crate::exit::{IoContext, IoError};
use crate::files;
use crate::graph::{self, Artifacts};
use crate::progress::Progress;
use crate::sandbox::{self, Machine, Outside, Root, Spec, machine, witness};

/// Sources up to this size are put onto a file system in memory, for a build that varies the place. Bytes.
const IN_MEMORY: u64 = 256 << 20;

/// What all runs of one commit share.
pub(super) struct Site<'a> {
    pub(super) worker: &'a Path,
    pub(super) base: &'a Path,
    pub(super) scratch: &'a Path,
    pub(super) inputs: &'a Inputs,
    pub(super) root: &'a Root,
    pub(super) keep: &'a Keep<'a>,
    pub(super) toolchain: &'a Path,
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) argv: &'a [String],
    /// Target triple.
    pub(super) target: &'a str,
    pub(super) time: u64,
    /// Whether each run gets a source tree of its own, to write into.
    pub(super) writable_source: bool,
    pub(super) progress: &'a dyn Progress,
}

/// How a run is done.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    /// A word for people, and the name of its directories.
    pub(super) name: &'static str,
    pub(super) varied: &'a [Factor],
    pub(super) machine: Machine,
    /// Whether opened files are written down.
    pub(super) traced: bool,
}

/// What a run left behind.
pub(super) struct Made {
    /// cargo's target directory.
    pub(super) target: PathBuf,
    /// Wall-clock seconds of cargo.
    pub(super) seconds: f64,
    pub(super) witnessed: witness::Witnessed,
    /// Packages that cargo says it compiled.
    pub(super) compiled: Artifacts,
}

impl Site<'_> {
    /// Makes the machine's library, which is a function of the layers and its source.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        let compile = || -> Result<Vec<u8>, Error> {
            let spec = self.bare(Path::new("/"));
            Ok(machine::compile(self.worker, &spec, &outside(&[]), self.base, self.time)?)
        };
        let library = self.keep.derived("the library of the deterministic machine", &machine::recipe(), compile)?;
        Ok(machine::install(&library, &self.inputs.proofmark(), self.time)?)
    }

    /// Runs cargo.
    pub(super) fn build(&self, how: How<'_>) -> Result<Made, Error> {
        let directory = |what: &str| self.base.join(format!("{}-{what}", how.name));
        let (target, log) = (directory("target"), directory("log"));
        files::create(&target)?;
        witness::prepare(&log, how.traced)?;
        let mut elsewhere = None;
        if how.varied.contains(&Factor::Place) {
            let memory = self.memory()?;
            let inputs = self.inputs.again(&directory("inputs"), memory.as_ref().map(TempDir::path), !self.writable_source, self.time)?;
            elsewhere = Some((inputs, memory));
        }
        let inputs = elsewhere.as_ref().map_or(self.inputs, |(inputs, _)| inputs);
        let mut spec = self.spec(inputs, &target, &log, how.machine);
        let own = directory("src");
        if self.writable_source && elsewhere.is_none() {
            files::create(&own)?;
            files::copy_tree(&inputs.source(), &own, self.time)?;
            files::settle(&own, self.time)?;
            spec.make_writable(SOURCE, &own);
        } else if self.writable_source {
            spec.make_writable(SOURCE, &inputs.source());
        }
        let outside: Outside = outside(how.varied);
        let begin = Instant::now();
        let outcome = sandbox::run(self.worker, &spec, &outside, self.argv, self.progress)?;
        let seconds = begin.elapsed().as_secs_f64();
        let witnessed = witness::read(&log)?;
        for done in [directory("inputs"), own].into_iter().filter(|done| done.exists()) {
            fs::remove_dir_all(&done).at("remove", done)?;
        }
        if !witnessed.internet.is_empty() {
            return Err(Error::Internet(witnessed.internet.into_iter().collect()));
        }
        if !outcome.success {
            return Err(Error::Cargo { run: how.name, says: outcome.tail(20), log: keep_log(self.scratch, &outcome.lines)? });
        }
        if !witnessed.undeclared.is_empty() {
            return Err(Error::Undeclared(witnessed.undeclared.into_iter().collect()));
        }
        let compiled = graph::artifacts(&outcome.stdout, self.target)?;
        self.check_jemalloc(&compiled)?;
        Ok(Made { target, seconds, witnessed, compiled })
    }

    /// jemalloc's configure script asks the processor of this machine how wide an address is, and the answer is in the program.
    fn check_jemalloc(&self, compiled: &Artifacts) -> Result<(), Error> {
        let found = ["jemalloc_sys", "tikv_jemalloc_sys"].into_iter().find(|name| compiled.targets.contains(*name));
        match found {
            Some(name) if !self.env.contains_key("JEMALLOC_SYS_WITH_LG_VADDR") => Err(Error::Jemalloc { name: name.replace('_', "-") }),
            _ => Ok(()),
        }
    }

    /// The sandbox without the deterministic machine, writing to `target`: for what runs no code of the project.
    pub(super) fn bare(&self, target: &Path) -> Spec {
        self.spec(self.inputs, target, target, Machine::Off)
    }

    fn spec(&self, inputs: &Inputs, target: &Path, log: &Path, machine: Machine) -> Spec {
        inputs.spec(&Places { root: self.root, toolchain: self.toolchain, target, log }, machine, self.env)
    }

    /// A directory on another file system than the first build's sources, if there is one with room where programs may run.
    fn memory(&self) -> Result<Option<TempDir>, IoError> {
        let shared = Path::new("/dev/shm");
        let Ok(stat) = rustix::fs::statvfs(shared) else { return Ok(None) };
        let size = self.inputs.size()?;
        if size > IN_MEMORY || stat.f_bavail * stat.f_frsize < 2 * size || stat.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC) {
            return Ok(None);
        }
        Ok(tempfile::Builder::new().prefix("proofmark-").tempdir_in(shared).ok())
    }
}

/// Writes cargo's whole output where it stays after the temporary directories have gone.
fn keep_log(scratch: &Path, lines: &[String]) -> Result<PathBuf, IoError> {
    let file = tempfile::Builder::new().prefix("proofmark-build-").suffix(".log").tempfile_in(scratch).at("create a file in", scratch)?;
    let (_, path) = file.keep().map_err(|error| error.error).at("keep a file in", scratch)?;
    fs::write(&path, lines.join("\n") + "\n").at("write", &path)?;
    Ok(path)
}
