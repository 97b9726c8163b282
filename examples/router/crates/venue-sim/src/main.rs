//! `venue-sim --name NAME --listen IP:PORT [--delay-ms N] [--token-file PATH]`: one venue, until TERM.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use routing::note;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use venue_sim::{Options, Venue};

const USAGE: &str = "usage: venue-sim --name NAME --listen IP:PORT [--delay-ms N] [--token-file PATH]";

fn main() -> ExitCode {
    let (listen, options) = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            note!("venue-sim: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(listen, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note!("venue-sim: {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(listen: SocketAddr, options: Options) -> std::io::Result<()> {
    // Before anything else, so that no TERM falls between the start and the handler.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let name = options.name.clone();
    let (venue, address) = Venue::start(listen, options)?;
    println!("venue-sim {name} listening on {address}");
    signals.forever().next();
    note!("venue-sim {name}: stopped, {:?}", venue.stats());
    Ok(())
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<(SocketAddr, Options), String> {
    let mut listen = None;
    let mut options = Options::default();
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--name" => options.name = value,
            "--listen" => listen = Some(value.parse().map_err(|_| format!("{value} is not IP:PORT"))?),
            "--delay-ms" => {
                let millis = value.parse::<u32>().map_err(|_| format!("{value} is not a number of milliseconds"))?;
                options.delay = Duration::from_millis(millis.into());
            }
            "--token-file" => {
                let token = std::fs::read_to_string(&value).map_err(|error| format!("{value}: {error}"))?;
                options.token = Some(token.trim_end().to_owned());
            }
            _ => return Err(format!("no such option: {option}")),
        }
    }
    match (listen, options.name.is_empty()) {
        (Some(listen), false) => Ok((listen, options)),
        _ => Err("a venue needs a name and an address".to_owned()),
    }
}
