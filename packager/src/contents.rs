//! What is inside a published bundle: signatures and every byte checked by the core, small text files kept for people to read.
//!
//! This file must never hand out content that the core has not accepted as a whole.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use proofmark_core::bundle::{self, Sink};
use proofmark_core::group::Group;
use proofmark_core::manifest::{File, Manifest};
use proofmark_core::name::MemberPath;
use proofmark_core::signature::Kind;
use proofmark_core::{Digest, Reason, Refusal};

use crate::builders;
use crate::repository::{Repository, RepositoryError, buildinfo_path, bundle_path, sbom_path};
use crate::sbom;
use crate::store::Stored;

/// Files up to this size are kept, bytes.
pub const SMALL: u64 = 64 << 10;
/// Bytes of all kept files together.
const KEPT: usize = 16 << 20;
/// A buildinfo is read up to this size.
const BUILDINFO: usize = 16 << 20;

/// A checked bundle.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Its manifest.
    pub manifest: Manifest,
    /// Files of at most [`SMALL`] bytes.
    pub small: BTreeMap<MemberPath, Vec<u8>>,
}

/// Checks the bundle that a group file names, as it lies in the repository: role `bundle`, every byte, and the buildinfo beside it.
///
/// # Errors
/// [`RepositoryError::Unsigned`] when signatures are missing and all that is there is in order.
pub fn check_published(repository: &Repository, group: &Group) -> Result<Contents, RepositoryError> {
    match check_proposed(repository, group)? {
        (contents, None) => Ok(contents),
        (_, Some(missing)) => Err(builders::unsigned(repository, group, missing)?),
    }
}

/// The same for a bundle that builders may still be at work on: one key group is met, and what the others lack is told, not refused.
pub fn check_proposed(repository: &Repository, group: &Group) -> Result<(Contents, Option<Refusal>), RepositoryError> {
    let (digest, file) = (group.bundle.digest()?, group.bundle_file());
    let path = bundle_path(digest, &file);
    let mut reader = repository.open_file(&path)?;
    let signatures = repository.signatures(&path, Kind::Bundle)?;
    let missing = match bundle::verify(repository.trust(), group, &signatures, &mut reader) {
        Ok(_) => None,
        // Every signature that is there is valid: the core counts after it has verified.
        Err(refusal) if refusal.reason() == Reason::Threshold => {
            let signers = signatures.into_iter().map(|(name, _)| name).collect();
            if !builders::is_begun(repository.trust(), &signers) {
                return Err(builders::unsigned(repository, group, refusal)?);
            }
            Some(refusal)
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let contents = check_bytes(group, &mut *reader)?;
    let path = buildinfo_path(digest, &file);
    let buildinfo = repository.read(&path, BUILDINFO)?;
    let buildinfo = buildinfo.ok_or_else(|| RepositoryError::Missing { path: path.clone(), place: repository.place() })?;
    contents.manifest.buildinfo.check(Digest::of(&buildinfo), &path)?;
    // Not pinned, since it follows from what is: whoever reads it beside the bundle gets this one or is told.
    let want = sbom::sbom(&buildinfo, &path)?;
    let path = sbom_path(digest, &file);
    let have = repository.read(&path, want.len())?;
    let have = have.ok_or_else(|| RepositoryError::Missing { path: path.clone(), place: repository.place() })?;
    Digest::of(&want).check(Digest::of(&have), path)?;
    Ok((contents, missing))
}

/// Checks the bundle of a group file that an accepted index pins, whoever signed it: to compare with, after a key may have gone.
pub fn check_pinned(repository: &Repository, group: &Group) -> Result<Contents, RepositoryError> {
    let path = bundle_path(group.bundle.digest()?, &group.bundle_file());
    Ok(check_bytes(group, &mut *repository.open_file(&path)?)?)
}

/// Checks every byte of a bundle against its group file, whoever signed it.
pub fn check_bytes(group: &Group, reader: &mut dyn Stored) -> Result<Contents, Refusal> {
    let io = |error: io::Error| Refusal::new(Reason::Io, group.bundle_file(), "a readable file", error);
    reader.rewind().map_err(io)?;
    let (digest, size) = Digest::of_reader(&mut reader.take(group.bundle.size.saturating_add(1))).map_err(io)?;
    bundle::check_content(group, size, digest)?;
    reader.rewind().map_err(io)?;
    let mut keep = Keep::default();
    let (manifest, _) = bundle::unpack(group, &mut BufReader::new(reader), &mut keep)?;
    Ok(Contents { manifest, small: keep.files })
}

#[derive(Default)]
struct Keep {
    files: BTreeMap<MemberPath, Vec<u8>>,
    bytes: usize,
}

impl Sink for Keep {
    fn file(&mut self, file: &File, content: &mut dyn Read) -> io::Result<()> {
        if file.size > SMALL || self.bytes > KEPT {
            return io::copy(content, &mut io::sink()).map(drop);
        }
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        self.bytes += bytes.len();
        self.files.insert(file.path.clone(), bytes);
        Ok(())
    }
}
