//! What several commands take: a repository, a signing key, an answer on a terminal. Passwords are read here and nowhere else.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use proofmark::exit::{Exit, IoContext, Refusal, Refuse};
use proofmark::keys::{self, KeyError, SecretKey};
use proofmark::repository::Repository;
use proofmark::store;
use proofmark::text;
use proofmark_core::Digest;

/// Password of a secret key, for machines.
const PASSWORD: &str = "PROOFMARK_KEY_PASSWORD";

/// `--repository` and the pin of its first trust document.
#[derive(Debug, clap::Args)]
pub(crate) struct RepositoryArguments {
    /// The release repository: a directory, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR", env = "PROOFMARK_REPOSITORY")]
    pub(crate) repository: PathBuf,
    /// SHA-256 of trust/1.trust.json, as you were given it [default: what the directory holds; it is shown]
    #[arg(long, value_name = "HEX", env = "PROOFMARK_TRUST", value_parser = digest)]
    pub(crate) trust_sha256: Option<Digest>,
}

impl RepositoryArguments {
    /// Opens the repository. The words say which trust was believed when none was pinned.
    pub(crate) fn open(&self, words: &mut String) -> Result<Repository, Refusal> {
        let (repository, end) = self.open_as_far(words)?;
        end.map_or(Ok(repository), Err)
    }

    /// The same, as far as the chain of trust goes, and what ends it.
    pub(crate) fn open_as_far(&self, words: &mut String) -> Result<(Repository, Option<Refusal>), Refusal> {
        let store = store::open(&self.repository).map_err(|error| error.refusal())?;
        let (repository, end) = Repository::open_as_far(store, self.trust_sha256).map_err(|error| error.refusal())?;
        if self.trust_sha256.is_none() {
            *words += &format!("trust: sha256 {}, not pinned: compare it, and set PROOFMARK_TRUST\n", repository.first_trust());
        }
        Ok((repository, end.map(|error| error.refusal())))
    }

    /// `--repository DIR`, for the next command line.
    pub(crate) fn again(&self) -> String {
        format!("--repository {}", shown(&self.repository))
    }
}

/// `--from`: a repository as in [`RepositoryArguments`], for who reads it.
#[derive(Debug, clap::Args)]
pub(crate) struct FromArguments {
    /// The release repository
    #[arg(long, value_name = "DIR", env = "PROOFMARK_REPOSITORY")]
    from: PathBuf,
    /// SHA-256 of trust/1.trust.json, as you were given it [default: what the repository holds; it is shown]
    #[arg(long, value_name = "HEX", env = "PROOFMARK_TRUST", value_parser = digest)]
    trust_sha256: Option<Digest>,
}

impl FromArguments {
    /// Opens the repository.
    pub(crate) fn open(&self, words: &mut String) -> Result<Repository, Refusal> {
        RepositoryArguments { repository: self.from.clone(), trust_sha256: self.trust_sha256 }.open(words)
    }
}

/// The key that signs: `--key` and where its password comes from, or `--signer`.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArguments {
    /// Secret key file of minisign that signs
    #[arg(long, value_name = "FILE.key", required_unless_present = "signer", conflicts_with = "signer")]
    key: Option<PathBuf>,
    /// Command that signs with a key it holds: it reads a message and writes the 64 bytes of a raw Ed25519 signature (docs/signers.md)
    #[arg(long, value_name = "COMMAND", requires = "signer_key")]
    signer: Option<String>,
    /// Public key of --signer
    #[arg(long, value_name = "FILE.pub", requires = "signer")]
    signer_key: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArguments,
}

/// Keys that sign one after the other: `--sign`, or pairs of `--signer` and `--signer-key`.
#[derive(Debug, clap::Args)]
pub(crate) struct KeysArguments {
    /// Secret key file of an owner, which signs the document; may be repeated
    #[arg(long = "sign", value_name = "FILE.key", required_unless_present = "signer")]
    sign: Vec<PathBuf>,
    /// Command that signs with an owner's key (docs/signers.md); may be repeated, each with its --signer-key
    #[arg(long, value_name = "COMMAND")]
    signer: Vec<String>,
    /// Public key of the --signer at the same place in order
    #[arg(long, value_name = "FILE.pub")]
    signer_key: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) password: PasswordArguments,
}

/// Where a password comes from.
#[derive(Debug, clap::Args)]
pub(crate) struct PasswordArguments {
    /// File whose first line is the key's password [default: PROOFMARK_KEY_PASSWORD, else asked on the terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

impl KeyArguments {
    /// Loads the key.
    pub(crate) fn load(&self) -> Result<SecretKey, Refusal> {
        match (&self.key, &self.signer, &self.signer_key) {
            (Some(file), ..) => self.password.load(file),
            (None, Some(command), Some(public)) => external(command, public),
            // clap asks for one or the other.
            _ => Err(unpaired(0, 0)),
        }
    }
}

impl KeysArguments {
    /// Loads all of them, files first.
    pub(crate) fn load(&self) -> Result<Vec<SecretKey>, Refusal> {
        if self.signer.len() != self.signer_key.len() {
            return Err(unpaired(self.signer.len(), self.signer_key.len()));
        }
        let files = self.sign.iter().map(|file| self.password.load(file));
        let commands = self.signer.iter().zip(&self.signer_key).map(|(command, public)| external(command, public));
        files.chain(commands).collect()
    }
}

/// A key that a command holds.
pub(crate) fn external(command: &str, public: &Path) -> Result<SecretKey, Refusal> {
    let public = keys::load_public(public).map_err(|error| error.refusal())?;
    Ok(keys::external(command, public, keys::PATIENCE))
}

fn unpaired(commands: usize, keys: usize) -> Refusal {
    Refusal::new(Exit::Usage, "signer-key", "every --signer needs its --signer-key", "--signer")
        .want("--key FILE.key, or --signer COMMAND with --signer-key FILE.pub")
        .have(format!("{commands} commands, {keys} public keys"))
        .next("name the public key that each command signs with, in the same order")
}

impl PasswordArguments {
    /// Loads a secret key; asks for a password only when the file has one.
    pub(crate) fn load(&self, path: &Path) -> Result<SecretKey, Refusal> {
        let mut ask = |path: &Path| self.password(path, false);
        keys::load_secret(path, &mut ask).map_err(|error| error.refusal())
    }

    /// The password for a key file; a new one is asked for twice.
    #[allow(clippy::disallowed_methods, reason = "a secret has no place on a command line; it decides no byte of a release")]
    pub(crate) fn password(&self, path: &Path, is_new: bool) -> Result<String, KeyError> {
        let none = |why: &str| KeyError::NoPassword { path: path.into(), why: why.into() };
        if let Some(file) = &self.password_file {
            let all = std::fs::read_to_string(file).at("read", file)?;
            return match all.lines().next() {
                Some(line) if !line.is_empty() => Ok(line.to_owned()),
                _ => Err(none("an empty password file")),
            };
        }
        match std::env::var(PASSWORD) {
            Ok(password) if !password.is_empty() => return Ok(password),
            Ok(_) => return Err(none("an empty PROOFMARK_KEY_PASSWORD")),
            Err(std::env::VarError::NotUnicode(_)) => return Err(none("a PROOFMARK_KEY_PASSWORD that is not UTF-8")),
            Err(std::env::VarError::NotPresent) => {}
        }
        if !std::io::stdin().is_terminal() {
            return Err(none("no terminal"));
        }
        let ask = |prompt: String| rpassword::prompt_password(prompt).map_err(|error| none(&error.to_string()));
        let password = ask(format!("password of {}: ", shown(path)))?;
        if password.is_empty() {
            return Err(none("an empty password; --dangerous-no-password makes a key without one"));
        }
        if is_new && ask("once more: ".into())? != password {
            return Err(none("two that differ"));
        }
        Ok(password)
    }
}

/// Shows `text`, asks on the terminal, and wants the word `yes`.
///
/// # Errors
/// When there is no terminal, and for every other answer.
pub(crate) fn confirm(text: &str, question: &str) -> Result<(), Refusal> {
    if !std::io::stdin().is_terminal() {
        return Err(Refusal::new(Exit::Usage, "no-terminal", "nobody to ask", question)
            .want("a terminal, or --yes from somebody who has read the review")
            .have("neither")
            .next("proofmark review shows what would be signed"));
    }
    let mut stderr = std::io::stderr().lock();
    let mut answer = String::new();
    let asked = write!(stderr, "{text}\n{question} [yes/no] ").and_then(|()| stderr.flush());
    asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer)).at("ask on", "the terminal").map_err(|error| error.refusal())?;
    // Ctrl-C only sets a flag (see proofmark::interrupt): it is not a yes, whatever came after it.
    proofmark::interrupt::check().map_err(|error| error.refusal())?;
    if answer.trim() == "yes" {
        return Ok(());
    }
    Err(Refusal::new(Exit::Usage, "not-confirmed", "not signed", question)
        .want("the word yes")
        .have(answer.trim())
        .next("nothing was written"))
}

/// Writes `bytes` to the new file `out`, or hands them back for standard output.
pub(crate) fn new_file(out: Option<&Path>, bytes: Vec<u8>) -> Result<String, Refusal> {
    let Some(out) = out else {
        return String::from_utf8(bytes).map_err(|error| Refusal::new(Exit::Internal, "utf-8", "not a text", error));
    };
    // A bare name has an empty parent, which is no directory.
    let file = Path::new(".").join(out);
    let made = proofmark_verifier::durable::Disk::new().create_new(&file, &mut &*bytes, 0o644).at("create", out);
    if !made.map_err(|error| error.refusal())? {
        return Err(Refusal::new(Exit::Usage, "exists", "there is a file already", shown(out))
            .want("a new file")
            .have("one that would be lost")
            .next("give another name to --out, or move that one away"));
    }
    Ok(String::new())
}

/// A path for messages.
pub(crate) fn shown(path: &Path) -> String {
    text::one_line(&path.display().to_string())
}

fn digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|why: &str| why.to_owned())
}

/// A value parser for the core's text types.
pub(crate) fn core<T: std::str::FromStr<Err = &'static str>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|why: &str| why.to_owned())
}
