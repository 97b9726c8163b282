//! From a lock to an environment, with a made-up package, a made-up toolchain and a source that is a directory.

use std::fs;
use std::path::Path;

use super::deb::tests::{layer as deb_layer, package};
use super::*;
use crate::exit::{Exit, Refuse};
use crate::progress::Silent;

const CONFIG: &str = "product = \"p\"\nrelease = \"1\"\nwire_epoch = 1\ntarget = \"t-h\"\n[[binary]]\npackage = \"p\"\nname = \"p\"\n\
    [[environment]]\nname = \"prod\"\n[launch]\nargv = [\"/bin/p\"]\nuser = \"p\"\n[build]\npackages = [\"gcc\"]\n";

fn config() -> Config {
    crate::config::parse(CONFIG, Path::new("proofmark.toml")).unwrap()
}

/// A toolchain as rustup leaves it, for host and target `t-h`.
fn toolchain(directory: &Path) -> Toolchain {
    for (name, content) in [
        ("bin/rustc", "r"),
        ("bin/cargo", "c"),
        ("lib/rustlib/t-h/lib/libstd.rlib", "s"),
        ("lib/rustlib/manifest-rustc-t-h", "file:bin/rustc\ndir:share/doc\n"),
        ("lib/rustlib/manifest-cargo-t-h", "file:bin/cargo\n"),
        ("lib/rustlib/manifest-rust-std-t-h", "file:lib/rustlib/t-h/lib/libstd.rlib\n"),
        ("lib/rustlib/src/lib.rs", "rust-src"),
    ] {
        fs::create_dir_all(directory.join(name).parent().unwrap()).unwrap();
        fs::write(directory.join(name), content).unwrap();
    }
    Toolchain { directory: directory.into(), version: "rustc 1.0".into(), host: "t-h".into(), digest: String::new() }
}

/// A package with a compiler in a directory by digest, its lock with the toolchain, and a cache.
struct World {
    dir: tempfile::TempDir,
    cache: Cache,
    toolchain: Toolchain,
    lock: Lock,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("cache")).unwrap();
        let toolchain = toolchain(&dir.path().join("toolchain"));
        let rust = rust::import(&toolchain, "t-h", None, &Cache::at(&dir.path().join("other")).unwrap(), &Silent).unwrap();
        let bytes = package(architecture(), &[("./bin/gcc", tar::EntryType::Regular, 0o755, "gcc")]);
        let deb = deb_layer(&bytes);
        fs::create_dir(dir.path().join("inputs")).unwrap();
        fs::write(dir.path().join("inputs").join(deb.sha256.to_string()), bytes).unwrap();
        let lock = Lock::new(architecture(), &["gcc".into()], vec![deb, rust]);
        Self { dir, cache, toolchain, lock }
    }

    fn environment(&self, installed: Option<&Toolchain>) -> Result<Environment, EnvironmentError> {
        let source = Directory::new(&self.dir.path().join("inputs"));
        materialise(self.lock.clone(), &config(), installed, Some(&source), &self.cache, &Silent)
    }

    fn layer(&self, kind: Kind) -> &Layer {
        self.lock.of(kind).next().unwrap()
    }
}

#[test]
fn an_environment_holds_the_layers_and_its_toolchain_is_a_copy_without_what_lies_beside() {
    let world = World::new();
    let environment = world.environment(Some(&world.toolchain)).unwrap();
    let Root::Layers(root) = &environment.root else { panic!("{environment:?}") };
    assert_eq!(fs::read_to_string(root.join("usr/bin/cc")).unwrap(), "gcc", "the link that a maintainer script makes");
    let copy = &environment.toolchain.directory;
    assert!(copy.starts_with(world.dir.path().join("cache")) && copy.join("bin/rustc").is_file());
    assert!(!copy.join("lib/rustlib/src").exists() && !copy.join("lib/rustlib/manifest-rustc-t-h").exists());
    assert_eq!(environment.toolchain.digest, world.layer(Kind::Rust).sha256.to_string());
    // Again, when source and original are gone: all is in the cache.
    fs::remove_dir_all(world.dir.path().join("inputs")).unwrap();
    fs::remove_dir_all(world.dir.path().join("toolchain")).unwrap();
    world.environment(None).unwrap();
}

#[test]
fn every_layer_travels_and_an_empty_cache_is_filled_from_the_archive_alone() {
    let world = World::new();
    let environment = world.environment(Some(&world.toolchain)).unwrap();
    let archived = world.dir.path().join("archived");
    fs::create_dir(&archived).unwrap();
    for Collected { input, content } in inputs(&environment.lock, &world.cache).unwrap() {
        let bytes = match content {
            Content::Bytes(bytes) => bytes,
            Content::File(path) => fs::read(path).unwrap(),
            Content::Tree(entries) => {
                let mut bytes = Vec::new();
                inputs::tree::write(&entries, &mut bytes).unwrap();
                zstd::encode_all(&*bytes, 1).unwrap()
            }
        };
        fs::write(archived.join(input.file()), bytes).unwrap();
    }
    let text = fs::read_to_string(archived.join(world.lock.digest())).unwrap();
    assert_eq!(Lock::parse(&text, Path::new(FILE)).unwrap(), world.lock);
    let record = serde_json::json!({ "environment": serde_json::to_value(environment.record()).unwrap() });
    assert_eq!(recorded(&record).unwrap(), world.lock);
    assert_eq!(record["environment"]["lock"], world.lock.digest());
    let empty = Cache::at(&world.dir.path().join("empty")).unwrap();
    materialise(world.lock.clone(), &config(), None, Some(&Directory::new(&archived)), &empty, &Silent).unwrap();
}

#[test]
fn attack_52_a_changed_toolchain_is_refused_before_anything_is_fetched() {
    let world = World::new();
    world.environment(Some(&world.toolchain)).unwrap();
    for file in ["bin/rustc", "lib/rustlib/t-h/lib/libstd.rlib"] {
        let path = world.dir.path().join("toolchain").join(file);
        let before = fs::read(&path).unwrap();
        fs::write(&path, "x").unwrap();
        for _ in ["hashed", "known"] {
            let refusal = world.environment(Some(&world.toolchain)).unwrap_err().refusal();
            assert_eq!((refusal.code, refusal.reason), (Exit::Hash, "layer-digest"), "{file}");
            assert!(refusal.subject.contains("rust t-h") && refusal.next.unwrap().contains("proofmark lock"));
        }
        fs::write(&path, before).unwrap();
        world.environment(Some(&world.toolchain)).unwrap();
    }
    assert_eq!(crate::files::listed(&world.dir.path().join("cache/trees")).unwrap().len(), 2, "no foreign toolchain was kept");
}

#[test]
fn attack_52_a_source_that_gives_another_content_is_refused_and_nothing_is_unpacked() {
    let world = World::new();
    let path = world.dir.path().join("inputs").join(world.layer(Kind::Deb).sha256.to_string());
    fs::write(&path, package(architecture(), &[("./bin/gcc", tar::EntryType::Regular, 0o755, "backdoor")])).unwrap();
    let refusal = world.environment(Some(&world.toolchain)).unwrap_err().refusal();
    assert_eq!((refusal.code, refusal.reason), (Exit::Hash, "layer-digest"));
    assert!(refusal.subject.contains("deb ab 1") && refusal.have.unwrap().contains("inputs"));
    assert_eq!(crate::files::listed(&world.dir.path().join("cache/layers")).unwrap().len(), 0);
}

#[test]
fn attack_52_a_source_that_lies_about_a_toolchain_is_refused() {
    let world = World::new();
    let layer = world.layer(Kind::Rust);
    let mut bytes = Vec::new();
    let environment = world.environment(Some(&world.toolchain)).unwrap();
    inputs::tree::write(&inputs::tree::below(&environment.toolchain.directory).unwrap(), &mut bytes).unwrap();
    // The content of bin/cargo, which no header covers: only the digest of the whole can tell.
    assert_eq!(bytes[512], b'c');
    bytes[512] = b'X';
    let file = world.dir.path().join("stream");
    fs::write(&file, &bytes).unwrap();
    let empty = Cache::at(&world.dir.path().join("empty")).unwrap();
    assert_ne!(rust::unpack(&file, layer, &empty).unwrap(), layer.sha256);
    assert!(rust::cached(layer, &empty).unwrap().is_none());
}

#[test]
fn a_layer_that_no_source_has_is_named_with_both_remedies() {
    let world = World::new();
    fs::remove_dir_all(world.dir.path().join("inputs")).unwrap();
    fs::create_dir(world.dir.path().join("inputs")).unwrap();
    let refusal = world.environment(Some(&world.toolchain)).unwrap_err().refusal();
    assert_eq!((refusal.code, refusal.reason), (Exit::Unreachable, "layer-gone"));
    assert!(refusal.subject.contains("deb ab 1"));
    let next = refusal.next.unwrap();
    assert!(next.contains("proofmark lock") && next.contains("--layers"), "{next}");
}

#[test]
fn a_lock_for_other_packages_or_another_target_or_another_machine_is_refused() {
    let world = World::new();
    let other = crate::config::parse(&CONFIG.replace("\"gcc\"", "\"clang\""), Path::new("proofmark.toml")).unwrap();
    assert_eq!(world.lock.check_config(&other).unwrap_err().refusal().reason, "environment-lock-stale");
    let host = crate::config::parse(&CONFIG.replace("packages = [\"gcc\"]", "environment = \"host\""), Path::new("p")).unwrap();
    assert_eq!(world.lock.check_config(&host).unwrap_err().refusal().reason, "environment-lock-stale");
    world.lock.check_config(&config()).unwrap();
    let target = crate::config::parse(&CONFIG.replace("t-h", "t-other"), Path::new("p")).unwrap();
    let refused = materialise(world.lock.clone(), &target, None, None, &world.cache, &Silent).unwrap_err();
    assert_eq!(refused.refusal().reason, "environment-lock-stale");

    let workspace = world.dir.path();
    write(&Lock { architecture: "vax".into(), ..world.lock.clone() }, workspace).unwrap();
    let wanted = Wanted { config: &config(), source: workspace, workspace, lock: None, toolchain: None, layers: Some(workspace) };
    let refusal = prepare(&wanted, &world.cache, &Silent).unwrap_err().refusal();
    assert_eq!((refusal.code, refusal.reason), (Exit::Environment, "lock-architecture"));
}

#[test]
fn a_path_of_a_layer_has_no_way_out() {
    for (path, plain) in
        [("a", true), ("a/b..c", true), ("", false), ("/a", false), ("a/", false), ("a/../b", false), (".", false), ("a\nb", false)]
    {
        assert_eq!(is_plain_path(path), plain, "{path:?}");
    }
}
