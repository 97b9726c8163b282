//! `cargo xtask survey`: real published programs that are not ours, built twice by plain cargo on two hosts that differ, and twice by
//! Proofmark: which of them come out the same, and what the sandbox costs.
//!
//! The programs are unmodified but for what `proofmark init` writes. It fails when Proofmark's two builds of one of them differ.

mod hosts;
mod programs;

use crate::tool;
use anyhow::{Context, Result, bail, ensure};
use hosts::Hosts;
use programs::{PROGRAMS, Program};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Options of the survey.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only programs with this in their name
    filter: Option<String>,
}

/// What came of one program.
struct Outcome {
    crates: usize,
    plain_is_identical: bool,
    is_identical: bool,
    plain_seconds: f64,
    sandbox_seconds: f64,
}

pub(crate) fn run(args: Args) -> Result<()> {
    tool::run(tool::cargo().args(["build", "--quiet", "--locked", "-p", "proofmark"]))?;
    let proofmark = std::env::current_exe()?.with_file_name("proofmark");
    println!(
        "| program | what | crates | plain cargo, two hosts | Proofmark, two builds | plain s | in the sandbox s | ratio |\n\
         |---|---|---|---|---|---|---|---|"
    );
    let mut outcomes = Vec::new();
    for program in PROGRAMS.iter().filter(|program| args.filter.as_ref().is_none_or(|filter| program.name.contains(filter.as_str()))) {
        let outcome = survey(program, &proofmark).with_context(|| format!("{} {}", program.name, program.version))?;
        let Outcome { crates, plain_is_identical, is_identical, plain_seconds, sandbox_seconds } = outcome;
        let word = |identical: bool| if identical { "identical" } else { "differ" };
        println!(
            "| {} {} | {} | {crates} | {} | {} | {plain_seconds:.1} | {sandbox_seconds:.1} | {:.2} |",
            program.name,
            program.version,
            program.what,
            word(plain_is_identical),
            word(is_identical),
            sandbox_seconds / plain_seconds,
        );
        outcomes.push(outcome);
    }
    let count = |identical: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| identical(outcome)).count();
    let sum = |seconds: fn(&Outcome) -> f64| outcomes.iter().map(seconds).sum::<f64>();
    let (plain, ours) = (count(|outcome| outcome.plain_is_identical), count(|outcome| outcome.is_identical));
    println!(
        "\nidentical: plain cargo {plain} of {all}, Proofmark {ours} of {all}; seconds in the sandbox to plain seconds, all together: {ratio:.3}",
        all = outcomes.len(),
        ratio = sum(|outcome| outcome.sandbox_seconds) / sum(|outcome| outcome.plain_seconds),
    );
    if outcomes.is_empty() {
        bail!("no program has this in its name: {}", PROGRAMS.map(|program| program.name).join(", "));
    }
    ensure!(ours == outcomes.len(), "Proofmark's two builds of a program differ");
    Ok(())
}

fn survey(program: &Program, proofmark: &Path) -> Result<Outcome> {
    let dir = tempfile::tempdir()?;
    let hosts = Hosts::set_up(dir.path(), program)?;
    let workspace = hosts.proofmarked(proofmark, program)?;
    let out = dir.path().join("out");
    let mut build = Command::new(proofmark);
    build.args(["build", "--json", "--out"]).arg(&out).current_dir(&workspace).env("CARGO_HOME", hosts.cargo_home());
    // Exit code 81: the two builds differ, which is an outcome.
    let is_identical = match build.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).status()?.code() {
        Some(0) => true,
        Some(81) => false,
        other => bail!("proofmark build ended with {other:?}"),
    };
    ensure!(is_identical, "the two builds differ");
    let json = |name: &str| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(out.join(name))?)?) };
    let info = json("buildinfo.json")?;
    let outputs: Vec<String> =
        info["outputs"].as_array().context("outputs")?.iter().filter_map(|o| o["path"].as_str().map(String::from)).collect();
    if let Some(id) = program.own_build_id {
        let wanted: Vec<u8> = (0..id.len()).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16)).collect::<Result<_, _>>()?;
        let bytes = fs::read(out.join(&outputs[0]))?;
        ensure!(bytes.windows(wanted.len()).any(|window| window == wanted), "{} lacks the build id of its own rustflags", outputs[0]);
    }
    let argv: Vec<String> = serde_json::from_value(info["cargo"].clone())?;
    let sandbox_seconds = json("machine.json")?["build_seconds"][0].as_f64().context("build_seconds")?;
    let (plain_seconds, plain_is_identical) = hosts.build_plainly(&argv)?;
    let crates = info["crates"].as_array().map_or(0, Vec::len);
    Ok(Outcome { crates, plain_is_identical, is_identical, plain_seconds, sandbox_seconds })
}
