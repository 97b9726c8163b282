//! `cargo xtask ci`: everything that a change has to pass, as a list of named steps. `.ci/run` installs the tools and calls this.
//!
//! A new step is one line in [`STEPS`], or in [`LONG`] when it is too slow for every change. A step that cannot run fails.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{test, tool};

/// One step: its name, what a failure means, and what it runs.
struct Step(&'static str, &'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    Step("fmt", "a source file is not as rustfmt prints it", fmt),
    Step("files", "a tracked file holds what no file here may hold", files),
    Step("clippy", "clippy warns", clippy),
    Step("doc", "a warning in the documentation", doc),
    Step("core", "the trusted core is not of the published size", || xtask(&["core", "--check"])),
    Step("vectors", "a conformance vector is not what the generator prints", || xtask(&["vectors", "--check"])),
    Step("deny", "a dependency with a licence, source or name that deny.toml does not allow", deny),
    Step("zizmor", "an unsafe workflow", zizmor),
    Step("fuzz", "an input breaks a parser", || xtask(&["fuzz"])),
    Step("demo", "what the README promises does not work", || xtask(&["demo"])),
    Step("test", "a test fails or was skipped", || test::run(test::Args::default())),
];

/// After all of [`STEPS`], with `--long`.
const LONG: &[Step] = &[
    Step("races", "something foreign started under an attacker's loop of 10 000 tries", races),
    Step("classes", "the leaky fixture has other leaks than it declares", classes),
    Step("mutants", "a change of the trusted core that no test of it notices", mutants),
    Step("hostile", "a spoilt file of a stranger breaks the packager", hostile),
    Step("fuzzing", "an input breaks a parser, after minutes", || xtask(&["fuzz", "--seconds", "120"])),
    Step("elsewhere", "the leaky fixture is not the same in another Debian suite", || xtask(&["elsewhere"])),
    Step("survey", "a real program is not the same twice", || xtask(&["survey"])),
    Step("scale", "a host's transfer grows with history or fleet", || xtask(&["scale"])),
    Step("bench", "a benchmark cannot run", || xtask(&["bench"])),
];

/// Arguments of `ci`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also what is too slow for every change.
    #[arg(long)]
    long: bool,
    /// Print the names of the steps.
    #[arg(long)]
    list: bool,
    /// Only these steps.
    steps: Vec<String>,
}

/// Runs the steps in order and stops at the first that fails.
pub(crate) fn run(args: Args) -> Result<()> {
    let all = || STEPS.iter().chain(LONG);
    if args.list {
        all().for_each(|Step(name, failure, _)| println!("{name:9}  fails when: {failure}"));
        return Ok(());
    }
    if let Some(unknown) = args.steps.iter().find(|name| all().all(|step| step.0 != name.as_str())) {
        bail!("no step {unknown}: `cargo xtask ci --list` shows them");
    }
    let chosen: Vec<&Step> = match &args.steps[..] {
        [] => STEPS.iter().chain(LONG.iter().filter(|_| args.long)).collect(),
        names => all().filter(|step| names.iter().any(|name| name == step.0)).collect(),
    };

    let mut times: Vec<(&str, Duration)> = Vec::new();
    for Step(name, failure, step) in &chosen {
        eprintln!("\n=== {name}");
        let begin = Instant::now();
        let outcome = step();
        times.push((name, begin.elapsed()));
        eprintln!("=== {name}: {} in {:.1} s", if outcome.is_ok() { "passed" } else { "FAILED" }, begin.elapsed().as_secs_f64());
        outcome.with_context(|| format!("step {name} ({failure})"))?;
    }
    eprintln!("\nall steps passed:");
    times.iter().for_each(|(name, time)| eprintln!("  {name:9} {:7.1} s", time.as_secs_f64()));
    if chosen.iter().any(|step| step.0 == "test") {
        println!("{}", test::totals(true)?.line());
    }
    Ok(())
}

fn fmt() -> Result<()> {
    tool::run(tool::cargo().args(["fmt", "--all", "--check"]))?;
    tool::run(tool::cargo().args(["fmt", "--all", "--check"]).current_dir(tool::root().join("tests/fuzz")))?;
    tool::run(tool::cargo().args(["fmt", "--all", "--check"]).current_dir(tool::router()))
}

fn clippy() -> Result<()> {
    let arguments = ["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
    tool::run(tool::cargo().args(arguments))?;
    tool::run(tool::cargo().args(arguments).current_dir(tool::router()))
}

fn doc() -> Result<()> {
    let arguments = ["doc", "--locked", "--workspace", "--no-deps", "--document-private-items", "--quiet"];
    tool::run(tool::cargo().args(arguments).env("RUSTDOCFLAGS", "--deny warnings"))
}

fn deny() -> Result<()> {
    need("cargo-deny", "cargo install --locked cargo-deny")?;
    for manifest in ["Cargo.toml", "examples/router/Cargo.toml"] {
        let command = ["deny", "--manifest-path", manifest, "--config", "deny.toml", "--locked", "--log-level", "error"];
        tool::run(tool::cargo().args(command).args(["check", "bans", "licenses", "sources"]))?;
    }
    Ok(())
}

fn zizmor() -> Result<()> {
    need("zizmor", "pip install zizmor, in a virtual environment")?;
    tool::run(tool::program("zizmor").args(["--offline", "--no-progress", "--quiet", "--persona", "pedantic", ".github"]))
}

fn classes() -> Result<()> {
    tool::run(tool::cargo().args(["test", "--locked", "-p", "proofmark", "--test", "leaky", "--", "--ignored", "--nocapture"]))
}

/// What is mutated and how it is tested, and which survivors have a reason, is in .cargo/mutants.toml.
fn mutants() -> Result<()> {
    need("cargo-mutants", "cargo install --locked cargo-mutants")?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let mut command = tool::cargo();
    command.args(["mutants", "--package", "proofmark-core", "--no-shuffle", "--colors", "never", "--output", "target", "--jobs", &jobs]);
    // The properties are tried on fewer sequences: thousands of runs make up for it.
    tool::run(command.env("PROPTEST_CASES", "16"))
}

fn races() -> Result<()> {
    let test = ["test", "--locked", "-p", "proofmark-tests", "--test", "start", "attack_30", "--", "--nocapture"];
    tool::run(tool::cargo().args(test).env("PROOFMARK_RACES", "10000"))
}

fn hostile() -> Result<()> {
    let test = ["test", "--locked", "-p", "proofmark-tests", "--test", "hostile"];
    tool::run(tool::cargo().args(test).env("PROOFMARK_MUTATIONS", "20000"))
}

/// No tracked file names a folder of this machine, holds a secret key or a merge conflict, or is a program.
fn files() -> Result<()> {
    // Split, so that this file passes its own check.
    let mut forbidden = vec![(concat!("<<<<", "<<< ").to_owned(), "a merge conflict")];
    forbidden.push((format!("{}/", tool::root().display()), "a folder of this machine"));
    for (variable, usual) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let home = std::env::var(variable).or_else(|_| std::env::var("HOME").map(|home| format!("{home}/{usual}")));
        forbidden.extend(home.map(|home| (format!("{home}/"), "a folder of this machine")));
    }

    let mut faults = Vec::new();
    for name in tool::output(tool::program("git").args(["ls-files", "-z"]))?.split_terminator('\0') {
        // A file that was deleted and not yet committed is still listed.
        let Ok(bytes) = std::fs::read(tool::root().join(name)) else { continue };
        if bytes.starts_with(b"\x7fELF") {
            faults.push(format!("{name}: a program"));
        }
        let text = String::from_utf8_lossy(&bytes);
        if text.lines().next().is_some_and(|line| line.starts_with("untrusted comment: ") && line.contains("secret key")) {
            faults.push(format!("{name}: a secret key"));
        }
        for (number, line) in text.lines().enumerate() {
            let found = forbidden.iter().filter(|(part, _)| line.contains(part.as_str()));
            faults.extend(found.map(|(part, what)| format!("{name}:{}: {what}: {part}", number + 1)));
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn xtask(arguments: &[&str]) -> Result<()> {
    // Not our own file: cargo may have replaced it since we were started.
    tool::run(tool::cargo().arg("xtask").args(arguments))
}

fn need(tool: &str, install: &str) -> Result<()> {
    if tool::found(tool) {
        return Ok(());
    }
    bail!("{tool} is missing\nnext: {install}; .ci/run installs all that CI needs")
}
