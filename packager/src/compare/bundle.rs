//! Reads a bundle that nobody vouches for: by its own manifest, through the core's reader.
//!
//! The core checks a bundle against a group file. There is none here, so one is made from what the bundle says of itself: that makes it
//! *whole*, never *authentic*. What comes out must only be shown to people.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use proofmark_core::bundle::{self, Sink};
use proofmark_core::group::{Entry, FlagState, Freshness, Gate, Group, Lease, LedgerEntry, Mode, Silence};
use proofmark_core::manifest::{self, Manifest};
use proofmark_core::name::{Name, RepositoryId};
use proofmark_core::{Digest, Reason, Refusal, json, limits};

use super::CompareError;
use super::report::{Role, SideKind};
use super::side::{Item, KEPT, Opened, Stored, describe, regular, shown};

/// The first bytes of a zstd frame (RFC 8878, section 3.1.1).
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes of all members of one bundle that are kept at once.
const KEPT_TOGETHER: u64 = 1 << 30;

/// Opens two bundles. Only members that differ are kept, since only they are looked into.
pub(super) fn open(first: &Path, second: &Path) -> Result<[Opened; 2], CompareError> {
    let [a, b] = [Claim::read(first)?, Claim::read(second)?];
    let differing = |claim: &Claim, other: &Claim| {
        let of = |claim: &Claim| -> BTreeMap<String, Digest> {
            claim.manifest.files.iter().map(|file| (file.path.to_string(), file.sha256)).collect()
        };
        let others = of(other);
        of(claim).into_iter().filter(|(path, digest)| others.get(path) != Some(digest)).map(|(path, _)| path).collect::<BTreeSet<_>>()
    };
    let (keep_a, keep_b) = (differing(&a, &b), differing(&b, &a));
    Ok([a.open(first, keep_a)?, b.open(second, keep_b)?])
}

/// What a bundle says of itself.
struct Claim {
    group: Group,
    manifest: Manifest,
    bytes: Vec<u8>,
}

impl Claim {
    /// Reads as far as the manifest.
    fn read(path: &Path) -> Result<Self, CompareError> {
        let within = |refusal: Refusal| CompareError::Bundle(refusal.within(shown(path)));
        let mut reader = BufReader::new(regular(path)?);
        let start = reader.fill_buf().map_err(|error| within(broken("start of the frame", &error)))?;
        let unpacked_size = match zstd::zstd_safe::get_frame_content_size(start) {
            Ok(Some(size)) if size <= limits::UNPACKED => size,
            Ok(Some(size)) => {
                return Err(within(Refusal::new(
                    Reason::Limit,
                    "zstd",
                    format_args!("a tar stream of at most {}", limits::UNPACKED),
                    size,
                )));
            }
            _ => return Err(within(Refusal::new(Reason::Malformed, "zstd", "a frame that tells its content size", "none"))),
        };
        let bytes = first_member(&mut reader).map_err(within)?;
        let manifest: Manifest = json::parse(&bytes, bundle::MANIFEST).map_err(within)?;
        let size = regular(path)?.metadata().map_err(|error| within(broken("size", &error)))?.len();
        let group = group(&manifest, &bytes, size, unpacked_size).map_err(within)?;
        Ok(Self { group, manifest, bytes })
    }

    /// Reads all of it, every byte checked by the core against the manifest.
    fn open(self, path: &Path, keep: BTreeSet<String>) -> Result<Opened, CompareError> {
        let within = |refusal: Refusal| CompareError::Bundle(refusal.within(shown(path)));
        let mut sink = Keep { wanted: keep, files: BTreeMap::new(), bytes: 0 };
        let (manifest, _) = bundle::unpack(&self.group, &mut BufReader::new(regular(path)?), &mut sink).map_err(within)?;
        let mut items = BTreeMap::new();
        for file in &manifest.files {
            let name = file.path.to_string();
            let content = sink.files.remove(&name).map_or(Stored::Digest(file.sha256), Stored::Bytes);
            items.insert(name, Item { role: Role::Output, size: file.size, mode: Some(file.mode.bits()), content });
        }
        let record = |bytes: Vec<u8>| Item { role: Role::Record, size: bytes.len() as u64, mode: None, content: Stored::Bytes(bytes) };
        items.insert(bundle::MANIFEST.to_owned(), record(self.bytes));
        let mut notes = Vec::new();
        match buildinfo(path, manifest.buildinfo) {
            Some(Ok(bytes)) => drop(items.insert("buildinfo.json".to_owned(), record(bytes))),
            Some(Err(other)) => notes.push(format!("{other} is not the buildinfo that the bundle names; it was not looked into")),
            None => {}
        }
        Ok(Opened { side: describe(path, SideKind::Bundle)?, items, notes })
    }
}

/// Content of the first tar member, which must be a manifest. Its header is checked when the whole is read.
fn first_member(reader: &mut dyn BufRead) -> Result<Vec<u8>, Refusal> {
    let decoder = zstd::stream::read::Decoder::with_buffer(reader).and_then(|mut decoder| {
        decoder.window_log_max(limits::WINDOW_LOG)?;
        Ok(decoder.single_frame())
    });
    let mut decoder = decoder.map_err(|error| Refusal::new(Reason::Internal, "zstd", "a decoder", error))?;
    let mut header = tar::Header::new_ustar();
    decoder.read_exact(header.as_mut_bytes()).map_err(|error| broken("header of manifest.json", &error))?;
    let size = header.entry_size().map_err(|error| broken("header of manifest.json", &error))?;
    if size > limits::MANIFEST as u64 {
        return Err(Refusal::new(Reason::Limit, bundle::MANIFEST, format_args!("at most {} bytes", limits::MANIFEST), size));
    }
    let mut bytes = Vec::new();
    decoder.take(size).read_to_end(&mut bytes).map_err(|error| broken(bundle::MANIFEST, &error))?;
    Ok(bytes)
}

/// A group file that says of the bundle what the bundle says of itself. It exists in memory alone and vouches for nothing.
fn group(manifest: &Manifest, bytes: &[u8], size: u64, unpacked_size: u64) -> Result<Group, Refusal> {
    let internal = |error| Refusal::new(Reason::Internal, "stand-in for a group file", "a value", error);
    let file = Entry::file_name(&manifest.product, &manifest.release, &manifest.environment, &manifest.target);
    let repository: RepositoryId = "0".repeat(32).parse().map_err(internal)?;
    let role: Name = "unverified".parse().map_err(internal)?;
    let ledger =
        |flag: &manifest::Flag| LedgerEntry { id: flag.id, name: flag.name.clone(), meaning: flag.meaning, state: FlagState::Active };
    Ok(Group {
        format: 1,
        kind: "group".into(),
        repository,
        environment: manifest.environment.clone(),
        role,
        hosts: BTreeMap::new(),
        bundle: Entry {
            sha256sum: Entry::line(Digest::of(b""), &file),
            size,
            unpacked_size,
            manifest_sha256: Digest::of(bytes),
            product: manifest.product.clone(),
            release: manifest.release.clone(),
            target: manifest.target.clone(),
            wire_epoch: manifest.wire_epoch,
            source_commit: manifest.source.commit.clone(),
        },
        mode: Mode::Install,
        from: Vec::new(),
        rollback_targets: Vec::new(),
        revoked: Vec::new(),
        ledger: manifest.flags.iter().map(ledger).collect(),
        gate: Gate::None,
        freshness: Freshness { activate_seconds: 0, restart_seconds: 0, lease: Lease::Grace },
        silence: Silence { alert_seconds: 0, stop_seconds: None },
    })
}

/// The buildinfo that lies beside the bundle in a repository (FORMAT.md section 2), if it is the one that the manifest names.
fn buildinfo(path: &Path, want: Digest) -> Option<Result<Vec<u8>, String>> {
    let name = path.file_name()?.to_str()?.strip_suffix(".tar.zst")?;
    let beside = path.with_file_name(format!("{name}.buildinfo.json"));
    let mut bytes = Vec::new();
    regular(&beside).ok()?.take(super::RECORD).read_to_end(&mut bytes).ok()?;
    Some(if Digest::of(&bytes) == want { Ok(bytes) } else { Err(shown(&beside)) })
}

fn broken(what: &str, error: &io::Error) -> Refusal {
    let reason = if error.raw_os_error().is_some() { Reason::Io } else { Reason::Malformed };
    Refusal::new(reason, what, "a bundle as in FORMAT.md section 6", error)
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
