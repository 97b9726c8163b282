//! `cargo xtask demo`: the whole story on real code. Builds the router twice, signs, reviews, publishes, starts it on a host, fills
//! an order; then shows what is refused, each with its real message and exit code.
//!
//! Everything lives in one temporary directory and in processes of this one; both are gone at the end, Ctrl-C included.

mod refusals;
mod stage;

use anyhow::{Context, Result, ensure};
use stage::Stage;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Options of the demo.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rust toolchain for the build [default: the one that rustup picks in examples/router]
    #[arg(long, value_name = "DIR")]
    toolchain: Option<std::path::PathBuf>,
    /// Keep the directory with keys, repository and host, and say where it is
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let mut stage = Stage::set()?;
    let story = tell(&mut stage, &args);
    stage.clear(args.keep);
    story
}

fn tell(stage: &mut Stage, args: &Args) -> Result<()> {
    stage.say(
        "Proofmark: build twice, stamp, start nothing that lacks the stamp.\n\
         This demo plays all the parts: CI, two reviewers, the clock that keeps statements fresh, and a host.",
    );
    stage.compile()?;
    let sha256 = release(stage, args)?;
    host(stage)?;
    refusals::show(stage)?;
    stage.step("Done", "Run the demo again, or in a clone elsewhere, as somebody else, at the same commit: the bundle is the same.");
    stage.say(&format!("bundle sha256 {sha256}"));
    stage.say(
        "\nWhat to type next\n\
         \x20 cargo xtask test                              forged, stale, spoilt and cut-off input, refused\n\
         \x20 cargo run -q -p proofmark -- init --help      start with a workspace of your own; then docs/adopt.md\n\
         \x20 cargo xtask demo --keep                       keep the repository, and check it by hand with docs/audit.md",
    );
    Ok(())
}

/// Keys, trust, build, release, approval, publication. Gives the bundle's digest.
fn release(stage: &mut Stage, args: &Args) -> Result<String> {
    stage
        .step("People and machines make their keys", "Throwaway ones, without a password, only for this demo. Each stays with its holder.");
    for key in ["root-1", "ci-1", "alice-1", "bob-1", "head-1"] {
        stage.proofmark_quiet(&["key", "new", key, "--out", &stage.path("keys"), "--dangerous-no-password"])?;
    }
    stage.step(
        "Trust: who may sign what",
        "An index needs CI and a reviewer: two groups, and both must sign. A count would not do, and nobody is his own second person.",
    );
    let repository = stage.path("repository");
    let key = |holder: &str, name: &str| format!("{holder}:{name}={}", stage.path(&format!("keys/{name}.pub")));
    let trusted = stage.proofmark_json(&[
        "trust",
        "init",
        "--json",
        "--repository",
        &repository,
        "--owner",
        &key("root", "root-1"),
        "--ci",
        &key("ci", "ci-1"),
        "--reviewer",
        &key("alice", "alice-1"),
        "--reviewer",
        &key("bob", "bob-1"),
        "--head",
        &key("clock", "head-1"),
        "--sign",
        &stage.path("keys/root-1.key"),
    ])?;
    stage.pin = field(&trusted, "/trust_sha256")?;
    stage.say(&format!("hosts will pin sha256 {}", stage.pin));

    stage.step(
        "The router is built twice",
        "The commit's files, the crates of Cargo.lock, a sandbox without network; then once more as another user, from another path, with another \
         time zone and umask. One differing byte, and nothing goes on. This takes a minute or two.",
    );
    let built = stage.path("built");
    let mut build = vec!["build", "--workspace", "examples/router", "--out", &built];
    let toolchain = args.toolchain.as_ref().map(|dir| dir.display().to_string());
    if let Some(toolchain) = &toolchain {
        build.extend(["--toolchain", toolchain]);
    }
    stage.proofmark(&build)?;

    stage.step(
        "CI packs, signs and proposes; Alice has asked for it",
        "Program, configuration, flags, arguments and environment become one bundle.",
    );
    let released = stage.release(&["--environment", "prod", "--proposer", "alice"])?;
    let line = field(&released, "/bundles/0/sha256sum")?;
    let sha256 = line.split(' ').next().unwrap_or_default().to_owned();
    stage.say(&format!("bundle sha256 {sha256}"));

    stage.case("a first refusal: Alice approves what she has asked for");
    let alice = stage.path("keys/alice-1.key");
    stage.proofmark_refuses(&["approve", "--repository", &repository, "--key", &alice, "--yes"], 80)?;
    approve_and_publish(stage)?;
    Ok(sha256)
}

/// Bob signs the open proposal, it is published, and the head points at it.
fn approve_and_publish(stage: &mut Stage) -> Result<()> {
    let repository = stage.path("repository");
    stage.step("Bob reviews and approves", "He sees what changes for which hosts, and signs the very bytes that CI signed.");
    let bob = stage.path("keys/bob-1.key");
    stage.proofmark(&["approve", "--repository", &repository, "--key", &bob, "--yes"])?;
    stage.step(
        "It is published, and the head says what is current",
        "Signatures first, then the document, then `latest`: a host never sees half of it.",
    );
    stage.proofmark(&["publish", "--repository", &repository])?;
    let head = stage.path("keys/head-1.key");
    stage.proofmark(&["head", "--repository", &repository, "--key", &head])
}

fn field(json: &serde_json::Value, pointer: &str) -> Result<String> {
    Ok(json.pointer(pointer).and_then(|v| v.as_str()).with_context(|| format!("{pointer} in {json}"))?.to_owned())
}

/// A host comes up, starts the router, and an order is filled.
fn host(stage: &mut Stage) -> Result<()> {
    stage.step(
        "Host rtr-1 is set up",
        "Once, with the digest of the trust document, its own name and environment. Then it fetches and checks the whole chain.",
    );
    stage.set_up_host("host", "rtr-1", "prod")?;
    stage.verifier("host", &["update"])?;
    stage.step(
        "The host starts the router",
        "Into a private root made of a hashed copy of the bundle: no file, library, variable or descriptor of the host is in reach.",
    );
    stage.start_venues()?;
    stage.start_router()?;
    stage.step("A parent order of 1000 shares", "The router splits it over two venues, counts the fills, and stops when it is filled.");
    let order = r#"{"type":"order","id":"P1","symbol":"ACME","side":"buy","quantity":1000,"limit_price":"10.05"}"#;
    stage.say(&format!("> {order}"));
    let connection = TcpStream::connect("127.0.0.1:17001").context("connect to the router")?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    writeln!(&connection, "{order}")?;
    let mut filled = false;
    for line in BufReader::new(&connection).lines() {
        let line = line.context("the router answers within ten seconds")?;
        stage.say(&format!("< {line}"));
        ensure!(!line.contains("\"incomplete\"") && !line.contains("\"refused\""), "the order was not filled");
        if line.contains("\"filled\"") {
            filled = true;
            break;
        }
    }
    ensure!(filled, "the router closed the connection before the order was filled");
    stage.stop_processes()
}
