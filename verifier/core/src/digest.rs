//! SHA-256 as a type, and the one comparison of digests.

use crate::refusal::{Reason, Refusal, Result};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;
use std::{fmt, io, str::FromStr};

/// A SHA-256, shown as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Digest of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Digest(sha2::Sha256::digest(bytes).into())
    }

    /// Digest and length of everything a reader gives.
    pub fn of_reader(reader: &mut dyn io::Read) -> io::Result<(Self, u64)> {
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 128 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(n) => hasher.update(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The one place where digests are compared: `self` is what was promised, `have` what was found.
    pub fn check(&self, have: Digest, subject: impl fmt::Display) -> Result<()> {
        if *self == have {
            Ok(())
        } else {
            Err(Refusal::new(Reason::Digest, subject, format_args!("sha256 {self}"), format_args!("sha256 {have}")))
        }
    }
}

/// SHA-256 and length, piece by piece.
#[derive(Default, Clone)]
pub struct Hasher {
    hash: sha2::Sha256,
    length: u64,
}

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }
    /// Digest and number of bytes.
    pub fn finish(self) -> (Digest, u64) {
        (Digest(self.hash.finalize().into()), self.length)
    }
}

impl FromStr for Digest {
    type Err = &'static str;
    /// Exactly 64 lower-case hex digits.
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let wrong = "not 64 lower-case hex digits";
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| wrong)?;
        bytes.try_into().map(Digest).map_err(|_| wrong)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}
