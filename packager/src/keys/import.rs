//! Public keys of other programs as minisign's public key files: OpenSSH's line, a PEM of X.509, or the 32 bytes as hex.
//!
//! The secret half stays where it is; `external` asks it for signatures. This file must never read a secret key.

use std::path::Path;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use proofmark_core::Digest;
use proofmark_core::key::PublicKey;
use proofmark_core::name::Name;

use crate::exit::IoContext;

use super::{Imported, KeyError, malformed, public_text, read_small, write_new};

/// Before the 32 key bytes in OpenSSH's encoding (RFC 8709 section 4): two strings, each after its length.
const SSH: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";
/// Before the 32 key bytes in a SubjectPublicKeyInfo (RFC 8410 section 4), DER.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Writes `DIR/NAME.pub` from another program's public key file.
///
/// The key id, which minisign draws at random and which identifies nobody, is the first 8 bytes of the key's SHA-256: whoever imports
/// the key again gets the same file.
///
/// # Errors
/// [`KeyError::Malformed`], [`KeyError::Exists`], I/O.
pub fn import(name: &Name, from: &Path, directory: &Path) -> Result<Imported, KeyError> {
    let text = read_small(from, "foreign public")?;
    let key = parse(&text).ok_or_else(|| malformed(from, "foreign public", "neither of them"))?;
    let id = HEXLOWER_PERMISSIVE.decode(&Digest::of(&key).to_string().as_bytes()[..16]).unwrap_or_default();
    let record = [b"Ed".as_slice(), &id, &key].concat();
    let key =
        PublicKey::from_base64(&BASE64.encode(&record)).map_err(|refusal| malformed(from, "foreign public", refusal.have().to_owned()))?;
    std::fs::create_dir_all(directory).at("create", directory)?;
    let public = directory.join(format!("{name}.pub"));
    write_new(&public, public_text(&key).as_bytes(), 0o644)?;
    Ok(Imported { public, key })
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let text = text.trim_end();
    let encoded = |base64: &str, prefix: &[u8]| BASE64.decode(base64.as_bytes()).ok()?.strip_prefix(prefix)?.try_into().ok();
    if let Some(rest) = text.strip_prefix("ssh-ed25519 ") {
        return encoded(rest.split(' ').next()?, SSH);
    }
    if let Some(rest) = text.strip_prefix("-----BEGIN PUBLIC KEY-----\n") {
        return encoded(&rest.strip_suffix("-----END PUBLIC KEY-----")?.replace('\n', ""), &SPKI);
    }
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_in_three_spellings_is_one_key_and_anything_else_is_none() {
        // RFC 8032 section 7.1, test 1.
        let key = HEXLOWER_PERMISSIVE.decode(b"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
        let pem = |bytes: &[u8]| {
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64.encode(&[SPKI.as_slice(), bytes].concat()))
        };
        let ssh = |bytes: &[u8]| format!("ssh-ed25519 {} alice@laptop\n", BASE64.encode(&[SSH, bytes].concat()));
        let hex = |bytes: &[u8]| format!("{}\n", data_encoding::HEXUPPER.encode(bytes));
        for text in [pem(&key), ssh(&key), hex(&key)] {
            assert_eq!(parse(&text).unwrap().as_slice(), key, "{text}");
        }
        let long = [key.as_slice(), b"x"].concat();
        for text in [pem(&key[..31]), pem(&long), ssh(&key[1..]), ssh(&long), hex(&long), "ssh-rsa AAAA".into(), String::new()] {
            assert_eq!(parse(&text), None, "{text}");
        }
    }

    #[test]
    fn attack_10_a_key_of_small_order_is_not_imported() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("key");
        std::fs::write(&from, "00".repeat(32)).unwrap();
        let name = "a".parse().unwrap();
        assert!(matches!(import(&name, &from, dir.path()), Err(KeyError::Malformed { .. })));
        assert!(!dir.path().join("a.pub").exists());
    }
}
