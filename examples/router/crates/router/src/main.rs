//! `router --config PATH`: takes parent orders, splits them over venues, counts the fills back. Ends on TERM, with
//! status 0, once the orders being worked are done or two seconds have passed.
//!
//! It reads its configuration, the credential which that names, and nothing else of the host: no name service, no locale, no
//! time zone. It holds no key and knows nothing of who started it.

mod clients;
mod config;
mod counters;
mod desk;
mod health;
mod journal;
mod supervisor;
mod venue;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mimalloc::MiMalloc;
use routing::{Flag, note};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::Config;
use crate::desk::Desk;
use crate::journal::Journal;
use crate::venue::Session;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The release: one line of the file `RELEASE`.
const RELEASE: &str = include_str!("../../../RELEASE").trim_ascii();

/// How long orders being worked may take to end after TERM.
const DRAIN: Duration = Duration::from_secs(2);

const USAGE: &str = "usage: router --config PATH | --version";

/// What the command line asks for.
enum Command {
    Run(PathBuf),
    Version,
}

fn main() -> ExitCode {
    let result = match command() {
        Some(Command::Run(config)) => run(&config),
        Some(Command::Version) => say(format_args!("router {RELEASE}")),
        None => {
            note!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            note!("router: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Option<Command> {
    let mut words = std::env::args_os().skip(1);
    let command = match words.next()?.to_str()? {
        "--config" => Command::Run(words.next()?.into()),
        "--version" => Command::Version,
        _ => return None,
    };
    words.next().is_none().then_some(command)
}

fn run(path: &Path) -> Result<(), String> {
    // First of all, so that no TERM falls between the start and the handler.
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(in_words("signals"))?;
    let config = Config::read(path)?;
    let token = config.token()?;
    let journal = Journal::open(config.state_dir.as_deref()).map_err(in_words("state_dir"))?;
    let (orders, orders_at) = bind(config.listen)?;
    let (monitors, monitors_at) = bind(config.health)?;

    let sessions = config.venues.into_iter().map(|venue| Session::start(venue, token.clone()));
    let venues = sessions.collect::<io::Result<_>>().map_err(in_words("venues"))?;
    let flags: Vec<Flag> = config.flags.iter().map(|flag| flag.0).collect();
    let in_force = list(&flags);
    let desk = Arc::new(Desk::new(flags, venues, journal));
    let (for_orders, for_monitors) = (Arc::clone(&desk), Arc::clone(&desk));
    start("orders", move || clients::serve(&orders, &for_orders))?;
    start("health", move || health::serve(&monitors, &for_monitors))?;

    say(format_args!("router {RELEASE} listening on {orders_at} (health {monitors_at}), flags [{in_force}]"))?;
    supervisor::notify("READY=1");
    signals.forever().next();
    supervisor::notify("STOPPING=1");
    desk.close(DRAIN);
    Ok(())
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let listener = TcpListener::bind(address).map_err(in_words(address))?;
    // Port 0 means any: tell the one we got.
    let real = listener.local_addr().map_err(in_words(address))?;
    Ok((listener, real))
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop).map_err(in_words(name))
}

/// `9 rlp, 11 other`.
fn list(flags: &[Flag]) -> String {
    flags.iter().map(|flag| format!("{} {}", flag.id(), flag.name())).collect::<Vec<_>>().join(", ")
}

/// Writes a line to standard output.
fn say(words: impl Display) -> Result<(), String> {
    io::stdout().write_all(format!("{words}\n").as_bytes()).map_err(in_words("stdout"))
}

fn in_words(what: impl Display) -> impl FnOnce(io::Error) -> String {
    move |error| format!("{what}: {error}")
}
