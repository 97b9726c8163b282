//! `bundles/`: bundles with one wrong byte, each repaired around it, so that the fault reaches the reader of zstd, tar or manifest
//! that its name says; FORMAT.md section 6, ATTACKS 27 and 28.

use super::repo::{Bundle, Tree, bundle, group, manifest, member, members, pack};
use proofmark_core::bundle::{header, padding};
use proofmark_core::group::{Entry, Group};
use proofmark_core::json;
use proofmark_core::manifest::{FileMode, Manifest};
use proofmark_core::{Digest, Time};
use serde_json::{Value, json};
use std::io::Write;

/// Cases so far.
struct Cases<'a> {
    files: &'a mut Tree,
    cases: Vec<Value>,
}

/// A tar stream in the making: header and content of each member, in order.
#[derive(Clone)]
struct Tar {
    members: Vec<([u8; 512], Vec<u8>)>,
    end: Vec<u8>,
}

/// Writes every bundle with the group file that names it, and what must be said of it.
pub fn write(files: &mut Tree) {
    let mut cases = Cases { files, cases: Vec::new() };
    frames(&mut cases);
    headers(&mut cases);
    streams(&mut cases);
    contents(&mut cases);
    let cases = cases.cases;
    files.insert("bundles/cases.json".into(), super::print(&json!({ "cases": cases })));
}

impl Cases<'_> {
    fn case(&mut self, name: &str, says: &str, bytes: &[u8], group: &Group, code: u8, word: &str) {
        let mut group = group.clone();
        group.bundle.sha256sum = Entry::line(Digest::of(bytes), &group.bundle_file());
        group.bundle.size = bytes.len() as u64;
        self.files.insert(format!("bundles/{name}.tar.zst"), bytes.to_vec());
        self.files.insert(format!("bundles/{name}.group.json"), json::print(&group));
        self.cases.push(json!({ "name": name, "says": says, "code": code, "word": word }));
    }

    fn malformed(&mut self, name: &str, says: &str, bytes: &[u8], group: &Group) {
        self.case(name, says, bytes, group, 90, "malformed");
    }

    /// The standard bundle with another tar stream, whose size the group file knows.
    fn tar(&mut self, name: &str, says: &str, tar: &Tar, code: u8, word: &str) {
        let stream = tar.stream();
        let mut group = group(&bundle("1.0"));
        group.bundle.unpacked_size = stream.len() as u64;
        self.case(name, says, &compress(&stream), &group, code, word);
    }
}

impl Tar {
    fn of(bundle: &Bundle) -> Self {
        let manifest = &bundle.packed.manifest;
        let mtime = manifest.source.time;
        let text = json::print(manifest);
        let mut tar = Tar { members: vec![(head("manifest.json", text.len(), FileMode::Data, mtime), text)], end: vec![0; 1024] };
        for (file, member) in manifest.files.iter().zip(members("1.0")) {
            let proofmark::pack::Content::Bytes(content) = member.content else { unreachable!() };
            tar.members.push((head(file.path.as_str(), content.len(), file.mode, mtime), content));
        }
        tar
    }

    fn stream(&self) -> Vec<u8> {
        let mut stream = Vec::new();
        for (header, content) in &self.members {
            stream.extend(header);
            stream.extend(content);
            stream.resize(stream.len() + padding(content.len() as u64) as usize, 0);
        }
        stream.extend(&self.end);
        stream
    }

    /// The same with other header bytes of a member, and a checksum that fits them.
    fn with(&self, member: usize, edit: impl FnOnce(&mut [u8; 512])) -> Self {
        let mut tar = self.clone();
        let header = &mut tar.members[member].0;
        edit(header);
        checksum(header);
        tar
    }
}

fn head(path: &str, size: usize, mode: FileMode, mtime: Time) -> [u8; 512] {
    header(path, size as u64, mode, mtime).unwrap()
}

fn checksum(header: &mut [u8; 512]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:07o}\0").as_bytes());
}

fn compress(stream: &[u8]) -> Vec<u8> {
    frame(stream, true, Some(stream.len() as u64), 23)
}

fn frame(stream: &[u8], checksum: bool, size: Option<u64>, window: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = zstd::stream::write::Encoder::new(&mut out, 3).unwrap();
    encoder.window_log(window).unwrap();
    encoder.include_checksum(checksum).unwrap();
    encoder.include_contentsize(size.is_some()).unwrap();
    encoder.set_pledged_src_size(size).unwrap();
    encoder.write_all(stream).unwrap();
    encoder.finish().unwrap();
    out
}

fn frames(cases: &mut Cases) {
    let good = bundle("1.0");
    let group = group(&good);
    let stream = Tar::of(&good).stream();
    assert_eq!(compress(&stream), good.bytes, "the tar stream here is the packer's");
    cases.case("good", "a bundle", &good.bytes, &group, 0, "done");
    // A file of zeros makes the stream larger than a window may be; the frame has one segment, and no window field.
    let large = |size: usize| {
        let large = pack(manifest("1.0"), [members("1.0"), vec![member("root/zeros", FileMode::Data, &"0".repeat(size))]].concat());
        let stream = zstd::decode_all(large.bytes.as_slice()).unwrap();
        (frame(&stream, true, Some(stream.len() as u64), 24), super::repo::group(&large))
    };
    let (bytes, small) = large((8 << 20) - 6144);
    assert!(bytes[4] & 0x20 != 0, "one segment");
    cases.case("28-one-segment-of-8-mebibytes", "the window of a frame of one segment is its content", &bytes, &small, 0, "done");
    let (bytes, too_large) = large(8 << 20);
    cases.malformed("28-one-segment-larger-than-a-window", "and has the same bound", &bytes, &too_large);
    let after = |more: &[u8]| [good.bytes.as_slice(), more].concat();
    cases.malformed("28-second-frame", "one frame", &after(&compress(b"")), &group);
    cases.malformed("28-skippable-frame-after", "no skippable frame after it", &after(b"\x50\x2a\x4d\x18\x01\0\0\0x"), &group);
    cases.malformed(
        "28-skippable-frame-before",
        "nor before it",
        &[b"\x50\x2a\x4d\x18\x01\0\0\0x".as_slice(), &good.bytes].concat(),
        &group,
    );
    cases.malformed("28-trailing-byte", "nothing after it", &after(b"\0"), &group);
    cases.malformed("28-truncated", "a whole frame", &good.bytes[..good.bytes.len() - 5], &group);
    cases.malformed("28-only-the-magic", "a whole frame", &good.bytes[..4], &group);
    cases.malformed("28-empty", "a frame", b"", &group);
    cases.malformed("28-not-zstd", "a frame of zstd", &stream, &group);
    cases.malformed("28-no-checksum", "with its checksum", &frame(&stream, false, Some(stream.len() as u64), 23), &group);
    cases.malformed("28-no-content-size", "and its content's size", &frame(&stream, true, None, 23), &group);
    let mut wrong = good.bytes.clone();
    *wrong.last_mut().unwrap() ^= 1;
    cases.malformed("28-wrong-checksum", "a checksum that is right", &wrong, &group);
    let mut reserved = good.bytes.clone();
    reserved[4] |= 0b0000_1000;
    cases.malformed("28-reserved-bit", "the reserved bit is zero", &reserved, &group);
    let mut dictionary = good.bytes.clone();
    dictionary[4] |= 1;
    let at = if dictionary[4] & 0x20 == 0 { 6 } else { 5 };
    dictionary.insert(at, 1);
    cases.malformed("28-dictionary", "no dictionary", &dictionary, &group);
    // 64 MiB of zeros are 6 KiB, behind a header that says what the group file says.
    let bomb = compress(&vec![0; 64 << 20]);
    cases.malformed("28-bomb", "as many bytes as the group file says, whatever unpacks", &bomb, &group);
    let mut lying = group.clone();
    lying.bundle.unpacked_size = 64 << 20;
    cases.malformed("28-bomb-that-is-announced", "zeros are no tar header", &bomb, &lying);
    let mut window = frame(&stream, true, None, 24);
    // A window of 16 MiB: the descriptor byte says so, since the content's size is not there; put it there.
    window[4] |= 0b1000_0000;
    let size = u32::try_from(stream.len()).unwrap().to_le_bytes();
    window.splice(6..6, size);
    cases.malformed("28-window-of-16-mib", "a window of 8 MiB at most", &window, &group);
}

fn headers(cases: &mut Cases) {
    let tar = Tar::of(&bundle("1.0"));
    let mut field = |name: &str, says: &str, member: usize, edit: &dyn Fn(&mut [u8; 512])| {
        cases.tar(name, says, &tar.with(member, edit), 90, "malformed")
    };
    let text = |at: usize, text: &'static [u8]| move |header: &mut [u8; 512]| header[at..at + text.len()].copy_from_slice(text);
    field("27-name-dot-dot", "a member is named as the manifest says", 2, &text(0, b"root/../etc/passwd\0"));
    field("27-name-absolute", "a member is named as the manifest says", 2, &text(0, b"/etc/passwd\0\0\0\0\0\0\0\0"));
    field("27-name-with-more-after-nul", "nothing hides behind a NUL", 2, &text(60, b"x"));
    field("27-mode-setuid", "no mode but 0644 and 0755", 1, &text(100, b"0004755"));
    field("27-mode-of-another-file", "the mode that the manifest says", 1, &text(100, b"0000644"));
    field("27-mode-with-spaces", "a number has one spelling", 1, &text(100, b"   755 "));
    field("27-uid", "owner 0", 1, &text(108, b"0001750"));
    field("27-gid", "group 0", 1, &text(116, b"0001750"));
    field("27-size-larger", "the size that the manifest says", 1, &text(124, b"00000010000"));
    field("27-size-binary", "a size has one spelling", 1, &text(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x24"));
    field("27-mtime", "the time of the commit", 1, &text(136, b"00000000000"));
    for (name, typeflag) in [
        ("hard-link", b'1'),
        ("symbolic-link", b'2'),
        ("character-device", b'3'),
        ("block-device", b'4'),
        ("directory", b'5'),
        ("fifo", b'6'),
        ("contiguous", b'7'),
        ("pax", b'x'),
        ("pax-global", b'g'),
        ("gnu-long-name", b'L'),
        ("gnu-long-link", b'K'),
        ("gnu-sparse", b'S'),
        ("old-regular", 0),
        ("unknown", b'Z'),
    ] {
        field(&format!("27-type-{name}"), "regular files only", 2, &|header| header[156] = typeflag);
    }
    field("27-link-name", "no link name", 2, &text(157, b"/etc/passwd"));
    field("27-magic-gnu", "ustar", 2, &text(257, b"ustar  \0"));
    field("27-user-name", "no user name", 2, &text(265, b"root"));
    field("27-group-name", "no group name", 2, &text(297, b"root"));
    field("27-device-number", "device 0", 2, &text(329, b"0000001"));
    field("27-prefix", "no prefix", 2, &text(345, b"etc"));
    field("27-padding", "and nothing in the padding", 2, &text(511, b"x"));
    field("27-manifest-mode", "the manifest's header is as exact", 0, &text(100, b"0000755"));
    field("27-manifest-name", "and its name", 0, &text(0, b"Manifest.json"));
    field("27-manifest-mtime", "and its time", 0, &text(136, b"00000000000"));
    field("27-manifest-size-with-space", "and its size", 0, &text(135, b" "));
    field("27-manifest-size-not-octal", "and its size", 0, &text(124, b"0000000000x"));
    let huge = tar.with(0, text(124, b"00020000001"));
    cases.tar("27-manifest-over-4-mib", "a manifest of 4 MiB at most", &huge, 90, "limit");
    let mut sum = tar.clone();
    sum.members[1].0[150] ^= 1;
    cases.tar("27-checksum", "a header's checksum is right", &sum, 90, "malformed");
    let mut spelled = tar.clone();
    // As other writers have it: six digits, NUL, space.
    spelled.members[1].0.copy_within(149..155, 148);
    spelled.members[1].0[154..156].copy_from_slice(b"\0 ");
    cases.tar("27-checksum-spelled-otherwise", "and has one spelling", &spelled, 90, "malformed");
}

fn streams(cases: &mut Cases) {
    let tar = Tar::of(&bundle("1.0"));
    let mut stream = |name: &str, says: &str, code: u8, word: &str, edit: &dyn Fn(&mut Tar)| {
        let mut changed = tar.clone();
        edit(&mut changed);
        cases.tar(name, says, &changed, code, word);
    };
    stream("27-member-missing", "every file of the manifest", 81, "size", &|tar| drop(tar.members.pop()));
    stream("27-member-that-is-in-no-manifest", "and no other", 81, "size", &|tar| {
        tar.members.push((head("root/etc/shadow", 1, FileMode::Data, "2026-01-01T00:00:00Z".parse().unwrap()), b"x".to_vec()));
    });
    stream("27-member-twice", "once", 81, "size", &|tar| tar.members.push(tar.members[2].clone()));
    stream("27-members-unsorted", "in the manifest's order", 90, "malformed", &|tar| tar.members.swap(1, 2));
    stream("27-manifest-not-first", "the manifest first", 81, "digest", &|tar| tar.members.swap(0, 1));
    stream("27-one-zero-block", "two zero blocks at the end", 81, "size", &|tar| tar.end.truncate(512));
    stream("27-no-end", "two zero blocks at the end", 81, "size", &|tar| tar.end.clear());
    stream("27-three-zero-blocks", "and not three", 81, "size", &|tar| tar.end.resize(1536, 0));
    stream("27-data-after-the-end", "and nothing in them", 90, "malformed", &|tar| tar.end[1023] = b'x');
    stream("27-data-in-the-first-end-block", "and nothing in them", 90, "malformed", &|tar| tar.end[0] = b'x');
    // A byte in the zeros after a file's content.
    let good = tar.stream();
    let content = tar.members[0].1.len();
    let at = 512 + content;
    assert!(!content.is_multiple_of(512) && good[at] == 0);
    let mut padded = good.clone();
    padded[at] = b'x';
    let group = group(&bundle("1.0"));
    cases.malformed("27-data-behind-the-manifest", "zeros after the content", &compress(&padded), &group);
    let last = good.len() - 1025;
    let mut padded = good.clone();
    padded[last] = b'x';
    cases.malformed("27-data-behind-a-file", "zeros after the content", &compress(&padded), &group);
    let mut changed = tar.clone();
    changed.members[2].1[0] ^= 1;
    cases.tar("01-file", "a file's content is what the manifest says", &changed, 81, "digest");
    let mut changed = tar.clone();
    changed.members[0].1[1] = b' ';
    cases.tar("01-manifest", "the manifest is the one that the group file pins", &changed, 81, "digest");
}

/// Manifests that are pinned and signed, and must be refused all the same.
fn contents(cases: &mut Cases) {
    let spoilt = |edit: &dyn Fn(&mut Manifest)| {
        let mut tar = Tar::of(&bundle("1.0"));
        let mut manifest = bundle("1.0").packed.manifest;
        edit(&mut manifest);
        let text = json::print(&manifest);
        tar.members[0] = (head("manifest.json", text.len(), FileMode::Data, manifest.source.time), text.clone());
        let stream = tar.stream();
        let mut group = group(&bundle("1.0"));
        group.bundle.manifest_sha256 = Digest::of(&text);
        group.bundle.unpacked_size = stream.len() as u64;
        (compress(&stream), group)
    };
    let mut case = |name: &str, says: &str, code: u8, word: &str, edit: &dyn Fn(&mut Manifest)| {
        let (bytes, group) = spoilt(edit);
        cases.case(name, says, &bytes, &group, code, word);
    };
    case("27-pinned-manifest-of-another-kind", "a pinned manifest is a manifest", 90, "malformed", &|manifest| {
        manifest.kind = "group".into()
    });
    case("27-pinned-manifest-of-another-contract", "of a contract that is known", 90, "unknown-format", &|manifest| manifest.contract = 2);
    case("97-pinned-manifest-that-asks-for-root", "and asks for nothing that is never granted", 97, "payload-policy", &|manifest| {
        manifest.launch.user = "root".parse().unwrap()
    });
    case("21-pinned-manifest-of-another-environment", "of the group's environment", 96, "wrong-environment", &|manifest| {
        manifest.environment = "uat".parse().unwrap()
    });
    case("20-pinned-manifest-with-a-flag", "with flags of the group's ledger", 79, "flag-ledger", &|manifest| {
        manifest.flags = vec![proofmark_core::manifest::Flag { id: 7, name: "power_peg".parse().unwrap(), meaning: Digest::of(b"peg") }];
    });
    case("27-file-longer-than-the-stream", "with files that the stream holds", 81, "size", &|manifest| manifest.files[1].size += 512);
    let mut many = members("1.0");
    many.push(member("hosts/rtr-1/etc/router.toml", FileMode::Data, "listen = 2\n"));
    many.push(member("root/empty", FileMode::Data, ""));
    many.push(member("root/block", FileMode::Data, &"x".repeat(512)));
    let bundle = pack(manifest("1.0"), many);
    cases.case(
        "good-with-an-overlay",
        "a bundle with files of one host, an empty file and one of a whole block",
        &bundle.bytes,
        &group(&bundle),
        0,
        "done",
    );
}
