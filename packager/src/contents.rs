//! What is inside a published bundle: signatures and every byte checked by the core, small text files kept for people to read.
//!
//! This file must never hand out content that the core has not accepted as a whole.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use proofmark_core::bundle::{self, Sink};
use proofmark_core::group::Group;
use proofmark_core::manifest::{File, FileMode, Manifest};
use proofmark_core::name::MemberPath;
use proofmark_core::signature::Kind;
use proofmark_core::{Digest, Reason, Refusal};

use crate::builders;
use crate::repository::{Repository, RepositoryError, buildinfo_path, bundle_path, sbom_path};
use crate::sbom;
use crate::store::Stored;

/// Files up to this size are kept, bytes.
pub const SMALL: u64 = 64 << 10;
/// Bytes of all kept small files together.
const KEPT: usize = 16 << 20;
/// Bytes of all kept programs together. One that has no room is compared by its digest alone.
const KEPT_PROGRAMS: usize = 512 << 20;
/// A buildinfo is read up to this size.
const BUILDINFO: usize = 16 << 20;

/// A checked bundle.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Its manifest.
    pub manifest: Manifest,
    /// Files of at most [`SMALL`] bytes.
    pub small: BTreeMap<MemberPath, Vec<u8>>,
    /// Programs, where they were asked for.
    pub programs: BTreeMap<MemberPath, Vec<u8>>,
    /// The buildinfo beside it, whose digest is the manifest's, where it was asked for.
    pub buildinfo: Vec<u8>,
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
    proposed(repository, group, Keep::default())
}

/// The same with its programs and buildinfo, to be compared.
pub fn read_proposed(repository: &Repository, group: &Group) -> Result<(Contents, Option<Refusal>), RepositoryError> {
    proposed(repository, group, Keep { programs: Some(BTreeMap::new()), ..Keep::default() })
}

fn proposed(repository: &Repository, group: &Group, keep: Keep) -> Result<(Contents, Option<Refusal>), RepositoryError> {
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
    let mut contents = unpack(group, &mut *reader, keep)?;
    let path = buildinfo_path(digest, &file);
    let buildinfo = read_buildinfo(repository, group, &contents)?;
    // Not pinned, since it follows from what is: whoever reads it beside the bundle gets this one or is told.
    let want = sbom::sbom(&buildinfo, &path)?;
    let path = sbom_path(digest, &file);
    let have = repository.read(&path, want.len())?;
    let have = have.ok_or_else(|| RepositoryError::Missing { path: path.clone(), place: repository.place() })?;
    Digest::of(&want).check(Digest::of(&have), path)?;
    contents.buildinfo = buildinfo;
    Ok((contents, missing))
}

/// The buildinfo beside a bundle, whose digest its manifest has.
fn read_buildinfo(repository: &Repository, group: &Group, contents: &Contents) -> Result<Vec<u8>, RepositoryError> {
    let path = buildinfo_path(group.bundle.digest()?, &group.bundle_file());
    let buildinfo = repository.read(&path, BUILDINFO)?;
    let buildinfo = buildinfo.ok_or_else(|| RepositoryError::Missing { path: path.clone(), place: repository.place() })?;
    contents.manifest.buildinfo.check(Digest::of(&buildinfo), &path)?;
    Ok(buildinfo)
}

/// Checks the bundle of a group file that an accepted index pins, whoever signed it: to compare with, after a key may have gone.
pub fn check_pinned(repository: &Repository, group: &Group) -> Result<Contents, RepositoryError> {
    let path = bundle_path(group.bundle.digest()?, &group.bundle_file());
    Ok(check_bytes(group, &mut *repository.open_file(&path)?)?)
}

/// The same with its programs and buildinfo.
pub fn read_pinned(repository: &Repository, group: &Group) -> Result<Contents, RepositoryError> {
    let path = bundle_path(group.bundle.digest()?, &group.bundle_file());
    let keep = Keep { programs: Some(BTreeMap::new()), ..Keep::default() };
    let mut contents = unpack(group, &mut *repository.open_file(&path)?, keep)?;
    contents.buildinfo = read_buildinfo(repository, group, &contents)?;
    Ok(contents)
}

/// Checks every byte of a bundle against its group file, whoever signed it.
pub fn check_bytes(group: &Group, reader: &mut dyn Stored) -> Result<Contents, Refusal> {
    unpack(group, reader, Keep::default())
}

fn unpack(group: &Group, reader: &mut dyn Stored, mut keep: Keep) -> Result<Contents, Refusal> {
    let io = |error: io::Error| Refusal::new(Reason::Io, group.bundle_file(), "a readable file", error);
    reader.rewind().map_err(io)?;
    let (digest, size) = Digest::of_reader(&mut reader.take(group.bundle.size.saturating_add(1))).map_err(io)?;
    bundle::check_content(group, size, digest)?;
    reader.rewind().map_err(io)?;
    let (manifest, _) = bundle::unpack(group, &mut BufReader::new(reader), &mut keep)?;
    Ok(Contents { manifest, small: keep.files, programs: keep.programs.unwrap_or_default(), buildinfo: Vec::new() })
}

#[derive(Default)]
struct Keep {
    files: BTreeMap<MemberPath, Vec<u8>>,
    bytes: usize,
    /// `None`: they are not wanted.
    programs: Option<BTreeMap<MemberPath, Vec<u8>>>,
    program_bytes: usize,
}

impl Sink for Keep {
    fn file(&mut self, file: &File, content: &mut dyn Read) -> io::Result<()> {
        let room = (KEPT_PROGRAMS - self.program_bytes) as u64;
        if let Some(programs) = self.programs.as_mut().filter(|_| file.mode == FileMode::Program && file.size <= room) {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            self.program_bytes += bytes.len();
            programs.insert(file.path.clone(), bytes);
            return Ok(());
        }
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
