//! `cargo xtask survey`: real published programs that are not ours, unmodified but for what `proofmark init` writes, built twice.
//!
//! Sources come through cargo: a small project that depends on the program makes cargo fetch it. One program gets rustflags of its own
//! in `.cargo/config.toml`, to show that they keep their effect.

use crate::tool;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Options of the survey.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only programs with this in their name
    filter: Option<String>,
}

struct Program {
    name: &'static str,
    version: &'static str,
    why: &'static str,
    /// A build id that its own `.cargo/config.toml` asks the linker for, and that must be in the result.
    own_build_id: Option<&'static str>,
}

const PROGRAMS: [Program; 3] = [
    Program { name: "diskus", version: "0.8.0", why: "pure Rust", own_build_id: None },
    Program { name: "oxipng", version: "9.1.5", why: "C code (libdeflate)", own_build_id: None },
    Program { name: "hexyl", version: "0.16.0", why: "proc macros, own rustflags", own_build_id: Some("70726f6f666d61726b2d737572766579") },
];

pub(crate) fn run(args: Args) -> Result<()> {
    tool::run(tool::cargo().args(["build", "--quiet", "--locked", "-p", "proofmark"]))?;
    let proofmark = std::env::current_exe()?.with_file_name("proofmark");
    println!("| program | what | crates | two builds | seconds |\n|---|---|---|---|---|");
    for program in PROGRAMS.iter().filter(|program| args.filter.as_ref().is_none_or(|filter| program.name.contains(filter.as_str()))) {
        let dir = tempfile::tempdir()?;
        let workspace = checkout(program, dir.path())?;
        tool::output(Command::new(&proofmark).arg("init").current_dir(&workspace))?;
        git(&workspace, &["add", "-A", "-f"])?;
        git(&workspace, &["commit", "-q", "-m", "proofmark init"])?;
        let begin = Instant::now();
        let out = dir.path().join("out");
        let built = tool::output(Command::new(&proofmark).args(["build", "--json", "--out"]).arg(&out).current_dir(&workspace))?;
        let seconds = begin.elapsed().as_secs_f64();
        let built: Value = serde_json::from_str(&built)?;
        let info: Value = serde_json::from_slice(&fs::read(out.join("buildinfo.json"))?)?;
        if let Some(id) = program.own_build_id {
            let path = built.pointer("/outputs/0/path").and_then(Value::as_str).context("an output")?;
            let wanted: Vec<u8> = (0..id.len()).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16)).collect::<Result<_, _>>()?;
            let program = fs::read(out.join(path))?;
            ensure!(program.windows(wanted.len()).any(|window| window == wanted), "{path} lacks the build id of its own rustflags");
        }
        let crates = info.get("crates").and_then(Value::as_array).map_or(0, Vec::len);
        println!("| {} {} | {} | {crates} | identical | {seconds:.0} |", program.name, program.version, program.why);
    }
    Ok(())
}

/// The published source of a program, in a git checkout of its own.
fn checkout(program: &Program, dir: &Path) -> Result<PathBuf> {
    let asker = dir.join("asker");
    fs::create_dir_all(asker.join("src"))?;
    fs::write(asker.join("src/lib.rs"), "")?;
    let Program { name, version, own_build_id, .. } = program;
    let manifest = format!(
        "[package]\nname = \"asker\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[dependencies]\n{name} = \"={version}\"\n[workspace]\n"
    );
    fs::write(asker.join("Cargo.toml"), manifest)?;
    tool::run(tool::cargo().args(["fetch", "--quiet"]).current_dir(&asker))?;
    let metadata = tool::output(tool::cargo().args(["metadata", "--format-version", "1", "--offline"]).current_dir(&asker))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let package = packages.iter().find(|package| package["name"] == *name && package["version"] == *version).context("the program")?;
    let source = Path::new(package["manifest_path"].as_str().context("a path")?).parent().context("a folder")?.to_owned();
    let workspace = dir.join(name);
    tool::run(Command::new("cp").arg("-r").arg(&source).arg(&workspace))?;
    for cargos in [".cargo-ok", ".cargo_vcs_info.json", "Cargo.toml.orig"] {
        let _ = fs::remove_file(workspace.join(cargos));
    }
    if let Some(id) = own_build_id {
        fs::create_dir_all(workspace.join(".cargo"))?;
        fs::write(workspace.join(".cargo/config.toml"), format!("[build]\nrustflags = [\"-Clink-arg=-Wl,--build-id=0x{id}\"]\n"))?;
    }
    git(&workspace, &["init", "-q"])?;
    git(&workspace, &["add", "-A", "-f"])?;
    git(&workspace, &["commit", "-q", "-m", "as published"])?;
    Ok(workspace)
}

fn git(dir: &Path, arguments: &[&str]) -> Result<()> {
    let identity = ["-c", "user.name=survey", "-c", "user.email=survey@example.invalid", "-c", "init.defaultBranch=main"];
    tool::run(Command::new("git").args(identity).args(arguments).current_dir(dir))
}
