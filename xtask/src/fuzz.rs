//! `cargo xtask fuzz`: the fuzz targets of tests/fuzz, for a while each, from the conformance vectors on.
//!
//! It builds with the pinned compiler: coverage needs no nightly, only the address sanitizer would, and there is no `unsafe` to look at.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use proofmark_tests::vectors;

use crate::tool;

/// In the workspace's own target directory.
const TARGET: &str = "target/fuzz";
/// More than any input needs, and far less than a bomb.
const MEBIBYTES: &str = "512";

/// Arguments of `fuzz`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long, for each target
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// Only these targets
    targets: Vec<String>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if !tool::found("cargo-fuzz") {
        bail!("cargo-fuzz is missing\nnext: cargo install --locked cargo-fuzz; .ci/run installs all that CI needs");
    }
    let seeds = vectors::seeds::seeds(&vectors::read(&vectors::directory(&tool::root())).context("cannot read the vectors")?);
    if let Some(unknown) = args.targets.iter().find(|name| !seeds.contains_key(*name)) {
        bail!("no target {unknown}: there are {}", seeds.keys().cloned().collect::<Vec<_>>().join(", "));
    }
    tool::run(&mut fuzz("build", &[]))?;
    for (name, seeds) in seeds.iter().filter(|(name, _)| args.targets.is_empty() || args.targets.contains(name)) {
        let corpus = tool::root().join(TARGET).join("corpus").join(name);
        fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(corpus.join(format!("seed-{number:03}")), seed)?;
        }
        target(name, &corpus, args.seconds)?;
    }
    Ok(())
}

/// One target: its last line is ours, all the rest is shown when it fails.
fn target(name: &str, corpus: &Path, seconds: u32) -> Result<()> {
    let time = format!("-max_total_time={seconds}");
    let rss = format!("-rss_limit_mb={MEBIBYTES}");
    let malloc = format!("-malloc_limit_mb={MEBIBYTES}");
    let mut command = fuzz("run", &[name]);
    command.arg(corpus).args(["--", &time, &rss, &malloc, "-timeout=5", "-max_len=16384", "-verbosity=0", "-print_final_stats=1"]);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot start cargo-fuzz")?;
    let said: Vec<String> =
        child.stderr.take().map(|said| BufReader::new(said).lines().map_while(Result::ok).collect()).unwrap_or_default();
    let status = child.wait().context("cannot wait for cargo-fuzz")?;
    if !status.success() {
        bail!(
            "{name} found an input that breaks it:\n{}\nnext: keep the input as a vector, with the code it must be refused with",
            said.join("\n")
        );
    }
    let number = |what: &str| said.iter().find_map(|line| line.strip_prefix(what)?.split_whitespace().next()).unwrap_or("?").to_owned();
    eprintln!(
        "{name:9} {:>8} inputs, {:>7} a second, {:>3} MiB",
        number("stat::number_of_executed_units:"),
        number("stat::average_exec_per_sec:"),
        number("stat::peak_rss_mb:")
    );
    Ok(())
}

fn fuzz(what: &str, target: &[&str]) -> Command {
    let mut command = tool::cargo();
    command.args([
        "fuzz",
        what,
        "--fuzz-dir",
        "tests/fuzz",
        "--target-dir",
        TARGET,
        "--sanitizer",
        "none",
        "--release",
        "--debug-assertions",
    ]);
    command.args(target);
    command
}
