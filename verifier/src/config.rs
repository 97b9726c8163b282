//! `host.toml`: where the repository is, and which user a payload's name means. The administrator's; it can weaken no check.

use crate::files::read_configuration;
use crate::paths::Layout;
use proofmark_core::name::Name;
use proofmark_core::{Reason, Refusal, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Largest `host.toml`, bytes.
const LIMIT: usize = 64 << 10;
/// Most repositories.
const REPOSITORIES: usize = 16;

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// URLs or directories, tried in turn.
    pub repository: Vec<String>,
    /// Users, by the name that a manifest uses.
    #[serde(default)]
    pub users: BTreeMap<Name, User>,
}

/// `UID`, or `"UID:GID"`; the group id of a bare UID is the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Number")]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Uid(u32),
    Both(String),
}

impl TryFrom<Number> for User {
    type Error = &'static str;
    fn try_from(number: Number) -> std::result::Result<Self, Self::Error> {
        let wrong = "a user is UID or \"UID:GID\", each a number below 4294967295";
        let (uid, gid) = match &number {
            Number::Uid(uid) => (*uid, *uid),
            Number::Both(text) => {
                let (uid, gid) = text.split_once(':').ok_or(wrong)?;
                (decimal(uid).ok_or(wrong)?, decimal(gid).ok_or(wrong)?)
            }
        };
        // All ones means "leave it" to setresuid(2).
        if uid == u32::MAX || gid == u32::MAX { Err(wrong) } else { Ok(User { uid, gid }) }
    }
}

fn decimal(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl Config {
    /// Reads `host.toml`. `None`: there is none.
    pub fn load(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.host_toml();
        let Some(bytes) = read_configuration(&path, LIMIT)? else { return Ok(None) };
        Self::parse(&bytes, &path).map(Some)
    }

    /// Reads `host.toml`, which `init` has written.
    pub fn require(layout: &Layout) -> Result<Self> {
        let path = layout.host_toml();
        Self::load(layout)?.ok_or_else(|| {
            Refusal::new(
                Reason::NotConfigured,
                path.display(),
                "the file that init wrote, which says where the repository is",
                "no such file",
            )
        })
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let malformed = |have: String| Refusal::new(Reason::Malformed, path.display(), "host.toml as in FORMAT.md section 8", have);
        let text = std::str::from_utf8(bytes).map_err(|e| malformed(e.to_string()))?;
        let config: Config = toml::from_str(text).map_err(|e| malformed(e.message().to_owned()))?;
        if config.repository.is_empty() || config.repository.len() > REPOSITORIES {
            return Err(malformed(format!("{} repositories; 1 to {REPOSITORIES} make sense", config.repository.len())));
        }
        Ok(config)
    }

    /// The text that `init` writes.
    pub fn print(repository: &[String]) -> String {
        let list = toml::Value::Array(repository.iter().map(|r| toml::Value::String(r.clone())).collect());
        format!("# Tried in turn. None of them is trusted.\nrepository = {list}\n\n# [users]\n# router = \"990:990\"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text.as_bytes(), Path::new("host.toml"))
    }

    #[test]
    fn what_init_writes_can_be_read_back() {
        let list = ["https://example.org/r\"\\/".to_owned(), "/srv/repo".to_owned()];
        assert_eq!(parse(&Config::print(&list)).unwrap().repository, list);
    }

    #[test]
    fn users_are_numbers() {
        let config = parse("repository = ['x']\n[users]\na = 7\nb = '8:9'\n").unwrap();
        assert_eq!(config.users.values().copied().collect::<Vec<_>>(), [User { uid: 7, gid: 7 }, User { uid: 8, gid: 9 }]);
        for bad in ["a = -1", "a = 4294967295", "a = '1:'", "a = '+1:2'", "a = 'x'", "A = 1", "a = true", "a = '1:2:3'"] {
            assert!(parse(&format!("repository = ['x']\n[users]\n{bad}\n")).is_err(), "{bad}");
        }
        for bad in ["", "repository = []", "repository = 'x'", "repository = ['x']\nskip = true"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
