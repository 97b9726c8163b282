//! Signatures (section 3): the envelope parser, the one signature loop, and the type of what has passed it.
//!
//! Nothing here decides by a key id, a comment it parsed, or a count across groups.

use crate::digest::{Digest, Hasher};
use crate::json::{self, Document};
use crate::limits;
use crate::name::{Name, RepositoryId};
use crate::refusal::{Reason, Refusal, Result};
use crate::trust::{Role, Trust};
use data_encoding::BASE64;
use std::collections::BTreeSet;
use std::{fmt, io, ops::Deref};

/// What a signature is for; the word in the trusted comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A trust document.
    Trust,
    /// An index.
    Index,
    /// A head.
    Head,
    /// A halt.
    Halt,
    /// A resume.
    Resume,
    /// An adopt document.
    Adopt,
    /// A bundle.
    Bundle,
}

impl Kind {
    /// The word, as in file names and comments.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Trust => "trust",
            Kind::Index => "index",
            Kind::Head => "head",
            Kind::Halt => "halt",
            Kind::Resume => "resume",
            Kind::Adopt => "adopt",
            Kind::Bundle => "bundle",
        }
    }
}

/// The trusted comment that a signature of this file must carry.
pub fn comment(repository: &RepositoryId, kind: Kind, version: Option<u64>, file: &str) -> String {
    let version = version.map_or_else(|| "-".to_owned(), |v| v.to_string());
    format!("proofmark1 repo={repository} kind={} version={version} file={file}", kind.word())
}

/// Bytes that somebody claims are signed: not believed.
#[derive(Clone, Debug, Default)]
pub struct SignedFile {
    /// The file.
    pub bytes: Vec<u8>,
    /// The signatures found beside it, by the key's name in trust.
    pub signatures: Vec<(Name, Vec<u8>)>,
}

/// A document that passed its check; made only in this crate.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    value: T,
    digest: Digest,
    size: u64,
    signers: BTreeSet<Name>,
}

impl<T> Verified<T> {
    pub(crate) fn new(value: T, signed: Signed) -> Self {
        Verified { value, digest: signed.digest, size: signed.size, signers: signed.signers }
    }
    /// SHA-256 of the file.
    pub fn digest(&self) -> Digest {
        self.digest
    }
    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }
    /// Names of the keys that signed; empty where a digest vouches.
    pub fn signers(&self) -> &BTreeSet<Name> {
        &self.signers
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// The outcome of the signature loop: who signed these bytes, validly, under one comment.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Keys whose signature is present and valid.
    pub signers: BTreeSet<Name>,
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Number of bytes.
    pub size: u64,
}

/// Verifies a document that has a version: signatures of `role`, then the role's groups, then the parse.
///
/// `version` is the one in the file's name. Errors: [`Reason::BadSignature`], [`Reason::WrongComment`], [`Reason::Threshold`], and those of parsing.
pub fn verify_document<D: Document>(trust: &Trust, role: &Role, kind: Kind, version: u64, file: &SignedFile) -> Result<Verified<D>> {
    verify_file(trust, role, kind, Some(version), &file_name(kind, version), file)
}

/// As [`verify_document`], for a document without a version that is named by a digest.
pub fn verify_named<D: Document>(trust: &Trust, role: &Role, kind: Kind, digest: Digest, file: &SignedFile) -> Result<Verified<D>> {
    verify_file(trust, role, kind, None, &digest_name(kind, digest), file)
}

fn verify_file<D: Document>(
    trust: &Trust,
    role: &Role,
    kind: Kind,
    version: Option<u64>,
    name: &str,
    file: &SignedFile,
) -> Result<Verified<D>> {
    if file.bytes.len() > D::LIMIT {
        return Err(Refusal::new(
            Reason::Limit,
            name,
            format_args!("at most {} bytes", D::LIMIT),
            format_args!("{} bytes", file.bytes.len()),
        ));
    }
    let comment = comment(&trust.repository, kind, version, name);
    let signed = verify_signatures(trust, role, &comment, name, &file.signatures, &mut file.bytes.as_slice(), &|_, _| Ok(()))?;
    role.check_met(&signed.signers, None).map_err(|e| e.within(name))?;
    Ok(Verified::new(json::parse(&file.bytes, name)?, signed))
}

/// `N.KIND.json`.
pub fn file_name(kind: Kind, version: u64) -> String {
    format!("{version}.{}.json", kind.word())
}

/// `DIGEST.KIND.json`.
pub fn digest_name(kind: Kind, digest: Digest) -> String {
    format!("{digest}.{}.json", kind.word())
}

/// The one signature loop. Reads `reader` to its end once; every signature that is present for a key of `role` must be valid.
///
/// `expected` judges digest and size before any signature is judged: where an index vouches for them, a damaged file is named as such.
/// Signatures under names that the role does not have are ignored: they are nobody's. The caller asks the role whether the signers suffice.
pub fn verify_signatures(
    trust: &Trust,
    role: &Role,
    comment: &str,
    subject: &str,
    signatures: &[(Name, Vec<u8>)],
    reader: &mut dyn io::Read,
    expected: &dyn Fn(Digest, u64) -> Result<()>,
) -> Result<Signed> {
    let mut checks = Vec::new();
    for (name, bytes) in signatures {
        if !role.has_key(name) {
            continue;
        }
        let Some(key) = trust.keys.get(name) else { continue };
        let subject = format!("{subject}.{name}.minisig");
        let signature = parse_envelope(bytes, comment, &subject)?;
        let public = minisign_verify::PublicKey::from_base64(&key.public.to_string())
            .map_err(|e| Refusal::new(Reason::Trust, &subject, "a usable public key", e))?;
        checks.push((name, subject, public, signature));
    }
    let mut streams = Vec::new();
    for (name, subject, public, signature) in &checks {
        let stream = public.verify_stream(signature).map_err(|e| bad(subject, name, &e))?;
        streams.push((name, subject, stream));
    }
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let n = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Refusal::new(Reason::Io, subject, "a readable file", e)),
        };
        hasher.update(&buffer[..n]);
        for (_, _, stream) in &mut streams {
            stream.update(&buffer[..n]);
        }
    }
    let (digest, size) = hasher.finish();
    expected(digest, size)?;
    let mut signers = BTreeSet::new();
    for (name, subject, stream) in &mut streams {
        stream.finalize().map_err(|e| bad(subject, name, &e))?;
        signers.insert((**name).clone());
    }
    Ok(Signed { signers, digest, size })
}

fn bad(subject: &str, key: &Name, have: &dyn fmt::Display) -> Refusal {
    Refusal::new(Reason::BadSignature, subject, format_args!("a valid signature by key {key}"), have)
}

/// The strict four-line parser of section 3, before any library sees the bytes.
fn parse_envelope(bytes: &[u8], comment: &str, subject: &str) -> Result<minisign_verify::Signature> {
    let malformed =
        |have: &str| Refusal::new(Reason::Malformed, subject, "a four-line prehashed minisign signature as in FORMAT.md section 3", have);
    if bytes.len() > limits::SIGNATURE {
        return Err(Refusal::new(
            Reason::Limit,
            subject,
            format_args!("at most {} bytes", limits::SIGNATURE),
            format_args!("{} bytes", bytes.len()),
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("bytes that are not ASCII"))?;
    if !text.bytes().all(|b| b == b'\n' || (0x20..=0x7e).contains(&b)) {
        return Err(malformed("a control or non-ASCII character"));
    }
    let body = text.strip_suffix('\n').ok_or_else(|| malformed("no line end after the last line"))?;
    let lines: Vec<&str> = body.split('\n').collect();
    let [untrusted, signature, trusted, global] = lines[..] else {
        return Err(malformed(&format!("{} lines", lines.len())));
    };
    let untrusted = untrusted.strip_prefix("untrusted comment: ").ok_or_else(|| malformed("no untrusted comment in line 1"))?;
    if untrusted.len() > 1024 {
        return Err(malformed("an untrusted comment over 1024 bytes"));
    }
    let trusted = trusted.strip_prefix("trusted comment: ").ok_or_else(|| malformed("no trusted comment in line 3"))?;
    let first = BASE64.decode(signature.as_bytes()).map_err(|e| malformed(&format!("line 2: {e}")))?;
    let second = BASE64.decode(global.as_bytes()).map_err(|e| malformed(&format!("line 4: {e}")))?;
    if first.len() != 74 || second.len() != 64 {
        return Err(malformed(&format!("{} and {} bytes of base64, not 74 and 64", first.len(), second.len())));
    }
    if first[..2] != *b"ED" {
        return Err(malformed("an algorithm other than ED (prehashed); sign with minisign -H"));
    }
    if trusted != comment {
        return Err(Refusal::new(Reason::WrongComment, subject, comment, trusted));
    }
    minisign_verify::Signature::decode(text).map_err(|e| malformed(&e.to_string()))
}
