//! What is asked of each parser, whatever bytes it is given: an answer, in bounded memory, without a panic; and what it accepts, it prints
//! again as the same document.
//!
//! The targets are in `fuzz_targets/`, one a parser; what they begin with are the conformance vectors (`tests/vectors`). `cargo xtask fuzz` runs them.

#![allow(clippy::unwrap_used, reason = "a broken property is to stop the fuzzer")]

use proofmark_core::admission::State;
use proofmark_core::adopt::Adopt;
use proofmark_core::bundle::{self, Sink};
use proofmark_core::group::Group;
use proofmark_core::halt::Halt;
use proofmark_core::head::Head;
use proofmark_core::index::Index;
use proofmark_core::json::{self, Document};
use proofmark_core::latest::Latest;
use proofmark_core::manifest::{File, Manifest};
use proofmark_core::resume::Resume;
use proofmark_core::signature::verify_signatures;
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Kind, signature};
use std::fmt::Debug;
use std::io::{self, Read};
use std::sync::LazyLock;

/// Parse, print, parse is the identity; and a second print is the first.
fn document<D: Document + PartialEq + Debug>(data: &[u8]) {
    let Ok(document) = json::parse::<D>(data, "input") else { return };
    let printed = json::print(&document);
    // Our own spelling may be longer than what was read.
    if printed.len() <= D::LIMIT {
        let again: D = json::parse(&printed, "printed").unwrap();
        assert_eq!(again, document);
        assert_eq!(json::print(&again), printed);
    }
}

/// `trust/N.trust.json`.
pub fn trust(data: &[u8]) {
    document::<Trust>(data);
}
/// `index/N.index.json`.
pub fn index(data: &[u8]) {
    document::<Index>(data);
}
/// `group/DIGEST.group.json`.
pub fn group(data: &[u8]) {
    document::<Group>(data);
}
/// `head/N.head.json`.
pub fn head(data: &[u8]) {
    document::<Head>(data);
}
/// `halt/DIGEST.halt.json`.
pub fn halt(data: &[u8]) {
    document::<Halt>(data);
}
/// `resume/DIGEST.resume.json`.
pub fn resume(data: &[u8]) {
    document::<Resume>(data);
}
/// `DIGEST.adopt.json`.
pub fn adopt(data: &[u8]) {
    document::<Adopt>(data);
}
/// `latest`.
pub fn latest(data: &[u8]) {
    document::<Latest>(data);
}
/// `manifest.json`.
pub fn manifest(data: &[u8]) {
    document::<Manifest>(data);
}
/// `state.json`: the host's own, and read again after a crash.
pub fn state(data: &[u8]) {
    document::<State>(data);
}

const GOOD: &str = include_str!("../../vectors/signatures/good.minisig");
const SIGNED: &[u8] = include_bytes!("../../vectors/signatures/2.index.json");
const BUNDLE: &[u8] = include_bytes!("../../vectors/bundles/good.group.json");

static TRUST: LazyLock<Trust> =
    LazyLock::new(|| json::parse(include_bytes!("../../vectors/repositories/standard/trust/1.trust.json"), "trust").unwrap());
static GROUP: LazyLock<Group> = LazyLock::new(|| json::parse(BUNDLE, "group").unwrap());

/// A signature file. Nobody can make another one that is accepted, but for the comment in line 1, which nothing is signed by.
pub fn envelope(data: &[u8]) {
    let comment = signature::comment(&TRUST.repository, Kind::Index, Some(2), "2.index.json");
    let found = [("alice-1".parse().unwrap(), data.to_vec())];
    let mut reader = SIGNED;
    let signed = verify_signatures(&TRUST, &TRUST.roles.index, &comment, "input", &found, &mut reader, &|_, _| Ok(()));
    if signed.is_ok_and(|signed| !signed.signers.is_empty()) {
        let three = |text: &str| text.split_once('\n').unwrap().1.to_owned();
        assert_eq!(three(std::str::from_utf8(data).unwrap()), three(GOOD));
    }
}

/// Takes every file, and sees to it that no more comes than the manifest says.
struct Counting;

impl Sink for Counting {
    fn file(&mut self, file: &File, content: &mut dyn Read) -> io::Result<()> {
        let taken = io::copy(content, &mut io::sink())?;
        assert_eq!(taken, file.size);
        Ok(())
    }
}

/// A zstd frame. The bytes that the group file names are the only ones that unpack: whoever finds others has broken SHA-256.
pub fn frame(data: &[u8]) {
    let mut reader = data;
    if let Ok((_, manifest)) = bundle::unpack(&GROUP, &mut reader, &mut Counting) {
        assert_eq!(Digest::of(&manifest), GROUP.bundle.manifest_sha256);
        assert!(reader.is_empty());
    }
}

/// A tar stream, in a frame that is right and under a group file that pins whatever manifest is in it.
pub fn tar(data: &[u8]) {
    let mut group = GROUP.clone();
    group.bundle.unpacked_size = data.len() as u64;
    let size = data.get(124..135).and_then(|digits| usize::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
    if let Some(manifest) = size.and_then(|size| data.get(512..size.checked_add(512)?)) {
        group.bundle.manifest_sha256 = Digest::of(manifest);
    }
    let framed = framed(data).unwrap();
    if let Ok((manifest, bytes)) = bundle::unpack(&group, &mut framed.as_slice(), &mut Counting) {
        // What is accepted is determined by its manifest: headers, order, padding and length.
        assert_eq!(bundle::stream_size(bytes.len() as u64, &manifest), data.len() as u64);
    }
}

fn framed(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
    encoder.include_checksum(true)?;
    encoder.include_contentsize(true)?;
    encoder.set_pledged_src_size(Some(data.len() as u64))?;
    io::Write::write_all(&mut encoder, data)?;
    encoder.finish()
}
