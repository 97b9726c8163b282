//! Public keys: minisign's encoding, strictly, and only points that can sign.

use crate::refusal::{Reason, Refusal, Result};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// An Ed25519 public key with minisign's key id. Equal when the 32 key bytes are equal: ids are hints.
#[derive(Clone)]
pub struct PublicKey {
    id: [u8; 8],
    key: [u8; 32],
}

/// The y coordinates of all points of small order (and 0 and 1 again, unreduced, are covered by [`is_canonical`]), sign bit cleared.
/// Source: the torsion subgroup of edwards25519, as in libsodium's `ge25519_has_small_order`.
const SMALL_ORDER: [&str; 5] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

impl PublicKey {
    /// From the 56 characters of minisign's public key line.
    pub fn from_base64(text: &str) -> Result<Self> {
        let wrong = |have: &str| {
            Refusal::new(Reason::Trust, "public key", "56 characters of canonical base64: Ed, key id, an Ed25519 key of full order", have)
        };
        let bytes = BASE64.decode(text.as_bytes()).map_err(|e| wrong(&e.to_string()))?;
        let bytes: [u8; 42] = bytes.try_into().map_err(|_| wrong("another length"))?;
        if bytes[..2] != *b"Ed" {
            return Err(wrong("another algorithm"));
        }
        let mut id = [0; 8];
        let mut key = [0; 32];
        id.copy_from_slice(&bytes[2..10]);
        key.copy_from_slice(&bytes[10..]);
        let mut y = key;
        y[31] &= 0x7f;
        if !is_canonical(&y) || SMALL_ORDER.contains(&HEXLOWER.encode(&y).as_str()) {
            return Err(wrong("a point of small order or an unreduced one"));
        }
        Ok(PublicKey { id, key })
    }

    /// The 32 key bytes, which are the key's identity.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.key
    }

    /// minisign's key id.
    pub fn id(&self) -> &[u8; 8] {
        &self.id
    }
}

/// y < p = 2^255 - 19, so that no key has two spellings.
fn is_canonical(y: &[u8; 32]) -> bool {
    !(y[0] >= 0xed && y[1..31].iter().all(|&b| b == 0xff) && y[31] == 0x7f)
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for PublicKey {}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [b"Ed".as_slice(), &self.id, &self.key].concat();
        f.write_str(&BASE64.encode(&bytes))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        PublicKey::from_base64(&String::deserialize(d)?)
            .map_err(|e| de::Error::custom(format_args!("public key: want {}, have {}", e.want(), e.have())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(key: &[u8]) -> String {
        BASE64.encode(&[b"Ed".as_slice(), &[7; 8], key].concat())
    }

    #[test]
    fn attack_10_low_order_and_unreduced_keys_are_refused() {
        for hex in SMALL_ORDER {
            let mut key = HEXLOWER.decode(hex.as_bytes()).unwrap();
            assert!(PublicKey::from_base64(&encode(&key)).is_err(), "{hex}");
            key[31] |= 0x80;
            assert!(PublicKey::from_base64(&encode(&key)).is_err(), "{hex} negative");
        }
        let mut unreduced = [0xff; 32];
        unreduced[31] = 0x7f;
        for first in 0xed..=0xff {
            unreduced[0] = first;
            assert!(PublicKey::from_base64(&encode(&unreduced)).is_err());
        }
        // Below p, and above p in some bytes only.
        let mut below = unreduced;
        below[0] = 0xeb;
        let mut first = [0; 32];
        first[0] = 0xff;
        let mut last = [0; 32];
        last[31] = 0x7f;
        let mut middle = unreduced;
        middle[15] = 0xfe;
        for key in [below, first, last, middle] {
            assert_eq!(PublicKey::from_base64(&encode(&key)).unwrap().bytes(), &key);
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        let good = encode(&[9; 32]);
        let key = PublicKey::from_base64(&good).unwrap();
        assert_eq!((key.to_string(), format!("{key:?}"), key.id()), (good.clone(), good.clone(), &[7; 8]));
        for bad in [format!("{good} "), format!("{good}\n"), good.replace('C', "C "), good[..55].to_owned()] {
            assert!(PublicKey::from_base64(&bad).is_err(), "{bad:?}");
        }
    }
}
