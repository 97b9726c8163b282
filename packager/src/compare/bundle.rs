//! Reads a bundle that nobody vouches for: by its own manifest, through the core's reader. What comes out must only be shown to people.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read};
use std::path::Path;

use proofmark_core::bundle::{self, Sink};
use proofmark_core::manifest;
use proofmark_core::{Digest, Reason, Refusal};

use super::CompareError;
use super::report::{Role, SideKind};
use super::side::{Item, KEPT, Opened, Stored, describe, regular, shown};
use crate::claim::Claim;

/// The first bytes of a zstd frame (RFC 8878, section 3.1.1).
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes of all members of one bundle that are kept at once.
const KEPT_TOGETHER: u64 = 1 << 30;

/// Opens two bundles. Only members that differ are kept, since only they are looked into.
pub(super) fn open(first: &Path, second: &Path) -> Result<[Opened; 2], CompareError> {
    let [a, b] = [claim(first)?, claim(second)?];
    let differing = |claim: &Claim, other: &Claim| {
        let of = |claim: &Claim| -> BTreeMap<String, Digest> {
            claim.manifest.files.iter().map(|file| (file.path.to_string(), file.sha256)).collect()
        };
        let others = of(other);
        of(claim).into_iter().filter(|(path, digest)| others.get(path) != Some(digest)).map(|(path, _)| path).collect::<BTreeSet<_>>()
    };
    let (keep_a, keep_b) = (differing(&a, &b), differing(&b, &a));
    Ok([read(first, a, keep_a)?, read(second, b, keep_b)?])
}

/// Reads as far as the manifest.
fn claim(path: &Path) -> Result<Claim, CompareError> {
    Claim::read(BufReader::new(regular(path)?)).map_err(|refusal| within(path, refusal))
}

/// Reads all of it, every byte checked by the core against the manifest.
fn read(path: &Path, claim: Claim, keep: BTreeSet<String>) -> Result<Opened, CompareError> {
    let within = |refusal: Refusal| within(path, refusal);
    let file = regular(path)?;
    let size = file.metadata().map_err(|error| within(Refusal::new(Reason::Io, "size", "a file", error)))?.len();
    // The core's reader asks for no digest of the whole.
    let group = claim.group(Digest::of(b""), size).map_err(within)?;
    let mut sink = Keep { wanted: keep, files: BTreeMap::new(), bytes: 0 };
    let (manifest, _) = bundle::unpack(&group, &mut BufReader::new(file), &mut sink).map_err(within)?;
    let mut items = BTreeMap::new();
    for file in &manifest.files {
        let name = file.path.to_string();
        let content = sink.files.remove(&name).map_or(Stored::Digest(file.sha256), Stored::Bytes);
        items.insert(name, Item { role: Role::Output, size: file.size, mode: Some(file.mode.bits()), content });
    }
    let record = |bytes: Vec<u8>| Item { role: Role::Record, size: bytes.len() as u64, mode: None, content: Stored::Bytes(bytes) };
    items.insert(bundle::MANIFEST.to_owned(), record(claim.bytes));
    let mut notes = Vec::new();
    match buildinfo(path, manifest.buildinfo) {
        Some(Ok(bytes)) => drop(items.insert("buildinfo.json".to_owned(), record(bytes))),
        Some(Err(other)) => notes.push(format!("{other} is not the buildinfo that the bundle names; it was not looked into")),
        None => {}
    }
    Ok(Opened { side: describe(path, SideKind::Bundle)?, items, notes })
}

fn within(path: &Path, refusal: Refusal) -> CompareError {
    CompareError::Bundle(refusal.within(shown(path)))
}

/// The buildinfo that lies beside the bundle in a repository (FORMAT.md section 2), if it is the one that the manifest names.
fn buildinfo(path: &Path, want: Digest) -> Option<Result<Vec<u8>, String>> {
    let name = path.file_name()?.to_str()?.strip_suffix(".tar.zst")?;
    let beside = path.with_file_name(format!("{name}.buildinfo.json"));
    let mut bytes = Vec::new();
    regular(&beside).ok()?.take(super::RECORD).read_to_end(&mut bytes).ok()?;
    Some(if Digest::of(&bytes) == want { Ok(bytes) } else { Err(shown(&beside)) })
}

/// Keeps the members that were asked for, as far as they fit.
struct Keep {
    wanted: BTreeSet<String>,
    files: BTreeMap<String, Vec<u8>>,
    bytes: u64,
}

impl Sink for Keep {
    fn file(&mut self, file: &manifest::File, content: &mut dyn Read) -> io::Result<()> {
        if !self.wanted.contains(file.path.as_str()) || file.size > KEPT || self.bytes + file.size > KEPT_TOGETHER {
            return io::copy(content, &mut io::sink()).map(drop);
        }
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        self.bytes += file.size;
        self.files.insert(file.path.to_string(), bytes);
        Ok(())
    }
}
