//! A world as the packager publishes one, with what belongs beside a bundle, and proposals as they come by mail.

use crate::world::{Bundle, World};
use proofmark::keys::{self, SecretKey};
use proofmark_core::group::Group;
use proofmark_core::{Digest, Kind, json};
use std::path::PathBuf;

/// The buildinfo that the bundles' manifests name.
pub const BUILDINFO: &[u8] = include_bytes!("../fixtures/buildinfo.json");

/// A bundle whose manifest names [`BUILDINFO`].
pub fn bundle(world: &World, arguments: &[&str]) -> Bundle {
    let mut manifest = world.manifest(arguments);
    manifest.buildinfo = Digest::of(BUILDINFO);
    world.bundle_of(manifest, world.members())
}

/// Publishes a bundle, signed by CI, with its buildinfo and SBOM.
pub fn publish(world: &World, bundle: &Bundle) {
    world.publish_bundle(bundle, &["ci-1"]);
    let path = format!("bundles/{}/{}", Digest::of(&bundle.bytes), bundle.file().replace(".tar.zst", ""));
    world.write(&format!("{path}.buildinfo.json"), BUILDINFO);
    let sbom = proofmark::repository::sbom_path(Digest::of(&bundle.bytes), &bundle.file());
    world.write(&sbom, &proofmark::sbom::sbom(BUILDINFO, &bundle.file()).unwrap());
}

/// A proposal of the next index with these groups as it comes by mail, with the signatures of CI and a reviewer.
pub fn mailed(world: &World, groups: &[Group]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let index = world.draft_index(groups, |_| {});
    let (bytes, name) = (json::print(&index), format!("{}.index.json", index.version));
    let comment = world.comment(Kind::Index, Some(index.version), &name);
    for signer in ["ci-1", "alice-1"] {
        std::fs::write(dir.path().join(format!("{name}.{signer}.minisig")), world.sign(signer, &comment, &bytes)).unwrap();
    }
    std::fs::write(dir.path().join(name), bytes).unwrap();
    for group in groups {
        let file = json::print(group);
        std::fs::write(dir.path().join(format!("{}.group.json", Digest::of(&file))), file).unwrap();
    }
    dir
}

/// A key of the world as a file for the packager.
pub fn key_file(world: &World, name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("{name}.key"));
    std::fs::write(&path, world.key(name).sk.to_box(None).unwrap().into_string()).unwrap();
    (dir, path)
}

/// A key of the world, for the packager.
pub fn key(world: &World, name: &str) -> SecretKey {
    let (_dir, path) = key_file(world, name);
    keys::load_secret(&path, &mut |_| unreachable!()).unwrap()
}

/// [`World::standard`] as the packager publishes it.
pub fn world() -> World {
    let mut world = World::new();
    let bundle = bundle(&world, &["report"]);
    publish(&world, &bundle);
    let group = world.group(&bundle);
    world.publish_index(&[group], |_| {}, &["ci-1", "alice-1"]);
    world.publish_head(|_| {}, &["head-1"]);
    world
}
