//! The bundle's bytes (section 6): one zstd frame, one exact tar stream.
//!
//! The tar stream is not parsed. Apart from the size of `manifest.json`, every byte that is not file content is known from the
//! manifest, so each header is built again and compared: links, devices, PAX records and duplicates have no way in.

use crate::digest::{Digest, Hasher};
use crate::group::Group;
use crate::json;
use crate::limits;
use crate::manifest::{File, FileMode, Manifest};
use crate::name::Name;
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::{self, Kind, Signed};
use crate::time::Time;
use crate::trust::Trust;
use std::io::{self, BufRead, Read};

/// Name of the first member.
pub const MANIFEST: &str = "manifest.json";
/// Bytes of a tar block.
pub const BLOCK: u64 = 512;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Receives the files of a bundle, in order. What it stores is not to be used before [`unpack`] returns `Ok`.
pub trait Sink {
    /// One file; `content` gives exactly `file.size` bytes, whose digest is checked after this returns.
    fn file(&mut self, file: &File, content: &mut dyn Read) -> io::Result<()>;
}

/// A sink that keeps nothing: for checking alone.
pub struct Discard;

impl Sink for Discard {
    fn file(&mut self, _: &File, content: &mut dyn Read) -> io::Result<()> {
        io::copy(content, &mut io::sink()).map(drop)
    }
}

/// The one header a member may have (section 6), byte for byte.
pub fn header(path: &str, size: u64, mode: FileMode, mtime: Time) -> Result<[u8; 512]> {
    let wrong = |e: io::Error| Refusal::new(Reason::Malformed, path, "a member path of at most 100 bytes", e);
    let mut header = tar::Header::new_ustar();
    let block = header.as_ustar_mut().ok_or_else(|| Refusal::new(Reason::Internal, path, "a ustar header", "another kind"))?;
    if path.len() > block.name.len() {
        return Err(wrong(io::ErrorKind::InvalidInput.into()));
    }
    block.name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_mode(mode.bits());
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(mtime.unix().unsigned_abs());
    header.set_entry_type(tar::EntryType::Regular);
    header.set_device_major(0).map_err(wrong)?;
    header.set_device_minor(0).map_err(wrong)?;
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// Zero bytes that follow content of this size.
pub fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

/// Bytes of the tar stream for a manifest of `manifest_size` bytes; saturating, so that an absurd manifest is merely wrong.
pub fn stream_size(manifest_size: u64, manifest: &Manifest) -> u64 {
    let member = |size: u64| BLOCK.saturating_add(size).saturating_add(padding(size));
    let files = manifest.files.iter().fold(0u64, |sum, file| sum.saturating_add(member(file.size)));
    member(manifest_size).saturating_add(files).saturating_add(2 * BLOCK)
}

/// Who signed the bundle: size, digest, then role `bundle` over all its bytes (step 13 of section 7.1). Reads to the end once.
pub fn verify(trust: &Trust, group: &Group, signatures: &[(Name, Vec<u8>)], reader: &mut dyn Read) -> Result<Signed> {
    let file = group.bundle_file();
    let comment = signature::comment(&trust.repository, Kind::Bundle, None, &file);
    let role = &trust.roles.bundle;
    // One byte more than promised is enough to know.
    let mut bounded = reader.take(group.bundle.size.saturating_add(1));
    let expected = |digest, size| check_content(group, size, digest);
    let signed = signature::verify_signatures(trust, role, &comment, &file, signatures, &mut bounded, &expected)?;
    role.check_met(&signed.signers, None).map_err(|e| e.within(&file))?;
    Ok(signed)
}

/// Size and digest of a bundle against the group file.
pub fn check_content(group: &Group, size: u64, digest: Digest) -> Result<()> {
    let file = group.bundle_file();
    if size != group.bundle.size {
        return Err(Refusal::new(Reason::Size, file, format_args!("{} bytes", group.bundle.size), format_args!("{size} bytes or more")));
    }
    group.bundle.digest()?.check(digest, file)
}

/// Unpacks a bundle into `sink`, checking every byte against the group file and the manifest it pins. Returns the manifest's bytes too.
///
/// Memory is bounded by the window and the manifest, time by `unpacked_size`.
pub fn unpack(group: &Group, reader: &mut dyn BufRead, sink: &mut dyn Sink) -> Result<(Manifest, Vec<u8>)> {
    let subject = group.bundle_file();
    let within = |refusal: Refusal| refusal.within(&subject);
    check_frame(group, reader).map_err(within)?;
    let decoder = zstd::stream::read::Decoder::with_buffer(reader).and_then(|mut decoder| {
        decoder.window_log_max(limits::WINDOW_LOG)?;
        Ok(decoder.single_frame())
    });
    let mut decoder = decoder.map_err(|e| within(Refusal::new(Reason::Internal, "zstd", "a decoder", e)))?;
    let unpacked = unpack_tar(group, &mut decoder, sink).map_err(within)?;
    let rest = decoder.finish().fill_buf().map_err(|e| within(broken("end of the frame", &e)))?;
    if !rest.is_empty() {
        return Err(within(Refusal::new(Reason::Malformed, "zstd", "nothing after the first frame", "more bytes")));
    }
    Ok(unpacked)
}

/// The first bytes of the frame (RFC 8878, section 3.1.1.1): magic, no dictionary, checksum and content size present.
fn check_frame(group: &Group, reader: &mut dyn BufRead) -> Result<()> {
    let start = reader.fill_buf().map_err(|e| broken("start of the frame", &e))?;
    let malformed = |want: &str, have: String| Err(Refusal::new(Reason::Malformed, "zstd", want, have));
    let Some(descriptor) = start.get(4).filter(|_| start.starts_with(&MAGIC)) else {
        return malformed("a zstd frame from the first byte", format!("bytes {:02x?}", &start[..start.len().min(4)]));
    };
    if descriptor & 0b0000_1111 != 0b0000_0100 {
        return malformed("a frame with checksum and without dictionary", format!("frame header descriptor {descriptor:#010b}"));
    }
    match zstd::zstd_safe::get_frame_content_size(start) {
        Ok(Some(size)) if size == group.bundle.unpacked_size => Ok(()),
        other => malformed(&format!("content size {}", group.bundle.unpacked_size), format!("{:?}", other.ok().flatten())),
    }
}

fn unpack_tar(group: &Group, stream: &mut dyn Read, sink: &mut dyn Sink) -> Result<(Manifest, Vec<u8>)> {
    let first = block(stream, "header of manifest.json")?;
    let size = manifest_size(&first)?;
    let mut bytes = vec![0; size as usize];
    stream.read_exact(&mut bytes).map_err(|e| broken(MANIFEST, &e))?;
    zeros(stream, padding(size), MANIFEST)?;
    group.bundle.manifest_sha256.check(Digest::of(&bytes), MANIFEST)?;
    let manifest: Manifest = json::parse(&bytes, MANIFEST)?;
    manifest.check_group(group)?;
    let want = stream_size(size, &manifest);
    if want != group.bundle.unpacked_size {
        return Err(Refusal::new(
            Reason::Size,
            "tar stream",
            format_args!("{want} bytes, by the manifest"),
            format_args!("{} bytes, by the group file", group.bundle.unpacked_size),
        ));
    }
    let mtime = manifest.source.time;
    check_header(&first, &header(MANIFEST, size, FileMode::Data, mtime)?, MANIFEST)?;
    for file in &manifest.files {
        let path = file.path.as_str();
        check_header(&block(stream, path)?, &header(path, file.size, file.mode, mtime)?, path)?;
        let mut content = Content { stream, left: file.size, hasher: Hasher::default() };
        sink.file(file, &mut content).map_err(|e| broken(path, &e))?;
        let Content { left, hasher, .. } = content;
        if left != 0 {
            return Err(Refusal::new(Reason::Internal, path, "a sink that takes the whole file", format_args!("{left} bytes left")));
        }
        file.sha256.check(hasher.finish().0, path)?;
        zeros(stream, padding(file.size), path)?;
    }
    zeros(stream, 2 * BLOCK, "end of the tar stream")?;
    let mut more = [0];
    match stream.read(&mut more) {
        Ok(0) => Ok((manifest, bytes)),
        Ok(_) => Err(Refusal::new(Reason::Malformed, "tar", "two zero blocks and nothing after", "more bytes")),
        Err(e) => Err(broken("end of the tar stream", &e)),
    }
}

/// The one field that is read from a header: 11 octal digits and a NUL.
fn manifest_size(header: &[u8; 512]) -> Result<u64> {
    let field = &header[124..136];
    let digits = std::str::from_utf8(&field[..11]).unwrap_or_default();
    let octal = digits.bytes().all(|c| (b'0'..=b'7').contains(&c)) && field[11] == 0;
    match u64::from_str_radix(digits, 8) {
        Ok(size) if octal && size <= limits::MANIFEST as u64 => Ok(size),
        Ok(size) if octal => Err(Refusal::new(Reason::Limit, MANIFEST, format_args!("at most {} bytes", limits::MANIFEST), size)),
        _ => Err(Refusal::new(Reason::Malformed, "header of manifest.json", "a size of 11 octal digits", digits)),
    }
}

fn check_header(have: &[u8; 512], want: &[u8; 512], path: &str) -> Result<()> {
    if have == want {
        return Ok(());
    }
    let (field, range) = FIELDS.iter().find(|(_, r)| have[r.clone()] != want[r.clone()]).cloned().unwrap_or(("header", 0..512));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    Err(Refusal::new(
        Reason::Malformed,
        format_args!("tar header of {path}"),
        format_args!("{field} {:?}", text(&want[range.clone()])),
        format_args!("{field} {:?}", text(&have[range])),
    ))
}

/// Fields of a ustar header, the telling ones first.
const FIELDS: [(&str, std::ops::Range<usize>); 13] = [
    ("type", 156..157),
    ("name", 0..100),
    ("link name", 157..257),
    ("mode", 100..108),
    ("uid", 108..116),
    ("gid", 116..124),
    ("size", 124..136),
    ("mtime", 136..148),
    ("magic", 257..265),
    ("user name", 265..297),
    ("group name", 297..329),
    ("rest", 329..512),
    ("checksum", 148..156),
];

fn block(stream: &mut dyn Read, what: &str) -> Result<[u8; 512]> {
    let mut block = [0; 512];
    stream.read_exact(&mut block).map_err(|e| broken(what, &e))?;
    Ok(block)
}

fn zeros(stream: &mut dyn Read, count: u64, what: &str) -> Result<()> {
    let mut padding = [0; 2 * BLOCK as usize];
    let padding = &mut padding[..count as usize];
    stream.read_exact(padding).map_err(|e| broken(what, &e))?;
    if padding.iter().any(|&b| b != 0) {
        return Err(Refusal::new(Reason::Malformed, what, "zero bytes after the content", "others"));
    }
    Ok(())
}

/// An error of the operating system is "cannot tell"; any other means that the bytes are not a bundle.
fn broken(what: &str, error: &io::Error) -> Refusal {
    let reason = if error.raw_os_error().is_some() { Reason::Io } else { Reason::Malformed };
    Refusal::new(reason, what, "a bundle as in FORMAT.md section 6", error)
}

/// The content of one file, hashed on its way.
struct Content<'a> {
    stream: &'a mut dyn Read,
    left: u64,
    hasher: Hasher,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.stream.read(&mut buffer[..most])?;
        if n == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}
