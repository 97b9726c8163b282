//! What `proofmark` reads of strangers (a release repository, another builder's files, somebody's program), spoilt in thousands of ways:
//! an answer each time, no panic, and nothing outside the directory it was given.
//!
//! The parsers of the core have fuzz targets with coverage (`tests/fuzz`). These are the packager's, whose dependencies are too many for
//! a short run of that kind. `PROOFMARK_MUTATIONS` is how many times each seed is spoilt; the sequence is always the same.

use proofmark::environment::Lock;
use proofmark::inputs::tree;
use proofmark::ledger::Ledger;
use proofmark::{buildinfo, compare, lockfile};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        // xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most.max(1) as u64) as usize
    }
}

/// How often a seed is spoilt.
fn times(usual: usize) -> usize {
    std::env::var("PROOFMARK_MUTATIONS").map_or(usual, |many| many.parse().unwrap())
}

/// Bytes that parsers mind.
const MINDED: &[u8] = b"\0\xff\x7f\x80\"\\\n/.0-9{[]}=";

/// One to four changes: a bit, a byte, a piece less, twice or elsewhere, an end.
fn spoil(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = numbers.below(bytes.len());
        let end = (at + 1 + numbers.below(64)).min(bytes.len());
        match numbers.below(7) {
            0 => bytes[at] ^= 1 << numbers.below(8),
            1 => bytes[at] = MINDED[numbers.below(MINDED.len())],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            4 => bytes.truncate(at),
            5 => bytes[at..end].fill(0xff),
            _ => bytes[at..end].fill(0),
        }
    }
    bytes
}

/// Gives `read` the seed and what comes of spoiling it; whatever panics is shown in hex.
fn each(seed: &[u8], many: usize, mut read: impl FnMut(&[u8])) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut all = vec![seed.to_vec()];
    all.extend((0..many).map(|_| spoil(seed, &mut numbers)));
    for bytes in all {
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        assert!(outcome.is_ok(), "panics on {}", data_encoding::HEXLOWER.encode(&bytes[..bytes.len().min(4096)]));
    }
}

fn tests() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn attack_25_a_spoilt_buildinfo_is_refused_or_read() {
    let seed = fs::read(tests().join("fixtures/buildinfo.json")).unwrap();
    assert!(buildinfo::read::read(&seed, "seed").is_ok());
    each(&seed, times(3000), |bytes| drop(buildinfo::read::read(bytes, "input")));
}

#[test]
fn attack_52_a_spoilt_environment_lock_is_refused_or_prints_as_what_was_read() {
    let seed = format!(
        "version = 1\narchitecture = \"amd64\"\npackages = [\"gcc\"]\n\n{}\n\n{}",
        format_args!("[[layer]]\nkind = \"deb\"\nname = \"gcc\"\nversion = \"4:12.2.0-3\"\nsha256 = \"{}\"\nsize = 5216", "a".repeat(64)),
        format_args!("[[layer]]\nkind = \"rust\"\nname = \"x86_64\"\nversion = \"1.95.0\"\nsha256 = \"{}\"\nsize = 598", "b".repeat(64)),
    );
    let mut good = 0;
    each(seed.as_bytes(), times(5000), |bytes| {
        if let Ok(lock) = Lock::parse(&text(bytes), Path::new("proofmark.lock")) {
            good += 1;
            let again = Lock::parse(&lock.to_text(), Path::new("proofmark.lock")).unwrap();
            assert_eq!(again.to_text(), lock.to_text());
        }
    });
    assert!(good > 0, "not even the seed is read");
}

#[test]
fn a_spoilt_ledger_or_cargo_lock_is_refused_or_read() {
    let root = tests().parent().unwrap();
    let seed = fs::read(root.join("examples/router/ledger.toml")).unwrap();
    assert!(Ledger::parse(&text(&seed), Path::new("ledger.toml")).is_ok());
    each(&seed, times(2000), |bytes| drop(Ledger::parse(&text(bytes), Path::new("ledger.toml"))));
    let seed = fs::read(tests().join("fixtures/leaky/Cargo.lock")).unwrap();
    assert!(lockfile::parse(&text(&seed)).is_ok());
    each(&seed, times(300), |bytes| drop(lockfile::parse(&text(bytes))));
}

/// Everything below a directory, and that nothing of it leads out.
fn is_inside(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().all(|entry| {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            return !target.is_absolute();
        }
        !meta.is_dir() || is_inside(&path)
    })
}

#[test]
fn attack_27_a_spoilt_tree_stream_makes_nothing_outside_its_directory() {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir_all(source.path().join("a/b")).unwrap();
    fs::write(source.path().join("a/b/file"), "content").unwrap();
    fs::write(source.path().join("a").join("n".repeat(120)), "a long name").unwrap();
    std::os::unix::fs::symlink("b/file", source.path().join("a/link")).unwrap();
    let mut seed = Vec::new();
    tree::write(&tree::below(source.path()).unwrap(), &mut seed).unwrap();
    let outer = tempfile::tempdir().unwrap();
    let to: PathBuf = outer.path().join("to");
    each(&seed, times(1500), |bytes| {
        let _ = tree::read(&mut &bytes[..], &to, 0);
        let names: Vec<_> = fs::read_dir(outer.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == "to"), "{names:?}");
        if to.exists() {
            assert!(is_inside(&to));
            fs::remove_dir_all(&to).unwrap();
        }
    });
    assert_eq!(fs::read_dir(source.path()).unwrap().count(), 1);
}

#[test]
fn a_spoilt_program_or_bundle_is_explained_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (good, bad) = (directory.path().join("good"), directory.path().join("bad"));
    let source = directory.path().join("program.c");
    fs::write(&source, "int counter; const char *name(void) { return \"power peg\"; } int next(int n) { counter += n; return counter; }")
        .unwrap();
    let built = Command::new("cc").args(["-g", "-O1", "-fPIC", "-shared", "-nostdlib", "-o"]).arg(&good).arg(&source).status();
    if !built.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine lacks the program cc (Debian package gcc)");
        return;
    }
    let mut explained = 0;
    let mut explain = |bytes: &[u8]| {
        fs::write(&bad, bytes).unwrap();
        if let Ok(explanation) = compare::explain(&good, &bad) {
            explained += 1;
            let shown = compare::text(&explanation, true);
            assert!(!shown.contains('\x1b'), "{shown}");
        }
    };
    each(&fs::read(&good).unwrap(), times(400), &mut explain);
    let bundle = tests().join("vectors/bundles/good.tar.zst");
    fs::copy(&bundle, &good).unwrap();
    each(&fs::read(&bundle).unwrap(), times(400), &mut explain);
    assert!(explained > 100, "{explained}");
}
