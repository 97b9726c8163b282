//! `cargo xtask elsewhere`: the leaky fixture, built here and in a root file system of another Debian suite, from one environment lock:
//! other libc, compiler and coreutils outside of the sandbox, the same bytes inside.
//!
//! The other system is made with mmdebstrap from the package sources of this machine, and entered with systemd-nspawn, since
//! namespaces do not nest in a plain chroot. It is kept below target/ for the next time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::tool;

/// Suites that have a compiler new enough for programs that are linked here.
const SUITES: [&str; 2] = ["trixie", "bookworm"];
/// What the other system needs to run `proofmark build`: git reads the commit. gcc is there to be another one.
const PACKAGES: &str = "git,ca-certificates,gcc,libc6-dev";

/// Arguments of `elsewhere`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Debian suite of the other system [default: one that is not this machine's]
    #[arg(long)]
    suite: Option<String>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "mmdebstrap and systemd-nspawn need root\nnext: run it as root");
    for (program, package) in [("mmdebstrap", "mmdebstrap"), ("systemd-nspawn", "systemd-container")] {
        ensure!(tool::found(program), "{program} is missing\nnext: apt-get install {package}");
    }
    let here = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let suite = match args.suite {
        Some(suite) => suite,
        None => SUITES.into_iter().find(|suite| !here.contains(suite)).context("a suite that is not this machine's")?.to_owned(),
    };
    tool::run(tool::cargo().args(["build", "--quiet", "--locked", "-p", "proofmark"]))?;
    let proofmark = std::env::current_exe()?.with_file_name("proofmark");
    let root = system(&suite)?;

    let dir = tempfile::tempdir()?;
    let workspace = workspace(dir.path())?;
    let toolchain = tool::output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(tool::root()))?;
    let toolchain = toolchain.trim_end();
    let cache = dir.path().join("cache");
    fs::create_dir(&cache)?;
    let build = |out: &str| ["build".to_owned(), "--toolchain".to_owned(), toolchain.to_owned(), "--out".to_owned(), out.to_owned()];
    let out = dir.path().join("here");
    tool::run(Command::new(&proofmark).arg("lock").args(["--toolchain", toolchain]).current_dir(&workspace).env("XDG_CACHE_HOME", &cache))?;
    tool::run(Command::new(&proofmark).args(build(&out.display().to_string())).current_dir(&workspace).env("XDG_CACHE_HOME", &cache))?;

    let mut elsewhere = inside(&root);
    for (option, path, place) in [
        ("--bind-ro", proofmark.as_path(), Path::new("/usr/local/bin/proofmark")),
        ("--bind-ro", Path::new(toolchain), Path::new(toolchain)),
        ("--bind", dir.path(), Path::new("/proofmark")),
    ] {
        elsewhere.arg(format!("{option}={}:{}", path.display(), place.display()));
    }
    // Cargo's downloads of the first build; the layers come from the first build's cache, as the lock names them by digest.
    if let Some(home) =
        std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
    {
        elsewhere.arg(format!("--bind={}:/cargo", home.display())).arg("--setenv=CARGO_HOME=/cargo");
    }
    elsewhere
        .args(["--chdir=/proofmark/leaky", "--setenv=XDG_CACHE_HOME=/proofmark/cache", "/usr/local/bin/proofmark"])
        .args(build("/proofmark/there"));
    tool::run(&mut elsewhere)?;

    println!("| outside of the sandbox | here | there |\n|---|---|---|");
    for (what, command) in [
        ("system", "cat /etc/debian_version"),
        ("libc", "ldd --version | head -n 1"),
        ("gcc", "gcc --version | head -n 1"),
        ("coreutils", "ls --version | head -n 1"),
    ] {
        let here = tool::output(Command::new("sh").args(["-c", command]))?;
        let there = tool::output(inside(&root).args(["sh", "-c", command]))?;
        println!("| {what} | {} | {} |", here.trim(), there.trim());
    }
    compare(&out, &dir.path().join("there"))
}

/// Every file that a build says it made, and what it says of itself, is the same.
fn compare(here: &Path, there: &Path) -> Result<()> {
    let info = fs::read(here.join("buildinfo.json"))?;
    let outputs: serde_json::Value = serde_json::from_slice(&info)?;
    let outputs = outputs["outputs"].as_array().context("outputs")?.iter().filter_map(|output| output["path"].as_str());
    println!("\n| file | here and there |\n|---|---|");
    let mut differ = Vec::new();
    for file in outputs.chain(["buildinfo.json"]) {
        let identical = fs::read(here.join(file))? == fs::read(there.join(file))?;
        println!("| {file} | {} |", if identical { "identical" } else { "differ" });
        if !identical {
            differ.push(file);
        }
    }
    if !differ.is_empty() {
        bail!("not the same in another system: {}", differ.join(", "));
    }
    Ok(())
}

/// The other system, made once.
fn system(suite: &str) -> Result<PathBuf> {
    let root = tool::root().join("target/elsewhere").join(suite);
    if root.join("etc/debian_version").is_file() {
        return Ok(root);
    }
    let format = ["indextargets", "--format", "$(SITE)", "Created-By: Packages"];
    let sites = tool::output(Command::new("apt-get").args(format))?;
    // Security archives have no suite of their own to bootstrap from.
    let site = sites.lines().find(|site| !site.contains("security")).context("a package source of this machine (apt-get indextargets)")?;
    let temporary = root.with_extension("new");
    let _ = fs::remove_dir_all(&temporary);
    fs::create_dir_all(temporary.parent().context("a parent")?)?;
    tool::run(
        Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", &format!("--include={PACKAGES}"), suite])
            .arg(&temporary)
            .arg(site),
    )?;
    fs::rename(&temporary, &root)?;
    Ok(root)
}

/// A program in the other system. It is no machine of this one's service manager, and shares its network.
fn inside(root: &Path) -> Command {
    let mut command = Command::new("systemd-nspawn");
    command.args(["--quiet", "--register=no", "--keep-unit", "--pipe", "--directory"]).arg(root);
    command
}

/// The fixture as a checkout of its own.
fn workspace(dir: &Path) -> Result<PathBuf> {
    let workspace = dir.join("leaky");
    tool::run(Command::new("cp").arg("-r").arg(tool::root().join("tests/fixtures/leaky")).arg(&workspace))?;
    let _ = fs::remove_dir_all(workspace.join("target"));
    // Its tests take the host's compilers, to be quick; here the layers are the point.
    let file = workspace.join("proofmark.toml");
    let text = fs::read_to_string(&file)?.replace("environment = \"host\"\n", "");
    fs::write(&file, text)?;
    for arguments in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "leaky"]] {
        let identity = ["-c", "user.name=fixture", "-c", "user.email=fixture@example.invalid", "-c", "init.defaultBranch=main"];
        tool::run(Command::new("git").args(identity).args(arguments).current_dir(&workspace))?;
    }
    Ok(workspace)
}
