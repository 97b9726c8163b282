//! `proofmark gc`.

use std::fmt::Write as _;

use proofmark::exit::{Exit, Refusal, Refuse};
use proofmark::gc::{self, Policy};
use proofmark::{clock, text};
use serde_json::json;

use super::Done;
use super::place::RepositoryArguments;

/// List what no kept index needs any more, and with --delete remove it
///
/// Kept: trust, halts and resumes, all of them; the newest indexes and heads, and the index that a kept head pins; for each group the index
/// that gave it the bundle before the one it has, where a rollback goes; every bundle that a kept index assigns or names as rollback target,
/// with its inputs; open proposals and what they name; whatever is young. A repository is also an archive: what is removed can no
/// longer be rebuilt or shown to an auditor. Copy it elsewhere first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  proofmark gc --repository releases                       # what would go, and how much\n  \
    proofmark gc --repository releases --keep-indexes 50 --delete")]
pub(crate) struct Arguments {
    #[command(flatten)]
    repository: RepositoryArguments,
    /// Keep so many of the newest indexes and all that they name
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    keep_indexes: u64,
    /// Keep so many of the newest heads
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    keep_heads: u64,
    /// Keep what was written within this time: 24h, 30m
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = super::propose::seconds)]
    keep_young: i64,
    /// Remove what is listed
    #[arg(long)]
    delete: bool,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.repository.open(&mut words)?;
    let _lock = arguments.delete.then(|| repository.lock()).transpose().map_err(|error| error.refusal())?;
    let now = clock::now().ok_or_else(|| {
        Refusal::new(Exit::Clock, "clock", "this machine's clock is not set", "clock")
            .want("a time from 1970 to 9999")
            .have("another")
            .next("set the clock")
    })?;
    let policy = Policy { indexes: arguments.keep_indexes, heads: arguments.keep_heads, seconds: arguments.keep_young };
    let found = gc::find(&repository, policy, now).map_err(|error| error.refusal())?;
    if arguments.delete {
        gc::remove(&repository, &found).map_err(|error| error.refusal())?;
    }
    let mut data = String::new();
    for file in &found {
        // Writing to a String cannot fail.
        let _ = writeln!(data, "{:>12}  {}", file.size, text::one_line(&file.path));
    }
    let bytes: u64 = found.iter().map(|file| file.size).sum();
    let what = if arguments.delete { "removed" } else { "would be removed" };
    words += &format!("{} files, {bytes} bytes, {what}\n", found.len());
    if !arguments.delete && !found.is_empty() {
        words += "next: copy what an auditor may ask for, then the same with --delete\n";
    }
    let files: Vec<_> = found.iter().map(|file| json!({ "path": file.path, "size": file.size })).collect();
    let json = json!({ "ok": true, "removed": arguments.delete, "bytes": bytes, "files": files });
    Ok(Done { data, json: format!("{json:#}\n"), words })
}
