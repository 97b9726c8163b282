//! A release built again from its repository alone, and vouched for: real builds of a tiny workspace with one crate of a registry.
//!
//! One release serves all of the story, since builds are slow. Where the machine allows no sandbox, it says so and passes.

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use proofmark::keys;
use proofmark::pack::{self, Content, Member};
use proofmark::repository::Repository;
use proofmark::reproduce::{self, Published, Which};
use proofmark::signing::Signer;
use proofmark::store::{Directory, Stored};
use proofmark_core::Digest;
use proofmark_core::manifest::{FileMode, Manifest};
use proofmark_core::signature::Kind;
use proofmark_tests::Host;
use proofmark_tests::host::binary;
use serde_json::Value;

/// A clone, keys, and a repository with one release that CI has signed and two builders have still to sign.
struct World {
    dir: tempfile::TempDir,
    bundle: String,
}

/// Name, version, source and checksum of a crate that this workspace itself uses, so that cargo has it.
fn some_crate() -> [String; 4] {
    let lock: toml::Table = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap().parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let found = packages.iter().find(|package| package["name"].as_str() == Some("itoa")).unwrap();
    ["name", "version", "source", "checksum"].map(|key| found[key].as_str().unwrap().to_owned())
}

const MAIN: &str = "#[inline(never)]\nfn answer() -> u32 { 42 }\nfn main() { println!(\"{}\", itoa::Buffer::new().format(answer())); }\n";

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn git(directory: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]).args(arguments);
    assert!(git.current_dir(directory).stdout(Stdio::null()).status().unwrap().success(), "{arguments:?}");
}

impl World {
    /// `None` where this machine has no sandbox.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let [name, version, source, checksum] = some_crate();
        let clone = dir.path().join("clone");
        write(
            &clone.join("Cargo.toml"),
            &format!("[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n{name} = \"={version}\"\n"),
        );
        write(
            &clone.join("Cargo.lock"),
            &format!(
                "version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\nchecksum = \"{checksum}\"\n\n\
                 [[package]]\nname = \"tiny\"\nversion = \"0.1.0\"\ndependencies = [\n \"{name}\",\n]\n"
            ),
        );
        write(
            &clone.join("proofmark.toml"),
            "product = \"tiny\"\nrelease = \"1\"\nwire_epoch = 1\n[[binary]]\npackage = \"tiny\"\nname = \"tiny\"\n\
             [[environment]]\nname = \"prod\"\n[[environment.file]]\nsource = \"prod.toml\"\npath = \"etc/tiny.toml\"\n\
             [launch]\nargv = [\"/bin/tiny\"]\nuser = \"tiny\"\n[[group]]\nname = \"prod/tiny\"\nhosts = [\"tiny-1\"]\n",
        );
        write(&clone.join("prod.toml"), "answer = true\n");
        write(&clone.join("src/main.rs"), MAIN);
        git(&clone, &["init", "-q"]);
        git(&clone, &["add", "-A"]);
        git(&clone, &["commit", "-qm", "x"]);

        let mut world = World { dir, bundle: String::new() };
        for key in ["root-1", "ci-1", "alice-1", "head-1", "carol-1", "dave-1", "erin-1"] {
            world.ok(&["key", "new", key, "--out", "keys", "--dangerous-no-password"]);
        }
        let holders =
            ["--owner root", "--ci ci", "--reviewer alice", "--head clock", "--builder carol", "--builder dave", "--builder erin"];
        let keys = ["root-1", "ci-1", "alice-1", "head-1", "carol-1", "dave-1", "erin-1"];
        let mut arguments: Vec<String> =
            ["trust", "init", "--repository", "releases", "--sign", "keys/root-1.key"].map(str::to_owned).into();
        for (holder, key) in holders.iter().zip(keys) {
            let (option, holder) = holder.split_once(' ').unwrap();
            arguments.extend([option.to_owned(), format!("{holder}:{key}=keys/{key}.pub")]);
        }
        arguments.extend(["--threshold", "builders=2"].map(str::to_owned));
        world.ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>());

        let released = world.proofmark(&[
            "release",
            "--workspace",
            "clone",
            "--environment",
            "prod",
            "--repository",
            "releases",
            "--key",
            "keys/ci-1.key",
            "--json",
        ]);
        if released.status.code() == Some(91) {
            eprintln!("skipped: {}", String::from_utf8_lossy(&released.stderr).lines().next().unwrap_or_default());
            return None;
        }
        let released: Value = serde_json::from_str(&ok(released)).unwrap();
        world.bundle = released["bundles"][0]["sha256sum"].as_str().unwrap()[..64].to_owned();
        Some(world)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn proofmark(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("proofmark"));
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.path("state"));
        command.env_remove("PROOFMARK_KEY_PASSWORD").env_remove("PROOFMARK_TRUST").env_remove("PROOFMARK_REPOSITORY").output().unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        ok(self.proofmark(arguments))
    }

    /// `reproduce` on a machine that has nothing: no network device, no program in PATH, no home, no cache.
    fn reproduce(&self, arguments: &[&str]) -> Output {
        let empty = self.path("empty");
        fs::create_dir_all(&empty).unwrap();
        let mut command = Command::new("/usr/bin/unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--net", "--"]).arg(binary("proofmark")).arg("reproduce").args(arguments);
        command.args(["--from", "releases"]).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", &empty).env("HOME", &empty).env("XDG_CACHE_HOME", empty.join("cache"));
        command.env("CARGO_HOME", empty.join("cargo")).output().unwrap()
    }

    /// The release as the repository has it.
    fn published(&self) -> Published {
        reproduce::find(&self.repository(), &Which::Bundle(self.bundle.parse().unwrap())).unwrap()
    }

    fn repository(&self) -> Repository {
        Repository::open(Box::new(Directory::new(&self.path("releases"))), None).unwrap()
    }

    /// Packs the members of a bundle again under another buildinfo, and publishes that with CI's signature. Returns its digest.
    fn publish_as_ci(&self, published: &Published, buildinfo: Vec<u8>) -> String {
        let mut members = Vec::new();
        let stream = zstd::stream::read::Decoder::new(published.open(&self.repository()).unwrap()).unwrap();
        for entry in tar::Archive::new(stream).entries().unwrap().skip(1) {
            let mut entry = entry.unwrap();
            let (path, mode) = (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap());
            let mode = if mode == 0o755 { FileMode::Program } else { FileMode::Data };
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            members.push(Member { path: path.parse().unwrap(), mode, content: Content::Bytes(bytes) });
        }
        let manifest = Manifest { buildinfo: Digest::of(&buildinfo), ..published.manifest.clone() };
        let mut bytes = Vec::new();
        let digest = pack::pack(manifest, members, &mut bytes).unwrap().digest;
        let (repository, key) = (self.repository(), keys::load_secret(&self.path("keys/ci-1.key"), &mut |_| unreachable!()).unwrap());
        let signer = Signer::new(repository.trust(), Kind::Bundle, &key).unwrap();
        let signature = signer.sign(Kind::Bundle, None, &published.file, &mut Cursor::new(&bytes)).unwrap();
        let mut open = || Ok(Box::new(Cursor::new(bytes.clone())) as Box<dyn Stored>);
        repository.write_bundle(digest, &published.file, &buildinfo, (signer.name(), &signature), &mut open).unwrap();
        digest.to_string()
    }

    /// Every file of the repository.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let below = proofmark::files::regular_below(&self.path("releases")).unwrap();
        let read = |path: PathBuf| (path.clone(), fs::read(self.path("releases").join(path)).unwrap());
        below.into_iter().filter(|path| !path.ends_with(".lock")).map(read).collect()
    }
}

#[track_caller]
fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(output: Output, code: i32, word: &str) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(&format!("[{code} {word}]")), "want {word}: {text}");
    text
}

#[test]
fn a_release_is_built_again_from_its_repository_alone_and_builders_vouch_for_it() {
    let Some(world) = World::new() else { return };
    let bundle = world.bundle.clone();
    let before = world.files();

    // Nobody's machine: identical.
    let output = world.reproduce(&["tiny", "1", "prod"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("identical"), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(ok(output).starts_with(&bundle));
    assert_eq!(world.files(), before, "a comparison writes nothing");
    poisoned_inputs_are_refused(&world);
    a_bundle_that_is_not_made_of_its_inputs_is_refused_though_ci_signed_it(&world);
    a_layer_that_no_source_of_the_builder_confirms_is_refused_though_ci_signed_it(&world);
    what_a_builder_cannot_confirm_is_not_signed(&world);
    builders_vouch(&world);
    a_host_starts_what_two_builders_signed_and_nothing_less(&world);
}

/// ATTACKS 52: a file under `inputs/` that is not what its name says.
fn poisoned_inputs_are_refused(world: &World) {
    let info: Value = {
        let path = world.files().into_iter().find(|(path, _)| path.to_str().unwrap().ends_with(".buildinfo.json")).unwrap();
        serde_json::from_slice(&path.1).unwrap()
    };
    // One of each kind; of the large ones a byte of what is stored, of the source one of what it says.
    for kind in ["crate", "deb", "lock", "rust", "source"] {
        let Some(input) = info["inputs"].as_array().unwrap().iter().find(|input| input["kind"] == kind) else { continue };
        let tree = ["source", "rust"].contains(&kind);
        let path = format!("inputs/{}{}", input["sha256"].as_str().unwrap(), if tree { ".tar.zst" } else { "" });
        let place = world.path(&format!("releases/{path}"));
        let good = fs::read(&place).unwrap();
        let mut poisoned = if kind == "source" { zstd::decode_all(&good[..]).unwrap() } else { good.clone() };
        let middle = poisoned.len() / 2;
        poisoned[middle] ^= 1;
        fs::write(&place, if kind == "source" { zstd::encode_all(&poisoned[..], 1).unwrap() } else { poisoned }).unwrap();
        let says = refused(world.reproduce(&[&world.bundle]), 81, "input-digest");
        assert!(says.contains(&path), "{path}: {says}");
        assert!(!says.contains("building"), "refused before anything is built: {says}");
        fs::write(&place, good).unwrap();
    }
}

/// ATTACKS 52: a compiler with a back door, listed in the lock and the buildinfo, signed by CI. It would reproduce perfectly.
fn a_layer_that_no_source_of_the_builder_confirms_is_refused_though_ci_signed_it(world: &World) {
    let before = world.files();
    let published = world.published();
    let info: Value = serde_json::from_slice(&published.buildinfo).unwrap();
    let of = |kind: &str| info["inputs"].as_array().unwrap().iter().find(|input| input["kind"] == kind).cloned();
    let Some(deb) = of("deb") else { return eprintln!("skipped: no package client") };
    let digest = |input: &Value| input["sha256"].as_str().unwrap().to_owned();
    let (old_deb, old_lock) = (digest(&deb), digest(&of("lock").unwrap()));
    let mut bytes = fs::read(world.path(&format!("releases/inputs/{old_deb}"))).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let new_deb = Digest::of(&bytes).to_string();
    let lock = fs::read_to_string(world.path(&format!("releases/inputs/{old_lock}"))).unwrap().replace(&old_deb, &new_deb);
    let new_lock = Digest::of(lock.as_bytes()).to_string();
    fs::write(world.path(&format!("releases/inputs/{new_deb}")), bytes).unwrap();
    fs::write(world.path(&format!("releases/inputs/{new_lock}")), lock).unwrap();
    let info = String::from_utf8(published.buildinfo.clone()).unwrap().replace(&old_deb, &new_deb).replace(&old_lock, &new_lock);
    let forged = world.publish_as_ci(&published, info.into_bytes());

    let vouch = ["reproduce", &forged, "--from", "releases", "--sign", "keys/carol-1.key", "--source", "clone"];
    let says = refused(world.proofmark(&vouch), 81, "unconfirmed");
    assert!(says.contains(&format!("sha256 {new_deb}: yours has sha256 {old_deb}")) && !says.contains("building"), "{says}");
    assert_eq!(says.matches("yours has").count(), 1, "all the others are confirmed: {says}");
    fs::remove_dir_all(world.path(&format!("releases/bundles/{forged}"))).unwrap();
    for new in [new_deb, new_lock] {
        fs::remove_file(world.path(&format!("releases/inputs/{new}"))).unwrap();
    }
    assert_eq!(world.files(), before);
}

/// An insider with CI's key publishes the program as it is, and as its source a tree with one byte changed. All digests and signatures
/// are in order.
fn a_bundle_that_is_not_made_of_its_inputs_is_refused_though_ci_signed_it(world: &World) {
    let before = world.files();
    let published = world.published();
    let mut info: Value = serde_json::from_slice(&published.buildinfo).unwrap();
    let source = info["inputs"].as_array().unwrap().iter().position(|input| input["kind"] == "source").unwrap();
    let old = info["inputs"][source]["sha256"].as_str().unwrap().to_owned();
    let mut stream = zstd::decode_all(&*fs::read(world.path(&format!("releases/inputs/{old}.tar.zst"))).unwrap()).unwrap();
    let at = stream.windows(6).position(|part| part == b"{ 42 }").unwrap();
    stream[at + 3] = b'3';
    let new = Digest::of(&stream);
    fs::write(world.path(&format!("releases/inputs/{new}.tar.zst")), zstd::encode_all(&stream[..], 1).unwrap()).unwrap();
    info["inputs"][source]["sha256"] = new.to_string().into();
    let forged = world.publish_as_ci(&published, serde_json::to_vec_pretty(&info).unwrap());

    let says = refused(world.reproduce(&[&forged]), 81, "not-reproduced");
    assert!(says.contains("root/bin/tiny: differs") && says.contains("function tiny::main: differs"), "{says}");
    let command =
        says.lines().find_map(|line| line.trim_start().strip_prefix("proofmark explain --verbose ")).expect("the command that tells more");
    let paths: Vec<&str> = command.split(' ').collect();
    let again = world.proofmark(&["explain", "--json", paths[0], paths[1]]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&again["explanation"]["verified"], &again["refused"]["code"]), (&false.into(), &81.into()), "{again:#}");
    let kept = PathBuf::from(says.lines().find_map(|line| line.split("both are kept in ").nth(1)?.split(';').next()).unwrap());
    for side in ["published", "rebuilt"] {
        assert!(kept.join(side).join(&published.file).is_file(), "{side}");
    }
    fs::remove_dir_all(kept).unwrap();
    let vouch = ["reproduce", &forged, "--from", "releases", "--sign", "keys/carol-1.key", "--source", "clone"];
    let says = refused(world.proofmark(&vouch), 81, "unconfirmed");
    assert!(says.contains(&format!("sha256 {new}: your clone's files make sha256 {old}")) && !says.contains("building"), "{says}");
    fs::remove_dir_all(world.path(&format!("releases/bundles/{forged}"))).unwrap();
    fs::remove_file(world.path(&format!("releases/inputs/{new}.tar.zst"))).unwrap();
    assert_eq!(world.files(), before);
}

fn what_a_builder_cannot_confirm_is_not_signed(world: &World) {
    let before = world.files();
    // A clone of something else.
    for file in ["Cargo.toml", "Cargo.lock", "proofmark.toml", "prod.toml", "src/main.rs"] {
        write(&world.path("other").join(file), &fs::read_to_string(world.path("clone").join(file)).unwrap().replace("42", "43"));
    }
    git(&world.path("other"), &["init", "-q"]);
    git(&world.path("other"), &["add", "-A"]);
    git(&world.path("other"), &["commit", "-qm", "y"]);
    let vouch = |clone: &str, key: &str, more: &[&str]| {
        let key = format!("keys/{key}.key");
        world.proofmark(&[&["reproduce", &world.bundle, "--from", "releases", "--sign", &key, "--source", clone], more].concat())
    };
    let says = refused(vouch("other", "carol-1", &[]), 81, "unconfirmed");
    assert!(says.contains("your clone does not have it"), "{says}");
    refused(vouch("clone", "alice-1", &[]), 80, "key-not-in-role");
    assert_eq!(world.files(), before, "nothing was signed");
}

/// Two of three builders sign the same bytes, one of them by mail; before that, nothing can be published.
fn builders_vouch(world: &World) {
    let before = world.files().len();
    let vouch = |key: &str, more: &[&str]| {
        let key = format!("keys/{key}.key");
        world.ok(&[&["reproduce", &world.bundle, "--from", "releases", "--sign", &key, "--source", "clone"], more].concat())
    };
    assert!(vouch("carol-1", &[]).starts_with(&world.bundle));
    world.ok(&["approve", "--repository", "releases", "--key", "keys/alice-1.key", "--yes"]);
    let publish = ["publish", "--repository", "releases"];
    let says = refused(world.proofmark(&publish), 80, "threshold");
    assert!(says.contains("not signed by: dave-1, erin-1"), "{says}");
    vouch("erin-1", &["--out", "."]);
    assert_eq!(world.files().len(), before + 2, "carol's signature and alice's; erin's is in the mail");
    let mailed = format!("{}.erin-1.minisig", world.published().file);
    fs::rename(world.path(&mailed), world.path(&format!("releases/bundles/{}/{mailed}", world.bundle))).unwrap();
    world.ok(&publish);
    world.ok(&["head", "--repository", "releases", "--key", "keys/head-1.key"]);
}

/// The real host program, from first contact to the program's answer.
fn a_host_starts_what_two_builders_signed_and_nothing_less(world: &World) {
    let (trust, releases) = (world.path("releases/trust/1.trust.json"), world.path("releases"));
    let pin = Digest::of(&fs::read(&trust).unwrap()).to_string();
    let host = || {
        let host = Host::new();
        let (trust, releases) = (trust.to_str().unwrap(), releases.to_str().unwrap());
        let who = ["--host", "tiny-1", "--environment", "prod", "--group", "prod/tiny", "--repository", releases];
        host.verifier(&[&["init", "--trust", trust, "--sha256", &pin], &who[..]].concat()).ok();
        let config = host.file("etc/proofmark/host.toml");
        fs::write(&config, fs::read_to_string(&config).unwrap() + "\n[users]\ntiny = 61234\n").unwrap();
        host
    };
    let one = host();
    one.verifier(&["update"]).ok();
    assert_eq!(one.verifier(&["run", "prod/tiny"]).ok().stdout, "42\n");
    fs::remove_file(world.path(&format!("releases/{}.carol-1.minisig", world.published().path()))).unwrap();
    let says = host().verifier(&["update"]).refused(80, "threshold").stderr;
    assert!(says.contains("key group builders") && says.contains("not signed by: carol-1, dave-1"), "{says}");
}
