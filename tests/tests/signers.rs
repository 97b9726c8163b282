//! Keys behind commands, as docs/signers.md has them: a PKCS#11 token (SoftHSM) and an ssh-agent sign for a real repository, and a real
//! host believes it. ATTACKS 11: a signer that fails, lies or hangs leaves nothing behind.

use proofmark_core::key::PublicKey;
use proofmark_tests::{Host, Outcome, World, binary};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A tool's standard output.
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn lacks(tools: &[&str]) -> bool {
    let lacking = tools.iter().find(|tool| Command::new(tool).arg("--help").output().is_err());
    if let Some(tool) = lacking {
        eprintln!("skipped: no {tool}");
    }
    lacking.is_some()
}

/// Ends with the test, however that ends.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A world in which another program holds the key `head-2`, and what stands around it.
struct Story {
    world: World,
    dir: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Story {
    fn new() -> Self {
        Story { world: World::standard(), dir: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn proofmark(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(binary("proofmark"));
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null()).envs(self.variables.clone());
        command.env("PROOFMARK_REPOSITORY", self.world.path()).output().unwrap().into()
    }

    /// `key import`, and a trust that gives the role `head` to the key.
    fn import(&mut self, from: &Path) {
        self.proofmark(&["key", "import", "head-2", "--from", from.to_str().unwrap()]).ok();
        let text = std::fs::read_to_string(self.path("head-2.pub")).unwrap();
        let mut trust = self.world.trust.clone();
        let mut key = trust.keys.remove("head-1").unwrap();
        key.public = PublicKey::from_base64(text.lines().nth(1).unwrap()).unwrap();
        trust.keys.insert("head-2".parse().unwrap(), key);
        trust.roles.head = proofmark_tests::world::role(&[("head", 1, &["head-2"])]);
        trust.version = 2;
        self.world.publish_trust(&trust, &["root-1"]);
    }

    fn head(&self, signer: &str) -> Outcome {
        self.proofmark(&["head", "--signer", signer, "--signer-key", "head-2.pub"])
    }

    /// The command signs a head that a host accepts.
    fn signs_with(&self, signer: &str) {
        self.head(signer).ok();
        let host = Host::of(&self.world);
        let update = host.update().ok();
        assert!(update.stdout.contains("accepted: head 2, index 1, trust 2"), "{update:#?}");
    }
}

#[test]
fn a_pkcs11_token_signs_a_head_as_the_documentation_says() {
    let Some(module) =
        ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"].iter().find(|m| Path::new(m).exists())
    else {
        eprintln!("skipped: no SoftHSM (Debian package softhsm2)");
        return;
    };
    if lacks(&["softhsm2-util", "pkcs11-tool"]) {
        return;
    }
    let mut story = Story::new();
    let tokens = story.path("tokens");
    std::fs::create_dir(&tokens).unwrap();
    std::fs::write(story.path("softhsm2.conf"), format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    let configuration = story.path("softhsm2.conf").display().to_string();
    story.variables = vec![("SOFTHSM2_CONF", configuration), ("MODULE", (*module).into()), ("PIN", "5678".into())];
    let tool = |arguments: &[&str]| {
        let mut command = Command::new("pkcs11-tool");
        run(command.args(["--module", module]).args(arguments).envs(story.variables.clone()))
    };
    let init = ["--init-token", "--free", "--label", "proofmark", "--so-pin", "1234", "--pin", "5678"];
    run(Command::new("softhsm2-util").args(init).envs(story.variables.clone()));
    tool(&["--login", "--pin", "env:PIN", "--keypairgen", "--key-type", "EC:edwards25519", "--id", "01", "--label", "head-1"]);
    let pem = story.path("head.pem");
    tool(&["--read-object", "--type", "pubkey", "--id", "01", "--output-file", pem.to_str().unwrap()]);
    story.import(&pem);
    story.signs_with(
        "pkcs11-tool --module \"$MODULE\" --login --pin env:PIN --sign --mechanism EDDSA --id 01 --input-file /dev/stdin --output-file /dev/stdout",
    );
}

#[test]
fn an_ssh_agent_signs_a_head_as_the_documentation_says() {
    if lacks(&["ssh-agent", "ssh-add", "ssh-keygen", "python3"]) {
        return;
    }
    let mut story = Story::new();
    let (key, socket) = (story.path("release"), story.path("agent"));
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "alice-1", "-f"]).arg(&key));
    // In the foreground, so that it ends with the test.
    let mut agent = Agent(Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap());
    while !socket.exists() {
        assert_eq!(agent.0.try_wait().unwrap(), None, "the agent runs");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    story.variables = vec![("SSH_AUTH_SOCK", socket.display().to_string())];
    story.import(&key.with_extension("pub"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/signers/ssh-agent-sign");
    let signer = format!("{} release.pub", script.display());

    let locked = story.head(&signer).refused(95, "signer-failed");
    assert!(locked.stderr.contains("is the key loaded"), "what the command said is shown: {locked:#?}");
    run(Command::new("ssh-add").arg("-q").arg(&key).envs(story.variables.clone()));
    story.signs_with(&signer);
}

#[test]
fn attack_11_a_signer_that_fails_or_lies_leaves_nothing_behind() {
    let mut story = Story::new();
    std::fs::write(story.path("hex"), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\n").unwrap();
    story.import(&story.path("hex"));
    for (signer, code, word) in [
        ("head -c 64 /dev/zero", 80, "bad-signature"),
        ("head -c 64", 80, "bad-signature"),
        ("cat", 90, "signer-output"),
        ("head -c 63 /dev/zero", 90, "signer-output"),
        ("head -c 65 /dev/zero", 90, "signer-output"),
        ("cat /dev/zero", 90, "signer-output"),
        ("true", 90, "signer-output"),
        ("head -c 64 /dev/zero; exit 3", 95, "signer-failed"),
        ("no-such-program", 95, "signer-failed"),
    ] {
        story.head(signer).refused(code, word);
        assert!(!story.world.file("head/2.head.json").exists(), "{signer}");
        assert!(!story.world.file("head/2.head.json.head-2.minisig").exists(), "{signer}");
    }
    // One way to sign, and a key for it.
    for wrong in [&["head"][..], &["head", "--signer", "cat"], &["head", "--signer-key", "head-2.pub"]] {
        assert_eq!(story.proofmark(wrong).code, 2, "{wrong:?}");
    }
}
