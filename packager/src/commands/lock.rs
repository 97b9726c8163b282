//! `proofmark lock`.

use std::path::PathBuf;

use proofmark::config;
use proofmark::environment::{self, Cache, FILE, Kind, Wanted};
use proofmark::exit::{Refusal, Refuse};
use proofmark::text;
use serde_json::json;

use super::Done;
use crate::terminal::Console;

/// Resolve the environment of a build anew, and write proofmark.lock
///
/// The operating system inside the sandbox is made of Debian packages: the closure of [build] packages in proofmark.toml, resolved and
/// fetched by this machine's own package client (apt) with its sources and keys, in private directories; nothing is installed and root is
/// not needed. The Rust toolchain is a layer, too: exactly the files of rustc, cargo and rust-std. Each layer is locked by its SHA-256.
///
/// A build whose proofmark.lock is absent does the same and says so. Commit the file, so that every builder has the same environment; or
/// leave it untracked: the release records it either way.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark lock && git add proofmark.lock && git commit -m 'Lock the build environment'\n\n\
    More tools in a build:  [build] packages = [\"coreutils\", \"dash\", \"gcc\", \"libc-bin\", \"libc6-dev\", \"make\", \"perl\", \"pkg-config\", \"libssl-dev\"]\n\
    The host's own system:  [build] environment = \"host\"   (no other machine can rebuild it)")]
pub(crate) struct Arguments {
    /// Directory of proofmark.toml
    #[arg(long, value_name = "DIR", default_value = ".")]
    workspace: PathBuf,
    /// Rust toolchain [default: what `rustc --print sysroot` says in the workspace]
    #[arg(long, value_name = "DIR")]
    toolchain: Option<PathBuf>,
    /// Print the lock as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let (config, _) = config::load(&arguments.workspace).map_err(|error| error.refusal())?;
    let wanted = Wanted {
        config: &config,
        source: &arguments.workspace,
        workspace: &arguments.workspace,
        lock: None,
        toolchain: arguments.toolchain.as_deref(),
        layers: None,
    };
    let console = Console::new();
    let refused = |error: environment::EnvironmentError| error.refusal();
    let lock = environment::resolve(&wanted, &Cache::open().map_err(refused)?, &console).map_err(refused)?;
    let path = environment::write(&lock, &arguments.workspace).map_err(refused)?;
    drop(console);

    let data = lock.layers.iter().map(|layer| format!("{}  {}\n", layer.sha256, text::one_line(&layer.title()))).collect();
    let json = json!({ "ok": true, "file": path, "digest": lock.digest(), "lock": lock });
    let (debs, size) = (lock.of(Kind::Deb).count(), lock.layers.iter().map(|layer| layer.size).sum::<u64>());
    let words = if lock.is_host() {
        format!("locked: this machine's own system, recorded by digest; another machine cannot rebuild it\nwritten to {FILE}\n")
    } else {
        format!("locked: {debs} packages and the Rust toolchain, {} MB\nwritten to {FILE}\n", size.div_ceil(1_000_000))
    };
    Ok(Done { data, json: format!("{json:#}\n"), words })
}
