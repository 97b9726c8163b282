//! A bundle as a file of its own, without the repository and the group file that vouch for it: made sure to be whole, never authentic.
//!
//! The core checks a bundle against a group file. There is none here, so that one is made, in memory, from what the bundle says of
//! itself. Who acts on the result vouches for where the file came from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use proofmark_core::bundle::{self, Discard, MANIFEST};
use proofmark_core::group::{Entry, FlagState, Freshness, Gate, Group, Lease, LedgerEntry, Mode, Silence};
use proofmark_core::manifest::Manifest;
use proofmark_core::{Digest, Reason, Refusal, json, limits};

use crate::buildinfo::read::LARGEST;
use crate::exit::{Exit, IoContext, IoError, Refuse};

/// A whole bundle, and the buildinfo that it names.
#[derive(Debug)]
pub struct BundleFile {
    /// Its file name, as FORMAT.md section 6 gives it.
    pub file: String,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Its manifest; every file in it has been checked.
    pub manifest: Manifest,
    /// `FILE.buildinfo.json` beside it; its digest is the one in the manifest.
    pub buildinfo: Vec<u8>,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleFileError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// It is not a bundle, or not whole.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its name is not the one that its manifest gives.
    #[error("{have}: want {want}")]
    Name {
        /// By the manifest.
        want: String,
        /// As it is called.
        have: String,
    },
}

impl Refuse for BundleFileError {
    fn refusal(&self) -> crate::exit::Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Refused(refusal) => refusal.refusal(),
            Self::Name { want, have } => crate::exit::Refusal::new(Exit::Malformed, "bundle-name", "not the name of this bundle", have)
                .want(want)
                .have(have)
                .next("give the file as it lies in the repository, bundles/DIGEST/FILE.tar.zst, with FILE.buildinfo.json beside it"),
        }
    }
}

/// Reads the bundle at `path`, every byte of it, and the buildinfo beside it.
pub fn open(path: &Path) -> Result<BundleFile, BundleFileError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut reader = BufReader::new(File::open(path).at("open", path)?);
    let (digest, size) = Digest::of_reader(&mut (&mut reader).take(limits::BUNDLE + 1)).at("read", path)?;
    if size > limits::BUNDLE {
        return Err(Refusal::new(Reason::Limit, name, format_args!("at most {} bytes", limits::BUNDLE), "more").into());
    }
    reader.rewind().at("read", path)?;
    let bytes = first_member(&mut reader, &name)?;
    let manifest: Manifest = json::parse(&bytes, MANIFEST)?;
    reader.rewind().at("read", path)?;
    let group = stand_in(&manifest, &bytes, (digest, size))?;
    let file = group.bundle_file();
    if name != file {
        return Err(BundleFileError::Name { want: file, have: name });
    }
    bundle::unpack(&group, &mut reader, &mut Discard)?;

    let beside = path.with_file_name(format!("{}.buildinfo.json", file.strip_suffix(".tar.zst").unwrap_or(&file)));
    let mut buildinfo = Vec::new();
    File::open(&beside).and_then(|file| file.take(LARGEST).read_to_end(&mut buildinfo)).at("read", &beside)?;
    manifest.buildinfo.check(Digest::of(&buildinfo), beside.display())?;
    Ok(BundleFile { file, digest, manifest, buildinfo })
}

/// Content of the first tar member, which must be the manifest; the core checks its header when it reads the whole.
fn first_member(reader: &mut BufReader<File>, name: &str) -> Result<Vec<u8>, Refusal> {
    let broken = |error: std::io::Error| Refusal::new(Reason::Malformed, name, "a bundle as in FORMAT.md section 6", error);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(reader).map_err(broken)?;
    decoder.window_log_max(limits::WINDOW_LOG).map_err(broken)?;
    let mut header = tar::Header::new_ustar();
    decoder.read_exact(header.as_mut_bytes()).map_err(broken)?;
    let size = header.entry_size().map_err(broken)?;
    if size > limits::MANIFEST as u64 {
        return Err(Refusal::new(Reason::Limit, MANIFEST, format_args!("at most {} bytes", limits::MANIFEST), size));
    }
    let mut bytes = Vec::new();
    decoder.take(size).read_to_end(&mut bytes).map_err(broken)?;
    Ok(bytes)
}

/// A group file that says of the bundle what the bundle says of itself.
fn stand_in(manifest: &Manifest, bytes: &[u8], (digest, size): (Digest, u64)) -> Result<Group, Refusal> {
    let internal = |why: &'static str| Refusal::new(Reason::Internal, "stand-in for a group file", "a value", why);
    let file = Entry::file_name(&manifest.product, &manifest.release, &manifest.environment, &manifest.target);
    let ledger = manifest.flags.iter().map(|flag| LedgerEntry {
        id: flag.id,
        name: flag.name.clone(),
        meaning: flag.meaning,
        state: FlagState::Active,
    });
    Ok(Group {
        format: 1,
        kind: "group".into(),
        repository: "0".repeat(32).parse().map_err(internal)?,
        environment: manifest.environment.clone(),
        role: "unverified".parse().map_err(internal)?,
        hosts: BTreeMap::new(),
        bundle: Entry {
            sha256sum: Entry::line(digest, &file),
            size,
            unpacked_size: bundle::stream_size(bytes.len() as u64, manifest),
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
        ledger: ledger.collect(),
        gate: Gate::None,
        freshness: Freshness { activate_seconds: 0, restart_seconds: 0, lease: Lease::Grace },
        silence: Silence { alert_seconds: 0, stop_seconds: None },
    })
}
