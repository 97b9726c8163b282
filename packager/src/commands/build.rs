//! `proofmark build`.

use std::path::PathBuf;

use proofmark::build::{self, Effort, Options, Supply};
use proofmark::digest;
use proofmark::exit::{Exit, Refusal, Refuse};
use proofmark::text;
use serde_json::json;

use super::Done;
use crate::terminal::Console;

/// Build the commit at HEAD twice, and keep the result only if both are the same bytes
///
/// Takes the files of the commit (the working tree must be clean), the crates that Cargo.lock names (checked against its checksums),
/// and builds in a sandbox without network, where paths, user, host name, locale, time zone, clock, randomness, processor count and
/// directory order are fixed. The second build runs with another user, path, file system, umask, host name, environment and processor
/// count outside. If one byte differs, more builds find out why, and nothing is written.
///
/// Writes root/... (the programs), buildinfo.json (every input with its digest), closure.txt (which files were opened; its digest is in
/// buildinfo) and machine.json (about this machine, for people).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark build --out /tmp/release && sha256sum /tmp/release/root/bin/*\n\n\
    Code that does not build here usually wants something that the sandbox does not have: the network, files outside of the workspace,\n\
    or a program that is not in /usr/bin. `next:` at the end of the message says where the whole log is.")]
pub(crate) struct Arguments {
    /// Directory of proofmark.toml
    #[arg(long, value_name = "DIR", default_value = ".")]
    workspace: PathBuf,
    /// Rust toolchain [default: what `rustc --print sysroot` says in the workspace]
    #[arg(long, value_name = "DIR")]
    toolchain: Option<PathBuf>,
    /// Where the result goes; replaced as a whole [default: WORKSPACE/target/proofmark/PRODUCT-RELEASE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take the layers of proofmark.lock from files that are named by their SHA-256, such as inputs/ of a release repository, and not
    /// from this machine's package client and toolchain
    #[arg(long, value_name = "DIR", conflicts_with = "toolchain")]
    layers: Option<PathBuf>,
    /// Where temporary files go, some gigabytes for a large workspace [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    #[command(flatten)]
    effort: EffortArguments,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// How much is done to find a difference.
#[derive(Debug, clap::Args)]
pub(crate) struct EffortArguments {
    /// How many builds are compared, 2 to 8; all but the first vary everything
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=Effort::MOST as i64))]
    builds: u8,
    /// Write down which files the first build opens, too, and refuse if another build opens others
    #[arg(long)]
    trace: bool,
    /// Build twice more without the deterministic machine: which crates are the same anyway, and which only under it
    #[arg(long)]
    classify: bool,
}

impl EffortArguments {
    pub(super) fn effort(&self) -> Effort {
        Effort { builds: usize::from(self.builds), trace: self.trace, classify: self.classify }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let worker = std::env::current_exe().map_err(|error| Refusal::new(Exit::Internal, "exe", "cannot find this program", error))?;
    let options = Options {
        workspace: arguments.workspace.clone(),
        toolchain: arguments.toolchain.clone(),
        lock: None,
        layers: arguments.layers.clone(),
        scratch: arguments.scratch.clone(),
        supply: Supply::Checkout,
        worker,
        effort: arguments.effort.effort(),
    };
    let console = Console::new();
    let built = build::double_build(&options, &console).map_err(|error| error.refusal())?;
    let name = format!("{}-{}", built.config.product, built.config.release);
    let out = arguments.out.clone().unwrap_or_else(|| arguments.workspace.join("target").join("proofmark").join(&name));
    built.write_to(&out).map_err(|error| error.refusal())?;
    drop(console);

    let lines: String = built.outputs.iter().map(|output| format!("{}  {}\n", output.sha256, output.path)).collect();
    let json = json!({
        "ok": true,
        "product": built.config.product,
        "release": built.config.release,
        "target": built.target,
        "source": built.source,
        "out": out,
        "buildinfo": digest::sha256(&built.buildinfo),
        "outputs": built.outputs,
    });
    let words = format!(
        "identical: {} builds of {name} for {}, commit {}\nwritten to {}\n",
        arguments.effort.builds,
        built.target,
        &built.source.commit,
        text::one_line(&out.display().to_string())
    );
    Ok(Done { data: lines, json: format!("{json:#}\n"), words })
}
