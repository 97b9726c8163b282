//! The flag ledger, `ledger.toml`: every id that ever meant something (K1), and the markers of code that must be gone (K4).
//!
//! This file must never drop, merge or renumber an entry. That the ledger only grows is the core's check, against the group file before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use memchr::memmem;
use proofmark_core::Digest;
use proofmark_core::group::{FlagState, Group, LedgerEntry};
use proofmark_core::manifest;
use proofmark_core::name::{Name, Release};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};

/// Bytes of a marker at least: shorter ones are found in any binary by chance, and compilers keep short strings in code.
const SHORTEST_MARKER: usize = 4;

/// A ledger, by id.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    flags: BTreeMap<u64, Flag>,
}

/// One `[[flag]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flag {
    /// Its number, for ever.
    pub id: u64,
    /// Its name, for ever.
    pub name: Name,
    /// What it means, for ever.
    pub meaning: String,
    /// First release that had it; for people.
    pub since: Release,
    /// Whether it may be used.
    pub state: FlagState,
    /// Strings that a binary holding the flag's code contains.
    #[serde(default)]
    pub markers: Vec<String>,
}

/// The ledger cannot be used, or the release breaks it.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// `ledger.toml` is not valid.
    #[error("{}: {message}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// An id that is in use has another name or meaning.
    #[error("flag {id} is {old}, and the ledger calls it {new}")]
    Reused {
        /// Flag.
        id: u64,
        /// What it is called in the newest group file.
        old: Name,
        /// What the ledger calls it.
        new: Name,
        /// The group whose hosts know the old one.
        group: String,
        /// The release that they run.
        release: String,
    },
    /// An id that is in use is not there any more.
    #[error("flag {id} {name} is not in the ledger")]
    Lost {
        /// Flag.
        id: u64,
        /// Its name.
        name: Name,
        /// The group whose hosts know it.
        group: String,
    },
    /// A retired flag is active again.
    #[error("flag {id} {name} is retired")]
    Revived {
        /// Flag.
        id: u64,
        /// Its name.
        name: Name,
    },
    /// An environment asks for a flag that the ledger does not have.
    #[error("environment {environment} has flag {id}, which the ledger has not")]
    Unknown {
        /// Environment.
        environment: String,
        /// Flag.
        id: u64,
    },
    /// An environment asks for a retired flag.
    #[error("environment {environment} has flag {id} {name}, which is retired")]
    Retired {
        /// Environment.
        environment: String,
        /// Flag.
        id: u64,
        /// Its name.
        name: Name,
    },
    /// The code of a retired flag is still there.
    #[error("{path} contains {marker:?}, a marker of retired flag {id} {name}")]
    DeadCode {
        /// Flag.
        id: u64,
        /// Its name.
        name: Name,
        /// The marker.
        marker: String,
        /// The program, by its member path.
        path: String,
        /// Where in it, bytes.
        offset: usize,
    },
}

impl Refuse for LedgerError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Invalid { path, message } => Refusal::new(Exit::Malformed, "ledger", "the flag ledger is not valid", path.display())
                .want("[[flag]] with id, name, meaning, since, state = \"active\" or \"retired\", markers = [...]; each id and name once")
                .have(message.trim_end())
                .next("correct it, commit, and call again"),
            Self::Reused { id, old, new, group, release } => {
                let what = if old == new { "with another meaning".to_owned() } else { format!("now as {new}") };
                Refusal::new(Exit::Ledger, "flag-reused", "a flag id is used a second time", format!("flag {id} {old}, {what}"))
                    .want(format!("flag {id} means {old}, active or retired, and never anything else"))
                    .have(format!(
                        "ledger.toml gives {id} to {new}; hosts of {group} know it as {old} (release {release}).\n\
                         A host that misses this release would run {old} for every order that asks for {new}."
                    ))
                    .next(format!(
                        "put the row of flag {id} {old} back, as it was; if {old} is no longer used, say state = \"retired\" and delete its code.\n\
                         Give {new} a row of its own, with an id that was never used; commit, and release again"
                    ))
            }
            Self::Lost { id, name, group } => {
                Refusal::new(Exit::Ledger, "flag-lost", "a row of the flag ledger is gone", format!("flag {id} {name}"))
                    .want(format!("the row of flag {id} {name}: a row may be retired, and never disappears"))
                    .have(format!("no such row, while hosts of {group} know the flag: its id would look free"))
                    .next(format!("put the row back; if {name} is no longer used, say state = \"retired\"; commit, and release again"))
            }
            Self::Revived { id, name } => {
                Refusal::new(Exit::Ledger, "flag-revived", "a retired flag is active again", format!("flag {id} {name}"))
                    .want(format!("flag {id} {name} retired, as it was published"))
                    .have("state = \"active\"")
                    .next("a retired id is never used again: give the feature a new id in ledger.toml")
            }
            Self::Unknown { environment, id } => Refusal::new(
                Exit::Ledger,
                "flag-unknown",
                "a flag that is not in the ledger",
                format!("environment {environment}, flag {id}"),
            )
            .want("an id of ledger.toml whose state is active")
            .have(format!("flag {id}, which ledger.toml does not have"))
            .next("give the feature an entry of its own in ledger.toml, with a new id; never a used one"),
            Self::Retired { environment, id, name } => Refusal::new(
                Exit::Ledger,
                "flag-retired",
                "a retired flag is switched on",
                format!("environment {environment}, flag {id} {name}"),
            )
            .want("active flags only")
            .have(format!("flag {id} {name} is retired: its id must never mean anything else, nor be used again"))
            .next("give the new feature a new id in ledger.toml"),
            Self::DeadCode { id, name, marker, path, offset } => {
                Refusal::new(Exit::Ledger, "dead-code", format!("code of a retired flag can still be called: flag {id} {name}"), path)
                    .want(format!("no {marker:?} in the program: retired code is absent, not switched off"))
                    .have(format!("{marker:?} at byte {offset} of {path}"))
                    .next(format!("delete the code of {name} from the source, commit, and release again; do not reuse flag {id}"))
            }
        }
    }
}

impl Ledger {
    /// Reads `ledger.toml`; `shown` is its path for messages.
    pub fn load(path: &Path, shown: &Path) -> Result<Self, LedgerError> {
        let text = std::fs::read_to_string(path).at("read", shown)?;
        Self::parse(&text, shown)
    }

    /// Parses the text of a `ledger.toml`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, LedgerError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            #[serde(default)]
            flag: Vec<Flag>,
        }
        let invalid = |message: String| LedgerError::Invalid { path: path.into(), message };
        let document: Document = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let mut ledger = Ledger::default();
        for flag in document.flag {
            if flag.id > proofmark_core::limits::INTEGER {
                return Err(invalid(format!("flag {}: an id is at most 2^53-1", flag.id)));
            }
            if flag.meaning.trim().is_empty() {
                return Err(invalid(format!("flag {}: its meaning is empty", flag.id)));
            }
            if let Some(marker) = flag.markers.iter().find(|marker| marker.len() < SHORTEST_MARKER) {
                return Err(invalid(format!(
                    "flag {}: marker {marker:?} is shorter than {SHORTEST_MARKER} bytes: any binary may hold it",
                    flag.id
                )));
            }
            if let Some(other) = ledger.flags.values().find(|other| other.name == flag.name) {
                return Err(invalid(format!("flags {} and {} are both called {}", other.id, flag.id, flag.name)));
            }
            let id = flag.id;
            if ledger.flags.insert(id, flag).is_some() {
                return Err(invalid(format!("flag {id} is there twice: an id has one meaning")));
            }
        }
        Ok(ledger)
    }

    /// The entries of a group file, sorted by id.
    pub fn entries(&self) -> Vec<LedgerEntry> {
        let entry = |flag: &Flag| LedgerEntry { id: flag.id, name: flag.name.clone(), meaning: flag.meaning_digest(), state: flag.state };
        self.flags.values().map(entry).collect()
    }

    /// Refuses a ledger that may not follow that of a published group file: an id goes from active to retired and nothing else (K1).
    ///
    /// The core refuses the same, on every host; here it has the words for whoever wrote the ledger.
    ///
    /// # Errors
    /// [`LedgerError::Reused`], [`LedgerError::Lost`], [`LedgerError::Revived`].
    pub fn check_follows(&self, published: &Group) -> Result<(), LedgerError> {
        let group = published.name().to_string();
        for old in &published.ledger {
            let Some(new) = self.flags.get(&old.id) else {
                return Err(LedgerError::Lost { id: old.id, name: old.name.clone(), group });
            };
            if new.name != old.name || new.meaning_digest() != old.meaning {
                let (old_name, new_name) = (old.name.clone(), new.name.clone());
                let release = published.bundle.release.to_string();
                return Err(LedgerError::Reused { id: old.id, old: old_name, new: new_name, group, release });
            }
            if old.state == FlagState::Retired && new.state == FlagState::Active {
                return Err(LedgerError::Revived { id: old.id, name: old.name.clone() });
            }
        }
        Ok(())
    }

    /// What is told to the reviewer beside the digests of the group file.
    pub fn told(&self) -> Told {
        let row = |flag: &Flag| Row {
            id: flag.id,
            meaning: flag.meaning.trim().to_owned(),
            since: flag.since.clone(),
            markers: flag.markers.clone(),
        };
        Told { flags: self.flags.values().map(row).collect() }
    }

    /// The manifest's flags for an environment's list of ids.
    ///
    /// # Errors
    /// [`LedgerError::Unknown`], [`LedgerError::Retired`].
    pub fn in_force(&self, environment: &str, ids: &[u64]) -> Result<Vec<manifest::Flag>, LedgerError> {
        let mut flags = Vec::new();
        for &id in ids {
            let flag = self.flags.get(&id).ok_or_else(|| LedgerError::Unknown { environment: environment.into(), id })?;
            if flag.state == FlagState::Retired {
                return Err(LedgerError::Retired { environment: environment.into(), id, name: flag.name.clone() });
            }
            flags.push(manifest::Flag { id, name: flag.name.clone(), meaning: flag.meaning_digest() });
        }
        flags.sort_by_key(|flag| flag.id);
        Ok(flags)
    }

    /// Refuses programs that contain a marker of a retired flag. `programs` are pairs of member path and file.
    ///
    /// Returns what is worth a word: flags whose markers say nothing.
    ///
    /// # Errors
    /// [`LedgerError::DeadCode`], I/O.
    pub fn check_programs(&self, programs: &[(String, PathBuf)]) -> Result<Vec<String>, LedgerError> {
        let mut seen: BTreeMap<u64, bool> = BTreeMap::new();
        for (path, file) in programs {
            let mut bytes = Vec::new();
            File::open(file).and_then(|mut file| file.read_to_end(&mut bytes)).at("read", file)?;
            for flag in self.flags.values() {
                for marker in &flag.markers {
                    let Some(offset) = memmem::find(&bytes, marker.as_bytes()) else { continue };
                    if flag.state == FlagState::Retired {
                        let (id, name, marker, path) = (flag.id, flag.name.clone(), marker.clone(), path.clone());
                        return Err(LedgerError::DeadCode { id, name, marker, path, offset });
                    }
                    seen.insert(flag.id, true);
                }
            }
        }
        let mut notes = Vec::new();
        for flag in self.flags.values() {
            if flag.markers.is_empty() {
                notes.push(format!("flag {} {} has no markers: its code will not be noticed once it is retired", flag.id, flag.name));
            } else if flag.state == FlagState::Active && !seen.contains_key(&flag.id) {
                notes.push(format!(
                    "flag {} {} is active, and no program holds its markers: they would not find its code",
                    flag.id, flag.name
                ));
            }
        }
        Ok(notes)
    }
}

/// `flags.json` of a proposal: the texts behind the digests. Nobody signs it; a meaning is believed when it has the signed digest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// By id.
    pub flags: Vec<Row>,
}

/// One row of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its number.
    pub id: u64,
    /// Its meaning, without the white space around it.
    pub meaning: String,
    /// First release that had it.
    pub since: Release,
    /// Strings of its code.
    pub markers: Vec<String>,
}

impl Flag {
    /// SHA-256 of the meaning without the white space around it (FORMAT.md section 5.3).
    pub fn meaning_digest(&self) -> Digest {
        Digest::of(self.meaning.trim().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEDGER: &str = r#"
[[flag]]
id = 9
name = "rlp"
meaning = "retail"
since = "1.2"
state = "active"
markers = ["rlp: order"]
[[flag]]
id = 7
name = "power_peg"
meaning = "  Keep sending.\n"
since = "1.0"
state = "retired"
markers = ["power peg"]
"#;

    fn ledger() -> Ledger {
        Ledger::parse(LEDGER, Path::new("ledger.toml")).unwrap()
    }

    fn program(content: &[u8]) -> (tempfile::TempDir, Vec<(String, PathBuf)>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("router");
        std::fs::write(&path, content).unwrap();
        (dir, vec![("root/bin/router".into(), path)])
    }

    #[test]
    fn entries_are_sorted_and_meanings_trimmed() {
        let entries = ledger().entries();
        assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [7, 9]);
        assert_eq!(entries[0].meaning, Digest::of(b"Keep sending."));
    }

    #[test]
    fn knight_a_retired_flag_cannot_be_switched_on_and_an_unknown_one_neither() {
        assert_eq!(ledger().in_force("prod", &[9]).unwrap()[0].name.as_str(), "rlp");
        for id in [7, 8] {
            assert_eq!(ledger().in_force("prod", &[9, id]).unwrap_err().refusal().code as u8, 79);
        }
    }

    #[test]
    fn knight_a_program_that_still_holds_retired_code_is_refused_by_name() {
        let (_dir, programs) = program(b"\x7fELF...power peg: child order...rlp: order");
        let refusal = ledger().check_programs(&programs).unwrap_err().refusal();
        assert_eq!(refusal.code as u8, 79);
        let text = refusal.to_string();
        for part in ["flag 7 power_peg", "\"power peg\"", "root/bin/router", "delete the code"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn markers_that_find_nothing_are_worth_a_word() {
        let (_dir, programs) = program(b"\x7fELF");
        assert_eq!(ledger().check_programs(&programs).unwrap().len(), 1);
        let (_dir, programs) = program(b"\x7fELF rlp: order");
        assert!(ledger().check_programs(&programs).unwrap().is_empty());
    }

    #[test]
    fn an_id_or_a_name_has_one_meaning() {
        for (from, to) in [
            ("id = 7", "id = 9"),
            ("\"power_peg\"", "\"rlp\""),
            ("\"power peg\"", "\"pp\""),
            ("\"retired\"", "\"off\""),
            ("since", "sinse"),
        ] {
            assert!(Ledger::parse(&LEDGER.replacen(from, to, 1), Path::new("l")).is_err(), "{to}");
        }
    }
}
