//! `proofmark head`.

use proofmark::exit::{Refusal, Refuse};
use proofmark::head;
use proofmark::repository::document_path;
use proofmark_core::signature::Kind;
use serde_json::json;

use super::Done;
use super::place::{KeyArguments, RepositoryArguments};
use super::propose::{now, seconds};

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

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.repository.open(&mut words)?;
    let key = arguments.key.load()?;
    let head = head::publish(&repository, &key, now()?, arguments.valid).map_err(|error| error.refusal())?;
    let path = document_path(Kind::Head, head.version);
    words += &format!("head {}: trust {}, index {}, until {}\n", head.version, head.trust.version, head.index.version, head.expires);
    words += "next: hosts take it with proofmark-verifier update; sign another before it ends\n";
    let json = json!({ "ok": true, "version": head.version, "head": path, "sha256": head.digest(), "index": head.index.version, "trust": head.trust.version, "expires": head.expires });
    Ok(Done { data: format!("{}  {path}\n", head.digest()), json: format!("{json:#}\n"), words })
}
