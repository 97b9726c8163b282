//! The configuration: read once, at the start, from one file. What this file does not name does not exist.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};

use routing::Flag;
use routing::venue::{self, Venue};
use serde::Deserialize;

/// The longest configuration or credential file, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// What the router is told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where parent orders arrive.
    pub(crate) listen: SocketAddr,
    /// Where health and counters are answered.
    pub(crate) health: SocketAddr,
    /// The flags in force. Any other on an order is refused.
    pub(crate) flags: Vec<InForce>,
    /// Where the order log is kept, if anywhere.
    pub(crate) state_dir: Option<PathBuf>,
    /// The file that holds the credential for venue logons, if they want one.
    venue_token_file: Option<PathBuf>,
    /// The venues, in the order that the split rule falls back to.
    #[serde(rename = "venue")]
    pub(crate) venues: Vec<VenueConfig>,
}

/// One venue: where it is, and its part of the flow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VenueConfig {
    /// Its row in the table of venues.
    #[serde(rename = "name")]
    pub(crate) venue: Member,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its part of the flow, relative to the others.
    pub(crate) weight: NonZeroU32,
    /// The largest child order, in shares.
    pub(crate) max_child: NonZeroU64,
}

/// A flag in force: its id means something in this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub(crate) struct InForce(pub(crate) Flag);

/// A venue that this firm is a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Member(pub(crate) &'static Venue);

/// A credential. Its text goes to venues and nowhere else.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// Text that names the file and what is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = read(path)?;
        Self::parse(&text).map_err(|problem| format!("{}: {problem}", path.display()))
    }

    /// The credential, where one is configured.
    ///
    /// # Errors
    /// Text that names the file, never its content.
    pub(crate) fn token(&self) -> Result<Option<Token>, String> {
        let Some(path) = &self.venue_token_file else { return Ok(None) };
        let text = read(path)?;
        let token = text.trim_end();
        match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Some(Token(token.to_owned()))),
            false => Err(format!("{}: a token is one line of printable ASCII", path.display())),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if config.venues.is_empty() {
            return Err("there is no venue".to_owned());
        }
        if let Some(twice) = repeated(config.venues.iter().map(|venue| venue.venue.0.name)) {
            return Err(format!("venue {twice} is named twice"));
        }
        if let Some(twice) = repeated(config.flags.iter().map(|flag| flag.0.id())) {
            return Err(format!("flag {twice} is named twice"));
        }
        Ok(config)
    }
}

impl Token {
    /// The text, for a logon.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token(..)")
    }
}

impl TryFrom<u16> for InForce {
    type Error = String;

    fn try_from(id: u16) -> Result<Self, String> {
        // To start with a flag that means nothing here would be to guess what was meant.
        Flag::of(id).map(Self).ok_or_else(|| format!("flag {id} means nothing in release {}", crate::RELEASE))
    }
}

impl TryFrom<String> for Member {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        venue::find(&name).map(Self).ok_or_else(|| format!("no venue is called {name:?}"))
    }
}

fn repeated<T: PartialEq>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = Vec::new();
    for value in values {
        if seen.contains(&value) {
            return Some(value);
        }
        seen.push(value);
    }
    None
}

fn read(path: &Path) -> Result<String, String> {
    let say = |problem: &dyn fmt::Display| format!("{}: {problem}", path.display());
    let mut text = String::new();
    let file = File::open(path).map_err(|error| say(&error))?;
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| say(&error))?;
    match text.len() as u64 > MAX_FILE {
        true => Err(say(&format_args!("longer than {MAX_FILE} bytes"))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROD: &str = include_str!("../../../config/prod/router.toml");
    const UAT: &str = include_str!("../../../config/uat/router.toml");

    #[test]
    fn the_shipped_configurations_are_accepted_with_every_flag_in_force() {
        for text in [PROD, UAT] {
            let config = Config::parse(text).unwrap();
            assert!(config.flags.iter().map(|flag| flag.0).eq(Flag::ALL.iter().copied()));
        }
    }

    #[test]
    fn what_is_not_exactly_a_configuration_is_refused_with_the_reason() {
        for (from, to, reason) in [
            ("flags = [", "flags = [65535, ", "flag 65535 means nothing in release"),
            ("\"south\"", "\"north\"", "venue north is named twice"),
            ("\"south\"", "\"moon\"", "no venue is called \"moon\""),
            ("weight = 3", "weight = 0", "nonzero"),
            ("max_child = 500", "max_child = 500\nburst = 1", "unknown field `burst`"),
            ("127.0.0.1:17101", "north.example:17101", "invalid socket address"),
        ] {
            let problem = Config::parse(&PROD.replacen(from, to, 1)).unwrap_err();
            assert!(problem.contains(reason), "{problem}");
        }
    }
}
