//! A release repository (FORMAT.md section 2): every read goes through the core, every write is made once.
//!
//! Writers put signatures first, then the document, then `latest`; a writer that was cut off is healed by doing it again. This file
//! must never replace a document, nor a signature of a document that is there, and must never believe `latest`.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use proofmark_core::group::Group;
use proofmark_core::head::Head;
use proofmark_core::index::Index;
use proofmark_core::json::{self, Document};
use proofmark_core::latest::Latest;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::signature::{self, Kind, SignedFile, Verified, file_name};
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Reason, limits};

use crate::sbom;
use crate::signing;
use crate::store::{Lock, Store, Stored};

mod error;
mod paths;

pub use error::RepositoryError;
pub use paths::{buildinfo_path, bundle_path, document_path, group_path, proposal_directory, sbom_path};
use paths::{plain_number, versions};

/// A repository whose trust has been walked from version 1.
pub struct Repository {
    store: Box<dyn Store>,
    trust: Verified<Trust>,
    first_trust: Digest,
}

/// An index and its group files, all verified.
pub struct Published {
    /// The index.
    pub index: Verified<Index>,
    /// Every group file it pins.
    pub groups: BTreeMap<GroupName, Verified<Group>>,
}

impl Repository {
    /// Makes a new repository from its first trust document, which the core must accept.
    ///
    /// # Errors
    /// [`RepositoryError::Different`] when there is a repository already.
    pub fn create(store: Box<dyn Store>, bytes: &[u8], signatures: &[(Name, Vec<u8>)]) -> Result<Self, RepositoryError> {
        let file = SignedFile { bytes: bytes.to_vec(), signatures: signatures.to_vec() };
        let trust = Trust::self_signed(&file)?;
        if trust.version != 1 {
            let refusal = proofmark_core::Refusal::new(Reason::Trust, "trust", "version 1 in a new repository", trust.version);
            return Err(refusal.into());
        }
        let _lock = store.lock()?;
        let path = document_path(Kind::Trust, 1);
        if let Some(there) = store.read(&path, limits::TRUST)? {
            return Err(RepositoryError::Different { path, there: Digest::of(&there), new: trust.digest() });
        }
        for (name, signature) in signatures {
            // No trust document was there, so that a signature can only be one of an attempt that was cut off.
            store.replace(&format!("{path}.{name}.minisig"), signature)?;
        }
        create_same(&*store, &path, bytes)?;
        let first_trust = trust.digest();
        let repository = Repository { store, trust, first_trust };
        repository.update_latest()?;
        Ok(repository)
    }

    /// Opens a repository: trust 1 must have the pinned digest (or, without a pin, be signed by its own role), and each next one be a
    /// rotation of the one before.
    pub fn open(store: Box<dyn Store>, pin: Option<Digest>) -> Result<Self, RepositoryError> {
        let first = trust_file(&*store, 1)?.ok_or_else(|| RepositoryError::NoRepository(store.place()))?;
        let mut trust = match pin {
            Some(pin) => Trust::pinned(pin, &first)?,
            None => Trust::self_signed(&first)?,
        };
        let first_trust = trust.digest();
        while let Some(next) = trust_file(&*store, trust.version + 1)? {
            if trust.version > limits::ROTATIONS {
                let refusal = proofmark_core::Refusal::new(
                    Reason::Limit,
                    "trust",
                    format_args!("at most {} rotations", limits::ROTATIONS),
                    "one more",
                );
                return Err(refusal.into());
            }
            trust = Trust::rotate(&trust, &next)?;
        }
        Ok(Repository { store, trust, first_trust })
    }

    /// Newest trust.
    pub fn trust(&self) -> &Verified<Trust> {
        &self.trust
    }
    /// SHA-256 of trust 1: what hosts pin.
    pub fn first_trust(&self) -> Digest {
        self.first_trust
    }
    /// Where it is, for messages.
    pub fn place(&self) -> String {
        self.store.place()
    }
    /// The only writer's right.
    pub fn lock(&self) -> Result<Box<dyn Lock>, RepositoryError> {
        Ok(self.store.lock()?)
    }

    /// Highest version of which there is a document in the kind's directory; 0 where there is none.
    pub fn newest(&self, kind: Kind) -> Result<u64, RepositoryError> {
        Ok(versions(&self.store.list(kind.word())?, kind).last().copied().unwrap_or(0))
    }

    /// Versions of all proposals, ascending.
    pub fn proposals(&self) -> Result<Vec<u64>, RepositoryError> {
        let mut found: Vec<u64> = self.store.list("proposals")?.iter().filter_map(|name| plain_number(name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// The newest index and all its group files; `None` before the first.
    pub fn published(&self) -> Result<Option<Published>, RepositoryError> {
        match self.newest(Kind::Index)? {
            0 => Ok(None),
            version => self.published_version(version).map(Some),
        }
    }

    /// An index, verified under the newest trust, and its group files.
    pub fn published_version(&self, version: u64) -> Result<Published, RepositoryError> {
        let path = document_path(Kind::Index, version);
        let file = self.signed_file(Kind::Index.word(), Kind::Index, version)?.ok_or_else(|| self.missing(&path))?;
        let index = Index::verify(&self.trust, version, &file)?;
        let mut groups = BTreeMap::new();
        for (name, pin) in &index.groups {
            let path = group_path(pin.sha256);
            let bytes = self.store.read(&path, limits::GROUP)?.ok_or_else(|| self.missing(&path))?;
            groups.insert(name.clone(), Group::verify(&self.trust, &index, name, &bytes)?);
        }
        Ok(Published { index, groups })
    }

    /// The newest head, if there is one: its version, and itself where it verifies under the newest trust (after a rotation of its key it does not).
    pub fn newest_head(&self) -> Result<(u64, Option<Verified<Head>>), RepositoryError> {
        let version = self.newest(Kind::Head)?;
        let file = self.signed_file(Kind::Head.word(), Kind::Head, version)?;
        Ok((version, file.and_then(|file| Head::verify(&self.trust, version, &file).ok())))
    }

    /// A document in `directory` with the signatures beside it by keys of its role: bytes to verify, not believed.
    pub fn signed_file(&self, directory: &str, kind: Kind, version: u64) -> Result<Option<SignedFile>, RepositoryError> {
        let file = file_name(kind, version);
        // The largest limit of them all; the core applies the document's own.
        let Some(bytes) = self.store.read(&format!("{directory}/{file}"), limits::INDEX)? else { return Ok(None) };
        Ok(Some(SignedFile { bytes, signatures: self.signatures(&format!("{directory}/{file}"), kind)? }))
    }

    /// Signatures beside `path` by keys of the kind's role.
    pub fn signatures(&self, path: &str, kind: Kind) -> Result<Vec<(Name, Vec<u8>)>, RepositoryError> {
        let mut found = BTreeMap::new();
        for name in signing::role(&self.trust, kind).keys() {
            if let Some(bytes) = self.store.read(&format!("{path}.{name}.minisig"), limits::SIGNATURE)? {
                found.insert(name.clone(), bytes);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// A file's bytes.
    pub fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, RepositoryError> {
        Ok(self.store.read(path, limit)?)
    }

    /// A file, for reading in pieces.
    pub fn open_file(&self, path: &str) -> Result<Box<dyn Stored>, RepositoryError> {
        self.store.open(path)?.ok_or_else(|| self.missing(path))
    }

    /// Names of the files in a directory, sorted.
    pub fn list(&self, directory: &str) -> Result<Vec<String>, RepositoryError> {
        Ok(self.store.list(directory)?)
    }

    /// Makes a file whose name is its digest; the reader ends in an error where it is not. `false`: it is there already.
    pub fn create_input(&self, path: &str, content: &mut dyn Read) -> Result<bool, RepositoryError> {
        Ok(self.store.create(path, content)?)
    }

    /// Writes a file once: the same bytes again are fine, others are refused.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<(), RepositoryError> {
        create_same(&*self.store, path, bytes)
    }

    /// Writes a versioned document to `directory`: signatures first. `check` is asked before the document becomes visible, with every
    /// signature that a reader will find beside it.
    pub fn write_signed(
        &self,
        directory: &str,
        kind: Kind,
        version: u64,
        file: &SignedFile,
        check: &dyn Fn(&SignedFile) -> proofmark_core::Result<()>,
    ) -> Result<(), RepositoryError> {
        let name = file_name(kind, version);
        let path = format!("{directory}/{name}");
        let there = self.store.read(&path, limits::INDEX)?;
        if let Some(there) = &there
            && *there != file.bytes
        {
            return Err(RepositoryError::Different { path, there: Digest::of(there), new: Digest::of(&file.bytes) });
        }
        for (key, signature) in &file.signatures {
            let mut bytes = || Ok(Box::new(Cursor::new(file.bytes.clone())) as Box<dyn Stored>);
            self.write_signature(&path, kind, Some(version), key, signature, there.is_some(), &mut bytes)?;
        }
        let visible = SignedFile { bytes: file.bytes.clone(), signatures: self.signatures(&path, kind)? };
        check(&visible)?;
        self.write(&path, &file.bytes)
    }

    /// Adds a signature to a file. One that is there already and verifies stays; signatures of minisign are never the same twice.
    ///
    /// One that does not verify is in the way: it is refused when the file is visible, and replaced when it is not.
    #[allow(clippy::too_many_arguments, reason = "what a signature is bound to, and the two things that decide what happens to an old one")]
    pub fn write_signature(
        &self,
        path: &str,
        kind: Kind,
        version: Option<u64>,
        key: &Name,
        signature: &[u8],
        visible: bool,
        content: &mut dyn FnMut() -> Result<Box<dyn Stored>, RepositoryError>,
    ) -> Result<(), RepositoryError> {
        let place = format!("{path}.{key}.minisig");
        let Some(there) = self.store.read(&place, limits::SIGNATURE)? else {
            self.store.create(&place, &mut &*signature)?;
            return Ok(());
        };
        if there == signature {
            return Ok(());
        }
        let file = path.rsplit('/').next().unwrap_or(path);
        let comment = signature::comment(&self.trust.repository, kind, version, file);
        let role = signing::role(&self.trust, kind);
        let candidates = [(key.clone(), there)];
        match signature::verify_signatures(&self.trust, role, &comment, file, &candidates, &mut content()?, &|_, _| Ok(())) {
            Ok(_) => Ok(()),
            Err(refusal) if visible || refusal.reason() == Reason::Io => Err(refusal.into()),
            Err(_) => Ok(self.store.replace(&place, signature)?),
        }
    }

    /// Writes a bundle and what belongs beside it: signature, buildinfo and its SBOM, then the bundle. The caller has checked it with the core.
    pub fn write_bundle(
        &self,
        digest: Digest,
        file: &str,
        buildinfo: &[u8],
        signature: (&Name, &[u8]),
        content: &mut dyn FnMut() -> Result<Box<dyn Stored>, RepositoryError>,
    ) -> Result<(), RepositoryError> {
        let path = bundle_path(digest, file);
        let visible = self.store.open(&path)?;
        let is_visible = visible.is_some();
        if let Some(mut visible) = visible {
            let there = Digest::of_reader(&mut visible)
                .map_err(|error| proofmark_core::Refusal::new(Reason::Io, &path, "a readable file", error))?
                .0;
            if there != digest {
                return Err(RepositoryError::Different { path, there, new: digest });
            }
        }
        self.write_signature(&path, Kind::Bundle, None, signature.0, signature.1, is_visible, content)?;
        self.write(&buildinfo_path(digest, file), buildinfo)?;
        self.write(&sbom_path(digest, file), &sbom::sbom(buildinfo, file)?)?;
        if !is_visible {
            self.store.create(&path, &mut content()?)?;
        }
        Ok(())
    }

    /// Computes `latest` from what is there and puts it in place: the step that publishes.
    pub fn update_latest(&self) -> Result<Latest, RepositoryError> {
        let (head, verified) = match self.newest(Kind::Head)? {
            0 => (0, None),
            _ => self.newest_head()?,
        };
        let latest = Latest {
            format: 1,
            kind: Latest::KIND.into(),
            trust: self.trust.version,
            index: self.newest(Kind::Index)?,
            head,
            halts: verified.map(|head| head.halts.clone()).unwrap_or_default(),
        };
        let bytes = json::print(&latest);
        json::parse::<Latest>(&bytes, "latest")?;
        if self.store.read("latest", limits::LATEST)?.is_none_or(|there| there != bytes) {
            self.store.replace("latest", &bytes)?;
        }
        Ok(latest)
    }

    fn missing(&self, path: &str) -> RepositoryError {
        RepositoryError::Missing { path: path.into(), place: self.place() }
    }
}

/// Trust N with every signature beside it: those of N's keys and those of the document's own, which are not known before it is read.
fn trust_file(store: &dyn Store, version: u64) -> Result<Option<SignedFile>, RepositoryError> {
    let file = file_name(Kind::Trust, version);
    let Some(bytes) = store.read(&format!("trust/{file}"), limits::TRUST)? else { return Ok(None) };
    let mut signatures = Vec::new();
    for entry in store.list("trust")? {
        let key = entry.strip_prefix(&format!("{file}.")).and_then(|rest| rest.strip_suffix(".minisig"));
        let Some(Ok(key)) = key.map(str::parse::<Name>) else { continue };
        signatures.extend(store.read(&format!("trust/{entry}"), limits::SIGNATURE)?.map(|bytes| (key, bytes)));
        if signatures.len() > limits::KEYS {
            let refusal = proofmark_core::Refusal::new(Reason::Limit, file, format_args!("at most {} signatures", limits::KEYS), "more");
            return Err(refusal.into());
        }
    }
    Ok(Some(SignedFile { bytes, signatures }))
}

fn create_same(store: &dyn Store, path: &str, bytes: &[u8]) -> Result<(), RepositoryError> {
    if store.create(path, &mut &*bytes)? {
        return Ok(());
    }
    match store.read(path, bytes.len())? {
        Some(there) if there == bytes => Ok(()),
        there => {
            Err(RepositoryError::Different { path: path.into(), there: Digest::of(&there.unwrap_or_default()), new: Digest::of(bytes) })
        }
    }
}
