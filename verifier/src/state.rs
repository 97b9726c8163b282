//! `state.json`: what the host has accepted, and the two locks around it.
//!
//! Missing or damaged is refused (94), never taken for first use. Only [`commit`], [`note`], [`confirm`] and [`replace_lost`] write it, by one rename.

use crate::durable::Disk;
use crate::failure;
use crate::files::Directory;
use crate::host::Host;
use crate::paths::{Layout, STATE};
use crate::report;
use proofmark_core::admission::State;
use proofmark_core::json::{self, Document};
use proofmark_core::name::GroupName;
use proofmark_core::{Digest, Reason, Refusal, Result};
use std::fs::{self, File};
use std::io;

/// A state, and the digest of the file it was read from.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// SHA-256 of its file.
    pub digest: Digest,
}

/// A held lock; released on drop.
#[must_use]
pub struct Held(#[allow(dead_code, reason = "the lock lives as long as the file")] File);

/// Held by `init`, `update` and `adopt` from beginning to end: two of them take turns. A start never waits for it.
pub fn lock_updates(layout: &Layout, disk: &Disk) -> Result<Held> {
    let file = lock_file(layout, disk, "update.lock")?;
    let path = layout.run().join("update.lock");
    match file.try_lock() {
        Ok(()) => return Ok(Held(file)),
        Err(fs::TryLockError::WouldBlock) => report::say("another update is at work; waiting for it"),
        Err(fs::TryLockError::Error(e)) => return Err(failure::io(path, "to be locked")(e)),
    }
    file.lock().map_err(failure::io(path, "to be locked"))?;
    Ok(Held(file))
}

/// Held while the state is replaced, or while state and documents are read: never across a download.
pub fn lock(layout: &Layout, disk: &Disk, exclusive: bool) -> Result<Held> {
    let file = lock_file(layout, disk, "state.lock")?;
    let locked = if exclusive { file.lock() } else { file.lock_shared() };
    locked.map_err(failure::io(layout.run().join("state.lock"), "to be locked"))?;
    Ok(Held(file))
}

fn lock_file(layout: &Layout, disk: &Disk, name: &str) -> Result<File> {
    let path = layout.run().join(name);
    disk.directories(&layout.run()).map_err(failure::io(layout.run(), "a directory"))?;
    disk.lock_file(&path).map_err(failure::io(path, "a lock file"))
}

/// Whether the host was never set up: nothing at all is in `/var/lib/proofmark`.
#[allow(clippy::disallowed_methods, reason = "only asks whether there is anything")]
pub fn is_blank(layout: &Layout) -> Result<bool> {
    match fs::read_dir(layout.lib()) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(failure::io(layout.lib(), "a directory that can be read")(e)),
    }
}

/// Reads the state. Errors: [`Reason::NotSetUp`] where there never was one, [`Reason::State`] for anything else but a whole one.
pub fn load(layout: &Layout) -> Result<Snapshot> {
    let path = layout.state();
    let refuse = |have: String| Err(Refusal::new(Reason::State, path.display(), "the state that this host has written", have));
    let bytes = match Directory::open(&layout.lib())?.map(|lib| lib.read(STATE, State::LIMIT)).transpose() {
        Ok(bytes) => bytes.flatten(),
        Err(e) if e.reason() == Reason::Io => return Err(e),
        Err(e) => return refuse(e.have().to_owned()),
    };
    let Some(bytes) = bytes else {
        if is_blank(layout)? {
            return Err(Refusal::new(Reason::NotSetUp, path.display(), "the state that init writes", "nothing"));
        }
        return refuse(format!("no {STATE}, though {} is not empty", layout.lib().display()));
    };
    match json::parse::<State>(&bytes, STATE) {
        Ok(state) => Ok(Snapshot { state, digest: Digest::of(&bytes) }),
        Err(e) => refuse(format!("damaged: {}", e.have())),
    }
}

/// Replaces the state by `next`: the commit of an update. Call with [`lock`] held exclusively, and [`lock_updates`].
///
/// What a start or a halt has noted meanwhile is kept.
pub fn commit(host: &Host, mut next: State) -> Result<()> {
    let current = load(&host.layout)?.state;
    next.keep_noted(&current);
    if next == current {
        return Ok(());
    }
    write(host, &next)
}

/// Changes the state in place, between two updates or in the middle of one: for halts, which wait for nothing. Gives the new state.
pub fn note<T>(host: &Host, change: impl FnOnce(&mut State) -> Result<T>) -> Result<(State, T)> {
    let _lock = lock(&host.layout, &host.disk, true)?;
    let current = load(&host.layout)?.state;
    let mut next = current.clone();
    let outcome = change(&mut next)?;
    if next != current {
        write(host, &next)?;
    }
    Ok((next, outcome))
}

/// The last look before a start: no halt has been latched, and the state is still the one that was judged. With `started`, it also notes durably that the
/// group was started under its group file and a fresh head.
pub fn confirm(host: &Host, judged: &Snapshot, group: &GroupName, started: bool) -> Result<()> {
    let active = judged.state.active(group);
    let note = started && active.is_some_and(|active| !active.started);
    let _lock = lock(&host.layout, &host.disk, note)?;
    let current = load(&host.layout)?;
    current.state.check_latched(group)?;
    if current.digest != judged.digest {
        return Err(Refusal::new(
            Reason::StateMoved,
            host.layout.state().display(),
            "the same state from the first check to the start",
            "an update or another start in between",
        ));
    }
    if note {
        let mut next = current.state;
        if let Some(active) = next.groups.get_mut(group).and_then(|followed| followed.active.as_mut()) {
            active.started = true;
        }
        write(host, &next)?;
    }
    Ok(())
}

/// Writes a state where there is no whole one: the commit of `adopt`. Call with [`lock_updates`] held.
pub fn replace_lost(host: &Host, next: &State) -> Result<()> {
    let _lock = lock(&host.layout, &host.disk, true)?;
    write(host, next)
}

fn write(host: &Host, state: &State) -> Result<()> {
    let path = host.layout.state();
    host.disk.replace(&path, &json::print(state), 0o644).map_err(failure::io(path, "to be replaced"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_23_a_missing_or_damaged_state_is_never_first_use() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        assert!(is_blank(&layout).unwrap());
        assert_eq!(load(&layout).unwrap_err().reason(), Reason::NotSetUp);
        fs::create_dir_all(layout.lib().join("store")).unwrap();
        assert!(!is_blank(&layout).unwrap());
        assert!(load(&layout).unwrap_err().have().contains("is not empty"));
        for damaged in ["", "{", "{}", r#"{"format":1,"kind":"state"}"#, "\0\0\0\0"] {
            fs::write(layout.state(), damaged).unwrap();
            assert_eq!(load(&layout).unwrap_err().reason(), Reason::State, "{damaged:?}");
        }
        fs::remove_file(layout.state()).unwrap();
        fs::create_dir(layout.state()).unwrap();
        assert_eq!(load(&layout).unwrap_err().reason(), Reason::State);
    }
}
