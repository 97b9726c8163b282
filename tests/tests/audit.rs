//! The whole path with a workspace that is not ours: `proofmark init` to a started payload; and in between, the walk of
//! docs/audit.md with Debian's own programs, block by block as it stands there.

use proofmark_tests::{Host, Outcome, binary};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Release {
    dir: tempfile::TempDir,
    trust_sha256: String,
}

impl Release {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn proofmark(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(binary("proofmark"));
        command.args(arguments).current_dir(self.path("app")).stdin(Stdio::null()).env_remove("PROOFMARK_TRUST");
        command.env("XDG_STATE_HOME", self.path("state"));
        command.output().unwrap().into()
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=story", "-c", "user.email=story@example.invalid", "-c", "init.defaultBranch=main"]);
        git.args(arguments)
            .current_dir(self.path("app"))
            .env("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z")
            .env("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z");
        assert!(git.status().unwrap().success(), "git {arguments:?}");
    }

    /// A stranger's workspace, adopted: published, with a head.
    fn of_a_stranger() -> Self {
        let mut release = Release { dir: tempfile::tempdir().unwrap(), trust_sha256: String::new() };
        fs::set_permissions(release.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::create_dir_all(release.path("app/src")).unwrap();
        let manifest = "[package]\nname = \"hello\"\nversion = \"0.3.1\"\nedition = \"2024\"\n";
        fs::write(release.path("app/Cargo.toml"), manifest).unwrap();
        fs::write(release.path("app/Cargo.lock"), "version = 4\n\n[[package]]\nname = \"hello\"\nversion = \"0.3.1\"\n").unwrap();
        fs::write(
            release.path("app/src/main.rs"),
            "fn main() {\n    println!(\"hello from {:?}\", std::env::current_exe().unwrap());\n}\n",
        )
        .unwrap();
        release.git(&["init", "-q"]);
        release.proofmark(&["init"]).ok();
        release.git(&["add", "-A"]);
        release.git(&["commit", "-q", "-m", "first"]);
        let keys = release.text("keys");
        for key in ["root-1", "ci-1", "alice-1", "head-1"] {
            release.proofmark(&["key", "new", key, "--out", &keys, "--dangerous-no-password"]).ok();
        }
        let public = |holder: &str, key: &str| format!("{holder}:{key}={keys}/{key}.pub");
        let secret = |key: &str| format!("{keys}/{key}.key");
        let repository = release.text("repository");
        let trust = release.proofmark(&[
            "trust",
            "init",
            "--repository",
            &repository,
            "--owner",
            &public("root", "root-1"),
            "--ci",
            &public("ci", "ci-1"),
            "--reviewer",
            &public("alice", "alice-1"),
            "--head",
            &public("clock", "head-1"),
            "--sign",
            &secret("root-1"),
        ]);
        release.trust_sha256 = trust.ok().stdout.trim().to_owned();
        release.proofmark(&["release", "--environment", "prod", "--repository", &repository, "--key", &secret("ci-1")]).ok();
        release.proofmark(&["approve", "--repository", &repository, "--key", &secret("alice-1"), "--yes"]).ok();
        release.proofmark(&["publish", "--repository", &repository]).ok();
        release.proofmark(&["head", "--repository", &repository, "--key", &secret("head-1")]).ok();
        release
    }

    /// First group of the proofmark.toml that `init` wrote, and its first host.
    fn group(&self) -> (String, String) {
        let text = fs::read_to_string(self.path("app/proofmark.toml")).unwrap();
        let quoted = |line: &str| line.split('"').nth(1).unwrap().to_owned();
        let (_, group) = text.split_once("[[group]]").unwrap();
        let line = |key: &str| group.lines().find(|l| l.starts_with(key)).map(quoted).unwrap();
        (line("name"), line("hosts"))
    }
}

#[test]
fn a_strangers_workspace_is_built_signed_audited_by_hand_and_started() {
    let release = Release::of_a_stranger();
    let (group, host_name) = release.group();
    audit(&release.path("repository"), &release.trust_sha256, &group);

    let host = Host::new();
    let (repository, trust) = (release.text("repository"), release.text("repository/trust/1.trust.json"));
    let environment = group.split('/').next().unwrap();
    host.verifier(&[
        "init",
        "--trust",
        &trust,
        "--sha256",
        &release.trust_sha256,
        "--host",
        &host_name,
        "--environment",
        environment,
        "--group",
        &group,
        "--repository",
        &repository,
    ])
    .ok();
    host.verifier(&["update"]).ok();
    let config = host.file("etc/proofmark/host.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, format!("{text}\n[users]\nhello = 61234\n")).unwrap();
    let outcome = host.verifier(&["run", &group]).ok();
    assert_eq!(outcome.stdout, "hello from \"/bin/hello\"\n");
}

#[test]
fn what_a_release_says_of_itself_is_verified_by_the_tools_of_others() {
    for (tool, arguments) in
        [("openssl", ["version"].as_slice()), ("jq", &["--version"]), ("python3", &["-c", "import securesystemslib.dsse, cryptography"])]
    {
        if !Command::new(tool).args(arguments).output().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: this machine lacks {tool} {}", arguments.join(" "));
            return;
        }
    }
    let release = Release::of_a_stranger();
    let bundle = list(&release.path("repository")).into_iter().find(|path| path.to_str().unwrap().ends_with(".tar.zst")).unwrap();
    let sh = |script: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-euc", script]).current_dir(release.dir.path()).env("TMPDIR", release.dir.path()).env("BUNDLE", &bundle);
        let path = format!("{}:{}", binary("proofmark").parent().unwrap().display(), std::env::var("PATH").unwrap());
        Outcome::from(shell.env("PATH", path).env("PROVENANCE", "p.json").env("KEY", "export.pub").output().unwrap())
    };
    let export = "proofmark export provenance \"$BUNDLE\" --key export.pem --builder https://ci.example.org/release";
    sh(&format!(
        "openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out export.pem
         openssl pkey -in export.pem -pubout -out export.pub
         openssl ec -in export.pem -out sec1.pem
         {export} --out p.json
         {export} | cmp - p.json
         proofmark export provenance \"$BUNDLE\" --key sec1.pem --builder https://ci.example.org/release | cmp - p.json
         {export} --form sigstore | jq -e --slurpfile dsse p.json '.dsseEnvelope == $dsse[0] and (.mediaType | endswith(\"v0.3+json\"))'"
    ))
    .ok();

    let mut script = String::new();
    for block in include_str!("../../docs/provenance.md").split("```sh\n").skip(1) {
        script += block.split("```").next().unwrap();
    }
    let outcome = sh(&script).ok();
    assert!(outcome.stdout.contains("hello 0.3.1\n") && outcome.stdout.contains("Verified OK"), "{outcome:#?}");

    const VERIFY: &str = "import json, sys\n\
        from cryptography.hazmat.primitives.serialization import load_pem_public_key\n\
        from securesystemslib.dsse import Envelope\n\
        from securesystemslib.signer import SSlibKey\n\
        key = SSlibKey.from_crypto(load_pem_public_key(open('export.pub', 'rb').read()))\n\
        envelope = Envelope.from_dict(json.load(open('p.json')))\n\
        assert list(envelope.verify([key], 1)) == [key.keyid]\n\
        statement = json.loads(envelope.payload)\n\
        assert statement['predicateType'] == 'https://slsa.dev/provenance/v1', statement\n\
        envelope.payload = envelope.payload.replace(b'hello', b'hallo', 1)\n\
        try: envelope.verify([key], 1)\n\
        except Exception as error: sys.exit(0 if 'threshold' in str(error) else str(error))\n\
        sys.exit('a changed payload was accepted')\n";
    let verified = Command::new("python3").args(["-c", VERIFY]).current_dir(release.dir.path()).output().unwrap();
    Outcome::from(verified).ok();

    // What does not fit is refused, and nothing is written.
    let refused = |script: &str, code: i32, reason: &str| {
        let outcome = sh(script);
        assert!(outcome.code == code && outcome.stderr.contains(reason), "{script}: {outcome:#?}");
    };
    refused(&format!("{export} --out p.json"), 2, "exists");
    refused("cp \"$BUNDLE\" other.tar.zst; proofmark sbom other.tar.zst", 90, "bundle-name");
    refused("proofmark export provenance \"$BUNDLE\" --key export.pub --builder https://x.example", 90, "export-key");
    let buildinfo = bundle.to_str().unwrap().replace(".tar.zst", ".buildinfo.json");
    let text = fs::read_to_string(&buildinfo).unwrap();
    fs::write(&buildinfo, text.replace("\"hello\"", "\"hallo\"")).unwrap();
    refused(&format!("{export} --out new.json"), 81, "want");
    assert!(!release.path("new.json").exists());
    fs::write(&buildinfo, text).unwrap();

    // An SBOM that says something else than the buildinfo: nobody reviews over it.
    let sbom = bundle.to_str().unwrap().replace(".tar.zst", ".sbom.cdx.json");
    let text = fs::read_to_string(&sbom).unwrap();
    fs::write(&sbom, text.replace("hello", "hallo")).unwrap();
    let repository = release.text("repository");
    let refused =
        release.proofmark(&["release", "--environment", "prod", "--repository", &repository, "--key", &release.text("keys/ci-1.key")]);
    assert!(refused.code == 84 && refused.stderr.contains(".sbom.cdx.json"), "{refused:#?}");
}

#[test]
fn attack_11_a_key_that_is_not_in_the_role_signs_nothing() {
    let release = Release::of_a_stranger();
    let before = list(&release.path("repository"));
    let repository = release.text("repository");
    let refused = release.proofmark(&["head", "--repository", &repository, "--key", &release.text("keys/alice-1.key")]);
    assert_eq!(refused.code, 80, "{refused:#?}");
    assert_eq!(before, list(&release.path("repository")), "nothing was published");
}

fn list(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(list(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Runs the `sh` blocks of docs/audit.md in one shell.
fn audit(repository: &Path, trust_sha256: &str, group: &str) {
    for tool in ["minisign", "zstd", "jq", "tar", "sha256sum"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status().unwrap().success();
        if !found {
            eprintln!("skipped: {tool} is not installed (apt-get install minisign zstd jq)");
            return;
        }
    }
    let page = include_str!("../../docs/audit.md");
    let mut script = "set -eu\n".to_owned();
    for block in page.split("```sh\n").skip(1) {
        script += block.split("```").next().unwrap();
    }
    assert!(script.matches("check ").count() >= 4, "the page has its blocks");
    let mut shell = Command::new("bash");
    shell.env("REPOSITORY", repository).env("TRUST_SHA256", trust_sha256).env("GROUP", group).env("TMPDIR", repository.parent().unwrap());
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let outcome: Outcome = child.wait_with_output().unwrap().into();
    let outcome = outcome.ok();
    for signed in ["signed by root-1", "signed by ci-1", "signed by alice-1", "signed by head-1"] {
        assert!(outcome.stdout.contains(signed), "{signed}: {outcome:#?}");
    }
}
