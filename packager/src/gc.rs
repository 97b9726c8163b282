//! Room: which files of a repository no kept index needs any more, and their removal.
//!
//! What is kept is decided first, from documents that were verified; what is not understood is kept. Trust, halts and resumes are the chain
//! that hosts walk: this file must never name one of them, nor anything that the newest index, a rollback target or an open proposal
//! names, nor anything young enough to be the work of somebody who is writing now.

use std::collections::BTreeSet;
use std::io::BufReader;

use proofmark_core::group::Group;
use proofmark_core::index::Index;
use proofmark_core::json;
use proofmark_core::signature::Kind;
use proofmark_core::{Digest, Time, limits};

use crate::claim::Claim;
use crate::history;
use crate::proposal::Subject;
use crate::repository::{Published, Repository, RepositoryError, plain_number};
use crate::store::Found;

/// Where there may be something to remove, in the order of removal: what names comes before what is named.
const DIRECTORIES: [&str; 6] = ["index", "proposals", "group", "head", "bundles", "inputs"];
/// Bytes of a buildinfo that are looked through for inputs.
const BUILDINFO: usize = 16 << 20;

/// What to keep, besides what must be kept.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// So many of the newest indexes, and all that they name; at least 1.
    pub indexes: u64,
    /// So many of the newest heads; at least 1.
    pub heads: u64,
    /// Nothing that was written within so many seconds is removed: somebody may be about to name it.
    pub seconds: i64,
}

/// What is needed.
#[derive(Debug, Default)]
struct Needed {
    indexes: BTreeSet<u64>,
    groups: BTreeSet<Digest>,
    bundles: BTreeSet<Digest>,
    inputs: BTreeSet<String>,
    all_inputs: bool,
}

/// Files that nothing kept needs, in the order in which they are to be removed. Reads, and changes nothing.
///
/// # Errors
/// When a kept index, or anything that it names, is missing or does not verify: then it is not known what is needed.
pub fn find(repository: &Repository, policy: Policy, now: Time) -> Result<Vec<Found>, RepositoryError> {
    let newest = repository.newest_index()?;
    let mut files = Vec::new();
    for directory in DIRECTORIES {
        files.extend(repository.store().walk(directory)?);
    }
    let mut needed = Needed::default();
    let oldest = newest.saturating_sub(policy.indexes.max(1) - 1).max(1);
    for version in oldest..=newest {
        needed.add(&history::published(repository, version)?.0)?;
    }
    let heads = needed.add_heads(repository, policy, newest)?;
    needed.add_ways_back(repository, newest)?;
    for file in files.iter().filter(|file| is_open(&file.path, repository, newest)) {
        needed.add_proposed(repository, &file.path)?;
    }
    needed.add_inputs(repository, &files)?;
    let is_old = |file: &Found| file.written < now.unix().saturating_sub(policy.seconds);
    let (signatures, documents): (Vec<Found>, Vec<Found>) = files
        .into_iter()
        .filter(|file| is_old(file) && !needed.has(&file.path, repository, (newest, &heads)))
        .partition(|file| file.path.ends_with(".minisig"));
    // A document goes before its signatures: nobody sees it without them.
    Ok(documents.into_iter().chain(signatures).collect())
}

/// Removes what [`find`] has found. Cut off, it is completed by finding and removing again.
pub fn remove(repository: &Repository, files: &[Found]) -> Result<(), RepositoryError> {
    for file in files {
        crate::interrupt::check().map_err(crate::store::StoreError::from)?;
        repository.store().remove(&file.path)?;
    }
    // Whoever wrote meanwhile, what is to be kept is there, or somebody hears of it now and not from a host.
    let newest = repository.newest_index()?;
    if newest > 0 {
        for group in history::published(repository, newest)?.0.groups.values() {
            let path = group.bundle.digest().map(|digest| crate::repository::bundle_path(digest, &group.bundle_file()))?;
            if !repository.store().exists(&path)? {
                return Err(repository.missing(&path));
            }
        }
    }
    Ok(())
}

/// The proposal that a path is of, and whether it may still be published.
fn is_open(path: &str, repository: &Repository, newest: u64) -> bool {
    let Some(name) = path.strip_prefix("proposals/").and_then(|rest| rest.split('/').next()) else { return false };
    match name.parse() {
        Ok(Subject::Index(version)) => version > newest,
        Ok(Subject::Trust(version)) => version > repository.trust().version,
        // Small, rare, and of use long after; what is not understood stays too.
        Ok(Subject::Resume(_) | Subject::Adopt(_)) | Err(_) => true,
    }
}

impl Needed {
    fn add(&mut self, published: &Published) -> Result<(), RepositoryError> {
        self.indexes.insert(published.index.version);
        self.groups.extend(published.index.groups.values().map(|pin| pin.sha256));
        for group in published.groups.values() {
            self.add_group(group)?;
        }
        Ok(())
    }

    /// The newest heads, whatever numbers they have, and the indexes that they pin: what hosts ask for today.
    fn add_heads(&mut self, repository: &Repository, policy: Policy, newest: u64) -> Result<BTreeSet<u64>, RepositoryError> {
        let there = repository.versions(Kind::Head)?;
        let most = usize::try_from(policy.heads.max(1)).unwrap_or(usize::MAX);
        let mut kept: BTreeSet<u64> = there.iter().rev().take(most).copied().collect();
        let current = repository.heads()?.current;
        kept.extend(current.iter().map(|head| head.version));
        for version in &kept {
            let Some(head) = repository.head(*version)? else { continue };
            let is_current = current.as_ref().is_some_and(|current| current.version == *version);
            let index = head.index.version;
            // What an old head pins may have been removed by a narrower policy before.
            if index <= newest && !self.indexes.contains(&index) && (is_current || repository.has_index(index)?) {
                self.add(&history::published(repository, index)?.0)?;
            }
        }
        Ok(kept)
    }

    /// For each group, the index that gave it the bundle before the one it has: where `proofmark rollback` goes.
    fn add_ways_back(&mut self, repository: &Repository, newest: u64) -> Result<(), RepositoryError> {
        if newest == 0 {
            return Ok(());
        }
        for (name, group) in history::published(repository, newest)?.0.groups {
            if let Some((version, _)) = history::before(repository, &name, group.bundle.digest()?)?
                && !self.indexes.contains(&version)
            {
                self.add(&history::published(repository, version)?.0)?;
            }
        }
        Ok(())
    }

    fn add_group(&mut self, group: &Group) -> Result<(), RepositoryError> {
        self.bundles.insert(group.bundle.digest()?);
        self.bundles.extend(group.rollback_targets.iter().copied());
        Ok(())
    }

    /// What a proposal says, believed by nobody: at worst too much is kept.
    fn add_proposed(&mut self, repository: &Repository, path: &str) -> Result<(), RepositoryError> {
        let Some(bytes) = repository.read(path, limits::INDEX)? else { return Ok(()) };
        if path.ends_with(".group.json")
            && let Ok(group) = json::parse::<Group>(&bytes, path)
        {
            self.add_group(&group)?;
        }
        if path.ends_with(".index.json")
            && let Ok(index) = json::parse::<Index>(&bytes, path)
        {
            self.groups.extend(index.groups.values().map(|pin| pin.sha256));
        }
        Ok(())
    }

    /// Every digest that stands in the buildinfo of a needed bundle. Where a bundle lacks the one that it names, nobody knows what it was
    /// made of, and every input stays.
    fn add_inputs(&mut self, repository: &Repository, files: &[Found]) -> Result<(), RepositoryError> {
        let is_bundle = |file: &&Found| file.path.starts_with("bundles/") && file.path.ends_with(".tar.zst") && self.has_bundle(&file.path);
        let (mut words, mut unknown) = (BTreeSet::new(), false);
        for file in files.iter().filter(is_bundle) {
            let claim = Claim::read(BufReader::new(repository.open_file(&file.path)?));
            let beside = repository.read(&format!("{}.buildinfo.json", file.path.trim_end_matches(".tar.zst")), BUILDINFO)?;
            match (claim, beside) {
                (Ok(claim), Some(bytes)) if claim.manifest.buildinfo == Digest::of(&bytes) => {
                    let digests = bytes.split(|byte| !byte.is_ascii_hexdigit()).filter(|word| word.len() == 64);
                    words.extend(digests.map(|word| String::from_utf8_lossy(word).into_owned()));
                }
                _ => unknown = true,
            }
        }
        self.inputs.extend(words);
        self.all_inputs = unknown;
        Ok(())
    }

    fn has_bundle(&self, path: &str) -> bool {
        let digest = path.strip_prefix("bundles/").and_then(|rest| rest.split('/').next());
        digest.and_then(|digest| digest.parse().ok()).is_none_or(|digest: Digest| self.bundles.contains(&digest))
    }

    /// Whether a file is needed; a name that is not of the format is left alone.
    fn has(&self, path: &str, repository: &Repository, (newest, heads): (u64, &BTreeSet<u64>)) -> bool {
        let (directory, name) = path.split_once('/').unwrap_or(("", path));
        let number = || name.split('.').next().and_then(plain_number);
        match directory {
            "index" => number().is_none_or(|version| version > newest || self.indexes.contains(&version)),
            "head" => number().is_none_or(|version| heads.contains(&version)),
            "group" => name.split('.').next().and_then(|digest| digest.parse().ok()).is_none_or(|digest| self.groups.contains(&digest)),
            "bundles" => self.has_bundle(path),
            "inputs" => {
                let is_needed = |digest: &str| digest.parse::<Digest>().is_err() || self.inputs.contains(digest);
                self.all_inputs || name.split('.').next().is_none_or(is_needed)
            }
            "proposals" => is_open(path, repository, newest),
            _ => true,
        }
    }
}
