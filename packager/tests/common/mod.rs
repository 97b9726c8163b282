//! Keys, a repository, and a workspace that looks as if it had been built: the ground of the stories in this directory.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proofmark::buildinfo::Output as Program;
use proofmark::config;
use proofmark::inputs::Collected;
use proofmark::keys::{self, SecretKey};
use proofmark::progress::Silent;
use proofmark::release::{self, Product, ReleaseError, Released, Request};
use proofmark::repository::Repository;
use proofmark::source::Source;
use proofmark::store::Directory;

pub(crate) const LEDGER: &str = r#"
[[flag]]
id = 7
name = "power_peg"
meaning = "Keep sending."
since = "1.0"
state = "retired"
markers = ["power peg"]
[[flag]]
id = 9
name = "rlp"
meaning = "Retail."
since = "1.2"
state = "active"
markers = ["rlp: order"]
"#;

pub(crate) const CONFIG: &str = r#"
product = "router"
release = "RELEASE"
target = "x86_64-unknown-linux-gnu"
wire_epoch = 2
ledger = "ledger.toml"
[[binary]]
package = "router"
name = "router"
[[environment]]
name = "prod"
flags = [9]
[[environment.file]]
source = "prod.toml"
path = "etc/router.toml"
[[environment.file]]
source = "rtr-2.toml"
path = "etc/router.toml"
host = "rtr-2"
[[environment]]
name = "uat"
flags = [9]
[launch]
argv = ["/bin/router"]
user = "router"
credentials = ["venue-token"]
supervisor = ["WATCHDOG_USEC", "NOTIFY_SOCKET"]
capabilities = ["CAP_NET_RAW", "CAP_NET_BIND_SERVICE"]
host_files = [{ path = "/etc/resolv.conf", sha256 = "unverified" }]
[[group]]
name = "prod/router"
hosts = ["rtr-1", "rtr-2"]
[[group]]
name = "uat/router"
hosts = ["uat-1"]
"#;

/// Keys, a repository, and a workspace that looks as if it had been built.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) release: String,
    pub(crate) program: Vec<u8>,
    pub(crate) ledger: String,
    pub(crate) hosts: String,
    pub(crate) inputs: Vec<Collected>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A world whose `trust init` has more arguments.
    pub(crate) fn with(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = World {
            dir,
            release: "1.2".into(),
            program: b"\x7fELF rlp: order".to_vec(),
            ledger: LEDGER.into(),
            hosts: String::new(),
            inputs: Vec::new(),
        };
        for name in ["root-1", "ci-1", "alice-1", "bob-1", "head-1", "mallory-1", "carol-1", "dave-1"] {
            ok(world.proofmark(&["key", "new", name, "--out", "keys", "--dangerous-no-password"]));
        }
        let fixed = [
            "trust",
            "init",
            "--repository",
            "releases",
            "--owner",
            "root:root-1=keys/root-1.pub",
            "--ci",
            "ci:ci-1=keys/ci-1.pub",
            "--reviewer",
            "alice:alice-1=keys/alice-1.pub",
            "--reviewer",
            "bob:bob-1=keys/bob-1.pub",
            "--head",
            "clock:head-1=keys/head-1.pub",
            "--sign",
            "keys/root-1.key",
        ];
        ok(world.proofmark(&[&fixed, more].concat()));
        world
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn proofmark(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proofmark"));
        command.args(arguments).current_dir(self.dir.path()).stdin(std::process::Stdio::null());
        command.env("XDG_STATE_HOME", self.path("state"));
        command.env_remove("PROOFMARK_KEY_PASSWORD").env_remove("PROOFMARK_TRUST").env_remove("PROOFMARK_REPOSITORY").output().unwrap()
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::open(Box::new(Directory::new(&self.path("releases"))), None).unwrap()
    }

    pub(crate) fn key(&self, name: &str) -> SecretKey {
        keys::load_secret(&self.path(&format!("keys/{name}.key")), &mut |_| unreachable!()).unwrap()
    }

    /// What `proofmark release` does after its double build.
    pub(crate) fn release(&self, environments: &[&str], proposer: Option<&str>) -> Result<Released, ReleaseError> {
        self.release_of(CONFIG, environments, proposer)
    }

    pub(crate) fn release_of(&self, text: &str, environments: &[&str], proposer: Option<&str>) -> Result<Released, ReleaseError> {
        let scratch = tempfile::tempdir().unwrap();
        let (source_dir, staged) = (scratch.path().join("src"), scratch.path().join("staged"));
        std::fs::create_dir_all(&source_dir).unwrap();
        std::fs::create_dir_all(staged.join("root/bin")).unwrap();
        std::fs::write(source_dir.join("ledger.toml"), &self.ledger).unwrap();
        std::fs::write(source_dir.join("prod.toml"), format!("venue = \"a\"\nrelease = \"{}\"\n", self.release)).unwrap();
        std::fs::write(source_dir.join("rtr-2.toml"), "venue = \"b\"\n").unwrap();
        std::fs::write(staged.join("root/bin/router"), &self.program).unwrap();
        let text = text.replace("RELEASE", &self.release).replace("\"rtr-2\"]", &format!("\"rtr-2\"{}]", self.hosts));
        let config = config::parse(&text, Path::new("proofmark.toml")).unwrap();
        let outputs = [Program { path: "root/bin/router".into(), size: 0, sha256: String::new() }];
        let source = Source { commit: "c".repeat(40), tree: "d".repeat(40), time: 1_790_000_000 };
        let product = Product {
            config: &config,
            source: &source,
            target: "x86_64-unknown-linux-gnu",
            source_dir: &source_dir,
            staged: &staged,
            outputs: &outputs,
            buildinfo: include_bytes!("../../../tests/fixtures/buildinfo.json"),
            inputs: &self.inputs,
            scratch: scratch.path(),
        };
        let request = Request {
            environments: environments.iter().map(|name| name.parse().unwrap()).collect(),
            groups: Vec::new(),
            proposer: proposer.map(|name| name.parse().unwrap()),
            also_from: Default::default(),
        };
        release::release(&self.repository(), &self.key("ci-1"), &product, &request, &Silent)
    }

    pub(crate) fn approve(&self, key: &str) -> Output {
        self.proofmark(&["approve", "--repository", "releases", "--key", &format!("keys/{key}.key"), "--yes"])
    }

    pub(crate) fn publish(&self) -> Output {
        self.proofmark(&["publish", "--repository", "releases"])
    }

    /// Every file of the repository with its bytes.
    #[allow(clippy::disallowed_methods, reason = "the result is sorted")]
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut open = vec![self.path("releases")];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => open.push(path),
                    false if path.ends_with(".lock") => {}
                    false => found.push((path.clone(), std::fs::read(path).unwrap())),
                }
            }
        }
        found.sort();
        found
    }
}

#[track_caller]
pub(crate) fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
pub(crate) fn refused(output: Output, code: i32, word: &str) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(&format!("[{code} {word}]")), "want {word}: {text}");
    for part in ["refused: ", "\n  want  ", "\n  have  ", "\nnext: "] {
        assert!(text.contains(part), "no {part:?}: {text}");
    }
    text
}
