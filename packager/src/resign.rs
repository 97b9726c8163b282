//! Signatures added to what is in force: the newest index and the bundles that it assigns, by a key that a proposed trust document names.
//!
//! Documents stay as they are, to the byte. A signature of a key that hosts do not know is nothing to them; with the rotation it becomes one
//! that counts. This file must never sign what the newest trust does not accept today.

use proofmark_core::name::Name;
use proofmark_core::signature::{Kind, file_name};
use proofmark_core::trust::Trust;

use crate::contents;
use crate::keys::SecretKey;
use crate::repository::signatures::{self, Slot};
use crate::repository::{Repository, RepositoryError, bundle_path, document_path};
use crate::rotation::RotationError;
use crate::signing::{self, Signer};

/// Something that a key is to sign.
#[derive(Clone, Debug)]
pub struct Item {
    kind: Kind,
    version: Option<u64>,
    path: String,
    words: String,
}

impl Item {
    /// What it is, for people.
    pub fn words(&self) -> &str {
        &self.words
    }
}

/// What is in force and could bear a signature by this key under `trust`, and has none yet.
pub fn wanted(repository: &Repository, trust: &Trust, key: &SecretKey) -> Result<Vec<Item>, RotationError> {
    let Some(published) = repository.published()? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let name = signing::name_of(trust, key.public());
    let has = |kind: Kind| name.is_some_and(|name| signing::role(trust, kind).has_key(name));
    let holder = name.and_then(|name| trust.keys.get(name)).map(|key| &key.holder);
    // A proposer is not his own second person, now as then.
    let second_person =
        trust.roles.index.0.get(&trust.second_person).is_some_and(|group| name.is_some_and(|name| group.keys.contains(name)));
    if has(Kind::Index) && !(second_person && holder == Some(&published.index.proposer)) {
        let version = published.index.version;
        let lines: Vec<String> = published.groups.iter().map(|(name, group)| format!("{name} {}", group.bundle.release)).collect();
        let words = format!("index {version}, by {}: {}", published.index.proposer, lines.join(", "));
        found.push(Item { kind: Kind::Index, version: Some(version), path: document_path(Kind::Index, version), words });
    }
    if has(Kind::Bundle) {
        for (name, group) in &published.groups {
            let path = bundle_path(group.bundle.digest()?, &group.bundle_file());
            if !found.iter().any(|item| item.path == path) {
                // Today's hosts accept it: every byte, and who signed it.
                contents::check_published(repository, group)?;
                let words = format!("bundle {} of {name}: {}", group.bundle.digest()?, group.bundle_file());
                found.push(Item { kind: Kind::Bundle, version: None, path, words });
            }
        }
    }
    if found.is_empty() && !has(Kind::Index) && !has(Kind::Bundle) {
        // The words of whoever asks for a role that it does not have.
        Signer::new(trust, Kind::Index, key)?;
    }
    let mut open = Vec::new();
    for item in found {
        let signed = signatures::beside(repository.store(), &item.path, name.into_iter())?;
        open.extend(signed.is_empty().then_some(item));
    }
    Ok(open)
}

/// Adds the key's signature. Returns the signature file's path.
pub fn sign(repository: &Repository, trust: &Trust, key: &SecretKey, item: &Item) -> Result<String, RotationError> {
    let signer = Signer::new(trust, item.kind, key)?;
    let file = match item.version {
        Some(version) => file_name(item.kind, version),
        None => item.path.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    let mut reader = repository.open_file(&item.path)?;
    let signature = signer.sign(item.kind, item.version, &file, &mut reader)?;
    let slot = Slot { trust, role: signing::role(trust, item.kind), kind: item.kind, version: item.version, path: &item.path };
    let mut content = || -> Result<_, RepositoryError> { repository.open_file(&item.path) };
    let name: &Name = signer.name();
    signatures::place(repository.store(), &slot, name, &signature, true, &mut content)?;
    Ok(format!("{}.{name}.minisig", item.path))
}
