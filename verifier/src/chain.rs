//! Gets the documents in the order of the core's types, and hands them to it: trust, head, index, group files.
//!
//! It decides nothing: a document that is accepted was accepted by `proofmark_core::admission`. It parses nothing that the core
//! has not vouched for, but `latest`, which is only a hint.

use crate::paths::signature;
use crate::source::{Memory, Source, absent};
use proofmark_core::admission::{Chain, Intent, Session, State};
use proofmark_core::digest::Digest;
use proofmark_core::group::Group;
use proofmark_core::halt::Halt;
use proofmark_core::head::Head;
use proofmark_core::index::Index;
use proofmark_core::json::{self, Document};
use proofmark_core::latest::Latest;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::signature::{digest_name, file_name, verify_document};
use proofmark_core::trust::{Role, Trust};
use proofmark_core::{Kind, Reason, Refusal, Result, SignedFile, Time, Verified, limits};
use std::cell::RefCell;

/// One reading of the documents, and all that it has read.
pub struct Reading<'a> {
    state: &'a State,
    now: Time,
    /// What the host has accepted before.
    cache: &'a dyn Source,
    /// A repository, if the reading is to go beyond that.
    repository: Option<&'a dyn Source>,
    seen: RefCell<Memory>,
}

impl<'a> Reading<'a> {
    /// What the host has, to start it or to look at it.
    pub fn cached(state: &'a State, now: Time, cache: &'a dyn Source) -> Self {
        Reading { state, now, cache, repository: None, seen: RefCell::default() }
    }

    /// What a repository offers, to change what the host has.
    pub fn offered(state: &'a State, now: Time, cache: &'a dyn Source, repository: &'a dyn Source) -> Self {
        Reading { state, now, cache, repository: Some(repository), seen: RefCell::default() }
    }

    /// All that was read, by its repository path: what is kept when the whole chain is accepted.
    pub fn seen(self) -> Memory {
        self.seen.into_inner()
    }

    /// Keeps a file that belongs to what is kept, but was not read through here.
    pub fn keep(&self, path: String, bytes: Vec<u8>) {
        self.seen.borrow_mut().0.insert(path, bytes);
    }

    /// The accepted chain, from what the host has: steps 1 to 9 of FORMAT.md section 7.1 but for step 2.
    pub fn accepted(&self) -> Result<Chain<'a>> {
        let none = || Refusal::new(Reason::State, "state.json", "an accepted head", "none");
        let head = self.state.head.as_ref().map(|mark| mark.version).ok_or_else(none)?;
        self.chain(self.state.trust.version, head)
    }

    /// Steps 1 to 9 but for step 2, where `latest` points.
    pub fn offered_chain(&self, latest: &Latest) -> Result<Chain<'a>> {
        match (latest.head, &self.state.head) {
            (0, None) => {
                let want = "a head: a repository gets its first one by proofmark head, after its first index";
                Err(Refusal::new(Reason::NoHead, format_args!("latest of {}", self.newest().name()), want, "no head yet"))
            }
            (0, Some(mark)) => {
                let want = format!("head {} or newer", mark.version);
                Err(Refusal::new(Reason::Rollback, format_args!("latest of {}", self.newest().name()), want, "no head yet"))
            }
            (head, _) => self.chain(latest.trust, head),
        }
    }

    /// Step 1: trust, as far as `version`, and at least as far as the host has come before.
    pub fn session(&self, version: u64) -> Result<Session<'a>> {
        let version = version.max(self.state.trust.version);
        match self.trust(self.cache, version) {
            // What the host has kept may be damaged: the repository's copies are judged by the same pins.
            Err(_) if self.repository.is_some() => {
                self.seen.borrow_mut().0.clear();
                self.trust(self.newest(), version)
            }
            other => other,
        }
    }

    /// Step 1 from what the host has kept, and no further than it has come before.
    pub fn accepted_session(&self) -> Result<Session<'a>> {
        self.trust(self.cache, self.state.trust.version)
    }

    fn chain(&self, trust: u64, head: u64) -> Result<Chain<'a>> {
        let newest = self.newest();
        let session = self.session(trust)?;
        let roles = &session.trust().roles;
        let file = self.signed(newest, Kind::Head, head, Head::LIMIT, &roles.head)?;
        let with_head = session.head(head, &file)?;
        let version = with_head.head().index.version;
        let file = self.signed(newest, Kind::Index, version, Index::LIMIT, &with_head.trust().roles.index)?;
        with_head.index(&file)
    }

    /// The group file that the index pins. `None`: the index has no such group.
    pub fn group(&self, chain: &Chain, name: &GroupName) -> Result<Option<Vec<u8>>> {
        let Some(pin) = chain.index().groups.get(name) else { return Ok(None) };
        self.pinned(pin.sha256).map(Some)
    }

    /// The group file under which something was staged: its digest is in the state.
    pub fn previous(&self, digest: Digest) -> Result<Group> {
        let bytes = self.pinned(digest)?;
        let path = group_path(digest);
        digest.check(Digest::of(&bytes), &path)?;
        json::parse(&bytes, &path)
    }

    fn newest(&self) -> &'a dyn Source {
        self.repository.unwrap_or(self.cache)
    }

    fn intent(&self) -> Intent {
        if self.repository.is_some() { Intent::Change } else { Intent::Start }
    }

    /// The hint: versions of the newest documents, and halts.
    pub fn latest(&self) -> Result<Latest> {
        let newest = self.newest();
        let bytes = newest.read("latest", Latest::LIMIT)?.ok_or_else(|| absent(newest, "latest"))?;
        json::parse(&bytes, "latest")
    }

    /// A halt that the accepted head lists, kept with its documents. `None`: nobody has these bytes.
    pub fn listed_halt(&self, digest: Digest) -> Option<Vec<u8>> {
        let path = digest_path(Kind::Halt, digest);
        let whole = |source: &dyn Source| source.read(&path, Halt::LIMIT).ok().flatten().filter(|bytes| Digest::of(bytes) == digest);
        let bytes = whole(self.cache).or_else(|| self.repository.and_then(whole))?;
        self.keep(path, bytes.clone());
        Some(bytes)
    }

    /// A document that a digest names, with its signatures, as the repository has it now: it is not kept. `None`: it has none.
    pub fn named(&self, kind: Kind, digest: Digest, limit: usize, role: &Role) -> Result<Option<SignedFile>> {
        let path = digest_path(kind, digest);
        let newest = self.newest();
        let Some(bytes) = newest.read(&path, limit)? else { return Ok(None) };
        let signatures = signatures(role.keys(), |name| newest.read(&signature(&path, name), limits::SIGNATURE))?;
        Ok(Some(SignedFile { bytes, signatures }))
    }

    /// Step 1: trust from the pinned one to `newest`. Accepted versions come from `accepted`, newer ones from the repository.
    fn trust(&self, accepted: &dyn Source, newest: u64) -> Result<Session<'a>> {
        let first = self.state.identity.first_trust_version;
        let file = self.first_trust(accepted, first)?;
        let mut session = Session::open(self.state, self.now, self.intent(), &file)?;
        while session.trust().version < newest {
            let version = session.trust().version + 1;
            let source = if version <= self.state.trust.version { accepted } else { self.newest() };
            let file = self.rotation(source, session.trust(), version)?;
            session.rotate(&file)?;
        }
        Ok(session)
    }

    /// The keys that sign the first trust are in it: its digest vouches for it, then it is parsed.
    fn first_trust(&self, source: &dyn Source, version: u64) -> Result<SignedFile> {
        let path = document_path(Kind::Trust, version);
        let bytes = self.read(source, &path, Trust::LIMIT)?.ok_or_else(|| self.lacking(source, &path))?;
        let find = |_: &Trust, name: &Name| self.read(source, &signature(&path, name), limits::SIGNATURE);
        pinned_trust(self.state.identity.first_trust, bytes, find).map(|(_, file)| file)
    }

    /// A rotation is signed by the keys of both: the new ones are known once the old ones have vouched for the document.
    fn rotation(&self, source: &dyn Source, current: &Verified<Trust>, version: u64) -> Result<SignedFile> {
        let mut file = self.signed(source, Kind::Trust, version, Trust::LIMIT, &current.roles.trust)?;
        let next: Verified<Trust> = verify_document(current, &current.roles.trust, Kind::Trust, version, &file)?;
        let path = document_path(Kind::Trust, version);
        let more = next.roles.trust.keys().filter(|key| !current.roles.trust.has_key(key));
        file.signatures.extend(signatures(more, |name| self.read(source, &signature(&path, name), limits::SIGNATURE))?);
        Ok(file)
    }

    fn signed(&self, source: &dyn Source, kind: Kind, version: u64, limit: usize, role: &Role) -> Result<SignedFile> {
        let path = document_path(kind, version);
        let bytes = self.read(source, &path, limit)?.ok_or_else(|| self.lacking(source, &path))?;
        let signatures = signatures(role.keys(), |name| self.read(source, &signature(&path, name), limits::SIGNATURE))?;
        Ok(SignedFile { bytes, signatures })
    }

    /// A group file by its digest: the host's own copy if it is whole, else the repository's.
    fn pinned(&self, digest: Digest) -> Result<Vec<u8>> {
        let path = group_path(digest);
        if let Some(bytes) = self.read(self.cache, &path, Group::LIMIT)?
            && (self.repository.is_none() || Digest::of(&bytes) == digest)
        {
            return Ok(bytes);
        }
        let newest = self.newest();
        self.read(newest, &path, Group::LIMIT)?.ok_or_else(|| self.lacking(newest, &path))
    }

    fn read(&self, source: &dyn Source, path: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        let bytes = source.read(path, limit)?;
        if let Some(bytes) = &bytes {
            self.keep(path.to_owned(), bytes.clone());
        }
        Ok(bytes)
    }

    fn lacking(&self, source: &dyn Source, path: &str) -> Refusal {
        if self.repository.is_none() {
            return Refusal::new(
                Reason::State,
                path,
                "the document that was accepted; proofmark-verifier update gets it again",
                "no such file",
            );
        }
        if path.starts_with("trust/") {
            return Refusal::new(Reason::TrustMissing, path, "every trust document", format_args!("{} has none", source.name()));
        }
        absent(source, path)
    }
}

/// The first trust with its signatures, which `find` gets by the names of the keys in it. Its digest has vouched for it, nothing
/// else yet.
pub fn pinned_trust(
    pin: Digest,
    bytes: Vec<u8>,
    mut find: impl FnMut(&Trust, &Name) -> Result<Option<Vec<u8>>>,
) -> Result<(Trust, SignedFile)> {
    let have = Digest::of(&bytes);
    if have != pin {
        return Err(Refusal::new(Reason::TrustPin, "trust", format_args!("sha256 {pin}"), format_args!("sha256 {have}")));
    }
    let trust: Trust = json::parse(&bytes, "trust")?;
    let signatures = signatures(trust.roles.trust.keys(), |name| find(&trust, name))?;
    Ok((trust, SignedFile { bytes, signatures }))
}

/// The signatures that are there, each key once.
pub fn signatures<'k>(
    keys: impl Iterator<Item = &'k Name>,
    mut find: impl FnMut(&Name) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<(Name, Vec<u8>)>> {
    let mut found = Vec::new();
    for key in keys {
        if let Some(bytes) = find(key)? {
            found.push((key.clone(), bytes));
        }
    }
    Ok(found)
}

/// `KIND/N.KIND.json`
pub fn document_path(kind: Kind, version: u64) -> String {
    format!("{}/{}", kind.word(), file_name(kind, version))
}

/// `KIND/DIGEST.KIND.json`
pub fn digest_path(kind: Kind, digest: Digest) -> String {
    format!("{}/{}", kind.word(), digest_name(kind, digest))
}

/// `group/DIGEST.group.json`
pub fn group_path(digest: Digest) -> String {
    format!("group/{digest}.group.json")
}
