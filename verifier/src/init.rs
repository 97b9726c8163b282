//! `init`: first contact, once. Pins the first trust, walks to a fresh head, and writes the host's identity.
//!
//! Everything appears by one rename of a finished directory to `/var/lib/proofmark`: a crash leaves a host that is not set up,
//! never one that is set up by half. A host that has anything there is never set up again.

use crate::chain::{Reading, document_path, pinned_trust};
use crate::config::Config;
use crate::documents::write_all;
use crate::failure;
use crate::files::Directory;
use crate::halts;
use crate::host::Host;
use crate::paths::{DOCUMENTS, STATE, signature};
use crate::report::Report;
use crate::source::{Memory, Source};
use crate::state;
use crate::update::first_success;
use proofmark_core::admission::State;
use proofmark_core::json::{self, Document};
use proofmark_core::name::{GroupName, Name};
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Kind, Reason, Refusal, Result, SignedFile, limits};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What an administrator gives.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The first trust document.
    pub trust: PathBuf,
    /// Its SHA-256, from a separate channel.
    pub sha256: Digest,
    /// The host's name.
    pub host: Name,
    /// The host's environment.
    pub environment: Name,
    /// Groups to follow.
    pub groups: Vec<GroupName>,
    /// URLs or directories.
    pub repository: Vec<String>,
}

/// Sets the host up.
pub fn init(host: &Host, given: &Identity) -> Result<Report> {
    let _lock = state::lock_updates(&host.layout, &host.disk)?;
    check_blank(host)?;
    check_groups(given)?;
    let repository = addresses(&given.repository)?;
    check_config(host, &repository)?;
    let (state, documents) = first_success(&repository, |source| first_contact(given, source))?;
    write(host, given, &repository, &state, &documents)?;
    let head = state.head.as_ref().map_or(0, |head| head.version);
    let mut report = Report::new(json!({
        "result": "done", "host": given.host, "environment": given.environment, "repository": state.identity.repository,
        "trust": state.trust.version, "head": head, "index": state.index.map(|pin| pin.version),
    }));
    report.line(format!("{} is set up in {} for repository {}", given.host, given.environment, state.identity.repository));
    report.line(format!("accepted: head {head}, trust {}", state.trust.version));
    report.line("next: proofmark-verifier update".to_owned());
    Ok(report)
}

/// A host is of one environment.
pub(crate) fn check_groups(given: &Identity) -> Result<()> {
    let Some(group) = given.groups.iter().find(|group| group.environment != given.environment) else { return Ok(()) };
    let want = format!("groups of environment {}, which this host is to be", given.environment);
    Err(Refusal::new(Reason::Environment, format_args!("group {group}"), want, format_args!("environment {}", group.environment)))
}

fn check_blank(host: &Host) -> Result<()> {
    let lib = host.layout.lib();
    if host.layout.state().exists() {
        return Err(Refusal::new(Reason::StateExists, host.layout.state().display(), "a host that is not set up", "a state"));
    }
    if !state::is_blank(&host.layout)? {
        let have = "other files, but no state.json";
        return Err(Refusal::new(Reason::State, lib.display(), "an empty or absent directory, for a first setup", have));
    }
    Ok(())
}

/// Directories made absolute: `update` may run elsewhere.
pub(crate) fn addresses(given: &[String]) -> Result<Vec<String>> {
    let absolute = |address: &String| {
        if address.contains("://") {
            return Ok(address.clone());
        }
        let path = std::path::absolute(address).map_err(failure::io(address, "a directory"))?;
        let utf8 = path.into_os_string().into_string();
        utf8.map_err(|_| Refusal::new(Reason::Usage, address, "a directory with a UTF-8 name", "another one"))
    };
    given.iter().map(absolute).collect()
}

/// An existing host.toml is the administrator's: it is used if it says the same, and never changed.
pub(crate) fn check_config(host: &Host, repository: &[String]) -> Result<bool> {
    let path = host.layout.host_toml();
    match Config::load(&host.layout)? {
        None => Ok(false),
        Some(config) if config.repository == repository => Ok(true),
        Some(config) => {
            let want = format!("no file, or repository = {repository:?}");
            Err(Refusal::new(Reason::StateExists, path.display(), want, format_args!("repository = {:?}", config.repository)))
        }
    }
}

/// Steps 1 to 8 with a state that knows the pinned trust and nothing else.
fn first_contact(given: &Identity, source: &dyn Source) -> Result<(State, Memory)> {
    let (state, pinned) = pin(given, source)?;
    let reading = Reading::offered(&state, crate::clock::now()?, &pinned, source);
    let latest = reading.latest()?;
    let chain = reading.offered_chain(&latest)?;
    let mut next = chain.advance(&[])?;
    halts::settle(&reading, &chain, &latest, &mut next)?;
    Ok((next, reading.seen()))
}

/// A state that knows the pinned trust and nothing else, and that trust as a cache.
pub(crate) fn pin(given: &Identity, source: &dyn Source) -> Result<(State, Memory)> {
    let (version, file) = first_trust(given, source)?;
    let trust = Trust::pinned(given.sha256, &file)?;
    let state = State::first(given.host.clone(), given.environment.clone(), &trust, given.groups.iter().cloned());
    let path = document_path(Kind::Trust, version);
    let signatures = file.signatures.into_iter().map(|(key, bytes)| (signature(&path, &key), bytes));
    let mut pinned = Memory(signatures.collect());
    pinned.0.insert(path, file.bytes);
    Ok((state, pinned))
}

/// The file that was given, with the signatures beside it, or else the repository's.
fn first_trust(given: &Identity, source: &dyn Source) -> Result<(u64, SignedFile)> {
    let path = std::path::absolute(&given.trust).map_err(failure::io(&given.trust, "a trust document"))?;
    let none = || Refusal::new(Reason::TrustPin, path.display(), "a trust document", "no such file");
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return Err(none()) };
    let directory = Directory::open(parent)?.ok_or_else(none)?;
    let bytes = directory.read(name, Trust::LIMIT)?.ok_or_else(none)?;
    let (trust, file) =
        pinned_trust(given.sha256, bytes, |trust, key| match directory.read(&signature(name, key), limits::SIGNATURE)? {
            None => source.read(&signature(&document_path(Kind::Trust, trust.version), key), limits::SIGNATURE),
            beside => Ok(beside),
        })?;
    Ok((trust.version, file))
}

/// Writes host.toml, unless there is one that says the same.
pub(crate) fn write_config(host: &Host, repository: &[String]) -> Result<()> {
    if check_config(host, repository)? {
        return Ok(());
    }
    let toml = host.layout.host_toml();
    let write = || {
        host.disk.directories(toml.parent().unwrap_or(Path::new("/")))?;
        host.disk.create_once(&toml, Config::print(repository).as_bytes(), 0o644)
    };
    write().map_err(failure::io(&toml, "to be written"))
}

fn write(host: &Host, given: &Identity, repository: &[String], state: &State, documents: &Memory) -> Result<()> {
    write_config(host, repository)?;
    let lib = host.layout.lib();
    let head = state.head.as_ref().map(|head| head.sha256.to_string()).unwrap_or_default();
    let write = || {
        let parent = lib.parent().unwrap_or(Path::new("/"));
        host.disk.directories(parent)?;
        let temporary = host.disk.temporary_directory(parent)?;
        write_all(&host.disk, &temporary.path().join(DOCUMENTS).join(head), documents)?;
        host.disk.part(&temporary.path().join(STATE), 0o644)?.write_all(&json::print(state))?;
        host.disk.commit_new_directory(temporary.path(), &lib)
    };
    write().map_err(failure::io(&lib, &format!("to be set up for {}", given.host)))
}
