//! The small vocabulary of section 1: parse once, then trust the type.

use crate::limits;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// A string newtype whose only constructor checks the grammar.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:path, $wrong:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = &'static str;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if $check(text) { Ok($name(text.to_owned())) } else { Err($wrong) }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

text_type!(
    /// A *name*: of a key, holder, host, environment, role, product, user, flag or credential.
    Name, is_name, "not a name: [a-z0-9][a-z0-9._-]{0,63}"
);
text_type!(
    /// A *release*.
    Release, is_release, "not a release: [A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
);
text_type!(
    /// A Rust *target* triple.
    Target, is_target, "not a target triple"
);
text_type!(
    /// A *repository* id.
    RepositoryId, is_repository, "not 32 lower-case hex digits"
);
text_type!(
    /// A git object id.
    Commit, is_commit, "not 40 or 64 lower-case hex digits"
);
text_type!(
    /// A *path* inside the payload's root, without the leading `/`.
    PayloadPath, is_payload_path, "not a path: components of [A-Za-z0-9._+@=-]{1,64} joined by /, none . or .."
);
text_type!(
    /// A *member path* of a bundle: `root/...` or `hosts/NAME/...`, at most 100 bytes.
    MemberPath, is_member_path, "not a member path: root/PATH or hosts/NAME/PATH, at most 100 bytes"
);
text_type!(
    /// An absolute path on the host or in the payload: `/` and a *path*.
    AbsolutePath, is_absolute_path, "not an absolute path: / and components of [A-Za-z0-9._+@=-]{1,64}"
);

impl Target {
    /// The architecture: the text up to the first `-`.
    pub fn architecture(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }
}

impl AbsolutePath {
    /// Without the leading `/`.
    pub fn relative(&self) -> &str {
        self.0.trim_start_matches('/')
    }
    /// Whether this is `dir` or below it; `dir` without a trailing `/`.
    pub fn is_at_or_below(&self, dir: &str) -> bool {
        is_at_or_below(&self.0, dir)
    }
}

impl MemberPath {
    /// Host of an overlay, or `None` for `root/`; and the *path* in the payload's root.
    pub fn split(&self) -> (Option<&str>, &str) {
        match self.0.split_once('/') {
            Some(("hosts", rest)) => match rest.split_once('/') {
                Some((host, path)) => (Some(host), path),
                None => (Some(rest), ""),
            },
            Some((_, path)) => (None, path),
            None => (None, ""),
        }
    }
}

/// A group of hosts, `ENV/ROLE`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupName {
    /// Environment, as `prod`.
    pub environment: Name,
    /// Role, as `router`.
    pub role: Name,
}

impl GroupName {
    /// As one path component: `ENV+ROLE` (`+` is in no *name*).
    pub fn component(&self) -> String {
        format!("{}+{}", self.environment, self.role)
    }
}

impl FromStr for GroupName {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "not a group: ENV/ROLE";
        let (environment, role) = text.split_once('/').ok_or(wrong)?;
        Ok(GroupName { environment: environment.parse().map_err(|_| wrong)?, role: role.parse().map_err(|_| wrong)? })
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.environment, self.role)
    }
}

impl Serialize for GroupName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GroupName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// Whether a path is `dir` or below it, component by component.
pub(crate) fn is_at_or_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_name(text: &str) -> bool {
    matches(text, 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), |c| matches!(c, b'.' | b'_' | b'-')) && !text.ends_with(".minisig")
}

fn is_release(text: &str) -> bool {
    matches(text, 64, |c| c.is_ascii_alphanumeric(), |c| matches!(c, b'.' | b'_' | b'+' | b'-'))
}

/// First byte of class `first`, the others of `first` or `more`, 1 to `longest` bytes.
fn matches(text: &str, longest: usize, first: impl Fn(u8) -> bool, more: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= longest && bytes.first().is_some_and(|&c| first(c)) && bytes.iter().all(|&c| first(c) || more(c))
}

fn is_target(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let part = |more: &[u8], p: &str| !p.is_empty() && p.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(&c));
    text.len() <= 64 && (2..=5).contains(&parts.len()) && part(b"_", parts[0]) && parts[1..].iter().all(|p| part(b"_.", p))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

fn is_repository(text: &str) -> bool {
    is_hex(text, 32)
}

fn is_commit(text: &str) -> bool {
    is_hex(text, 40) || is_hex(text, 64)
}

fn is_payload_path(text: &str) -> bool {
    text.len() <= 4096
        && text.split('/').all(|part| {
            (1..=64).contains(&part.len())
                && part != "."
                && part != ".."
                && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"._+@=-".contains(&c))
        })
}

fn is_member_path(text: &str) -> bool {
    text.len() <= limits::MEMBER_PATH
        && match text.split_once('/') {
            Some(("root", path)) => is_payload_path(path),
            Some(("hosts", rest)) => rest.split_once('/').is_some_and(|(host, path)| is_name(host) && is_payload_path(path)),
            _ => false,
        }
}

fn is_absolute_path(text: &str) -> bool {
    text.strip_prefix('/').is_some_and(is_payload_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_26_hostile_names_are_not_names() {
        let long = "a".repeat(65);
        for bad in ["", ".", "..", "a/b", "a\\b", "A", "ä", "a b", "a\n", "\x1b[31m", "-a", "a.minisig", &long] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        for bad in
            ["root/", "root//a", "root/../a", "root/a/.", "etc/a", "hosts/a", "hosts/A/b", "/root/a", "root/a\\b", "root/ä", "root/a b"]
        {
            assert!(bad.parse::<MemberPath>().is_err(), "{bad:?}");
        }
        assert!(format!("root/{}", "a/".repeat(48)).parse::<MemberPath>().is_err());
        for bad in ["prod", "prod/", "/router", "prod/a/b", "../router"] {
            assert!(bad.parse::<GroupName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn good_names_are_names() {
        assert!("x86_64-unknown-linux-gnu".parse::<Target>().is_ok());
        assert!("thumbv8m.main-none-eabihf".parse::<Target>().is_err(), "dots belong to later parts");
        assert_eq!("hosts/rtr-8/etc/router.toml".parse::<MemberPath>().unwrap().split(), (Some("rtr-8"), "etc/router.toml"));
        assert_eq!("root/bin/router".parse::<MemberPath>().unwrap().split(), (None, "bin/router"));
        assert_eq!("prod/router".parse::<GroupName>().unwrap().component(), "prod+router");
        assert_eq!("/var/lib".parse::<AbsolutePath>().unwrap().relative(), "var/lib");
    }

    #[test]
    fn digests_releases_and_paths_have_their_grammar() {
        let [hex, long] = ["0123456789abcdef".repeat(2), "0123456789abcdef".repeat(4)];
        assert!(hex.parse::<RepositoryId>().is_ok() && hex.parse::<Commit>().is_err());
        assert!(long.parse::<Commit>().is_ok() && long.parse::<RepositoryId>().is_err());
        assert!(long[..40].parse::<Commit>().is_ok());
        for bad in [hex.to_uppercase(), hex.replace('a', "g"), hex.replace('a', "`"), hex.replace('a', "/")] {
            assert!(bad.parse::<RepositoryId>().is_err() && bad.repeat(2).parse::<Commit>().is_err(), "{bad}");
        }
        assert!("1.2+rc-3_Z".parse::<Release>().is_ok());
        for bad in ["", "+1", "1 2", "1/2", "é", &"1".repeat(65)] {
            assert!(bad.parse::<Release>().is_err(), "{bad:?}");
        }
        assert!("/a/b@c".parse::<AbsolutePath>().is_ok());
        for bad in ["", "a", "/", "//a", "/a/", "/a//b", "/..", "/a/.", "/a b"] {
            assert!(bad.parse::<AbsolutePath>().is_err(), "{bad:?}");
        }
    }
}
