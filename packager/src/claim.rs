//! What a bundle says of itself, where no group file vouches for it.
//!
//! The core checks a bundle against a group file. There is none here, so that one is made, in memory, from the bundle's own manifest: with
//! it the core makes sure that the bundle is *whole*, never that it is *authentic*. Who acts on the result vouches for where it came from.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use proofmark_core::bundle::{self, MANIFEST};
use proofmark_core::group::{Entry, FlagState, Freshness, Gate, Group, Lease, LedgerEntry, Mode, Silence};
use proofmark_core::manifest::{Flag, Manifest};
use proofmark_core::{Digest, Reason, Refusal, json, limits};

/// The first member of a bundle.
pub struct Claim {
    /// The manifest.
    pub manifest: Manifest,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Claim {
    /// Reads as far as the manifest. Of the header only the size is looked at: all of it is checked when the whole bundle is read.
    pub fn read(bundle: impl BufRead) -> Result<Self, Refusal> {
        let decoder = zstd::stream::read::Decoder::with_buffer(bundle).and_then(|mut decoder| {
            decoder.window_log_max(limits::WINDOW_LOG)?;
            Ok(decoder.single_frame())
        });
        let mut decoder = decoder.map_err(|error| broken(&error))?;
        let mut header = tar::Header::new_ustar();
        decoder.read_exact(header.as_mut_bytes()).map_err(|error| broken(&error))?;
        let size = header.entry_size().map_err(|error| broken(&error))?;
        if size > limits::MANIFEST as u64 {
            return Err(Refusal::new(Reason::Limit, MANIFEST, format_args!("at most {} bytes", limits::MANIFEST), size));
        }
        let mut bytes = Vec::new();
        decoder.take(size).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
        Ok(Self { manifest: json::parse(&bytes, MANIFEST)?, bytes })
    }

    /// A group file that says of the bundle what the bundle says of itself, for a file of this digest and size.
    pub fn group(&self, digest: Digest, size: u64) -> Result<Group, Refusal> {
        let internal = |why: &'static str| Refusal::new(Reason::Internal, "stand-in for a group file", "a value", why);
        let manifest = &self.manifest;
        let file = Entry::file_name(&manifest.product, &manifest.release, &manifest.environment, &manifest.target);
        let ledger = |flag: &Flag| LedgerEntry { id: flag.id, name: flag.name.clone(), meaning: flag.meaning, state: FlagState::Active };
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
                unpacked_size: bundle::stream_size(self.bytes.len() as u64, manifest),
                manifest_sha256: Digest::of(&self.bytes),
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
}

/// An error of the operating system is "cannot tell"; any other means that the bytes are not a bundle.
fn broken(error: &io::Error) -> Refusal {
    let reason = if error.raw_os_error().is_some() { Reason::Io } else { Reason::Malformed };
    Refusal::new(reason, MANIFEST, "a bundle as in FORMAT.md section 6", error)
}
