//! `cargo xtask scale`: what a host and a publisher pay in a repository with a long history and a large fleet, beside one with neither.
//!
//! Prints both, and fails when a host's transfer or a command's requests grow with history: that is counted, not timed.

use anyhow::{Context, Result, ensure};
use proofmark_core::Digest;
use proofmark_core::group::{Group, Host as Listed};
use proofmark_core::index::Index;
use proofmark_core::json;
use proofmark_tests::world::{HOST, t};
use proofmark_tests::{Bundle, Host, World, published};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

mod server;

use server::Server;

/// Options of the measurement.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Past indexes and heads of the large repository
    #[arg(long, default_value_t = 100_000)]
    indexes: u64,
    /// Groups of the large repository
    #[arg(long, default_value_t = 200)]
    groups: usize,
    /// Hosts of the large repository
    #[arg(long, default_value_t = 10_000)]
    hosts: usize,
    /// Runs of each; the median is printed
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Internal: this program stands beside the others
    #[arg(long, hide = true)]
    placed: bool,
    /// Internal: run a command and write what it cost to this file
    #[arg(long, hide = true, value_name = "FILE")]
    measure: Option<PathBuf>,
    /// Internal
    #[arg(hide = true, last = true)]
    command: Vec<String>,
}

/// What one command cost.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: Duration,
    /// Peak resident memory, kilobytes.
    memory: u64,
    requests: u64,
    bytes: u64,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if let Some(file) = &args.measure {
        return measure(file, &args.command);
    }
    if !args.placed {
        return place();
    }
    let small = Fleet::new(10, 1, 10)?;
    eprintln!("writing {} indexes and heads, {} groups, {} hosts", args.indexes, args.groups, args.hosts);
    let large = Fleet::new(args.indexes, args.groups, args.hosts)?;
    let costs = [small.costs(args.runs)?, large.costs(args.runs)?];

    let head = |fleet: &Fleet| format!("{} indexes, {} groups, {} hosts", fleet.indexes, fleet.groups.len(), fleet.hosts);
    println!("Median of {} runs: milliseconds, bytes and requests over HTTP, peak memory.\n", args.runs);
    println!("{:26}  {:>38}  {:>38}", "", head(&small), head(&large));
    for (one, other) in costs[0].iter().zip(&costs[1]) {
        println!("{:26}  {:>38}  {:>38}", one.0, one.1.line(), other.1.line());
    }
    println!(
        "\nof which documents: index {} and {} bytes, group file {} and {} bytes",
        small.index(),
        large.index(),
        small.group(),
        large.group()
    );
    for ((name, one), (_, other)) in costs[0].iter().zip(&costs[1]) {
        ensure!(one.requests == other.requests, "{name}: {} requests with a long history, {} without", other.requests, one.requests);
        let more = large.index() + large.group();
        ensure!(other.bytes <= one.bytes + more + 4096, "{name}: {} bytes with a long history, {} without", other.bytes, one.bytes);
    }
    println!("\nas many requests in both, and no byte more than the larger index and group file");
    Ok(())
}

impl Cost {
    fn line(&self) -> String {
        let wire = if self.requests == 0 { String::new() } else { format!("{} B in {}", self.bytes, self.requests) };
        format!("{:8.1} ms {wire:>17} {:6.1} MB", self.wall.as_secs_f64() * 1000.0, self.memory as f64 / 1024.0)
    }
}

/// A repository, and a host of its first group.
struct Fleet {
    world: World,
    bundle: Bundle,
    groups: Vec<Group>,
    indexes: u64,
    hosts: usize,
}

impl Fleet {
    fn new(indexes: u64, groups: usize, hosts: usize) -> Result<Self> {
        let mut world = World::new();
        let bundle = published::bundle(&world, &["first"]);
        published::publish(&world, &bundle);
        let groups: Vec<Group> = (0..groups)
            .map(|number| {
                let mut group = world.group(&bundle);
                if number > 0 {
                    group.role = t(&format!("router-{number:03}"));
                    group.hosts.clear();
                }
                for host in group.hosts.len()..hosts / groups {
                    group.hosts.insert(t(&format!("host-{number:03}-{host:03}")), Listed { record_key: None });
                }
                group
            })
            .collect();
        debug_assert!(groups[0].hosts.contains_key(HOST));
        past(&mut world, &groups[..1], indexes)?;
        world.publish_index(&groups, |_| {}, &["ci-1", "alice-1"]);
        world.publish_head(|_| {}, &["head-1"]);
        Ok(Fleet { world, bundle, groups, indexes, hosts })
    }

    fn index(&self) -> u64 {
        self.world.index.as_ref().map_or(0, |(_, _, size)| *size)
    }
    fn group(&self) -> u64 {
        json::print(&self.groups[0]).len() as u64
    }

    fn costs(&self, runs: usize) -> Result<Vec<(&'static str, Cost)>> {
        let server = Server::start(self.world.path())?;
        let mut costs = Vec::new();
        let mut update = Vec::new();
        let mut again = Vec::new();
        let mut start = Vec::new();
        for _ in 0..runs {
            let host = Host::of(&self.world);
            let config = host.file("etc/proofmark/host.toml");
            let text = fs::read_to_string(&config)?.replace(self.world.path().to_str().context("a path")?, &server.url());
            fs::write(config, text)?;
            update.push(cost(&host.command(&["update"]), Some(&server))?);
            again.push(cost(&host.command(&["update"]), Some(&server))?);
            start.push(cost(&host.command(&["run", "prod/router"]), Some(&server))?);
        }
        costs.push(("host: first update", median(update)));
        costs.push(("host: update, nothing new", median(again)));
        costs.push(("host: run", median(start)));

        // Publishers write into the directory itself.
        let (_dir, key) = published::key_file(&self.world, "head-1");
        let mut groups = self.groups.clone();
        groups[0].freshness.restart_seconds += 1;
        let mail = published::mailed(&self.world, &groups);
        let proofmark = |arguments: &[&str]| {
            let mut command = Command::new(proofmark_tests::binary("proofmark"));
            command.args(arguments).arg("--repository").arg(self.world.path());
            command
        };
        let proposal = mail.path().to_str().context("a path")?;
        costs.push(("publisher: publish", cost(&proofmark(&["publish", "--proposal", proposal]), None)?));
        costs.push(("publisher: head", cost(&proofmark(&["head", "--key", key.to_str().context("a path")?]), None)?));
        ensure!(self.world.file(&format!("bundles/{}", Digest::of(&self.bundle.bytes))).is_dir());
        Ok(costs)
    }
}

/// Past indexes and heads, as many files as there would be: each with its proposal and signatures. Nobody has a reason to read them, so
/// that what stands in them is of the right kind only, and the signatures are not real; but for the last, which the next one names.
fn past(world: &mut World, groups: &[Group], count: u64) -> Result<()> {
    let index = world.draft_index(groups, |_| {});
    for directory in ["index", "head", "proposals"] {
        fs::create_dir_all(world.file(directory))?;
    }
    let mut bytes = Vec::new();
    let (mut signature, mut head) = (PathBuf::new(), PathBuf::new());
    for version in 1..=count {
        // One file under many names, which costs a disk no room; file systems allow some ten thousand.
        if version % 10_000 == 1 {
            (signature, head) = (world.file(&format!("head/{version}.x")), world.file(&format!("head/{version}.y")));
            fs::write(&signature, [b'x'; 350])?;
            fs::write(&head, b"{}")?;
        }
        let index = Index { version, ..index.clone() };
        bytes = json::print(&index);
        let file = format!("{version}.index.json");
        let (published, proposal) = (world.file("index"), world.file(&format!("proposals/{version}")));
        fs::create_dir(&proposal)?;
        fs::write(published.join(&file), &bytes)?;
        fs::hard_link(published.join(&file), proposal.join(&file))?;
        for directory in [published, proposal] {
            for signer in ["ci-1", "alice-1"] {
                fs::hard_link(&signature, directory.join(format!("{file}.{signer}.minisig")))?;
            }
        }
        fs::hard_link(&head, world.file(&format!("head/{version}.head.json")))?;
        fs::hard_link(&signature, world.file(&format!("head/{version}.head.json.head-1.minisig")))?;
    }
    world.index = Some((Index { version: count, ..index }, Digest::of(&bytes), bytes.len() as u64));
    world.head_version = count;
    Ok(())
}

/// Runs a command in a process of its own that tells its peak memory, and counts what the server gave meanwhile.
fn cost(command: &Command, server: Option<&Server>) -> Result<Cost> {
    let before = server.map(Server::given).unwrap_or_default();
    let file = tempfile::NamedTempFile::new()?;
    let mut own = Command::new(std::env::current_exe()?);
    own.args(["scale", "--measure"]).arg(file.path()).arg("--").arg(command.get_program()).args(command.get_args());
    let output = own.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let after = server.map(Server::given).unwrap_or_default();
    let text = fs::read_to_string(file.path())?;
    let (wall, memory) = text.split_once(' ').context("two numbers")?;
    Ok(Cost {
        wall: Duration::from_micros(wall.parse()?),
        memory: memory.parse()?,
        requests: after.0 - before.0,
        bytes: after.1 - before.1,
    })
}

fn measure(file: &Path, command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("a command")?;
    let begin = Instant::now();
    let status = Command::new(program).args(arguments).status()?;
    let wall = begin.elapsed();
    ensure!(status.success(), "{status}");
    // The only child that was waited for.
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
    Ok(fs::write(file, format!("{} {}", wall.as_micros(), usage.max_rss()))?)
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by_key(|cost| cost.wall);
    costs.get(costs.len() / 2).copied().unwrap_or_default()
}

/// Builds the programs, and runs this again from where the tests look for them.
fn place() -> Result<()> {
    crate::tool::run(crate::tool::cargo().args(["build", "--locked", "-p", "proofmark", "-p", "proofmark-verifier", "--bins"]))?;
    let own = std::env::current_exe()?;
    let place = own.parent().context("a directory")?.join("deps/xtask-scale");
    // Linked anew, so that a running one is not written to.
    let _ = fs::remove_file(&place);
    fs::copy(&own, &place)?;
    crate::tool::run(Command::new(&place).args(std::env::args_os().skip(1)).arg("--placed"))
}
