//! Packages made in memory, one fault in each.

use std::io::Write;
use std::path::Path;

use proofmark_core::Digest;

use super::*;
use crate::environment::lock::Kind;
use crate::environment::tree::Node;
use crate::exit::{Exit, Refuse};

/// An entry of a data archive: path, kind, mode, content or target.
pub(crate) type Entry<'a> = (&'a str, EntryType, u32, &'a str);

/// A tar stream whose headers hold exactly what is asked for.
fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, kind, mode, content) in entries {
        let link = matches!(kind, EntryType::Symlink | EntryType::Link);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_size(if link { 0 } else { content.len() as u64 });
        // Written by hand: the builder refuses the paths that are to be refused here.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        if link {
            header.as_gnu_mut().unwrap().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_cksum();
        archive.append(&header, if link { &[] } else { content.as_bytes() }).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A whole package `ab` of version 1.
pub(crate) fn package(architecture: &str, entries: &[Entry<'_>]) -> Vec<u8> {
    let control = format!("Package: ab\nVersion: 1\nArchitecture: {architecture}\nDescription: x\n");
    let control = gzip(&archive(&[("./control", EntryType::Regular, 0o644, &control)]));
    let data = zstd::encode_all(&*archive(entries), 3).unwrap();
    members(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar.zst", &data)])
}

fn members(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ar::Builder::new(Vec::new());
    for (name, bytes) in members {
        archive.append(&ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64), *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

pub(crate) fn layer(bytes: &[u8]) -> Layer {
    Layer { kind: Kind::Deb, name: "ab".into(), version: "1".into(), sha256: Digest::of(bytes), size: bytes.len() as u64 }
}

fn unpacked(dir: &Path, bytes: &[u8]) -> Result<Tree, EnvironmentError> {
    let mut tree = Tree::new(dir);
    unpack(bytes, &layer(bytes), "amd64", &mut tree).map(|()| tree)
}

#[test]
fn a_package_is_unpacked_below_usr_without_its_documentation() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = package(
        "amd64",
        &[
            ("./", EntryType::Directory, 0o755, ""),
            ("./bin/sh", EntryType::Symlink, 0o777, "dash"),
            ("./bin/dash", EntryType::Regular, 0o755, "#!"),
            ("./lib/x/l.so", EntryType::Link, 0o644, "./bin/dash"),
            ("./etc/a.conf", EntryType::Regular, 0o600, "c"),
            ("./usr/share/doc/a/copyright", EntryType::Regular, 0o644, "c"),
            ("./var/lib/a", EntryType::Directory, 0o755, ""),
        ],
    );
    let tree = unpacked(dir.path(), &bytes).unwrap();
    assert_eq!(std::fs::read(dir.path().join("usr/lib/x/l.so")).unwrap(), b"#!");
    assert!(matches!(tree.get("usr/bin/dash"), Some(Node::File { executable: true, .. })));
    assert!(matches!(tree.get("etc/a.conf"), Some(Node::File { executable: false, .. })));
    let names: Vec<String> =
        crate::files::listed(dir.path()).unwrap().iter().map(|path| path.file_name().unwrap().to_string_lossy().into()).collect();
    assert_eq!(names, ["etc", "usr"]);
    assert!(!dir.path().join("usr/share").exists());
}

#[test]
fn what_could_reach_out_of_the_layer_is_refused_and_nothing_is_written_outside() {
    let good: Entry<'_> = ("./usr/x", EntryType::Regular, 0o644, "x");
    let link: Entry<'_> = ("./usr/l", EntryType::Symlink, 0o777, "/tmp");
    for (before, bad) in [
        (good, ("../x", EntryType::Regular, 0o644, "x")),
        (good, ("./usr/../../x", EntryType::Regular, 0o644, "x")),
        (good, ("/usr/y", EntryType::Regular, 0o644, "x")),
        (good, ("./usr/y\x1b[2J", EntryType::Regular, 0o644, "x")),
        (good, ("./usr/dev", EntryType::Char, 0o644, "")),
        (good, ("./usr/dev", EntryType::Block, 0o644, "")),
        (good, ("./usr/fifo", EntryType::Fifo, 0o644, "")),
        (good, ("./usr/su", EntryType::Regular, 0o4755, "x")),
        (good, ("./usr/sg", EntryType::Regular, 0o2755, "x")),
        (good, ("./usr/hard", EntryType::Link, 0o644, "/etc/passwd")),
        (good, ("./usr/hard", EntryType::Link, 0o644, "../../etc/passwd")),
        (good, ("./usr/empty", EntryType::Symlink, 0o777, "")),
        (good, ("./var/dev", EntryType::Char, 0o644, "")),
        (link, ("./usr/l/x", EntryType::Regular, 0o644, "x")),
        (link, ("./usr/hard", EntryType::Link, 0o644, "./usr/l")),
        (good, ("./usr/x", EntryType::Regular, 0o644, "y")),
        (good, ("./usr/x/y", EntryType::Regular, 0o644, "y")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let refusal = unpacked(&root, &package("amd64", &[before, bad])).expect_err(&format!("{bad:?}")).refusal();
        assert!(["layer-content", "layer-conflict"].contains(&refusal.reason), "{bad:?}: {refusal:?}");
        assert_eq!(crate::files::listed(dir.path()).unwrap(), std::slice::from_ref(&root), "{bad:?}");
    }
}

#[test]
fn a_package_for_another_machine_or_of_another_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    unpacked(dir.path(), &package("all", &[])).unwrap();
    let refusal = unpacked(dir.path(), &package("arm64", &[])).unwrap_err().refusal();
    assert_eq!((refusal.code, refusal.reason), (Exit::Environment, "layer-architecture"));
    assert!(refusal.have.unwrap().contains("arm64"));
    let bytes = package("amd64", &[]);
    let other = Layer { version: "2".into(), ..layer(&bytes) };
    let refusal = unpack(&bytes, &other, "amd64", &mut Tree::new(dir.path())).unwrap_err().refusal();
    assert_eq!((refusal.code, refusal.reason), (Exit::Hash, "layer-package"));
}

#[test]
fn an_archive_that_is_not_a_package_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let control = gzip(&archive(&[("./control", EntryType::Regular, 0o644, "Package: ab\nVersion: 1\nArchitecture: all\n")]));
    let data = gzip(&archive(&[]));
    let version: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    unpacked(dir.path(), &members(&[version, ("control.tar.gz", &control), ("data.tar.gz", &data)])).unwrap();
    for bad in [
        vec![version, ("data.tar.gz", &*data)],
        vec![version, ("control.tar.gz", &*control)],
        vec![("debian-binary", b"3.0\n"), ("control.tar.gz", &*control), ("data.tar.gz", &*data)],
        vec![version, ("control.tar.gz", &*control), ("data.tar.bz2", &*data)],
        vec![version, ("control.tar.gz", &*control), ("data.tar.gz", &*data), ("data.tar.gz", &*data)],
        vec![version, ("control.tar.gz", &*control), ("data.tar.xz", &*data)],
        vec![version, ("control.tar.gz", &*control), ("data.tar.gz", &data[..data.len() - 9])],
    ] {
        assert!(unpacked(dir.path(), &members(&bad)).is_err(), "{:?}", bad.iter().map(|member| member.0).collect::<Vec<_>>());
    }
    assert!(unpacked(dir.path(), b"!<arch>\n").is_err());
}
