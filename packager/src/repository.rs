//! A release repository (FORMAT.md section 2): every read goes through the core, every write is made once.
//!
//! Writers put signatures first, then the document, then `latest`; a writer that was cut off is healed by doing it again. This file
//! must never replace a document, nor a signature of a document that is there, and must never believe `latest`.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use proofmark_core::group::Group;
use proofmark_core::index::Index;
use proofmark_core::json::{self, Document};
use proofmark_core::latest::Latest;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::signature::{Kind, SignedFile, Verified, file_name};
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Reason, limits};

use crate::halts;
use crate::sbom;
use crate::signing;
use crate::store::{Lock, ROUNDS, Store, StoreError, Stored};

mod error;
mod heads;
mod paths;
pub(crate) mod signatures;

pub use error::RepositoryError;
pub use heads::Heads;
pub(crate) use paths::plain_number;
use paths::versions;
pub use paths::{buildinfo_path, bundle_path, document_path, group_path, sbom_path};
use signatures::Slot;

/// A repository whose trust has been walked from version 1.
pub struct Repository {
    store: Box<dyn Store>,
    /// Every trust document from version 1 on; never empty.
    trusts: Vec<Verified<Trust>>,
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
        claim(&*store, &path, bytes)?;
        for (name, signature) in signatures {
            // No trust document was there, so that a signature can only be one of an attempt that was cut off.
            store.replace(&format!("{path}.{name}.minisig"), signature)?;
        }
        create_same(&*store, &path, bytes)?;
        let repository = Repository { store, trusts: vec![trust] };
        repository.update_latest()?;
        Ok(repository)
    }

    /// Opens a repository: trust 1 must have the pinned digest (or, without a pin, be signed by its own role), and each next one be a
    /// rotation of the one before.
    pub fn open(store: Box<dyn Store>, pin: Option<Digest>) -> Result<Self, RepositoryError> {
        match Self::open_as_far(store, pin)? {
            (repository, None) => Ok(repository),
            (_, Some(error)) => Err(error),
        }
    }

    /// The same, as far as the chain of trust goes, and what ends it where it does not end by itself. For who must not be stopped by a file
    /// that somebody has put there: a halt.
    pub fn open_as_far(store: Box<dyn Store>, pin: Option<Digest>) -> Result<(Self, Option<RepositoryError>), RepositoryError> {
        let first = trust_file(&*store, 1)?.ok_or_else(|| RepositoryError::NoRepository(store.place()))?;
        let mut trust = match pin {
            Some(pin) => Trust::pinned(pin, &first)?,
            None => Trust::self_signed(&first)?,
        };
        let mut trusts = vec![trust.clone()];
        let end = loop {
            let next = match trust_file(&*store, trust.version + 1) {
                Ok(None) => break None,
                Ok(Some(_)) if trust.version > limits::ROTATIONS => {
                    let want = format!("at most {} rotations", limits::ROTATIONS);
                    break Some(proofmark_core::Refusal::new(Reason::Limit, "trust", want, "one more").into());
                }
                Ok(Some(next)) => Trust::rotate(&trust, &next).map_err(RepositoryError::from),
                Err(error) => Err(error),
            };
            match next {
                Ok(next) => trust = next,
                Err(error) => break Some(error),
            }
            trusts.push(trust.clone());
        };
        Ok((Repository { store, trusts }, end))
    }

    /// Newest trust.
    pub fn trust(&self) -> &Verified<Trust> {
        // `create` and `open` put the first one in, and nothing takes one out.
        self.trusts.last().unwrap_or(&self.trusts[0])
    }
    /// Every trust document, version 1 first.
    pub fn trusts(&self) -> &[Verified<Trust>] {
        &self.trusts
    }
    /// SHA-256 of trust 1: what hosts pin.
    pub fn first_trust(&self) -> Digest {
        self.trusts[0].digest()
    }
    /// Where the files are.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }
    /// Where it is, for messages.
    pub fn place(&self) -> String {
        self.store.place()
    }
    /// The only writer's right.
    pub fn lock(&self) -> Result<Box<dyn Lock>, RepositoryError> {
        Ok(self.store.lock()?)
    }

    /// Version of the newest index that a trust of the chain accepts; 0 where there is none.
    ///
    /// `latest` says where to begin to look, so that the cost does not grow with history; versions of an index have no hole. A hint that
    /// leads nowhere costs a listing. What nobody has signed is in the way of its own version, and of nothing else.
    pub fn newest_index(&self) -> Result<u64, RepositoryError> {
        let hint = self.hint(Kind::Index)?;
        let mut newest = hint;
        if hint == 0 || !self.is_index(hint)? {
            let there = versions(&self.store.list(Kind::Index.word())?, Kind::Index);
            for version in there.into_iter().rev() {
                if self.is_index(version)? {
                    return Ok(version);
                }
            }
            return Ok(0);
        }
        while self.is_index(newest + 1)? {
            newest += 1;
        }
        Ok(newest)
    }

    /// Whether there is a file of that name at all.
    pub fn has_index(&self, version: u64) -> Result<bool, RepositoryError> {
        Ok(self.store.exists(&document_path(Kind::Index, version))?)
    }

    /// Whether there is an index of this version that a trust of the chain accepts.
    fn is_index(&self, version: u64) -> Result<bool, RepositoryError> {
        for trust in self.trusts.iter().rev() {
            let Some(file) = self.signed_under(trust, Kind::Index.word(), Kind::Index, version)? else { return Ok(false) };
            if Index::verify(trust, version, &file).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Versions of all documents of a kind that are there, ascending; nothing is said of what is in them.
    pub fn versions(&self, kind: Kind) -> Result<Vec<u64>, RepositoryError> {
        Ok(versions(&self.store.list(kind.word())?, kind))
    }

    /// The version of that kind that `latest` names, which is not believed; 0 where it names none.
    fn hint(&self, kind: Kind) -> Result<u64, RepositoryError> {
        let latest = self.store.read("latest", limits::LATEST)?.and_then(|bytes| json::parse::<Latest>(&bytes, "latest").ok());
        Ok(latest.map_or(0, |latest| if kind == Kind::Head { latest.head } else { latest.index }))
    }

    /// Versions of all proposals, ascending.
    pub fn proposals(&self) -> Result<Vec<u64>, RepositoryError> {
        let mut found: Vec<u64> = self.store.list("proposals")?.iter().filter_map(|name| plain_number(name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// The newest index and all its group files; `None` before the first.
    pub fn published(&self) -> Result<Option<Published>, RepositoryError> {
        match self.newest_index()? {
            0 => Ok(None),
            version => self.published_version(version).map(Some),
        }
    }

    /// An index, verified under the newest trust, and its group files.
    pub fn published_version(&self, version: u64) -> Result<Published, RepositoryError> {
        self.published_under(self.trust(), version)
    }

    /// An index and its group files, verified under one trust of the chain: after a rotation, old indexes are those of an old trust.
    pub fn published_under(&self, trust: &Trust, version: u64) -> Result<Published, RepositoryError> {
        let path = document_path(Kind::Index, version);
        let file = self.signed_under(trust, Kind::Index.word(), Kind::Index, version)?.ok_or_else(|| self.missing(&path))?;
        let index = Index::verify(trust, version, &file)?;
        let mut groups = BTreeMap::new();
        for (name, pin) in &index.groups {
            let path = group_path(pin.sha256);
            let bytes = self.store.read(&path, limits::GROUP)?.ok_or_else(|| self.missing(&path))?;
            groups.insert(name.clone(), Group::verify(trust, &index, name, &bytes)?);
        }
        Ok(Published { index, groups })
    }

    /// A document in `directory` with the signatures beside it by keys of its role: bytes to verify, not believed.
    pub fn signed_file(&self, directory: &str, kind: Kind, version: u64) -> Result<Option<SignedFile>, RepositoryError> {
        self.signed_under(self.trust(), directory, kind, version)
    }

    /// The same with the keys that a trust of the chain, or one that is proposed, gives the role.
    pub fn signed_under(&self, trust: &Trust, directory: &str, kind: Kind, version: u64) -> Result<Option<SignedFile>, RepositoryError> {
        let path = format!("{directory}/{}", file_name(kind, version));
        // The largest limit of them all; the core applies the document's own.
        let Some(bytes) = self.store.read(&path, limits::INDEX)? else { return Ok(None) };
        Ok(Some(SignedFile { bytes, signatures: self.signatures_under(trust, &path, kind)? }))
    }

    /// Signatures beside `path` by keys of the kind's role.
    pub fn signatures(&self, path: &str, kind: Kind) -> Result<Vec<(Name, Vec<u8>)>, RepositoryError> {
        self.signatures_under(self.trust(), path, kind)
    }

    /// The same with the keys that `trust` gives the role.
    pub fn signatures_under(&self, trust: &Trust, path: &str, kind: Kind) -> Result<Vec<(Name, Vec<u8>)>, RepositoryError> {
        signatures::beside(&*self.store, path, signing::role(trust, kind).keys())
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
        self.write_document(&format!("{directory}/{}", file_name(kind, version)), kind, Some(version), file, check)
    }

    /// The same for a document at any path, of a kind that may have no version.
    pub fn write_document(
        &self,
        path: &str,
        kind: Kind,
        version: Option<u64>,
        file: &SignedFile,
        check: &dyn Fn(&SignedFile) -> proofmark_core::Result<()>,
    ) -> Result<(), RepositoryError> {
        let there = self.store.read(path, limits::INDEX)?;
        if let Some(there) = &there
            && *there != file.bytes
        {
            return Err(RepositoryError::Different { path: path.into(), there: Digest::of(there), new: Digest::of(&file.bytes) });
        }
        claim(&*self.store, path, &file.bytes)?;
        for (key, signature) in &file.signatures {
            let mut bytes = || Ok(Box::new(Cursor::new(file.bytes.clone())) as Box<dyn Stored>);
            self.write_signature(path, kind, version, key, signature, there.is_some(), &mut bytes)?;
        }
        let visible = SignedFile { bytes: file.bytes.clone(), signatures: self.signatures(path, kind)? };
        check(&visible)?;
        self.write(path, &file.bytes)
    }

    /// Adds a signature to a file, by a key of the newest trust: see `signatures::place`.
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
        let trust = self.trust();
        let slot = Slot { trust, role: signing::role(trust, kind), kind, version, path };
        signatures::place(&*self.store, &slot, key, signature, visible, content)
    }

    /// Writes the trust document after the newest one, which the core has accepted: signatures first. Hosts follow with the next head.
    pub fn write_rotation(&self, next: &Verified<Trust>, file: &SignedFile) -> Result<(), RepositoryError> {
        let path = document_path(Kind::Trust, next.version);
        if let Some(there) = self.store.read(&path, limits::TRUST)?
            && there != file.bytes
        {
            return Err(RepositoryError::Different { path, there: Digest::of(&there), new: next.digest() });
        }
        claim(&*self.store, &path, &file.bytes)?;
        for (key, signature) in &file.signatures {
            let trust: &Trust = if self.trust().roles.trust.has_key(key) { self.trust() } else { next };
            let slot = Slot { trust, role: &trust.roles.trust, kind: Kind::Trust, version: Some(next.version), path: &path };
            let mut bytes = || Ok(Box::new(Cursor::new(file.bytes.clone())) as Box<dyn Stored>);
            signatures::place(&*self.store, &slot, key, signature, false, &mut bytes)?;
        }
        self.write(&path, &file.bytes)
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
    ///
    /// Needs no lock, and never goes back: what others have written meanwhile makes it look again.
    pub fn update_latest(&self) -> Result<Latest, RepositoryError> {
        for _ in 0..ROUNDS {
            // First what is there, then what it is to be: whoever puts an older answer in place of a newer one has read before it.
            let there = self.store.read_stamped("latest", limits::LATEST)?;
            let latest = self.compute_latest()?;
            let bytes = json::print(&latest);
            json::parse::<Latest>(&bytes, "latest")?;
            let is_new = there.as_ref().is_none_or(|(there, _)| *there != bytes);
            if !is_new || self.store.swap("latest", &bytes, there.map(|(_, stamp)| stamp).as_ref())? {
                return Ok(latest);
            }
        }
        Err(StoreError::Raced("latest".into()).into())
    }

    fn compute_latest(&self) -> Result<Latest, RepositoryError> {
        let Heads { current, newest, .. } = self.heads()?;
        Ok(Latest {
            format: 1,
            kind: Latest::KIND.into(),
            // Hosts need the trust that the head pins, and no newer one: a rotation reaches them with the next head.
            trust: current.as_ref().map_or(self.trust().version, |head| head.trust.version),
            index: self.newest_index()?,
            head: newest,
            halts: halts::for_latest(self, current.as_ref())?,
        })
    }

    pub(crate) fn missing(&self, path: &str) -> RepositoryError {
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

/// Takes the right to write a document, before its first signature is written.
pub(crate) fn claim(store: &dyn Store, path: &str, bytes: &[u8]) -> Result<(), RepositoryError> {
    let new = Digest::of(bytes);
    match store.claim(path, new)? {
        None => Ok(()),
        Some(there) => Err(RepositoryError::Claimed { path: path.into(), there, new }),
    }
}

pub(crate) fn create_same(store: &dyn Store, path: &str, bytes: &[u8]) -> Result<(), RepositoryError> {
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
