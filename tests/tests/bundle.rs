//! ATTACKS 27 and 28, and the golden digest: the bytes of a bundle, through the core's public API.
//!
//! Each hostile bundle is repaired from the outside in (compressed again, its size and digests put into the group file), so that
//! the fault reaches the layer that the test names.

use proofmark::pack::{self, Content, Member};
use proofmark_core::bundle::{self, Discard};
use proofmark_core::group::{Entry, Group};
use proofmark_core::manifest::{FileMode, Manifest};
use proofmark_core::{Digest, Reason, Refusal, json};
use proofmark_tests::world::t;
use proofmark_tests::{Bundle, World};
use std::collections::BTreeMap;
use std::io::Write;

fn world() -> (World, Bundle) {
    let world = World::new();
    let members = vec![
        Member { path: t("root/bin/probe"), mode: FileMode::Program, content: Content::Bytes(b"#!/bin/false\n".to_vec()) },
        Member { path: t("root/etc/router.toml"), mode: FileMode::Data, content: Content::Bytes(b"listen = 1\n".to_vec()) },
    ];
    let bundle = world.bundle_of(world.manifest(&[]), members);
    (world, bundle)
}

/// The tar stream of a bundle.
fn untar(bundle: &Bundle) -> Vec<u8> {
    zstd::decode_all(bundle.bytes.as_slice()).unwrap()
}

fn compress(content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.set_pledged_src_size(Some(content.len() as u64)).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A group file that vouches for these bytes, whatever they are.
fn vouch(world: &World, bundle: &Bundle, bytes: &[u8], unpacked: u64) -> Group {
    let mut group = world.group(bundle);
    group.bundle.size = bytes.len() as u64;
    group.bundle.unpacked_size = unpacked;
    group.bundle.sha256sum = Entry::line(Digest::of(bytes), &bundle.file());
    group
}

fn unpack(group: &Group, bytes: &[u8]) -> Result<(), Refusal> {
    bundle::check_content(group, bytes.len() as u64, Digest::of(bytes)).expect("outer layers are in order");
    bundle::unpack(group, &mut &bytes[..], &mut Discard).map(drop)
}

/// Spoils the tar stream, repairs everything around it, and returns why it is refused.
#[track_caller]
fn spoiled(spoil: impl FnOnce(&mut Vec<u8>)) -> Refusal {
    let (world, bundle) = world();
    let mut tar = untar(&bundle);
    spoil(&mut tar);
    let bytes = compress(&tar);
    unpack(&vouch(&world, &bundle, &bytes, tar.len() as u64), &bytes).unwrap_err()
}

/// Offset of the header of a member.
fn header_at(tar: &[u8], name: &str) -> usize {
    let mut wanted = name.as_bytes().to_vec();
    wanted.push(0);
    (0..tar.len()).step_by(512).find(|&at| tar[at..].starts_with(&wanted) && tar[at + 257..].starts_with(b"ustar")).unwrap()
}

/// Changes a header and puts its checksum right.
fn edit_header(tar: &mut [u8], name: &str, edit: impl FnOnce(&mut [u8])) {
    let at = header_at(tar, name);
    let header = &mut tar[at..at + 512];
    edit(header);
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn set(header: &mut [u8], at: usize, text: &str, length: usize) {
    header[at..at + length].fill(0);
    header[at..at + text.len()].copy_from_slice(text.as_bytes());
}

#[test]
fn the_packers_bytes_are_the_golden_ones() {
    // A changed digest is a change of contract 1: raise the contract, argue for it in CHANGELOG.md, then change it here.
    let (_, bundle) = world();
    assert_eq!(Digest::of(&bundle.bytes).to_string(), include_str!("../golden/bundle.sha256").trim());
}

#[test]
fn packing_does_not_depend_on_the_order_of_members_or_on_file_metadata() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let pack = |mode: u32, reverse: bool| {
        let file = dir.path().join("f");
        std::fs::write(&file, "content").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let mut members = vec![
            Member { path: t("root/bin/probe"), mode: FileMode::Program, content: Content::File(file.clone()) },
            Member { path: t("root/etc/a"), mode: FileMode::Data, content: Content::Bytes(vec![1; 700]) },
        ];
        if reverse {
            members.reverse();
        }
        world.bundle_of(world.manifest(&[]), members).bytes
    };
    assert_eq!(pack(0o600, false), pack(0o755, true));
}

#[test]
fn a_bundle_as_packed_is_accepted() {
    let (world, bundle) = world();
    let group = world.group(&bundle);
    bundle::unpack(&group, &mut bundle.bytes.as_slice(), &mut Discard).unwrap();
}

#[test]
fn attack_27_every_kind_of_entry_but_a_regular_file_is_refused() {
    // Hard link, symbolic link, devices, directory, fifo, contiguous file, PAX local and global, GNU long name and link, GNU sparse.
    for kind in ['1', '2', '3', '4', '5', '6', '7', 'x', 'g', 'L', 'K', 'S', '\0'] {
        let refusal = spoiled(|tar| edit_header(tar, "root/etc/router.toml", |h| h[156] = kind as u8));
        assert_eq!(refusal.reason(), Reason::Malformed);
        assert!(refusal.want().starts_with("type"), "{kind:?}: {refusal}");
    }
}

#[test]
fn attack_27_names_outside_the_root_are_refused() {
    for name in ["../../etc/passwd", "/etc/passwd", "root/../../x", "root/etc/router.tomL", ""] {
        let refusal = spoiled(|tar| edit_header(tar, "root/etc/router.toml", |h| set(h, 0, name, 100)));
        assert_eq!(refusal.reason(), Reason::Malformed);
        assert!(refusal.want().starts_with("name"), "{name:?}: {refusal}");
    }
    let refusal = spoiled(|tar| edit_header(tar, "root/etc/router.toml", |h| set(h, 345, "../..", 155)));
    assert!(refusal.want().starts_with("rest"), "a prefix: {refusal}");
}

#[test]
fn attack_27_metadata_that_is_not_the_manifests_is_refused() {
    type Edit = fn(&mut [u8]);
    let edits: [(&str, Edit); 9] = [
        ("mode", |h| set(h, 100, "0004755", 8)),
        ("uid", |h| set(h, 108, "0001750", 8)),
        ("gid", |h| set(h, 116, "0001750", 8)),
        ("size", |h| set(h, 124, "00000000014", 12)),
        ("mtime", |h| set(h, 136, "00000000000", 12)),
        ("link name", |h| set(h, 157, "/etc/shadow", 100)),
        ("magic", |h| h[257..265].copy_from_slice(b"ustar  \0")),
        ("user name", |h| set(h, 265, "root", 32)),
        ("rest", |h| h[511] = 1),
    ];
    for (field, edit) in edits {
        let refusal = spoiled(|tar| edit_header(tar, "root/bin/probe", edit));
        assert_eq!(refusal.reason(), Reason::Malformed);
        assert!(refusal.want().starts_with(field), "{field}: {refusal}");
    }
}

#[test]
fn attack_27_duplicate_unsorted_additional_and_missing_members_are_refused() {
    let member = |tar: &[u8], name: &str| tar[header_at(tar, name)..][..1024].to_vec();
    // Twice; another order: the stream keeps the length that the manifest implies only if something else goes.
    let refusal = spoiled(|tar| {
        let (a, b) = (header_at(tar, "root/bin/probe"), header_at(tar, "root/etc/router.toml"));
        let (first, second) = (member(tar, "root/bin/probe"), member(tar, "root/etc/router.toml"));
        tar[a..a + 1024].copy_from_slice(&second);
        tar[b..b + 1024].copy_from_slice(&first);
    });
    assert!(refusal.want().starts_with("name"), "unsorted: {refusal}");
    let refusal = spoiled(|tar| {
        let first = member(tar, "root/bin/probe");
        let b = header_at(tar, "root/etc/router.toml");
        tar[b..b + 1024].copy_from_slice(&first);
    });
    assert!(refusal.want().starts_with("name"), "duplicate: {refusal}");
    let refusal = spoiled(|tar| {
        let extra = member(tar, "root/bin/probe");
        let end = tar.len() - 1024;
        tar.splice(end..end, extra);
    });
    assert_eq!(refusal.reason(), Reason::Size, "one more: {refusal}");
    let refusal = spoiled(|tar| {
        let at = header_at(tar, "root/etc/router.toml");
        tar.drain(at..at + 1024);
    });
    assert_eq!(refusal.reason(), Reason::Size, "one missing: {refusal}");
}

#[test]
fn attack_27_bytes_after_the_end_and_in_the_padding_are_refused() {
    let refusal = spoiled(|tar| tar.extend([0; 512]));
    assert_eq!(refusal.reason(), Reason::Size, "{refusal}");
    let refusal = spoiled(|tar| *tar.last_mut().unwrap() = 1);
    assert!(refusal.subject().ends_with("end of the tar stream"), "{refusal}");
    let refusal = spoiled(|tar| {
        let at = header_at(tar, "root/etc/router.toml");
        tar[at + 1023] = 1;
    });
    assert!(refusal.want().starts_with("zero bytes"), "{refusal}");
}

#[test]
fn one_changed_byte_of_a_file_is_refused_as_that_file() {
    let refusal = spoiled(|tar| {
        let at = header_at(tar, "root/bin/probe");
        tar[at + 512] ^= 1;
    });
    assert_eq!(refusal.reason(), Reason::Digest);
    assert!(refusal.subject().ends_with("root/bin/probe"), "{refusal}");
}

#[test]
fn attack_1_one_changed_byte_of_the_manifest_is_refused() {
    let refusal = spoiled(|tar| {
        let at = tar.windows(4).position(|w| w == b"prod").unwrap();
        tar[at] = b'q';
    });
    assert_eq!(refusal.reason(), Reason::Digest);
    assert!(refusal.subject().ends_with("manifest.json"), "{refusal}");
}

#[test]
fn a_manifest_that_claims_to_be_huge_is_refused_before_it_is_read() {
    let refusal = spoiled(|tar| edit_header(tar, "manifest.json", |h| set(h, 124, "77777777777", 12)));
    assert_eq!(refusal.reason(), Reason::Limit);
}

/// Refusal of frame bytes that decompress, if at all, to `unpacked` bytes.
#[track_caller]
fn frame(bytes: &[u8], unpacked: u64) -> Refusal {
    let (world, bundle) = world();
    unpack(&vouch(&world, &bundle, bytes, unpacked), bytes).unwrap_err()
}

#[test]
fn attack_28_second_frame_skippable_frame_and_trailing_bytes_are_refused() {
    let (_, bundle) = world();
    let size = bundle.packed.unpacked_size;
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    let good = &bundle.bytes;
    for (name, bytes) in [
        ("second frame", [good.as_slice(), &compress(b"more")].concat()),
        ("empty second frame", [good.as_slice(), &compress(b"")].concat()),
        ("skippable frame after", [good.as_slice(), &skippable].concat()),
        ("skippable frame before", [&skippable, good.as_slice()].concat()),
        ("one byte after", [good.as_slice(), &[0]].concat()),
        ("truncated", good[..good.len() - 1].to_vec()),
        ("half", good[..good.len() / 2].to_vec()),
        ("empty", vec![]),
        ("not zstd", b"ustar".repeat(100)),
    ] {
        let refusal = frame(&bytes, size);
        assert_eq!(refusal.reason(), Reason::Malformed, "{name}: {refusal}");
    }
}

#[test]
fn attack_28_a_frame_without_checksum_or_content_size_is_refused() {
    let (_, bundle) = world();
    let tar = untar(&bundle);
    let build = |checksum: bool, size: bool| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(checksum).unwrap();
        encoder.include_contentsize(size).unwrap();
        encoder.set_pledged_src_size(size.then_some(tar.len() as u64)).unwrap();
        encoder.write_all(&tar).unwrap();
        encoder.finish().unwrap()
    };
    for (checksum, size) in [(false, true), (true, false)] {
        assert_eq!(frame(&build(checksum, size), tar.len() as u64).reason(), Reason::Malformed);
    }
}

#[test]
fn attack_28_a_wrong_checksum_is_refused() {
    let (_, bundle) = world();
    let mut bytes = bundle.bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(frame(&bytes, bundle.packed.unpacked_size).reason(), Reason::Malformed);
}

#[test]
fn attack_28_a_bomb_is_refused_in_bounded_memory() {
    // 1 GiB of zeros in 32 KiB, vouched for as such: the first block is no header of a manifest.
    let size = 1u64 << 30;
    let mut encoder = zstd::Encoder::new(Vec::new(), 19).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.window_log(20).unwrap();
    encoder.set_pledged_src_size(Some(size)).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..size >> 20 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 200_000);
    assert_eq!(frame(&bomb, size).reason(), Reason::Malformed);
    // One that hides behind a smaller promise.
    let (_, bundle) = world();
    assert_eq!(frame(&bomb, bundle.packed.unpacked_size).reason(), Reason::Malformed);
    let peak = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak: u64 = peak.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 512 << 10, "peak resident memory {peak} KiB");
}

#[test]
fn attack_28_a_window_over_the_limit_is_refused() {
    let content = vec![7; 64 << 20];
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(26).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.set_pledged_src_size(Some(content.len() as u64)).unwrap();
    encoder.write_all(&content).unwrap();
    let refusal = frame(&encoder.finish().unwrap(), content.len() as u64);
    assert_eq!(refusal.reason(), Reason::Malformed);
    assert!(refusal.have().contains("memory") || refusal.have().contains("window") || refusal.have().contains("Frame"), "{refusal}");
}

/// A manifest that the packer would not write, as a bundle whose outer layers are in order.
#[track_caller]
fn manifest_refused(edit: impl FnOnce(&mut Manifest)) -> Refusal {
    let (world, good) = world();
    let mut manifest = good.packed.manifest.clone();
    edit(&mut manifest);
    let text = json::print(&manifest);
    let old = json::print(&good.packed.manifest);
    let tar = untar(&good);
    let rest = 512 + old.len() + bundle::padding(old.len() as u64) as usize;
    let mut new = bundle::header("manifest.json", text.len() as u64, FileMode::Data, manifest.source.time).unwrap().to_vec();
    new.extend(&text);
    new.extend(vec![0; bundle::padding(text.len() as u64) as usize]);
    new.extend(&tar[rest..]);
    let bytes = compress(&new);
    let mut group = vouch(&world, &good, &bytes, new.len() as u64);
    group.bundle.manifest_sha256 = Digest::of(&text);
    unpack(&group, &bytes).unwrap_err()
}

#[test]
fn attack_21_a_bundle_of_another_environment_product_or_target_is_refused() {
    assert_eq!(manifest_refused(|m| m.environment = t("uat")).reason(), Reason::Environment);
    assert_eq!(manifest_refused(|m| m.product = t("quoter")).reason(), Reason::Product);
    assert_eq!(manifest_refused(|m| m.release = t("1.1")).reason(), Reason::Product);
    assert_eq!(manifest_refused(|m| m.wire_epoch = 3).reason(), Reason::Product);
    assert_eq!(manifest_refused(|m| m.source.commit = t(&"e".repeat(40))).reason(), Reason::Product);
    assert_eq!(manifest_refused(|m| m.target = t("aarch64-unknown-linux-gnu")).reason(), Reason::Target);
}

#[test]
fn attack_26_paths_that_collide_or_cover_mounts_are_refused() {
    let push = |path: &str| {
        let path = path.to_owned();
        move |m: &mut Manifest| {
            let file = proofmark_core::manifest::File { path: t(&path), size: 0, mode: FileMode::Data, sha256: Digest::of(b"") };
            m.files.push(file);
            m.files.sort_by(|a, b| a.path.cmp(&b.path));
        }
    };
    for path in [
        "root/ETC/router.toml",
        "root/etc",
        "root/etc/router.toml/x",
        "root/proc/x",
        "root/dev",
        "root/run/credentials/x",
        "hosts/rtr-8/bin/PROBE",
    ] {
        assert_eq!(manifest_refused(push(path)).reason(), Reason::Policy, "{path}");
    }
}

#[test]
fn launches_that_are_never_granted_are_refused() {
    type Edit = fn(&mut Manifest);
    let edits: [Edit; 9] = [
        |m| m.launch.argv.clear(),
        |m| m.launch.argv[0] = "/bin/sh".into(),
        |m| m.launch.argv[0] = "/etc/router.toml".into(),
        |m| m.launch.argv[0] = "bin/probe".into(),
        |m| m.launch.env = BTreeMap::from([("LD_PRELOAD".into(), "/x".into())]),
        |m| m.launch.env = BTreeMap::from([("a b".into(), "x".into())]),
        |m| m.launch.user = t("root"),
        |m| m.launch.state = Some(t("/dev/shm")),
        |m| m.launch.state = Some(t("/etc")),
    ];
    for (n, edit) in edits.into_iter().enumerate() {
        assert_eq!(manifest_refused(edit).reason(), Reason::Policy, "edit {n}");
    }
}

#[test]
fn flags_that_the_ledger_does_not_hold_as_active_are_refused() {
    // K1, without a ledger at all: release 1.1 reused flag 7.
    let flag = proofmark_core::manifest::Flag { id: 7, name: t("rlp"), meaning: Digest::of(b"retail liquidity program") };
    assert_eq!(manifest_refused(|m| m.flags = vec![flag]).reason(), Reason::FlagLedger);
}

/// Changes a file when the first compressed bytes arrive: after all were hashed for the manifest, and before this one is compressed.
struct Meddler<'a>(&'a std::path::Path, Option<&'a [u8]>);

impl Write for Meddler<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(content) = self.1.take() {
            std::fs::write(self.0, content)?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_changes_while_it_is_packed_is_refused() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("router.toml");
    // More than zstd holds back, compressed by half at most.
    let noise: Vec<u8> = (0..1u32 << 14).flat_map(|n| Digest::of(&n.to_le_bytes()).to_string().into_bytes()).collect();
    for content in ["listen = 1\n", "listen = 2\n", "listen = 1\n\n", "listen"] {
        std::fs::write(&path, "listen = 1\n").unwrap();
        let members = vec![
            Member { path: t("root/bin/probe"), mode: FileMode::Program, content: Content::Bytes(noise.clone()) },
            Member { path: t("root/etc/router.toml"), mode: FileMode::Data, content: Content::File(path.clone()) },
        ];
        let packed = pack::pack(world.manifest(&[]), members, &mut Meddler(&path, Some(content.as_bytes())));
        match packed {
            Ok(_) => assert_eq!(content, "listen = 1\n", "the same bytes are no change"),
            Err(error) => assert!(matches!(error, pack::Error::Changed { .. }) && content != "listen = 1\n", "{content:?}: {error}"),
        }
    }
}
