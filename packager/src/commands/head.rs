//! `proofmark head`.

use proofmark::exit::{Exit, Refusal, Refuse};
use proofmark::repository::document_path;
use proofmark::{clock, head};
use proofmark_core::signature::Kind;
use serde_json::json;

use super::Done;
use super::place::{KeyArguments, RepositoryArguments};

/// Sign the short-lived word on what is current: the newest trust and the newest index
///
/// Hosts start nothing new without a head that has not expired, so this runs on a schedule, well before the one before ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark head --repository releases --key keys/head-1.key --valid 24h")]
pub(crate) struct Arguments {
    #[command(flatten)]
    repository: RepositoryArguments,
    #[command(flatten)]
    key: KeyArguments,
    /// How long it is valid: 90s, 30m, 24h, 168h
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
    valid: i64,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn seconds(text: &str) -> Result<i64, String> {
    let duration: jiff::SignedDuration = text.parse().map_err(|_| "want a time like 24h or 30m".to_owned())?;
    match duration.as_secs() {
        seconds @ 1..=315_360_000 => Ok(seconds),
        _ => Err("want one second to ten years".into()),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.repository.open(&mut words)?;
    let key = arguments.key.load()?;
    let now = clock::now().ok_or_else(|| {
        Refusal::new(Exit::Clock, "clock", "this machine's clock is not set", "clock")
            .want("a time from 1970 to 9999")
            .next("set the clock")
    })?;
    let head = head::publish(&repository, &key, now, arguments.valid).map_err(|error| error.refusal())?;
    let path = document_path(Kind::Head, head.version);
    words += &format!("head {}: trust {}, index {}, until {}\n", head.version, head.trust.version, head.index.version, head.expires);
    words += "next: hosts take it with proofmark-verifier update; sign another before it ends\n";
    let json = json!({ "ok": true, "version": head.version, "head": path, "sha256": head.digest(), "index": head.index.version, "trust": head.trust.version, "expires": head.expires });
    Ok(Done { data: format!("{}  {path}\n", head.digest()), json: format!("{json:#}\n"), words })
}
