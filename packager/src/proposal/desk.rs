//! Where proposals lie: `proposals/` of a repository, and directories of files that came by mail. Each signer needs his own key, a
//! proposal from either place, and nothing of the other signers'.
//!
//! A desk collects what is there; it never says that it suffices. It never puts two documents of one name on each other.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use proofmark_core::signature::SignedFile;
use proofmark_core::trust::{Role, Trust};
use proofmark_core::{Digest, limits};

use super::{ProposalError, Subject};
use crate::repository::signatures::{self, Slot};
use crate::repository::{Repository, RepositoryError, claim, create_same};
use crate::store::{Directory, Store, Stored};

/// The places where one may look for a proposal, and the one where what is new is put.
pub struct Desk<'a> {
    repository: &'a Repository,
    mailed: Vec<Directory>,
    out: Option<Directory>,
}

/// Who may sign a document: a trust document and one of its roles. A rotation has two.
pub type Judge<'a> = (&'a Trust, &'a Role);

impl<'a> Desk<'a> {
    /// The repository alone.
    pub fn of(repository: &'a Repository) -> Self {
        Desk { repository, mailed: Vec::new(), out: None }
    }

    /// Mailed directories first. What is new goes to `out`, else to the first mailed one, else to the repository.
    pub fn new(repository: &'a Repository, mailed: &[PathBuf], out: Option<&Path>) -> Self {
        Desk { repository, mailed: mailed.iter().map(|path| Directory::new(path)).collect(), out: out.map(Directory::new) }
    }

    /// The repository, for trust and for what is published.
    pub fn repository(&self) -> &'a Repository {
        self.repository
    }

    /// Every open proposal: those of the mailed directories, or, where there are none, those of the repository after what is published.
    pub fn open(&self) -> Result<Vec<Subject>, ProposalError> {
        let mut found = Vec::new();
        for directory in &self.mailed {
            found.extend(directory.list("").map_err(RepositoryError::from)?.iter().filter_map(|name| Subject::of_file(name)));
        }
        if self.mailed.is_empty() {
            let names = self.repository.store().list("proposals").map_err(RepositoryError::from)?;
            let newest = self.repository.newest_index()?;
            let trust = self.repository.trust().version;
            found.extend(names.iter().filter_map(|name| name.parse().ok()).filter(|subject| match subject {
                Subject::Index(version) => *version > newest,
                Subject::Trust(version) => *version > trust,
                Subject::Resume(_) | Subject::Adopt(_) => true,
            }));
        }
        found.sort();
        found.dedup();
        // A resume that is in place is no longer open.
        let mut open = Vec::new();
        for subject in found {
            let placed = match subject {
                Subject::Resume(_) => self.repository.read(&format!("resume/{}", subject.file()), limits::HALT)?.is_some(),
                _ => false,
            };
            open.extend((!placed).then_some(subject));
        }
        Ok(open)
    }

    /// The proposal that a person means: by its whole name, or by the beginning of the name of an open one; the only open one where none
    /// is named.
    pub fn find(&self, named: Option<&str>) -> Result<Subject, ProposalError> {
        if let Some(subject) = named.and_then(|text| text.parse().ok()) {
            return Ok(subject);
        }
        let mut open = self.open()?;
        open.retain(|subject| match named {
            Some(text) => subject.to_string().starts_with(text),
            // An adopt document is never put in place, so that it stays open: it is asked for by its name.
            None => !matches!(subject, Subject::Adopt(_)) || !self.mailed.is_empty(),
        });
        match (open[..].first(), open.len()) {
            (None, _) => Err(ProposalError::Nothing(named.map(str::to_owned))),
            (Some(subject), 1) => Ok(*subject),
            _ => Err(ProposalError::Several(open)),
        }
    }

    /// The proposal that a person wants to publish. Where none is named and none is open, the newest index once more: a run that was cut
    /// off before `latest` is completed by the same command.
    pub fn find_to_publish(&self, named: Option<&str>) -> Result<Subject, ProposalError> {
        let found = self.find(named);
        // A mailed directory without a proposal is a slip, and not answered with what is published.
        let (Err(ProposalError::Nothing(None)), true) = (&found, self.mailed.is_empty()) else { return found };
        match Subject::Index(self.repository.newest_index()?) {
            subject @ Subject::Index(1..) if self.document(subject)?.is_some() => Ok(subject),
            _ => found,
        }
    }

    fn places(&self, subject: Subject) -> impl Iterator<Item = (&dyn Store, String)> {
        let mailed = self.mailed.iter().map(|store| (store as &dyn Store, String::new()));
        mailed.chain([(self.repository.store(), format!("{}/", subject.directory()))])
    }

    /// The document, which must be the same wherever it lies.
    pub fn document(&self, subject: Subject) -> Result<Option<Vec<u8>>, ProposalError> {
        let mut found: Option<Vec<u8>> = None;
        for (store, directory) in self.places(subject) {
            // The largest limit of them all; the core applies the document's own.
            let path = format!("{directory}{}", subject.file());
            let Some(bytes) = store.read(&path, limits::INDEX).map_err(RepositoryError::from)? else { continue };
            match &found {
                Some(first) if *first != bytes => {
                    return Err(ProposalError::Taken { subject, there: Digest::of(&bytes), new: Digest::of(first) });
                }
                _ => found = Some(bytes),
            }
        }
        Ok(found)
    }

    /// The document with every signature that lies beside it anywhere, by keys of the judges' roles.
    pub fn signed(&self, subject: Subject, judges: &[Judge<'_>]) -> Result<SignedFile, ProposalError> {
        let bytes = self.document(subject)?.ok_or(ProposalError::None(subject))?;
        let mut found = BTreeMap::new();
        for (store, directory) in self.places(subject) {
            let path = format!("{directory}{}", subject.file());
            let keys = judges.iter().flat_map(|(_, role)| role.keys());
            for (key, signature) in signatures::beside(store, &path, keys)? {
                found.entry(key).or_insert(signature);
            }
        }
        Ok(SignedFile { bytes, signatures: found.into_iter().collect() })
    }

    /// Another file of the proposal.
    pub fn read(&self, subject: Subject, name: &str, limit: usize) -> Result<Option<Vec<u8>>, ProposalError> {
        for (store, directory) in self.places(subject) {
            if let Some(bytes) = store.read(&format!("{directory}{name}"), limit).map_err(RepositoryError::from)? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Writes a proposal, or what is new of it: other files, signatures, then the document. Returns where.
    ///
    /// # Errors
    /// [`ProposalError::Taken`] where another document of that name lies in any of the places.
    pub fn write(
        &self,
        subject: Subject,
        judges: &[Judge<'_>],
        file: &SignedFile,
        others: &BTreeMap<String, Vec<u8>>,
    ) -> Result<String, ProposalError> {
        self.check_free(subject, &file.bytes)?;
        let (store, directory) = match (&self.out, self.mailed.first()) {
            (Some(out), _) => (out as &dyn Store, String::new()),
            (None, Some(first)) => (first as &dyn Store, String::new()),
            (None, None) => (self.repository.store(), format!("{}/", subject.directory())),
        };
        for (name, bytes) in others {
            create_same(store, &format!("{directory}{name}"), bytes)?;
        }
        let path = format!("{directory}{}", subject.file());
        claim(store, &path, &file.bytes)?;
        let visible = store.read(&path, limits::INDEX).map_err(RepositoryError::from)?.is_some();
        for (key, signature) in &file.signatures {
            let judge = judges.iter().find(|(_, role)| role.has_key(key));
            let Some((trust, role)) = judge else { continue };
            let slot = Slot { trust, role, kind: subject.kind(), version: subject.version(), path: &path };
            let mut bytes = || Ok(Box::new(Cursor::new(file.bytes.clone())) as Box<dyn Stored>);
            signatures::place(store, &slot, key, signature, visible, &mut bytes)?;
        }
        create_same(store, &path, &file.bytes)?;
        Ok(if directory.is_empty() { store.place() } else { directory.trim_end_matches('/').to_owned() })
    }

    /// Refuses a document whose name another proposal has.
    pub fn check_free(&self, subject: Subject, bytes: &[u8]) -> Result<(), ProposalError> {
        let mut places: Vec<(&dyn Store, String)> = self.places(subject).collect();
        places.extend(self.out.iter().map(|out| (out as &dyn Store, String::new())));
        for (store, directory) in places {
            let path = format!("{directory}{}", subject.file());
            match store.read(&path, limits::INDEX).map_err(RepositoryError::from)? {
                Some(there) if there != bytes => {
                    return Err(ProposalError::Taken { subject, there: Digest::of(&there), new: Digest::of(bytes) });
                }
                _ => {}
            }
        }
        Ok(())
    }
}
