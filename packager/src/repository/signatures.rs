//! Signature files beside a file of any store: which there are, and how one is added without harm to another.
//!
//! Nothing here believes a signature. One that is in the way and does not verify is refused, or, where nobody can have seen it, replaced.

use proofmark_core::name::Name;
use proofmark_core::signature::{self, Kind};
use proofmark_core::trust::{Role, Trust};
use proofmark_core::{Reason, limits};

use super::RepositoryError;
use crate::store::{Store, StoreError, Stored};

/// What a signature is bound to.
pub(crate) struct Slot<'a> {
    /// Says whose keys they are.
    pub(crate) trust: &'a Trust,
    /// Whose keys count.
    pub(crate) role: &'a Role,
    /// What the file is.
    pub(crate) kind: Kind,
    /// Its version, if its kind has one.
    pub(crate) version: Option<u64>,
    /// Where it is or will be in the store.
    pub(crate) path: &'a str,
}

/// Signatures beside `path` under the names of `keys`, each name once, in order of the names.
pub(crate) fn beside<'k>(
    store: &dyn Store,
    path: &str,
    keys: impl Iterator<Item = &'k Name>,
) -> Result<Vec<(Name, Vec<u8>)>, RepositoryError> {
    let mut names: Vec<&Name> = keys.collect();
    names.sort();
    names.dedup();
    let mut found = Vec::new();
    for name in names {
        if let Some(bytes) = store.read(&format!("{path}.{name}.minisig"), limits::SIGNATURE)? {
            found.push((name.clone(), bytes));
        }
    }
    Ok(found)
}

/// Adds a signature to a file. One that is there already and verifies stays; signatures of minisign are never the same twice.
///
/// One that does not verify is in the way: it is refused when the file is visible, and replaced when it is not.
pub(crate) fn place(
    store: &dyn Store,
    slot: &Slot<'_>,
    key: &Name,
    signature: &[u8],
    visible: bool,
    content: &mut dyn FnMut() -> Result<Box<dyn Stored>, RepositoryError>,
) -> Result<(), RepositoryError> {
    let Slot { trust, role, kind, version, path } = slot;
    let place = format!("{path}.{key}.minisig");
    if store.create(&place, &mut &*signature)? {
        return Ok(());
    }
    let Some((there, stamp)) = store.read_stamped(&place, limits::SIGNATURE)? else { return Err(StoreError::Raced(place).into()) };
    if there == signature {
        return Ok(());
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    let comment = signature::comment(&trust.repository, *kind, *version, file);
    let candidates = [(key.clone(), there)];
    match signature::verify_signatures(trust, role, &comment, file, &candidates, &mut content()?, &|_, _| Ok(())) {
        Ok(_) => Ok(()),
        Err(refusal) if visible || refusal.reason() == Reason::Io => Err(refusal.into()),
        Err(_) if store.swap(&place, signature, Some(&stamp))? => Ok(()),
        Err(_) => Err(StoreError::Raced(place).into()),
    }
}
