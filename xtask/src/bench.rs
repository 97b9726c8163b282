//! `cargo xtask bench`: what verification and packing cost, beside the usual way, in one run. Prints ratios; asserts nothing.
//!
//! Start: from the call to the payload's first output, for a bundle of so many incompressible megabytes.
//! Pack: from files to a signed bundle.

use anyhow::{Context, Result, ensure};
use proofmark::pack::{Content, Member};
use proofmark_core::manifest::FileMode;
use proofmark_tests::world::t;
use proofmark_tests::{Host, World, probe};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Options of the benchmarks.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Bundle sizes, in megabytes
    #[arg(long, value_delimiter = ',', default_value = "1,20,200")]
    sizes: Vec<u64>,
    /// Runs of each; the median is printed
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Internal: this is the optimised program
    #[arg(long, hide = true)]
    optimised: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if !args.optimised {
        return rerun_optimised();
    }
    for tool in ["minisign", "zstd", "tar", "sha256sum"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status()?;
        ensure!(found.success(), "{tool} is missing; it is what we compare with.\nnext: apt-get install minisign zstd tar coreutils");
    }
    println!("Median of {} runs, milliseconds; in brackets the ratio to `proofmark`.\n", args.runs);
    println!("Start: from the call to the payload's first output");
    println!("{:>9}  {:>12}  {:>20}  {:>30}", "bundle", "proofmark", "plain exec", "minisign + sha256sum + tar x");
    for &size in &args.sizes {
        let start = Start::new(size)?;
        let ours = median(args.runs, || start.verifier())?;
        let plain = median(args.runs, || start.plain())?;
        let script = median(args.runs, || start.script())?;
        println!(
            "{:>6} MB  {:>12.1}  {:>12} {:>7}  {:>22} {:>7}",
            size,
            ms(ours),
            format!("{:.1}", ms(plain)),
            ratio(plain, ours),
            format!("{:.1}", ms(script)),
            ratio(script, ours)
        );
    }
    println!("\nPack: from files to a signed bundle");
    println!("{:>9}  {:>12}  {:>38}", "bundle", "proofmark", "tar | zstd, sha256sum, minisign -S");
    for &size in &args.sizes {
        let pack = Pack::new(size)?;
        let ours = median(args.runs, || pack.ours())?;
        let script = median(args.runs, || pack.script())?;
        println!("{:>6} MB  {:>12.1}  {:>30} {:>7}", size, ms(ours), format!("{:.1}", ms(script)), ratio(script, ours));
    }
    Ok(())
}

/// Builds everything with optimisation, and runs this again from there.
fn rerun_optimised() -> Result<()> {
    let cargo = env!("CARGO");
    let build = ["build", "--release", "--locked", "-p", "xtask", "-p", "proofmark", "-p", "proofmark-verifier"];
    ensure!(Command::new(cargo).args(build).status()?.success(), "the release build failed");
    // `binary()` of the tests looks one directory up from the running program, where cargo keeps test programs.
    let release = std::env::current_exe()?.parent().and_then(Path::parent).context("a target directory")?.join("release");
    let place = release.join("deps/xtask-bench");
    fs::copy(release.join("xtask"), &place)?;
    let status = Command::new(&place).args(std::env::args_os().skip(1)).arg("--optimised").status()?;
    ensure!(status.success(), "the benchmarks failed: {status}");
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn ratio(other: Duration, ours: Duration) -> String {
    format!("({:.2}x)", other.as_secs_f64() / ours.as_secs_f64())
}

fn median(runs: usize, mut run: impl FnMut() -> Result<Duration>) -> Result<Duration> {
    run()?;
    let mut times = (0..runs).map(|_| run()).collect::<Result<Vec<_>>>()?;
    times.sort();
    Ok(times[times.len() / 2])
}

/// From the call to the first byte of output.
fn first_output(command: &mut Command) -> Result<Duration> {
    let begin = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut first = [0];
    let n = child.stdout.take().context("a pipe")?.read(&mut first)?;
    let taken = begin.elapsed();
    child.wait()?;
    ensure!(n == 1, "the payload said nothing");
    Ok(taken)
}

/// Bytes that do not compress: xorshift64*, so that every run has the same.
fn ballast(megabytes: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity((megabytes << 20) as usize);
    while bytes.len() < (megabytes << 20) as usize {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes
}

/// A host with a staged bundle, and the same bundle for a script.
struct Start {
    host: Host,
    world: World,
    bundle: PathBuf,
}

impl Start {
    fn new(megabytes: u64) -> Result<Self> {
        let mut world = World::new();
        let mut members = world.members();
        members.push(Member { path: t("root/share/ballast"), mode: FileMode::Data, content: Content::Bytes(ballast(megabytes)) });
        let bundle = world.bundle_of(world.manifest(&["first"]), members);
        world.publish_bundle(&bundle, &["ci-1"]);
        let group = world.group(&bundle);
        let path = group.bundle.sha256sum.split("  ").nth(1).context("a path")?.to_owned();
        world.publish_index(&[group], |_| {}, &["ci-1", "alice-1"]);
        world.publish_head(|_| {}, &["head-1"]);
        let host = Host::of(&world);
        host.update().ok();
        let public = world.key("ci-1").pk.to_box()?.into_string();
        world.write("ci-1.pub", public.as_bytes());
        world.write("SHA256SUMS", format!("{}  {path}\n", path.split('/').nth(1).context("a digest")?).as_bytes());
        fs::create_dir_all(world.file("out"))?;
        Ok(Start { host, bundle: path.into(), world })
    }

    fn verifier(&self) -> Result<Duration> {
        first_output(&mut self.host.command(&["run", "prod/router"]))
    }

    fn plain(&self) -> Result<Duration> {
        first_output(Command::new(probe::path()).arg("first"))
    }

    /// What people write by hand: signature, digest, unpack, exec. It protects from less (SECURITY.md), and costs this.
    fn script(&self) -> Result<Duration> {
        let bundle = self.bundle.display();
        let script = format!(
            "set -e; minisign -V -H -q -p ci-1.pub -m {bundle} -x {bundle}.ci-1.minisig; sha256sum --quiet -c SHA256SUMS; \
             rm -rf out/*; zstd -q -d -c {bundle} | tar x -C out -f -; exec out/root/bin/probe first"
        );
        first_output(Command::new("sh").arg("-c").arg(script).current_dir(self.world.path()))
    }
}

/// Files to be packed.
struct Pack {
    world: World,
    dir: tempfile::TempDir,
}

impl Pack {
    fn new(megabytes: u64) -> Result<Self> {
        let world = World::new();
        let dir = tempfile::tempdir()?;
        fs::create_dir_all(dir.path().join("in"))?;
        // Half compressible, as programs are.
        let mut bytes = ballast(megabytes.div_ceil(2));
        bytes.resize((megabytes << 20) as usize, b'x');
        fs::write(dir.path().join("in/program"), bytes)?;
        let key = dir.path().join("ci-1.key");
        fs::write(&key, world.key("ci-1").sk.to_box(None)?.into_string())?;
        fs::set_permissions(&key, PermissionsExt::from_mode(0o600))?;
        Ok(Pack { world, dir })
    }

    fn ours(&self) -> Result<Duration> {
        let begin = Instant::now();
        let member =
            Member { path: t("root/bin/probe"), mode: FileMode::Program, content: Content::File(self.dir.path().join("in/program")) };
        let bundle = self.world.bundle_of(self.world.manifest(&[]), vec![member]);
        self.world.publish_bundle(&bundle, &["ci-1"]);
        Ok(begin.elapsed())
    }

    fn script(&self) -> Result<Duration> {
        let begin = Instant::now();
        let script =
            "set -e; tar cf - in | zstd -q -3 -f -o b.tar.zst; sha256sum b.tar.zst > sums; minisign -S -q -W -s ci-1.key -m b.tar.zst";
        let status = Command::new("sh").arg("-c").arg(script).current_dir(self.dir.path()).stdin(Stdio::null()).status()?;
        ensure!(status.success(), "the script failed");
        Ok(begin.elapsed())
    }
}
