//! What has been published: every index under the trust that it was published under, and bundles found again by what they are.
//!
//! Read from the newest backwards, each verified by the core. It must never take an entry from a document that is not.

use proofmark_core::Digest;
use proofmark_core::group::Group;
use proofmark_core::name::{GroupName, Name, Release};
use proofmark_core::signature::{Kind, Verified};
use proofmark_core::trust::Trust;

use crate::repository::{Published, Repository, RepositoryError, document_path};

/// An index, verified under the newest trust of the chain whose keys signed it.
///
/// # Errors
/// What the newest trust says, where none accepts it.
pub fn published(repository: &Repository, version: u64) -> Result<(Published, &Verified<Trust>), RepositoryError> {
    let mut first = None;
    for trust in repository.trusts().iter().rev() {
        match repository.published_under(trust, version) {
            Ok(published) => return Ok((published, trust)),
            Err(RepositoryError::Refused(refusal)) => _ = first.get_or_insert(RepositoryError::Refused(refusal)),
            Err(error) => return Err(error),
        }
    }
    Err(first.unwrap_or_else(|| RepositoryError::NoRepository(repository.place())))
}

/// The same, or `None` where there is no such index any more: gc removes what is older than what it keeps.
fn kept(repository: &Repository, version: u64) -> Result<Option<Published>, RepositoryError> {
    match published(repository, version) {
        Ok((published, _)) => Ok(Some(published)),
        Err(RepositoryError::Missing { path, .. }) if path == document_path(Kind::Index, version) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How a person names a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By its SHA-256.
    Digest(Digest),
    /// By its release.
    Release(Release),
}

impl std::str::FromStr for Wanted {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // 64 hex digits are a digest: a release of that shape would have to be named by its own.
        text.parse()
            .map(Wanted::Digest)
            .or_else(|_| text.parse().map(Wanted::Release))
            .map_err(|_| "not a release, nor the SHA-256 of a bundle")
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wanted::Digest(digest) => digest.fmt(f),
            Wanted::Release(release) => release.fmt(f),
        }
    }
}

impl Wanted {
    fn is(&self, group: &Group) -> bool {
        match self {
            Wanted::Digest(digest) => group.bundle.digest().is_ok_and(|have| have == *digest),
            Wanted::Release(release) => group.bundle.release == *release,
        }
    }
}

/// Goes through what was published, newest first, until `visit` has found something. gc leaves holes.
fn newest_first<T>(
    repository: &Repository,
    mut visit: impl FnMut(u64, Published) -> Result<Option<T>, RepositoryError>,
) -> Result<Option<T>, RepositoryError> {
    let mut version = repository.newest_index()?;
    let mut listed: Option<Vec<u64>> = None;
    while version > 0 {
        if let Some(published) = kept(repository, version)? {
            if let Some(found) = visit(version, published)? {
                return Ok(Some(found));
            }
            version -= 1;
            continue;
        }
        let there = match listed {
            Some(ref there) => there,
            None => listed.insert(repository.versions(Kind::Index)?),
        };
        version = there.iter().rev().copied().find(|there| *there < version).unwrap_or(0);
    }
    Ok(None)
}

/// The newest group file for which `suits` and that has the bundle, and its index's version. Group files of one digest are read once.
pub fn find(repository: &Repository, wanted: &Wanted, suits: &dyn Fn(&Group) -> bool) -> Result<Option<(u64, Group)>, RepositoryError> {
    newest_first(repository, |version, published| {
        let found = published.groups.values().find(|group| suits(group) && wanted.is(group));
        Ok(found.map(|group| (version, (**group).clone())))
    })
}

/// The bundle that a group had before the one it has now: of the newest index that gave it another.
pub fn before(repository: &Repository, name: &GroupName, now: Digest) -> Result<Option<(u64, Group)>, RepositoryError> {
    let found = newest_first(repository, |version, published| {
        Ok(match published.groups.get(name) {
            Some(group) if group.bundle.digest()? == now => None,
            other => Some(other.map(|group| (version, (**group).clone()))),
        })
    })?;
    Ok(found.flatten())
}

/// Environments and releases of a product that were ever assigned, newest first, for messages: at most `most`.
pub fn releases(repository: &Repository, product: &Name, environment: &Name, most: usize) -> Result<Vec<String>, RepositoryError> {
    let mut found: Vec<String> = Vec::new();
    newest_first(repository, |_, published| {
        for group in published.groups.values().filter(|group| group.bundle.product == *product && group.environment == *environment) {
            let text = format!("{} {}", group.bundle.release, group.bundle.sha256sum.get(..64).unwrap_or_default());
            if !found.contains(&text) {
                found.push(text);
            }
        }
        Ok((found.len() >= most).then_some(()))
    })?;
    found.truncate(most);
    Ok(found)
}
