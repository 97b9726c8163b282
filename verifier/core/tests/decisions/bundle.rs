//! Section 6, the bundle's bytes. Each hostile bundle is repaired from the outside in, so that the fault reaches the layer named.

use crate::manifest::{file, manifest};
use crate::world::*;
use proofmark_core::bundle::{self, BLOCK, Discard, MANIFEST, Sink, header, padding, stream_size};
use proofmark_core::group::Group;
use proofmark_core::manifest::{File, FileMode, Manifest};
use proofmark_core::{Digest, Kind, Reason, Result, json, limits, signature};
use std::io::{self, Read, Write};

const CONTENT: [&[u8]; 2] = [b"program", b"config"];

fn block_of(content: &[u8]) -> Vec<u8> {
    let mut block = content.to_vec();
    block.resize(content.len() + padding(content.len() as u64) as usize, 0);
    block
}

/// The tar stream of a manifest and its contents.
fn tar(manifest: &Manifest, contents: &[&[u8]]) -> Vec<u8> {
    let bytes = json::print(manifest);
    let mut tar = header(MANIFEST, bytes.len() as u64, FileMode::Data, manifest.source.time).unwrap().to_vec();
    tar.extend(block_of(&bytes));
    for (file, content) in manifest.files.iter().zip(contents) {
        tar.extend(header(file.path.as_str(), file.size, file.mode, manifest.source.time).unwrap());
        tar.extend(block_of(content));
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn compress(tar: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.set_pledged_src_size(Some(tar.len() as u64)).unwrap();
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

/// A group file that vouches for this bundle.
fn vouch(manifest: &Manifest, tar_size: usize, bytes: &[u8]) -> Group {
    let mut group = group("x");
    group.bundle.manifest_sha256 = Digest::of(&json::print(manifest));
    group.bundle.unpacked_size = tar_size as u64;
    group.bundle.size = bytes.len() as u64;
    group.bundle.sha256sum = proofmark_core::group::Entry::line(Digest::of(bytes), &group.bundle_file());
    group
}

/// What becomes of a tar stream, in a frame in order.
fn unpack_tar(manifest: &Manifest, tar: &[u8]) -> Result<()> {
    let bytes = compress(tar);
    bundle::unpack(&vouch(manifest, tar.len(), &bytes), &mut bytes.as_slice(), &mut Discard).map(drop)
}

fn spoiled(spoil: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let mut tar = tar(&manifest(), &CONTENT);
    spoil(&mut tar);
    unpack_tar(&manifest(), &tar)
}

/// Offset of the header of `name`.
fn header_at(tar: &[u8], name: &str) -> usize {
    (0..tar.len()).step_by(512).find(|at| tar[*at..].starts_with(name.as_bytes()) && tar[*at + name.len()] == 0).unwrap()
}

#[test]
fn a_bundle_in_order_gives_its_files() {
    struct Keep(Vec<(String, Vec<u8>)>);
    impl Sink for Keep {
        fn file(&mut self, file: &File, content: &mut dyn Read) -> io::Result<()> {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            self.0.push((file.path.to_string(), bytes));
            Ok(())
        }
    }
    let tar = tar(&manifest(), &CONTENT);
    assert_eq!(tar.len() as u64, stream_size(json::print(&manifest()).len() as u64, &manifest()));
    let bytes = compress(&tar);
    let mut keep = Keep(vec![]);
    let (read, raw) = bundle::unpack(&vouch(&manifest(), tar.len(), &bytes), &mut bytes.as_slice(), &mut keep).unwrap();
    assert_eq!((read, raw), (manifest(), json::print(&manifest())));
    assert_eq!(keep.0, [("root/bin/router".into(), b"program".to_vec()), ("root/etc/router.toml".into(), b"config".to_vec())]);
}

#[test]
fn a_header_is_the_one_of_the_format() {
    let made = header("root/bin/router", 7, FileMode::Program, at(0)).unwrap();
    assert_eq!(&made[..16], b"root/bin/router\0");
    assert_eq!(&made[100..108], b"0000755\0");
    assert_eq!(&made[108..124], b"0000000\x000000000\0");
    assert_eq!(&made[124..136], b"00000000007\0");
    assert_eq!(&made[156..157], b"0");
    assert_eq!(&made[257..265], b"ustar\x0000");
    assert_eq!(&made[329..345], b"0000000\x000000000\0");
    let octal = format!("{:011o}\0", at(0).unix());
    assert_eq!(&made[136..148], octal.as_bytes());
    assert!(header(&"x".repeat(100), 0, FileMode::Data, at(0)).is_ok());
    refused(header(&"x".repeat(101), 0, FileMode::Data, at(0)), Reason::Malformed);
    assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
}

#[test]
fn attack_27_every_byte_that_is_not_content_is_known() {
    assert!(spoiled(|_| {}).is_ok());
    let name = "root/etc/router.toml";
    // Type, name, link, mode, owner, size, time, magic, device, prefix: whatever it is, it is refused.
    for at in [0, 99, 100, 107, 108, 116, 124, 136, 148, 156, 157, 257, 263, 265, 297, 329, 337, 345, 511] {
        let refusal = spoiled(|tar| {
            let header = header_at(tar, name);
            tar[header + at] ^= 1;
        })
        .unwrap_err();
        assert_eq!(refusal.reason(), Reason::Malformed, "{at}: {refusal}");
    }
    let refusal = spoiled(|tar| {
        let header = header_at(tar, name);
        tar[header + 156] = b'2';
    })
    .unwrap_err();
    assert!(refusal.want().starts_with("type") && refusal.subject().contains(name), "{refusal}");
    // The manifest's own header.
    for at in [5, 100, 108, 136, 156, 157, 345] {
        refused(spoiled(|tar| tar[at] ^= 1), Reason::Malformed);
    }
    // Padding of the manifest and of a file, the end, and what follows it.
    let manifest_end = 512 + json::print(&manifest()).len();
    refused(spoiled(|tar| tar[manifest_end] = 1), Reason::Malformed);
    refused(
        spoiled(|tar| {
            let at = header_at(tar, name);
            tar[at + 512 + 6] = 1
        }),
        Reason::Malformed,
    );
    refused(spoiled(|tar| *tar.last_mut().unwrap() = 1), Reason::Malformed);
    refused(
        spoiled(|tar| {
            let end = tar.len();
            tar[end - 1024] = 1
        }),
        Reason::Malformed,
    );
}

#[test]
fn attack_1_a_changed_byte_of_manifest_or_file_is_refused_by_digest() {
    refused(spoiled(|tar| tar[512] = b' '), Reason::Digest);
    refused(
        spoiled(|tar| {
            let at = header_at(tar, "root/bin/router");
            tar[at + 512] = b'P'
        }),
        Reason::Digest,
    );
}

#[test]
fn attack_27_a_stream_that_is_longer_or_shorter_than_its_manifest_says_is_refused() {
    refused(spoiled(|tar| tar.extend([0; 512])), Reason::Size);
    refused(spoiled(|tar| tar.truncate(tar.len() - 512)), Reason::Size);
    // The group file repairs the size, the bytes are still missing or too many.
    let lying = |tar: &[u8]| {
        let bytes = compress(tar);
        let mut group = vouch(&manifest(), tar.len(), &bytes);
        group.bundle.unpacked_size = self::tar(&manifest(), &CONTENT).len() as u64;
        bundle::unpack(&group, &mut bytes.as_slice(), &mut Discard).map(drop)
    };
    let mut long = tar(&manifest(), &CONTENT);
    long.push(0);
    refused(lying(&long), Reason::Malformed);
    // A file of the stream that the manifest does not have.
    let mut more = manifest();
    more.files.push(file("root/etc/x", FileMode::Data, b"x"));
    refused(unpack_tar(&manifest(), &tar(&more, &[CONTENT[0], CONTENT[1], b"x"])), Reason::Digest);
}

#[test]
fn attack_28_one_frame_in_order_and_nothing_else() {
    let tar = tar(&manifest(), &CONTENT);
    let good = compress(&tar);
    let frame = |bytes: &[u8]| bundle::unpack(&vouch(&manifest(), tar.len(), bytes), &mut &*bytes, &mut Discard).map(drop);
    assert!(frame(&good).is_ok());
    refused(frame(&[&good[..], b"x"].concat()), Reason::Malformed);
    refused(frame(&[&good[..], &good[..]].concat()), Reason::Malformed);
    refused(frame(&[&good[..], &[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]].concat()), Reason::Malformed);
    refused(frame(&[&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0], &good[..]].concat()), Reason::Malformed);
    refused(frame(&good[..good.len() - 5]), Reason::Malformed);
    refused(frame(&[]), Reason::Malformed);
    refused(frame(&good[..4]), Reason::Malformed);
    let mut checksum = good.clone();
    *checksum.last_mut().unwrap() ^= 1;
    refused(frame(&checksum), Reason::Malformed);
    let other = |checksum: bool, size: Option<u64>| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(checksum).unwrap();
        encoder.set_pledged_src_size(size).unwrap();
        encoder.include_contentsize(size.is_some()).unwrap();
        encoder.write_all(&tar).unwrap();
        encoder.finish().unwrap()
    };
    assert!(frame(&other(true, Some(tar.len() as u64))).is_ok());
    refused(frame(&other(false, Some(tar.len() as u64))), Reason::Malformed);
    refused(frame(&other(true, None)), Reason::Malformed);
    let mut group = vouch(&manifest(), tar.len(), &good);
    group.bundle.unpacked_size += 1;
    refused(bundle::unpack(&group, &mut good.as_slice(), &mut Discard).map(drop), Reason::Malformed);
}

#[test]
fn attack_28_a_window_over_eight_mebibytes_is_refused() {
    let frame = |log: u32| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.window_log(log).unwrap();
        let size = 20u64 << 20;
        encoder.set_pledged_src_size(Some(size)).unwrap();
        io::copy(&mut io::repeat(b'x').take(size), &mut encoder).unwrap();
        let bytes = encoder.finish().unwrap();
        let mut group = vouch(&manifest(), size as usize, &bytes);
        group.bundle.unpacked_size = size;
        bundle::unpack(&group, &mut bytes.as_slice(), &mut Discard).map(drop).unwrap_err()
    };
    // Both are no tar; only the second is no frame that may be read.
    assert!(frame(23).subject().contains("manifest.json") && frame(23).have().contains("xxx"), "{}", frame(23));
    assert!(!frame(24).have().contains("xxx"), "{}", frame(24));
}

#[test]
fn the_manifests_size_is_eleven_octal_digits_and_bounded() {
    let size = |digits: &[u8]| spoiled(|tar| tar[124..124 + digits.len()].copy_from_slice(digits));
    refused(size(b"00000000008"), Reason::Malformed);
    refused(size(b"+0000000001"), Reason::Malformed);
    refused(size(b" 0000000001"), Reason::Malformed);
    refused(size(b"00000000001x"), Reason::Malformed);
    // What is no such number has no size that could be over a limit.
    refused(size(b"+7777777777"), Reason::Malformed);
    refused(size(b"77777777777 "), Reason::Malformed);
    refused(size(b"77777777777"), Reason::Limit);
    refused(size(format!("{:011o}", limits::MANIFEST + 1).as_bytes()), Reason::Limit);
    // At the bound it is read, and is not there.
    refused(size(format!("{:011o}", limits::MANIFEST).as_bytes()), Reason::Malformed);
}

#[test]
fn a_manifest_of_another_group_is_refused_inside_the_bundle_too() {
    let mut other = manifest();
    other.product = t("quoter");
    refused(unpack_tar(&other, &tar(&other, &CONTENT)), Reason::Product);
}

#[test]
fn a_sink_that_fails_or_does_not_take_everything_is_no_success() {
    struct Lazy;
    impl Sink for Lazy {
        fn file(&mut self, _: &File, _: &mut dyn Read) -> io::Result<()> {
            Ok(())
        }
    }
    struct Full;
    impl Sink for Full {
        fn file(&mut self, _: &File, _: &mut dyn Read) -> io::Result<()> {
            Err(io::Error::from_raw_os_error(28))
        }
    }
    let tar = tar(&manifest(), &CONTENT);
    let bytes = compress(&tar);
    let group = vouch(&manifest(), tar.len(), &bytes);
    refused(bundle::unpack(&group, &mut bytes.as_slice(), &mut Lazy).map(drop), Reason::Internal);
    refused(bundle::unpack(&group, &mut bytes.as_slice(), &mut Full).map(drop), Reason::Io);
}

#[test]
fn attack_2_a_bundle_is_signed_by_its_role_over_all_its_bytes() {
    let trust = first(&sign_trust(&trust(), &["root-1"]));
    let bytes = b"any bytes";
    let group = vouch(&manifest(), 0, bytes);
    let comment = signature::comment(&trust.repository, Kind::Bundle, None, &group.bundle_file());
    let verify = |key: &str, comment: &str, have: &[u8]| {
        bundle::verify(&trust, &group, &[(t(key), sign_raw(key, comment, have))], &mut &*have).map(|signed| signed.signers.len())
    };
    assert_eq!(verify("ci-1", &comment, bytes).unwrap(), 1);
    refused(verify("alice-1", &comment, bytes), Reason::Threshold);
    refused(verify("ci-1", &comment.replace("bundle", "index"), bytes), Reason::WrongComment);
    refused(verify("ci-1", &comment, b"any byte"), Reason::Size);
    refused(verify("ci-1", &comment, b"any bytes and many more"), Reason::Size);
    refused(verify("ci-1", &comment, b"any bytez"), Reason::Digest);
    // No more than one byte over the promise is read.
    struct Counted(u64);
    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += buffer.len() as u64;
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }
    let mut endless = Counted(0);
    refused(bundle::verify(&trust, &group, &[], &mut endless), Reason::Size);
    assert_eq!(endless.0, bytes.len() as u64 + 1);
    assert_eq!(BLOCK, 512);
}
