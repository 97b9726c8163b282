//! `buildinfo.json`: every input of a build with its digest, and nothing about the machine, so that two builders write the same
//! bytes. What is known of the machine goes into `machine.json`, which no document names and nothing depends on.
//!
//! Keys are in the order of the struct, lists are sorted, and there is no clock, user or path of the machine in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::CONTRACT;
use crate::build::{Classes, Closure, Unit};
use crate::cc::CToolchain;
use crate::config::Config;
use crate::environment::Record;
use crate::graph::Graph;
use crate::inputs::Input;
use crate::lockfile::Locked;
use crate::sandbox::witness::Asked;
use crate::source::Source;
use crate::toolchain::Toolchain;

pub mod read;

/// One file that a build made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its member path, `root/...`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Digest.
    pub sha256: String,
}

/// Everything that determined a build.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is documented at its own type")]
pub struct BuildInfo<'a> {
    pub config: &'a Config,
    pub target: &'a str,
    pub source: &'a Source,
    pub cargo_lock: String,
    pub proofmark_toml: String,
    pub toolchain: &'a Toolchain,
    pub environment: Record<'a>,
    pub c_toolchain: Option<&'a CToolchain>,
    pub crates: &'a [Locked],
    /// Ours only; the project's own are in its source.
    pub rustflags: &'a [String],
    /// The command line inside the sandbox.
    pub cargo: &'a [String],
    /// The whole environment inside the sandbox.
    pub env: &'a BTreeMap<String, String>,
    pub outputs: &'a [Output],
    /// What the programs are made of.
    pub graph: &'a Graph,
    /// Sorted; what `inputs/` of the repository holds.
    pub inputs: &'a [&'a Input],
    pub units: &'a [Unit],
    pub closure: Closure,
}

/// The document.
pub fn to_json(info: &BuildInfo<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Document<'a> {
        format: u32,
        kind: &'static str,
        contract: u32,
        product: &'a str,
        release: &'a str,
        target: &'a str,
        source: SourceEntry<'a>,
        cargo_lock: &'a str,
        proofmark_toml: &'a str,
        toolchain: ToolchainEntry<'a>,
        environment: &'a Record<'a>,
        c_toolchain: Option<&'a CToolchain>,
        crates: &'a [Locked],
        linking: crate::config::Linking,
        rustflags: &'a [String],
        cargo: &'a [String],
        env: &'a BTreeMap<String, String>,
        outputs: &'a [Output],
        graph: &'a Graph,
        inputs: &'a [&'a Input],
        /// Crates declared to need the deterministic machine; null where nothing is declared.
        enforced: Option<&'a [String]>,
        units: &'a [Unit],
        closure: &'a Closure,
    }
    #[derive(Serialize)]
    struct SourceEntry<'a> {
        commit: &'a str,
        tree: &'a str,
        time: String,
    }
    #[derive(Serialize)]
    struct ToolchainEntry<'a> {
        rustc: &'a str,
        digest: &'a str,
    }
    pretty(&Document {
        format: 1,
        kind: "buildinfo",
        contract: CONTRACT,
        product: info.config.product.as_str(),
        release: info.config.release.as_str(),
        target: info.target,
        source: SourceEntry { commit: &info.source.commit, tree: &info.source.tree, time: timestamp(info.source.time) },
        cargo_lock: &info.cargo_lock,
        proofmark_toml: &info.proofmark_toml,
        toolchain: ToolchainEntry { rustc: &info.toolchain.version, digest: &info.toolchain.digest },
        environment: &info.environment,
        c_toolchain: info.c_toolchain,
        crates: info.crates,
        linking: info.config.linking,
        rustflags: info.rustflags,
        cargo: info.cargo,
        env: info.env,
        outputs: info.outputs,
        graph: info.graph,
        inputs: info.inputs,
        enforced: info.config.build.enforced.as_deref(),
        units: info.units,
        closure: &info.closure,
    })
}

/// What is worth knowing about the machine that built, for people.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Name and release of the kernel.
    pub kernel: String,
    /// Model of the processor.
    pub processor: String,
    /// How many processors.
    pub processors: usize,
    /// Wall-clock seconds of each build.
    pub build_seconds: Vec<f64>,
    /// Local sockets, and files that were looked for in vain.
    pub notes: BTreeSet<Asked>,
    /// What each crate is without the deterministic machine, if that was asked.
    pub classes: Option<Classes>,
}

impl Machine {
    /// This machine.
    pub fn this(build_seconds: Vec<f64>, notes: BTreeSet<Asked>, classes: Option<Classes>) -> Self {
        let uname = rustix::system::uname();
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).map(|rest| rest.trim_start_matches([' ', '\t', ':']));
        Self {
            kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
            processor: model.unwrap_or("unknown").to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            build_seconds: build_seconds.into_iter().map(|seconds| (seconds * 10.0).round() / 10.0).collect(),
            notes,
            classes,
        }
    }
}

/// `machine.json`.
pub fn machine_json(machine: &Machine) -> Vec<u8> {
    pretty(machine)
}

/// Seconds since 1970 as `YYYY-MM-DDTHH:MM:SSZ` (FORMAT.md, *time*).
pub fn timestamp(seconds: u64) -> String {
    // Out of jiff's range only after the year 9999, which FORMAT.md excludes too.
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| "9999-12-31T23:59:59Z".into(), |time| time.to_string())
}

fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("these types have string keys and no failing serializer");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_the_format_wants_it() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(1_793_534_400), "2026-11-01T12:00:00Z");
    }
}
