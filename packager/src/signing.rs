//! Signing: a file's exact bytes, prehashed, under the one comment that binds repository, kind, version and file name.
//!
//! A signature leaves this file only after the core has verified it against the trust document, so a wrong key, a damaged key or a
//! broken signer ends here and nothing is published (ATTACKS 11). This file never decides whether a role is met.

use std::io::{self, Read, Seek};
use std::path::PathBuf;

use proofmark_core::key::PublicKey;
use proofmark_core::name::Name;
use proofmark_core::signature::{self, Kind};
use proofmark_core::trust::{Role, Trust};

use crate::exit::{Exit, Refusal, Refuse};
use crate::keys::{ExternalError, HolderError, SecretKey};

/// A key under the name that trust gives it, for one role.
pub struct Signer<'a> {
    trust: &'a Trust,
    role: &'a Role,
    key: &'a SecretKey,
    name: Name,
}

/// No signature was made.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// Trust does not know the key.
    #[error("{}: not in trust", .path.display())]
    NotInTrust {
        /// The key's file.
        path: PathBuf,
        /// The key.
        public: PublicKey,
        /// Version of the trust document.
        version: u64,
        /// Every key it has, `NAME (HOLDER)`.
        known: Vec<String>,
    },
    /// Trust knows the key, and gives it another role.
    #[error("key {name} is not in role {role}")]
    NotInRole {
        /// Its name.
        name: Name,
        /// The role.
        role: &'static str,
        /// Keys of the role.
        keys: Vec<String>,
    },
    /// The signer failed.
    #[error("{}: {why}", .path.display())]
    Sign {
        /// The key's file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The command that holds the key failed.
    #[error("{}: {error}", .command.display())]
    External {
        /// The command.
        command: PathBuf,
        /// How.
        error: ExternalError,
    },
    /// The signature does not verify.
    #[error(transparent)]
    Refused(#[from] proofmark_core::Refusal),
}

impl Refuse for SigningError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::NotInTrust { path, public, version, known } => {
                Refusal::new(Exit::Signature, "key-not-in-trust", "trust does not know this key", path.display())
                    .want(format!("one of the keys of trust {version}: {}", known.join(", ")))
                    .have(public)
                    .next("use the right key file (proofmark key show FILE.pub prints a key), or have the owners add this one to trust")
            }
            Self::NotInRole { name, role, keys } => {
                Refusal::new(Exit::Signature, "key-not-in-role", format!("this key may not sign for role {role}"), format!("key {name}"))
                    .want(format!("one of {}", keys.join(", ")))
                    .have(name)
                    .next("use the key of that role; who may sign what is in trust/N.trust.json")
            }
            Self::Sign { path, why } => Refusal::new(Exit::Io, "signer", "the key did not sign", path.display())
                .want("a signature")
                .have(why)
                .next("nothing was written; try again"),
            Self::External { command, error } => error.refusal_of(&command.display().to_string()),
            Self::Refused(refusal) => refusal.refusal(),
        }
    }
}

/// The name that trust gives a key, found by its 32 bytes: never by its key id, never by a file name.
pub fn name_of<'a>(trust: &'a Trust, key: &PublicKey) -> Option<&'a Name> {
    trust.keys.iter().find(|(_, entry)| entry.public == *key).map(|(name, _)| name)
}

impl<'a> Signer<'a> {
    /// The key as a signer for documents of `kind`.
    ///
    /// # Errors
    /// [`SigningError::NotInTrust`], [`SigningError::NotInRole`].
    pub fn new(trust: &'a Trust, kind: Kind, key: &'a SecretKey) -> Result<Self, SigningError> {
        let name = name_of(trust, key.public()).ok_or_else(|| SigningError::NotInTrust {
            path: key.path().into(),
            public: key.public().clone(),
            version: trust.version,
            known: trust.keys.iter().map(|(name, key)| format!("{name} ({})", key.holder)).collect(),
        })?;
        let role = role(trust, kind);
        if !role.has_key(name) {
            let keys = role.keys().map(ToString::to_string).collect();
            return Err(SigningError::NotInRole { name: name.clone(), role: kind.word(), keys });
        }
        Ok(Signer { trust, role, key, name: name.clone() })
    }

    /// The key's name in trust.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Signs what `reader` holds from its start, and verifies the signature with the core. Returns the signature file's bytes.
    ///
    /// `file` is the last component of the path at which the bytes will be.
    pub fn sign<R: Read + Seek>(&self, kind: Kind, version: Option<u64>, file: &str, reader: &mut R) -> Result<Vec<u8>, SigningError> {
        let comment = signature::comment(&self.trust.repository, kind, version, file);
        let failed = |why: &dyn std::fmt::Display| SigningError::Sign { path: self.key.path().into(), why: why.to_string() };
        let rewind = |reader: &mut R| -> io::Result<()> { reader.rewind() };
        rewind(reader).map_err(|error| failed(&error))?;
        let untrusted = format!("signature by {}", self.name);
        let bytes = self.key.sign(reader, &comment, &untrusted).map_err(|error| match error {
            HolderError::Failed(why) => failed(&why),
            HolderError::External(error) => SigningError::External { command: self.key.path().into(), error },
        })?;
        rewind(reader).map_err(|error| failed(&error))?;
        self.check(&comment, file, &bytes, reader)?;
        Ok(bytes)
    }

    /// The core's verdict on one signature by this key.
    fn check(&self, comment: &str, file: &str, signature: &[u8], reader: &mut dyn Read) -> Result<(), SigningError> {
        let candidates = [(self.name.clone(), signature.to_vec())];
        let signed = signature::verify_signatures(self.trust, self.role, comment, file, &candidates, reader, &|_, _| Ok(()))?;
        if signed.signers.contains(&self.name) {
            return Ok(());
        }
        Err(SigningError::Sign { path: self.key.path().into(), why: "its signature was not counted".into() })
    }
}

/// The role whose signatures a document of this kind needs.
pub fn role(trust: &Trust, kind: Kind) -> &Role {
    match kind {
        Kind::Trust => &trust.roles.trust,
        Kind::Index | Kind::Resume | Kind::Adopt => &trust.roles.index,
        Kind::Head => &trust.roles.head,
        Kind::Halt => &trust.roles.halt,
        Kind::Bundle => &trust.roles.bundle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::{Member, Party, first_trust};
    use crate::keys::{Protection, generate, load_secret};
    use data_encoding::BASE64;
    use std::collections::BTreeMap;
    use std::io::Cursor;
    use std::path::Path;

    fn key(directory: &Path, name: &str) -> SecretKey {
        let made = generate(&name.parse().unwrap(), directory, Protection::DangerousNone).unwrap();
        load_secret(&made.secret, &mut |_| unreachable!()).unwrap()
    }

    fn trust(keys: &BTreeMap<&str, SecretKey>) -> Trust {
        let parties = [("root", Party::Owners), ("ci", Party::Ci), ("bob", Party::Reviewers), ("head", Party::Head)];
        let member = |(name, party): (&str, Party)| {
            let name: Name = name.parse().unwrap();
            Member { party, holder: name.clone(), public: keys[name.as_str()].public().clone(), name }
        };
        first_trust("0".repeat(32).parse().unwrap(), &parties.map(member), &BTreeMap::new()).unwrap().0
    }

    #[test]
    fn attack_6_11_only_a_key_of_the_role_signs_and_its_name_is_that_of_trust() {
        let dir = tempfile::tempdir().unwrap();
        let keys: BTreeMap<_, _> = ["root", "ci", "bob", "head"].map(|name| (name, key(dir.path(), name))).into();
        let trust = trust(&keys);
        let signer = Signer::new(&trust, Kind::Bundle, &keys["ci"]).unwrap();
        assert_eq!(signer.name().as_str(), "ci");
        signer.sign(Kind::Bundle, None, "a.tar.zst", &mut Cursor::new(b"bytes")).unwrap();
        assert!(matches!(Signer::new(&trust, Kind::Index, &keys["head"]), Err(SigningError::NotInRole { .. })));
        assert!(matches!(Signer::new(&trust, Kind::Index, &key(dir.path(), "other")), Err(SigningError::NotInTrust { .. })));
    }

    #[test]
    fn attack_11_a_signature_that_does_not_verify_is_not_handed_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys: BTreeMap<_, _> = ["root", "ci", "bob", "head"].map(|name| (name, key(dir.path(), name))).into();
        let trust = trust(&keys);
        // The seed is damaged, the public half is not, and there is no checksum that would tell.
        let path = dir.path().join("ci.key");
        let text = std::fs::read_to_string(&path).unwrap();
        let (comment, line) = text.trim_end().split_once('\n').unwrap();
        let mut record = BASE64.decode(line.as_bytes()).unwrap();
        record[70] ^= 1;
        record[158 - 32..].fill(0);
        std::fs::write(&path, format!("{comment}\n{}\n", BASE64.encode(&record))).unwrap();
        keys.insert("ci", load_secret(&path, &mut |_| unreachable!()).unwrap());
        let signer = Signer::new(&trust, Kind::Index, &keys["ci"]).unwrap();
        let refused = signer.sign(Kind::Index, Some(1), "1.index.json", &mut Cursor::new(b"bytes")).unwrap_err();
        assert_eq!(refused.refusal().code as u8, 80, "{refused}");
    }
}
