//! The words of proofmark.toml as types: parsed once, believed afterwards. The grammars are the core's; here they get their own words
//! for the person who mistyped one.
//!
//! A value of these types cannot hold anything else; they must not gain a constructor that skips the check.

use std::fmt;

use proofmark_core::name;
use serde::{Deserialize, Serialize};

/// Text that does not follow its grammar.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{got:?} is not {what}: want {want}")]
pub struct BadName {
    /// Kind of name.
    pub what: &'static str,
    /// The grammar, in words.
    pub want: &'static str,
    /// The text.
    pub got: String,
}

macro_rules! grammar {
    ($(#[$doc:meta])* $name:ident, $what:literal, $want:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(BadName { what: $what, want: $want, got: text }) }
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

grammar!(
    /// *name* of FORMAT.md: products, environments, roles, hosts, users, credentials.
    Name, "a name", "[a-z0-9][a-z0-9._-]{0,63}, not ending in .minisig", is::<name::Name>
);
grammar!(
    /// *release* of FORMAT.md.
    Release, "a release", "[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", is::<name::Release>
);
grammar!(
    /// *target* of FORMAT.md: a Rust target triple.
    Target, "a target triple", "such as x86_64-unknown-linux-gnu", is::<name::Target>
);
grammar!(
    /// *path* of FORMAT.md: a file inside the payload's root, without a leading slash.
    BundlePath, "a path inside the bundle",
    "components of [A-Za-z0-9._+@=-]{1,64} joined by /, none of them . or .., no leading /; 95 bytes at most, since root/ is put before it",
    |text| is::<name::MemberPath>(&format!("root/{text}"))
);
grammar!(
    /// A file of the workspace, relative to it, with `/` between components and no way out.
    SourcePath, "a path inside the workspace", "a relative path without . or .. components", |text| {
        !text.is_empty() && !text.contains(['\0', '\n', '\\']) && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
    }
);
grammar!(
    /// A group of hosts, `ENV/ROLE`.
    Group, "a group", "ENVIRONMENT/ROLE, two names", is::<name::GroupName>
);
grammar!(
    /// Name of an environment variable.
    EnvName, "the name of an environment variable", "[A-Z_][A-Z0-9_]{0,63}", |text| {
        limited(text, 64, |b| b.is_ascii_uppercase() || b == b'_', |b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    }
);
grammar!(
    /// Value of an environment variable or an argument: no NUL and no line end.
    Line, "a value", "no NUL, no line end, 4096 bytes at most", |text| text.len() <= 4096 && !text.contains(['\0', '\n', '\r'])
);
grammar!(
    /// An absolute path on a host whose components are those of a bundle path.
    HostPath, "an absolute path", "/ and components of [A-Za-z0-9._+@=-], none of them . or ..", is::<name::AbsolutePath>
);
grammar!(
    /// Name of a cargo profile, feature or package, or of a binary target.
    CargoName, "a name that cargo accepts", "[A-Za-z0-9_][A-Za-z0-9_+./-]*, at most 128 bytes", |text| {
        limited(text, 128, |b| b.is_ascii_alphanumeric() || b == b'_', |b| b.is_ascii_alphanumeric() || b"_+./-".contains(&b))
    }
);
grammar!(
    /// Name of a Debian package (Debian Policy 5.6.7), which becomes an argument of the package client: no version, no suite, and no `-` at
    /// the end, which would remove it.
    PackageName, "a package", "[a-z0-9][a-z0-9+.-]{1,99}, not ending in -", |text| {
        text.len() >= 2
            && !text.ends_with('-')
            && limited(text, 100, |b| b.is_ascii_lowercase() || b.is_ascii_digit(), |b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || b"+.-".contains(&b)
            })
    }
);
grammar!(
    /// Digest of a host file, or the word `unverified`.
    HostDigest, "a digest", "64 lower-case hex digits, or \"unverified\"", |text| {
        text == "unverified" || is::<proofmark_core::Digest>(text)
    }
);

impl Group {
    /// The environment, before the slash.
    pub fn environment(&self) -> &str {
        self.0.split_once('/').map_or("", |(environment, _)| environment)
    }
}

/// Whether the core reads it as a `T`.
fn is<T: std::str::FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

fn limited(text: &str, most: usize, first: impl Fn(u8) -> bool, rest: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty() && bytes.len() <= most && first(bytes[0]) && bytes[1..].iter().all(|&b| rest(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_format_are_taken_and_others_are_not() {
        for good in ["a", "0", "router", "a.b_c-d", &"a".repeat(64)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", ".a", "a/b", "a b", "ä", "x.minisig", &"a".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert!("1.2+Rc1".parse::<Release>().is_ok() && "+1".parse::<Release>().is_err());
        assert!("x86_64-unknown-linux-gnu".parse::<Target>().is_ok() && "x86_64".parse::<Target>().is_err());
        assert!("prod/router".parse::<Group>().is_ok() && "prod".parse::<Group>().is_err() && "a/b/c".parse::<Group>().is_err());
    }

    #[test]
    fn a_bundle_path_cannot_leave_the_root_and_fits_a_tar_header() {
        for bad in ["", "/bin/x", "bin/../x", "./x", "bin//x", "bin/", "b n/x", "bin\\x", &"a/".repeat(48)] {
            assert!(bad.parse::<BundlePath>().is_err(), "{bad}");
        }
        let longest = format!("{}/{}", "a".repeat(64), "b".repeat(30));
        assert!(longest.parse::<BundlePath>().is_ok());
        assert!(format!("{longest}c").parse::<BundlePath>().is_err());
    }
}
