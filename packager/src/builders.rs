//! Independent builders: who must still sign a bundle before a host will take it.
//!
//! A builder attests by signing the bundle's own bytes, so that "k of n built it again" is a threshold of role `bundle`, which the core
//! checks on every host. This file says early and by name what a host would refuse later; it must never count otherwise than the core.

use std::collections::BTreeSet;

use proofmark_core::group::Group;
use proofmark_core::name::Name;
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Refusal, limits};

use crate::repository::{Repository, RepositoryError, bundle_path};

/// Refuses a bundle beside which signatures that role `bundle` of `trust` demands are not there, by their names alone.
///
/// Cheap: it reads no bundle and verifies no signature, which publishing has done. For a head, and for a rotation before it is published.
///
/// # Errors
/// [`RepositoryError::Unsigned`], which names who is missing and the command they run.
pub fn check(repository: &Repository, trust: &Trust, group: &Group) -> Result<(), RepositoryError> {
    match lacks(repository, trust, group.bundle.digest()?, &group.bundle_file())? {
        None => Ok(()),
        Some(missing) => Err(unsigned(repository, group, missing)?),
    }
}

/// What a bundle lacks, by the names of the signatures beside it: the core's words.
pub fn lacks(repository: &Repository, trust: &Trust, bundle: Digest, file: &str) -> Result<Option<Refusal>, RepositoryError> {
    let path = bundle_path(bundle, file);
    let mut signers = BTreeSet::new();
    for key in trust.roles.bundle.keys() {
        if repository.read(&format!("{path}.{key}.minisig"), limits::SIGNATURE)?.is_some() {
            signers.insert(key.clone());
        }
    }
    Ok(trust.roles.bundle.check_met(&signers, None).map_err(|missing| missing.within(file)).err())
}

/// Whether one key group of role `bundle` is met: CI has signed, and builders may be at work.
pub fn is_begun(trust: &Trust, signers: &BTreeSet<Name>) -> bool {
    trust.roles.bundle.0.values().any(|group| group.keys.iter().filter(|key| signers.contains(*key)).count() as u64 >= group.threshold)
}

/// The refusal that tells what to do about `missing`.
pub(crate) fn unsigned(repository: &Repository, group: &Group, missing: Refusal) -> Result<RepositoryError, RepositoryError> {
    Ok(RepositoryError::Unsigned { bundle: group.bundle.digest()?, missing, place: repository.place() })
}
