//! Keys that sign: files in minisign's own format, which stock `minisign` reads and writes too, or commands that hold a key elsewhere.
//!
//! A secret never leaves this file but inside [`SecretKey`], which cannot be printed. Files are made once and never overwritten.

use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::{BASE64, HEXUPPER};
use minisign::KeyPair;
use proofmark_core::key::PublicKey;
use proofmark_core::name::Name;
use proofmark_verifier::durable::Disk;

use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};

mod external;
mod import;

pub use external::{ExternalError, PATIENCE};
pub use import::import;

/// Bytes of a key file at most; minisign's own have under 350.
const LARGEST: u64 = 4096;
/// Bytes of a secret key record: algorithms, salt, limits, key id, key, checksum (minisign.c, `SeckeyStruct`).
const SECRET_BYTES: usize = 158;

/// A key that can sign. Has no `Debug` on purpose.
pub struct SecretKey {
    held: Held,
    public: PublicKey,
    path: PathBuf,
}

/// Where the secret is.
enum Held {
    /// Here, decrypted.
    Here(minisign::SecretKey),
    /// Behind a command.
    Elsewhere(external::External),
}

/// The key gave no signature.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// What is to be signed cannot be read, or minisign's library failed.
    #[error("{0}")]
    Failed(String),
    /// The command that holds it failed.
    #[error(transparent)]
    External(#[from] ExternalError),
}

/// How a new secret key file is protected.
pub enum Protection {
    /// By a password (not empty), stretched by scrypt as minisign does it (1 GiB of memory for a second or two).
    Password(String),
    /// Not at all: who reads the file can sign.
    DangerousNone,
}

/// A new key pair's files.
#[derive(Debug)]
pub struct Generated {
    /// `NAME.key`, mode 0600.
    pub secret: PathBuf,
    /// `NAME.pub`.
    pub public: PathBuf,
    /// The public key.
    pub key: PublicKey,
}

/// Another program's public key, as minisign's.
#[derive(Debug)]
pub struct Imported {
    /// `NAME.pub`.
    pub public: PathBuf,
    /// The public key.
    pub key: PublicKey,
}

/// A key file cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// There is a file already.
    #[error("{}: exists", .0.display())]
    Exists(PathBuf),
    /// Not a key file of minisign.
    #[error("{}: {why}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// `secret` or `public`.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The password does not open the key.
    #[error("{}: wrong password", .0.display())]
    WrongPassword(PathBuf),
    /// No password was to be had.
    #[error("{}: {why}", .path.display())]
    NoPassword {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The machine gave no randomness or no memory.
    #[error("cannot make a key: {0}")]
    Generate(String),
}

impl Refuse for KeyError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Exists(path) => Refusal::new(Exit::Usage, "key-exists", "a key is never overwritten", path.display())
                .want("a name that has no file yet")
                .have("a file of this name")
                .next("choose another name (alice-2), or another directory with --out"),
            Self::Malformed { path, what, why } => {
                Refusal::new(Exit::Malformed, "key-file", format!("not a {what} key file"), path.display())
                    .want(match *what {
                        "foreign public" => "an OpenSSH line (ssh-ed25519 ...), a PEM with BEGIN PUBLIC KEY, or 64 hex digits",
                        "public" => "two lines: a comment, and 56 characters of base64 (NAME.pub)",
                        _ => "two lines: a comment, and 212 characters of base64 (NAME.key)",
                    })
                    .have(why)
                    .next("proofmark key new NAME makes one; public and secret files are easily mixed up")
            }
            Self::WrongPassword(path) => Refusal::new(Exit::Usage, "wrong-password", "the password does not open this key", path.display())
                .want("the password it was made with")
                .have("another")
                .next("try again; nothing was signed or written"),
            Self::NoPassword { path, why } => Refusal::new(Exit::Usage, "no-password", "this key needs a password", path.display())
                .want("PROOFMARK_KEY_PASSWORD, --password-file FILE, or a terminal to ask on")
                .have(why)
                .next("set one of them and call again"),
            Self::Generate(why) => Refusal::new(Exit::Platform, "key-generation", "cannot make a key", why)
                .want("randomness, and 1 GiB of free memory for the password")
                .have(why)
                .next("free some memory and try again"),
        }
    }
}

/// Makes `DIR/NAME.key` and `DIR/NAME.pub`; the directory is created. Neither file is there when this fails.
///
/// # Errors
/// [`KeyError::Exists`] when one of them is there already; I/O.
pub fn generate(name: &Name, directory: &Path, protection: Protection) -> Result<Generated, KeyError> {
    fs::create_dir_all(directory).at("create", directory)?;
    let [secret, public] = ["key", "pub"].map(|extension| directory.join(format!("{name}.{extension}")));
    for path in [&secret, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(KeyError::Exists(path.clone()));
        }
    }
    let failed = |error: minisign::PError| KeyError::Generate(error.to_string());
    let (pair, comment) = match protection {
        Protection::Password(password) => {
            (KeyPair::generate_encrypted_keypair(Some(password)).map_err(failed)?, format!("minisign encrypted secret key {name}"))
        }
        Protection::DangerousNone => {
            (KeyPair::generate_unencrypted_keypair().map_err(failed)?, format!("minisign unencrypted secret key {name}"))
        }
    };
    let key = PublicKey::from_base64(&pair.pk.to_base64()).map_err(|refusal| KeyError::Generate(refusal.to_string()))?;
    let text = pair.sk.to_box(Some(&comment)).map_err(failed)?.into_string();
    write_new(&secret, text.as_bytes(), 0o600)?;
    if let Err(error) = write_new(&public, public_text(&key).as_bytes(), 0o644) {
        // A key whose public half was not written is of no use: leave nothing behind.
        let _ = fs::remove_file(&secret);
        return Err(error);
    }
    Ok(Generated { secret, public, key })
}

/// minisign's public key file.
pub fn public_text(key: &PublicKey) -> String {
    format!("untrusted comment: minisign public key {}\n{key}\n", key_id(key))
}

/// minisign's spelling of the key id: 16 upper-case hex digits, most significant first.
pub fn key_id(key: &PublicKey) -> String {
    let mut id = *key.id();
    id.reverse();
    HEXUPPER.encode(&id)
}

/// Reads a public key file.
///
/// # Errors
/// [`KeyError::Malformed`] when it is anything but minisign's two lines, and for keys of small order.
pub fn load_public(path: &Path) -> Result<PublicKey, KeyError> {
    let text = read_small(path, "public")?;
    let malformed = |why: String| malformed(path, "public", why);
    let line = second_line(&text).ok_or_else(|| malformed("not two lines, the first an untrusted comment".into()))?;
    PublicKey::from_base64(line).map_err(|refusal| malformed(refusal.have().to_owned()))
}

/// Reads a secret key file; `password` is asked only when the file is encrypted.
///
/// # Errors
/// [`KeyError::WrongPassword`], [`KeyError::Malformed`], what `password` says, I/O.
pub fn load_secret(path: &Path, password: &mut dyn FnMut(&Path) -> Result<String, KeyError>) -> Result<SecretKey, KeyError> {
    let text = read_small(path, "secret")?;
    let malformed = |why: String| malformed(path, "secret", why);
    let line = second_line(&text).ok_or_else(|| malformed("not two lines, the first an untrusted comment".into()))?;
    let record = BASE64.decode(line.as_bytes()).map_err(|error| malformed(error.to_string()))?;
    if record.len() != SECRET_BYTES || record[..2] != *b"Ed" {
        return Err(malformed(format!("{} bytes of base64, want {SECRET_BYTES} that start with Ed", record.len())));
    }
    // Bytes 2 and 3 name the key derivation: Sc for scrypt, zeros for none (minisign.c).
    let sealed = minisign::SecretKeyBox::from(text.clone());
    let key = match &record[2..4] {
        b"Sc" => minisign::SecretKey::from_box(sealed, Some(password(path)?)).map_err(|error| match error.kind() {
            minisign::ErrorKind::Verify => KeyError::WrongPassword(path.into()),
            _ => KeyError::Generate(error.to_string()),
        })?,
        // minisign -W leaves the checksum zero. What it would find, the check of every signature finds too (see `signing`).
        b"\0\0" if record[SECRET_BYTES - 32..] == [0; 32] => {
            minisign::SecretKey::from_bytes(&record).map_err(|error| malformed(error.to_string()))?
        }
        b"\0\0" => minisign::SecretKey::from_unencrypted_box(sealed).map_err(|error| malformed(error.to_string()))?,
        _ => return Err(malformed("an unknown key derivation".into())),
    };
    let public = minisign::PublicKey::from_secret_key(&key).map_err(|error| malformed(error.to_string()))?;
    let public = PublicKey::from_base64(&public.to_base64()).map_err(|refusal| malformed(refusal.have().to_owned()))?;
    Ok(SecretKey { held: Held::Here(key), public, path: path.into() })
}

/// A key that `command` holds: run by the shell, it reads a message and writes the raw signature. `public` is what it claims to be: a
/// signature by it is believed only after it was verified. The command may take `patience` each time.
pub fn external(command: &str, public: PublicKey, patience: Duration) -> SecretKey {
    let held = Held::Elsewhere(external::External { command: command.into(), patience });
    SecretKey { held, public, path: command.into() }
}

impl SecretKey {
    /// Its public half, as the file claims it: a signature by it is believed only after it was verified.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
    /// The file it came from, or the command that holds it, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// A signature file over what `reader` holds from where it stands. For [`crate::signing`] alone, which has it verified.
    pub(crate) fn sign<R: Read + Seek>(&self, reader: &mut R, comment: &str, untrusted: &str) -> Result<Vec<u8>, HolderError> {
        match &self.held {
            Held::Here(key) => match minisign::sign(None, key, reader, Some(comment), Some(untrusted)) {
                Ok(made) => Ok(made.into_string().into_bytes()),
                Err(error) => Err(HolderError::Failed(error.to_string())),
            },
            Held::Elsewhere(external) => Ok(external.sign(&self.public, reader, comment, untrusted)?),
        }
    }
}

fn second_line(text: &str) -> Option<&str> {
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let comment = lines.next()?.starts_with("untrusted comment: ");
    let line = lines.next()?;
    (comment && lines.next().is_none()).then_some(line)
}

fn malformed(path: &Path, what: &'static str, why: impl Into<String>) -> KeyError {
    KeyError::Malformed { path: path.into(), what, why: why.into() }
}

fn read_small(path: &Path, what: &'static str) -> Result<String, KeyError> {
    let size = fs::metadata(path).at("read", path)?.len();
    if size > LARGEST {
        return Err(malformed(path, what, "a file over 4096 bytes"));
    }
    let bytes = fs::read(path).at("read", path)?;
    String::from_utf8(bytes).map_err(|_| malformed(path, what, "bytes that are not text"))
}

/// Writes a file that was not there, whole and synced, or nothing.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyError> {
    match Disk::new().create_new(path, &mut &*bytes, mode).at("create", path)? {
        true => Ok(()),
        false => Err(KeyError::Exists(path.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn no_password(path: &Path) -> Result<String, KeyError> {
        Err(KeyError::NoPassword { path: path.into(), why: "a test".into() })
    }

    #[test]
    fn a_key_is_written_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let name: Name = "ci-1".parse().unwrap();
        let made = generate(&name, dir.path(), Protection::DangerousNone).unwrap();
        assert_eq!(fs::metadata(&made.secret).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&made.secret).unwrap();
        assert!(matches!(generate(&name, dir.path(), Protection::DangerousNone), Err(KeyError::Exists(_))));
        assert_eq!(fs::read(&made.secret).unwrap(), before);
        fs::remove_file(&made.secret).unwrap();
        assert!(matches!(generate(&name, dir.path(), Protection::DangerousNone), Err(KeyError::Exists(path)) if path == made.public));
        assert!(!made.secret.exists(), "nothing is written when one of the two is there");
    }

    #[test]
    fn the_public_file_and_the_secret_file_name_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let made = generate(&"a".parse().unwrap(), dir.path(), Protection::DangerousNone).unwrap();
        assert_eq!(load_public(&made.public).unwrap(), made.key);
        assert_eq!(*load_secret(&made.secret, &mut no_password).unwrap().public(), made.key);
        assert!(matches!(load_public(&made.secret), Err(KeyError::Malformed { .. })));
        assert!(matches!(load_secret(&made.public, &mut no_password), Err(KeyError::Malformed { .. })));
    }

    #[test]
    fn a_stock_key_without_checksum_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let made = generate(&"a".parse().unwrap(), dir.path(), Protection::DangerousNone).unwrap();
        let text = fs::read_to_string(&made.secret).unwrap();
        let (comment, line) = text.trim_end().split_once('\n').unwrap();
        let mut record = BASE64.decode(line.as_bytes()).unwrap();
        record[SECRET_BYTES - 32..].fill(0);
        fs::write(&made.secret, format!("{comment}\n{}\n", BASE64.encode(&record))).unwrap();
        assert_eq!(*load_secret(&made.secret, &mut no_password).unwrap().public(), made.key);
    }

    #[test]
    fn attack_11_a_damaged_secret_key_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let made = generate(&"a".parse().unwrap(), dir.path(), Protection::DangerousNone).unwrap();
        let text = fs::read_to_string(&made.secret).unwrap();
        let (comment, line) = text.trim_end().split_once('\n').unwrap();
        let mut record = BASE64.decode(line.as_bytes()).unwrap();
        record[80] ^= 1;
        fs::write(&made.secret, format!("{comment}\n{}\n", BASE64.encode(&record))).unwrap();
        assert!(matches!(load_secret(&made.secret, &mut no_password), Err(KeyError::Malformed { .. })));
    }
}
