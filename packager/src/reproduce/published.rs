//! The release to be built again: found by whatever name it was given, and believed only as far as it is signed.
//!
//! Signatures come first, over the whole bundle; then its manifest, which names the buildinfo, which names every input. What is not on
//! that chain is not looked at.

use std::io::{BufReader, Read};

use proofmark_core::manifest::Manifest;
use proofmark_core::name::{GroupName, Name, Release};
use proofmark_core::signature::{self, Kind as Signed};
use proofmark_core::{Digest, Reason, Refusal, limits};
use serde::Deserialize;

use super::ReproduceError;
use crate::builders;
use crate::buildinfo::Output;
use crate::claim::Claim;
use crate::inputs::{Input, Kind};
use crate::repository::{Repository, buildinfo_path, bundle_path};
use crate::source::Source;
use crate::store::Stored;

/// A buildinfo is read up to this size.
const BUILDINFO: usize = 16 << 20;
/// Inputs of one build.
const INPUTS: usize = 65_536;
/// One input, bytes: its file or its tree stream.
const INPUT: u64 = 16 << 30;

/// How a release is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// SHA-256 of the bundle.
    Bundle(Digest),
    /// What a group runs by the newest index.
    Group(GroupName),
    /// Product, release, environment.
    Release(Name, Release, Name),
}

/// A published bundle, checked.
#[derive(Debug)]
pub struct Published {
    /// SHA-256.
    pub digest: Digest,
    /// File name.
    pub file: String,
    /// What is in it.
    pub manifest: Manifest,
    /// `FILE.buildinfo.json`, whose digest is the manifest's.
    pub buildinfo: Vec<u8>,
    /// The part of it that a rebuild starts from.
    pub info: Info,
    /// Keys that have signed.
    pub signers: Vec<Name>,
    /// Version of the trust document under which they count.
    pub trust: u64,
}

/// What is read of a buildinfo. The rest is not read but compared: a rebuild makes a buildinfo of its own.
#[derive(Debug, Deserialize)]
pub struct Info {
    /// Always 1.
    pub format: u64,
    /// Always `buildinfo`.
    pub kind: String,
    /// The determinism contract.
    pub contract: u32,
    source: Origin,
    /// Everything the build was made of.
    pub inputs: Vec<Input>,
    /// The programs.
    pub outputs: Vec<Output>,
}

#[derive(Debug, Deserialize)]
struct Origin {
    commit: String,
    tree: String,
}

impl Info {
    /// The input of a kind that a build has once.
    pub fn only(&self, kind: Kind) -> Result<&Input, ReproduceError> {
        let mut found = self.inputs.iter().filter(|input| input.kind == kind);
        match (found.next(), found.next()) {
            (Some(input), None) => Ok(input),
            _ => Err(ReproduceError::NotFound(format!("one input of kind {} in the buildinfo", kind.word()))),
        }
    }
}

impl Published {
    /// Commit, tree and time, as the manifest has them.
    pub fn source(&self) -> Source {
        let source = &self.manifest.source;
        Source { commit: source.commit.to_string(), tree: source.tree.to_string(), time: source.time.unix().unsigned_abs() }
    }

    /// Its path in the repository.
    pub fn path(&self) -> String {
        bundle_path(self.digest, &self.file)
    }

    /// The bundle's bytes.
    pub fn open(&self, repository: &Repository) -> Result<Box<dyn Stored>, ReproduceError> {
        Ok(repository.open_file(&self.path())?)
    }
}

/// Finds the bundle and checks all that vouches for it.
pub fn find(repository: &Repository, which: &Which) -> Result<Published, ReproduceError> {
    let (digest, file) = match which {
        Which::Bundle(digest) => (*digest, only_file(repository, *digest)?),
        Which::Group(name) => {
            let published = repository.published()?;
            let group = published.as_ref().and_then(|published| published.groups.get(name));
            let group = group.ok_or_else(|| ReproduceError::NotFound(format!("group {name} of the newest index")))?;
            (group.bundle.digest()?, group.bundle_file())
        }
        Which::Release(product, release, environment) => by_name(repository, &format!("{product}-{release}-{environment}+"))?,
    };
    let path = bundle_path(digest, &file);
    let (signers, trust) = check_signatures(repository, digest, &file)?;
    // Its exact place in the stream need not be checked, since whole bundles will be compared.
    let claim = Claim::read(BufReader::new(repository.open_file(&path)?)).map_err(|refusal| refusal.within(&path))?;
    let manifest = claim.manifest;
    let path = buildinfo_path(digest, &file);
    let buildinfo = repository.read(&path, BUILDINFO)?.ok_or_else(|| ReproduceError::NotFound(path.clone()))?;
    manifest.buildinfo.check(Digest::of(&buildinfo), &path)?;
    let info = read_info(&buildinfo, &manifest, &path)?;
    Ok(Published { digest, file, manifest, buildinfo, info, signers, trust })
}

/// The one bundle in a bundle's directory.
fn only_file(repository: &Repository, digest: Digest) -> Result<String, ReproduceError> {
    let names = repository.list(&format!("bundles/{digest}"))?;
    let mut bundles = names.into_iter().filter(|name| name.ends_with(".tar.zst"));
    match (bundles.next(), bundles.next()) {
        (Some(file), None) => Ok(file),
        (None, _) => Err(ReproduceError::NotFound(format!("bundles/{digest}/"))),
        (Some(one), Some(two)) => Err(ReproduceError::Several(format!("bundles/{digest}/"), vec![one, two])),
    }
}

fn by_name(repository: &Repository, prefix: &str) -> Result<(Digest, String), ReproduceError> {
    let mut found = Vec::new();
    for directory in repository.list("bundles")? {
        let Ok(digest) = directory.parse::<Digest>() else { continue };
        let names = repository.list(&format!("bundles/{digest}"))?;
        found.extend(names.into_iter().filter(|name| name.starts_with(prefix) && name.ends_with(".tar.zst")).map(|name| (digest, name)));
    }
    match &found[..] {
        [(digest, file)] => Ok((*digest, file.clone())),
        [] => Err(ReproduceError::NotFound(format!("{prefix}TARGET.tar.zst"))),
        many => Err(ReproduceError::Several(prefix.into(), many.iter().map(|(digest, file)| format!("{digest} {file}")).collect())),
    }
}

/// The signatures over the bundle's bytes: those that are there are valid, and one key group is met. Builders may still be missing. A
/// bundle of long ago counts by the newest trust document that its signers were in; its version is told.
fn check_signatures(repository: &Repository, digest: Digest, file: &str) -> Result<(Vec<Name>, u64), ReproduceError> {
    let path = bundle_path(digest, file);
    for trust in repository.trusts().iter().rev() {
        let signatures = repository.signatures_under(trust, &path, Signed::Bundle)?;
        let is_newest = trust.version == repository.trust().version;
        if !is_newest && !builders::is_begun(trust, &signatures.iter().map(|(name, _)| name.clone()).collect()) {
            continue;
        }
        let role = &trust.roles.bundle;
        let comment = signature::comment(&trust.repository, Signed::Bundle, None, file);
        let mut reader = repository.open_file(&path)?.take(limits::BUNDLE + 1);
        let expected = |have: Digest, _| digest.check(have, &path);
        let signed = signature::verify_signatures(trust, role, &comment, file, &signatures, &mut reader, &expected)?;
        if builders::is_begun(trust, &signed.signers) {
            return Ok((signed.signers.into_iter().collect(), trust.version));
        }
    }
    let trust = repository.trust();
    let names = repository.signatures(&path, Signed::Bundle)?.into_iter().map(|(name, _)| name).collect();
    trust.roles.bundle.check_met(&names, None).map_err(|missing| missing.within(file))?;
    Err(ReproduceError::NotFound(format!("signatures of {path}")))
}

fn read_info(bytes: &[u8], manifest: &Manifest, path: &str) -> Result<Info, ReproduceError> {
    let malformed = |want: &str, have: String| ReproduceError::from(Refusal::new(Reason::Malformed, path, want, have));
    let info: Info = serde_json::from_slice(bytes).map_err(|error| malformed("a buildinfo with its inputs", error.to_string()))?;
    if (info.format, info.kind.as_str()) != (1, "buildinfo") {
        return Err(malformed("format 1, kind buildinfo", format!("format {}, kind {}", info.format, info.kind)));
    }
    if info.contract != crate::CONTRACT {
        return Err(ReproduceError::Contract { want: info.contract });
    }
    let same = info.source.commit == manifest.source.commit.to_string() && info.source.tree == manifest.source.tree.to_string();
    if !same {
        return Err(malformed("the manifest's commit and tree", format!("{} {}", info.source.commit, info.source.tree)));
    }
    if info.inputs.len() > INPUTS || !info.inputs.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err(malformed("inputs in order, each once", format!("{} of them, in another", info.inputs.len())));
    }
    if let Some(large) = info.inputs.iter().find(|input| input.size > INPUT) {
        return Err(malformed(&format!("inputs of at most {INPUT} bytes"), format!("{large}: {} bytes", large.size)));
    }
    Ok(info)
}
