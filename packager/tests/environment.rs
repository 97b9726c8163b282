//! The locked environment through the real program: resolved by the machine's own package client, unpacked, entered, poisoned, and every way
//! in which there is none. One cache for all, below target/, so that packages are fetched once.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A build script with C code that fails where it sees anything of the host.
const SCRIPT: &str = r#"
    use std::{env, fs, path::Path, process::Command};
    fn main() {
        let out = env::var("OUT_DIR").unwrap();
        let run = |program: &str, arguments: &[&str]| assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program}");
        run("cc", &["-O2", "-c", "answer.c", "-o", &format!("{out}/answer.o")]);
        run("ar", &["rcsD", &format!("{out}/libanswer.a"), &format!("{out}/answer.o")]);
        run("sh", &["-c", "test \"$(id -un)\" = builder"]);
        println!("cargo::rustc-link-search=native={out}\ncargo::rustc-link-lib=static=answer");
        for host in ["/usr/bin/git", "/usr/bin/apt-get", "/usr/bin/perl", "/usr/local", "/usr/share/doc", "/etc/alternatives/cc", "/var", "/opt"] {
            assert!(!Path::new(host).exists(), "{host}");
        }
        for copied in ["/toolchain/lib/rustlib/src", "/toolchain/share/doc", "/toolchain/bin/cargo-clippy", "/toolchain/lib/rustlib/components"] {
            assert!(!Path::new(copied).exists(), "{copied}");
        }
        assert!(fs::write("/usr/x", "").is_err() && fs::write("/etc/x", "").is_err());
    }"#;
const MAIN: &str = "unsafe extern \"C\" { fn answer() -> i32; }\nfn main() { println!(\"{}\", unsafe { answer() }); }";
const ANSWER: &str = "#include <stdio.h>\n#include <stdlib.h>\nint answer(void) { char b[9]; snprintf(b, 9, \"%d\", 42); return atoi(b); }";

/// A committed project and a cache.
struct World {
    dir: tempfile::TempDir,
    cache: PathBuf,
}

impl World {
    /// `build` is the section of that name in proofmark.toml.
    fn new(build: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = Self { dir, cache: Path::new(env!("CARGO_TARGET_TMPDIR")).join("environment") };
        fs::create_dir_all(&world.cache).unwrap();
        world.write("Cargo.toml", "[package]\nname = \"fixture\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        world.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"fixture\"\nversion = \"0.1.0\"\n");
        let toml = "product = \"fixture\"\nrelease = \"1\"\nwire_epoch = 1\n[[binary]]\npackage = \"fixture\"\nname = \"fixture\"\n\
                    [[environment]]\nname = \"prod\"\n[launch]\nargv = [\"/bin/fixture\"]\nuser = \"fixture\"\n\
                    [[group]]\nname = \"prod/fixture\"\nhosts = [\"fixture-1\"]\n[build]\n";
        world.write("proofmark.toml", &format!("{toml}{build}\n"));
        world.write("src/main.rs", "fn main() {}");
        world.write(".gitignore", "/target/\n");
        world.git(&["init", "-q"]);
        world.commit();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let fixed =
            ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false", "-c", "protocol.file.allow=always"];
        assert!(Command::new("git").args(fixed).args(arguments).current_dir(self.dir.path()).status().unwrap().success());
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", "x"]);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proofmark"));
        command.args(arguments).current_dir(self.dir.path()).env("XDG_CACHE_HOME", &self.cache);
        command
    }

    fn proofmark(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.proofmark(arguments);
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {says}");
        says
    }

    /// The refusal that `output` shows, which must have this code and reason word.
    fn refusal(output: Output, code: i32, reason: &str) -> String {
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && says.contains(&format!("[{code} {reason}]")), "want [{code} {reason}]: {says}");
        assert!(says.contains("next: "), "a refusal says what to do: {says}");
        says
    }

    fn refused(&self, arguments: &[&str], code: i32, reason: &str) -> String {
        Self::refusal(self.proofmark(arguments), code, reason)
    }
}

fn found(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$1\" >/dev/null", "sh", program]).status().unwrap().success();
    if !found {
        eprintln!("skipped: this machine lacks {program}");
    }
    found
}

/// As the root of new namespaces, in which `script` sets something up before it runs `"$@"`.
fn unshared(world: &World, script: &str, arguments: &[&str]) -> Option<Output> {
    let inside = ["--user", "--map-root-user", "--mount"];
    if !Command::new("unshare").args(inside).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine lacks user namespaces");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(inside).args(["sh", "-c", script, "sh", env!("CARGO_BIN_EXE_proofmark")]).args(arguments);
    Some(command.current_dir(world.dir.path()).env("XDG_CACHE_HOME", &world.cache).output().unwrap())
}

#[test]
fn a_build_sees_the_locked_packages_and_nothing_of_the_host_and_attack_52_is_refused() {
    if !found("apt-get") || !found("unshare") {
        return;
    }
    let world = World::new("");
    for (name, text) in [("build.rs", SCRIPT), ("src/main.rs", MAIN), ("answer.c", ANSWER)] {
        world.write(name, text);
    }
    world.commit();

    let says = world.ok(&["build"]);
    assert!(says.contains("note: proofmark.lock was absent"), "{says}");
    let program = world.path("target/proofmark/fixture-1/root/bin/fixture");
    assert_eq!(Command::new(&program).output().unwrap().stdout, b"42\n");
    let info: Value = serde_json::from_slice(&fs::read(world.path("target/proofmark/fixture-1/buildinfo.json")).unwrap()).unwrap();
    let layers = info["environment"]["layers"].as_array().unwrap();
    let layer = |name: &str| layers.iter().find(|layer| layer["name"] == name).unwrap_or_else(|| panic!("{name}: {layers:?}"));
    for (name, kind) in [("gcc", "deb"), ("libc6-dev", "deb"), ("dash", "deb"), ("x86_64-unknown-linux-gnu", "rust")] {
        assert!(layer(name)["kind"] == kind || cfg!(not(target_arch = "x86_64")), "{layers:?}");
        assert!(info["inputs"].as_array().unwrap().iter().any(|input| input["sha256"] == layer(name)["sha256"]), "{name} travels");
    }
    assert!(info["c_toolchain"].is_null(), "{info}");

    // Again, without a package client: the lock is used, the cache is enough, and the bytes are the same.
    let before = fs::read(&program).unwrap();
    let lock = fs::read_to_string(world.path("proofmark.lock")).unwrap();
    let output = world.command(&["build"]).env("PATH", programs(&world, &["git", "rustc"])).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(&program).unwrap(), before);
    assert_eq!(fs::read_to_string(world.path("proofmark.lock")).unwrap(), lock);

    attack_52(&world, &lock, layer("gcc")["sha256"].as_str().unwrap(), layer("gcc")["version"].as_str().unwrap());
}

fn attack_52(world: &World, lock: &str, sha256: &str, version: &str) {
    let kept = world.cache.join("proofmark/layers").join(sha256);
    let good = fs::read(&kept).unwrap();
    // The lock of a stranger, to a package that the mirror does not have like that.
    let other = "0".repeat(64);
    world.write("proofmark.lock", &lock.replace(sha256, &other));
    let says = world.refused(&["build"], 81, "layer-digest");
    assert!(says.contains(&format!("deb gcc {version}")) && says.contains(&other) && says.contains(sha256), "{says}");
    // A version that it had once.
    let gone =
        lock.replace(&format!("name = \"gcc\"\nversion = \"{version}\""), "name = \"gcc\"\nversion = \"0.1\"").replace(sha256, &other);
    world.write("proofmark.lock", &gone);
    let says = world.refused(&["build"], 98, "layer-gone");
    assert!(says.contains("deb gcc 0.1") && says.contains("proofmark lock") && says.contains("--layers"), "{says}");
    // A lock for another machine; one that was edited.
    let here = lock.lines().find(|line| line.starts_with("architecture")).unwrap();
    world.write("proofmark.lock", &lock.replace(here, "architecture = \"s390x\""));
    world.refused(&["build"], 96, "lock-architecture");
    world.write("proofmark.lock", &lock.replace("version = 1", "version = 2"));
    world.refused(&["build"], 90, "environment-lock");
    world.write("proofmark.lock", lock);

    // A poisoned tree; then a poisoned package in a cache whose tree has gone. In a cache of its own: others use the shared one.
    let (shared, own) = (world.cache.join("proofmark"), world.path("target/cache/proofmark"));
    let listed = |directory: &str| proofmark::files::listed(&shared.join(directory)).unwrap();
    fs::create_dir_all(own.join("trees")).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
    let system = listed("trees").into_iter().find(|tree| tree.join("files/usr/bin/gcc").exists()).unwrap();
    for (from, to) in [(shared.join("layers"), own.clone()), (system.clone(), own.join("trees"))] {
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    }
    for tree in listed("trees").iter().filter(|tree| **tree != system) {
        symlink(tree, own.join("trees").join(tree.file_name().unwrap())).unwrap();
    }
    let build = || world.command(&["build"]).env("XDG_CACHE_HOME", world.path("target/cache")).output().unwrap();
    let system = own.join("trees").join(system.file_name().unwrap());
    fs::write(system.join("files/usr/bin/dash"), "#!/bin/false\n").unwrap();
    let says = World::refusal(build(), 81, "cache-changed");
    assert!(says.contains("/usr/bin/dash"), "{says}");
    fs::remove_dir_all(system).unwrap();
    let poisoned = own.join("layers").join(sha256);
    fs::remove_file(&poisoned).unwrap();
    fs::write(&poisoned, &good[..good.len() - 1]).unwrap();
    let says = World::refusal(build(), 81, "layer-digest");
    assert!(says.contains(&format!("deb gcc {version}")) && says.contains("the cache"), "{says}");
    fs::write(&poisoned, good).unwrap();
    assert!(build().status.success(), "the same cache, healed");
}

/// A directory that has these programs of the machine and no others.
fn programs(world: &World, names: &[&str]) -> PathBuf {
    let directory = world.path("target/bin");
    if directory.exists() {
        fs::remove_dir_all(&directory).unwrap();
    }
    fs::create_dir_all(&directory).unwrap();
    for name in names {
        let path = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", name]).output().unwrap().stdout;
        symlink(String::from_utf8(path).unwrap().trim(), directory.join(name)).unwrap();
    }
    directory
}

#[test]
fn attack_52_a_listed_signed_layer_with_a_back_door_is_reproduced_and_not_vouched_for() {
    if !found("apt-get") || !found("dpkg-deb") {
        return;
    }
    let world = World::new("");
    world.ok(&["lock"]);
    let lock = fs::read_to_string(world.path("proofmark.lock")).unwrap();
    let section = lock.split("\n[[layer]]").find(|layer| layer.contains("name = \"dash\"")).unwrap();
    let value = |key: &str| section.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim_matches('"');
    let (sha256, size) = (value("sha256 = "), value("size = "));

    // The package, with one file more: only its digest can tell.
    let package = world.path("target/package");
    let deb = |arguments: &[&str]| {
        let mut command = Command::new("dpkg-deb");
        let status = command.args(arguments).current_dir(world.path("target")).env("SOURCE_DATE_EPOCH", "1").output().unwrap().status;
        assert!(status.success(), "{arguments:?}");
    };
    fs::create_dir_all(world.path("target/layers")).unwrap();
    deb(&["-R", world.cache.join("proofmark/layers").join(sha256).to_str().unwrap(), "package"]);
    fs::write(package.join("usr/share/back-door"), "open").unwrap();
    deb(&["--root-owner-group", "-b", "package", "layers/bad.deb"]);
    let bad = fs::read(world.path("target/layers/bad.deb")).unwrap();
    let digest = proofmark::digest::sha256(&bad);
    fs::rename(world.path("target/layers/bad.deb"), world.path("target/layers").join(&digest)).unwrap();
    let section_of_ours = section.replace(sha256, &digest).replace(&format!("size = {size}"), &format!("size = {}", bad.len()));
    world.write("proofmark.lock", &lock.replace(section, &section_of_ours));

    for key in ["root-1", "ci-1", "alice-1", "head-1", "carol-1"] {
        world.ok(&["key", "new", key, "--out", "target/keys", "--dangerous-no-password"]);
    }
    let mut trust = vec!["trust".to_owned(), "init".into(), "--repository".into(), "target/releases".into()];
    for (role, key) in [("owner", "root"), ("ci", "ci"), ("reviewer", "alice"), ("head", "head"), ("builder", "carol")] {
        trust.extend([format!("--{role}"), format!("{key}:{key}-1=target/keys/{key}-1.pub")]);
    }
    trust.extend(["--sign".into(), "target/keys/root-1.key".into()]);
    world.ok(&trust.iter().map(String::as_str).collect::<Vec<_>>());
    let release = ["release", "--environment", "prod", "--repository", "target/releases", "--key", "target/keys/ci-1.key"];
    world.ok(&[release.as_slice(), &["--layers", "target/layers"]].concat());

    // The repository agrees with itself; that is all that a rebuild shows.
    let reproduce = ["reproduce", "fixture", "1", "prod", "--from", "target/releases"];
    assert!(world.ok(&reproduce).contains("identical"));
    let vouch = [reproduce.as_slice(), &["--sign", "target/keys/carol-1.key", "--source", "."]].concat();
    let says = world.refused(&vouch, 81, "unconfirmed");
    assert!(says.contains("layer deb dash") && says.contains(&digest) && says.contains(sha256), "{says}");
    assert!(!says.contains("layer deb gcc") && !says.contains("layer rust"), "all others are confirmed: {says}");
    let signed =
        Command::new("find").args(["target/releases", "-name", "*.carol-1.minisig"]).current_dir(world.dir.path()).output().unwrap();
    assert!(signed.stdout.is_empty());
}

#[test]
fn without_a_package_client_both_ways_out_are_named_and_the_host_is_not_taken_silently() {
    let world = World::new("");
    for command in ["lock", "build"] {
        let output = world.command(&[command]).env("PATH", programs(&world, &["git", "rustc"])).output().unwrap();
        let says = World::refusal(output, 91, "no-package-client");
        assert!(says.contains("--layers") && says.contains("environment = \"host\""), "{says}");
    }
    assert!(!world.path("proofmark.lock").exists());
}

#[test]
fn a_toolchain_that_rustup_did_not_install_is_refused_with_what_to_do() {
    let world = World::new("");
    for (name, text) in
        [("bin/rustc", "#!/bin/sh\nprintf 'rustc 1.95.0\\nhost: t-h\\n'\n"), ("bin/cargo", ""), ("lib/rustlib/t-h/lib/x", "")]
    {
        let name = format!("target/toolchain/{name}");
        world.write(&name, text);
        fs::set_permissions(world.path(&name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let says = world.refused(&["lock", "--toolchain", "target/toolchain"], 91, "toolchain-manifests");
    assert!(says.contains("rustup") && says.contains("environment = \"host\""), "{says}");
}

#[test]
fn a_full_disk_is_named_and_nothing_half_written_is_kept() {
    let world = World::new("environment = \"host\"");
    let script = "mkdir -p target/full && mount -t tmpfs -o size=8m tmpfs target/full && XDG_CACHE_HOME=\"$PWD/target/full\" \"$@\"; \
                  code=$?; find target/full -type f >&2; find target/full -name 'unfinished*' >&2; exit $code";
    let Some(output) = unshared(&world, script, &["lock"]) else { return };
    let says = World::refusal(output, 95, "disk-full");
    assert!(says.contains("XDG_CACHE_HOME=DIR") && says.trim_end().ends_with("layers"), "no file is left: {says}");
    assert!(!world.path("proofmark.lock").exists());
}

#[test]
fn without_user_namespaces_the_setting_is_named() {
    let world = World::new("environment = \"host\"");
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && \"$@\"";
    let Some(output) = unshared(&world, script, &["build"]) else { return };
    let says = World::refusal(output, 91, "no-sandbox");
    assert!(says.contains("user.max_user_namespaces"), "{says}");
}

#[test]
fn a_host_environment_says_what_it_is_and_is_compared_with_its_lock() {
    let world = World::new("environment = \"host\"");
    let says = world.ok(&["build"]);
    assert!(says.contains("environment = \"host\": this machine's C compiler"), "{says}");
    let lock = fs::read_to_string(world.path("proofmark.lock")).unwrap();
    let digest = lock.lines().skip_while(|line| *line != "name = \"cc\"").find_map(|line| line.strip_prefix("sha256 = ")).unwrap();
    world.write("proofmark.lock", &lock.replace(digest, &format!("\"{}\"", "0".repeat(64))));
    let says = world.refused(&["build"], 81, "layer-digest");
    assert!(says.contains("host cc"), "{says}");
    // Layers are asked for now: the host's lock is not one of these.
    let toml = fs::read_to_string(world.path("proofmark.toml")).unwrap();
    world.write("proofmark.toml", &toml.replace("environment = \"host\"", ""));
    world.git(&["commit", "-qam", "layers"]);
    world.refused(&["build"], 2, "environment-lock-stale");
}

#[test]
fn attack_53_a_source_that_is_not_the_commit_and_all_of_the_commit_is_refused() {
    let build = |world: &World, code, reason| world.refused(&["build"], code, reason);
    let world = World::new("environment = \"host\"");
    world.write("src/main.rs", "fn main() { println!(\"changed\"); }");
    assert!(build(&world, 2, "dirty").contains("src/main.rs"));
    world.git(&["checkout", "-q", "."]);
    world.write("src/extra.rs", "untracked, and perhaps used");
    assert!(build(&world, 2, "dirty").contains("src/extra.rs"));
    fs::remove_file(world.path("src/extra.rs")).unwrap();

    world.git(&["rm", "-q", "Cargo.lock"]);
    world.commit();
    build(&world, 2, "no-lock");
    world.git(&["checkout", "-q", "HEAD^", "--", "Cargo.lock"]);
    world.commit();

    // A committed environment lock is a source file as any other.
    world.write("proofmark.lock", "version = 1\n");
    world.commit();
    build(&world, 90, "environment-lock");
    world.git(&["rm", "-q", "proofmark.lock"]);
    world.commit();

    let other = World::new("");
    let manifest = fs::read_to_string(world.path("Cargo.toml")).unwrap();
    let path = format!("{manifest}[dependencies]\nother = {{ package = \"fixture\", path = \"{}\" }}\n", other.dir.path().display());
    world.write("Cargo.toml", &path);
    world.commit();
    assert!(build(&world, 2, "outside-path").contains("fixture"));
    world.write("Cargo.toml", &manifest);
    world.write(
        "Cargo.lock",
        &format!(
            "{}\n[[package]]\nname = \"g\"\nversion = \"1.0.0\"\nsource = \"git+https://example.org/g#00\"\n",
            fs::read_to_string(world.path("Cargo.lock")).unwrap()
        ),
    );
    world.commit();
    build(&world, 2, "git-dependency");
    world.git(&["checkout", "-q", "HEAD~2", "--", "Cargo.lock"]);
    world.commit();

    let submodule = other.dir.path().to_str().unwrap();
    world.git(&["submodule", "--quiet", "add", submodule, "sub"]);
    world.commit();
    assert!(build(&world, 2, "source-entry").contains("submodule"));
    // Its drift is dirt, before anything else.
    fs::write(world.path("sub/src/main.rs"), "drift").unwrap();
    build(&world, 2, "dirty");
}
