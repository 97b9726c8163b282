//! ECDSA over P-256 with SHA-256: the one kind of key that cosign, in-toto and securesystemslib all take. For exports alone.
//!
//! Signatures are deterministic (RFC 6979), and each is verified after it was made. This file must never sign what a host believes:
//! that is minisign's (see `keys`).

use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER};
use p256::SecretKey;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::{DecodePrivateKey, EncodePublicKey, LineEnding};

use crate::digest;
use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};

/// Largest key file, bytes.
const LARGEST: usize = 16 << 10;

/// A private key, and what others call it.
pub struct Key {
    signing: SigningKey,
    path: PathBuf,
    /// The public key, as `BEGIN PUBLIC KEY`.
    pub public_pem: String,
    key_id: String,
    hint: String,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// As DER (RFC 3279, section 2.2.3).
    pub der: Vec<u8>,
    /// The key's name for securesystemslib and in-toto.
    pub key_id: String,
    /// The key's name for Sigstore.
    pub hint: String,
}

/// The key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// It is another kind of file, or of key.
    #[error("{}: {why}", .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It made a signature that does not verify.
    #[error("{}: a signature that does not verify", .0.display())]
    Bad(PathBuf),
}

impl Refuse for KeyError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Kind { path, why } => Refusal::new(Exit::Malformed, "export-key", "not a key that signs an export", path.display())
                .want("an unencrypted private key on P-256 as PEM: BEGIN PRIVATE KEY (PKCS#8) or BEGIN EC PRIVATE KEY (SEC 1)")
                .have(why)
                .next("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out export.pem; for a key that cannot leave its device, \
                     --statement prints what cosign attest-blob --statement signs"),
            Self::Bad(path) => Refusal::new(Exit::Internal, "export-signature", "a signature that was just made does not verify", path.display())
                .want("a signature under the key's own public key")
                .have("another")
                .next("nothing was written; report it, without the key"),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({}, {})", self.path.display(), self.key_id)
    }
}

impl Key {
    /// Reads a private key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let bytes = std::fs::read(path).at("read", path)?;
        let wrong = |why: &str| KeyError::Kind { path: path.into(), why: why.into() };
        let text = std::str::from_utf8(&bytes).ok().filter(|text| text.len() <= LARGEST).ok_or_else(|| wrong("not a PEM file"))?;
        // OpenSSL writes the curve's parameters before a key in SEC 1 form.
        let at = text.find("-----BEGIN EC PRIVATE KEY").or_else(|| text.find("-----BEGIN ")).unwrap_or(0);
        let text = &text[at..];
        let kind = text.lines().next().unwrap_or_default().trim_matches('-');
        let secret = match kind {
            "BEGIN PRIVATE KEY" => SecretKey::from_pkcs8_pem(text).map_err(|error| error.to_string()),
            "BEGIN EC PRIVATE KEY" => SecretKey::from_sec1_pem(text).map_err(|error| error.to_string()),
            other => return Err(wrong(other)),
        };
        Self::of(SigningKey::from(secret.map_err(|why| wrong(&why))?), path)
    }

    fn of(signing: SigningKey, path: &Path) -> Result<Self, KeyError> {
        let wrong = |why: String| KeyError::Kind { path: path.into(), why };
        let public = signing.verifying_key();
        let der = public.to_public_key_der().map_err(|error| wrong(error.to_string()))?;
        let public_pem = public.to_public_key_pem(LineEnding::LF).map_err(|error| wrong(error.to_string()))?;
        // securesystemslib: SHA-256 over the canonical JSON of the key, in which a line end in a string is not escaped.
        let canonical = format!(r#"{{"keytype":"ecdsa","keyval":{{"public":"{public_pem}"}},"scheme":"ecdsa-sha2-nistp256"}}"#);
        let key_id = digest::sha256(canonical.as_bytes());
        // Sigstore: SHA-256 over the DER of the public key, in base64.
        let hint = BASE64.encode(&HEXLOWER.decode(digest::sha256(der.as_bytes()).as_bytes()).unwrap_or_default());
        Ok(Self { signing, path: path.into(), public_pem, key_id, hint })
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        let signature: DerSignature = self.signing.sign(message);
        self.signing.verifying_key().verify(message, &signature).map_err(|_| KeyError::Bad(self.path.clone()))?;
        Ok(Signature { der: signature.as_bytes().to_vec(), key_id: self.key_id.clone(), hint: self.hint.clone() })
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXUPPER;

    use super::*;

    #[test]
    fn the_signature_is_the_one_of_rfc_6979() {
        // Appendix A.2.5: key x, message "sample", SHA-256.
        let x = HEXUPPER.decode(b"C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721").unwrap();
        let key = Key::of(SigningKey::from_slice(&x).unwrap(), Path::new("x.pem")).unwrap();
        let der = HEXUPPER.encode(&key.sign(b"sample").unwrap().der);
        assert!(der.contains("EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"), "{der}");
        assert!(der.contains("F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"), "{der}");
        assert_eq!(key.sign(b"sample").unwrap(), key.sign(b"sample").unwrap());
    }

    #[test]
    fn a_key_of_another_kind_is_refused_with_the_command_that_makes_one() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIH=\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n",
            "untrusted comment: minisign secret key\nRWQ=\n",
            "",
        ] {
            let path = dir.path().join("key.pem");
            std::fs::write(&path, text).unwrap();
            let refusal = Key::load(&path).unwrap_err().refusal();
            assert_eq!(refusal.reason, "export-key");
            assert!(refusal.next.unwrap().starts_with("openssl genpkey"));
        }
    }
}
