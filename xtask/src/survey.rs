//! `cargo xtask survey`: real published programs that are not ours, built twice by plain cargo on two hosts that differ, and twice by
//! Proofmark: which of them come out the same, and what the sandbox costs.
//!
//! The programs are unmodified; `proofmark.toml` is what `proofmark init` writes, with the settings that programs.rs lists. It fails when
//! one of them cannot be built, or comes out differently.

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
    let (mut outcomes, mut refused) = (Vec::new(), 0);
    for program in PROGRAMS.iter().filter(|program| args.filter.as_ref().is_none_or(|filter| program.name.contains(filter.as_str()))) {
        let outcome = match survey(program, &proofmark) {
            Ok(outcome) => outcome,
            // The others are asked all the same.
            Err(error) => {
                println!("| {} {} | {} | | | {error:#} | | | |", program.name, program.version, program.what);
                refused += 1;
                continue;
            }
        };
        let Outcome { crates, plain_is_identical, plain_seconds, sandbox_seconds } = outcome;
        println!(
            "| {} {} | {} | {crates} | {} | identical | {plain_seconds:.1} | {sandbox_seconds:.1} | {:.2} |",
            program.name,
            program.version,
            program.what,
            if plain_is_identical { "identical" } else { "differ" },
            sandbox_seconds / plain_seconds,
        );
        outcomes.push(outcome);
    }
    let sum = |seconds: fn(&Outcome) -> f64| outcomes.iter().map(seconds).sum::<f64>();
    println!(
        "\nidentical: plain cargo {plain} of {all}, Proofmark {ours} of {all}; seconds in the sandbox to plain seconds, all together: {ratio:.3}",
        plain = outcomes.iter().filter(|outcome| outcome.plain_is_identical).count(),
        ours = outcomes.len(),
        all = outcomes.len() + refused,
        ratio = sum(|outcome| outcome.sandbox_seconds) / sum(|outcome| outcome.plain_seconds),
    );
    if outcomes.is_empty() && refused == 0 {
        bail!("no program has this in its name: {}", PROGRAMS.map(|program| program.name).join(", "));
    }
    ensure!(refused == 0, "not every program was built twice the same");
    Ok(())
}

fn survey(program: &Program, proofmark: &Path) -> Result<Outcome> {
    let dir = tempfile::tempdir()?;
    let hosts = Hosts::set_up(dir.path(), program)?;
    let workspace = hosts.proofmarked(proofmark, program)?;
    let out = dir.path().join("out");
    let mut build = Command::new(proofmark);
    build.args(["build", "--json", "--out"]).arg(&out).current_dir(&workspace).env("CARGO_HOME", hosts.cargo_home());
    match build.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).status()?.code() {
        Some(0) => {}
        Some(81) => bail!("the two builds differ"),
        other => bail!("refused: proofmark build ended with {other:?}"),
    }
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
    Ok(Outcome { crates, plain_is_identical, plain_seconds, sandbox_seconds })
}
