//! A host: the real `proofmark-verifier` under `--root` in a directory of its own.

use crate::world::{GROUP, HOST, World};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A program of this workspace, as `cargo xtask test` has built it.
pub fn binary(name: &str) -> PathBuf {
    let path = std::env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.is_file(), "{} is not built: run the tests with `cargo xtask test`", path.display());
    path
}

/// Directory that stands for the host's `/`.
pub struct Host {
    root: tempfile::TempDir,
}

/// What a program said.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Outcome {
    /// Ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// Refused with this code and reason word; the message has all its parts.
    #[track_caller]
    pub fn refused(self, code: i32, word: &str) -> Self {
        assert_eq!(self.code, code, "want [{code} {word}]: {self:#?}");
        assert!(self.stderr.contains(&format!("[{code} {word}]")), "want [{code} {word}]: {self:#?}");
        for part in ["refused: ", "\n  want  ", "\n  have  ", "\nnext: "] {
            assert!(self.stderr.contains(part), "no {part:?}: {self:#?}");
        }
        self
    }
}

impl Host {
    /// An empty host.
    pub fn new() -> Self {
        let host = Host { root: tempfile::tempdir().unwrap() };
        // Others may pass through: payloads run as another user.
        std::fs::set_permissions(host.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        host
    }

    /// A host that has been set up for the standard group of `world`.
    pub fn of(world: &World) -> Self {
        let host = Host::new();
        host.init(world).ok();
        host
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub fn file(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// The verifier with `--root` and these arguments; not started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("proofmark-verifier"));
        command.arg("--root").arg(self.path()).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn verifier(&self, arguments: &[&str]) -> Outcome {
        self.command(arguments).output().unwrap().into()
    }

    pub fn init(&self, world: &World) -> Outcome {
        self.init_as(world, HOST, "prod", GROUP)
    }

    pub fn init_as(&self, world: &World, host: &str, environment: &str, group: &str) -> Outcome {
        let outcome = self.identify(&["init"], world, host, environment, group);
        if outcome.code == 0 {
            self.write_users();
        }
        outcome
    }

    /// The standard host takes up an adopt document.
    pub fn adopt(&self, world: &World, document: &Path) -> Outcome {
        self.identify(&["adopt", document.to_str().unwrap()], world, HOST, "prod", GROUP)
    }

    /// `init` or `adopt`, with who the host is.
    fn identify(&self, command: &[&str], world: &World, host: &str, environment: &str, group: &str) -> Outcome {
        let trust = world.file("trust/1.trust.json");
        let pin = world.pin().to_string();
        let identity = [
            "--trust",
            trust.to_str().unwrap(),
            "--sha256",
            &pin,
            "--host",
            host,
            "--environment",
            environment,
            "--group",
            group,
            "--repository",
            world.path().to_str().unwrap(),
        ];
        self.verifier(&[command, &identity].concat())
    }

    /// The user that the standard manifest asks for, without touching the machine's own users.
    fn write_users(&self) {
        let config = self.file("etc/proofmark/host.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}\n[users]\npayload = 61234\n")).unwrap();
    }

    pub fn update(&self) -> Outcome {
        self.verifier(&["update"])
    }

    pub fn run(&self) -> Outcome {
        self.verifier(&["run", GROUP])
    }

    /// Every file below `var/lib/proofmark` with its bytes: to show that nothing changed.
    pub fn state(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut dirs = vec![self.file("var/lib/proofmark")];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    files.push((path.clone(), std::fs::read(&path).unwrap_or_default()));
                }
            }
        }
        files.sort();
        files
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}
