//! The demo's stage: one temporary directory, the two programs, and the processes it has started.
//!
//! It owns the clean-up: whatever ends the demo, processes are stopped by pid and the directory goes.

use crate::tool;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Addresses in `examples/router/config/prod/router.toml`: orders, health, two venues.
const PORTS: [u16; 4] = [17001, 17002, 17101, 17102];
/// The uid that the demo's host gives to the user `router`, when the demo runs as root: of no account.
const ROUTER_UID: u32 = 61184;

pub(super) struct Stage {
    dir: Option<tempfile::TempDir>,
    processes: Vec<(String, Child)>,
    steps: usize,
    /// Digest of the trust document, as a host is told over a separate channel.
    pub(super) pin: String,
}

impl Stage {
    /// An empty stage. Ctrl-C from now on ends the running step, and then the demo in order.
    pub(super) fn set() -> Result<Self> {
        tool::hold_signals();
        for port in PORTS {
            let taken = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(300)).is_ok();
            ensure!(
                !taken,
                "port {port} is in use on 127.0.0.1, and the router's production configuration wants it.\nnext: stop what listens there (ss -ltnp 'sport = :{port}'), perhaps another demo, and run this again"
            );
        }
        let dir = tempfile::Builder::new().prefix("proofmark-demo-").tempdir().context("make a temporary directory")?;
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755))?;
        Ok(Stage { dir: Some(dir), processes: Vec::new(), steps: 0, pin: String::new() })
    }

    /// Stops what runs and removes the directory, unless it is to be kept.
    pub(super) fn clear(&mut self, keep: bool) {
        let _ = self.stop_processes();
        if let Some(dir) = self.dir.take() {
            if keep {
                println!("kept: {}", dir.keep().display());
            } else if let Err(error) = dir.close() {
                eprintln!("the demo's directory could not be removed: {error}");
            }
        }
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.as_ref().map_or(Path::new("/nonexistent"), |dir| dir.path())
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.dir().join(name).display().to_string()
    }

    pub(super) fn step(&mut self, title: &str, why: &str) {
        self.steps += 1;
        let (bold, plain) = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        println!("\n{bold}{}. {title}{plain}\n   {why}", self.steps);
    }

    pub(super) fn case(&self, what: &str) {
        println!("\n-- {what}");
    }

    pub(super) fn say(&self, text: &str) {
        for line in text.lines() {
            println!("   {line}");
        }
    }

    /// Builds the two programs and the venue simulator.
    pub(super) fn compile(&mut self) -> Result<()> {
        self.step("The tools are compiled", "proofmark (the packager), proofmark-verifier (for hosts), and a small venue simulator.");
        let mut tools = tool::cargo();
        tools.args(["build", "--quiet", "--locked", "-p", "proofmark", "-p", "proofmark-verifier"]);
        self.wait(tools, "compile the tools")?;
        let mut venue = tool::cargo();
        venue.args(["build", "--quiet", "--locked", "-p", "venue-sim", "--target-dir", "target"]).current_dir(tool::router());
        self.wait(venue, "compile the venue simulator")
    }

    fn tool(&self, name: &str) -> Result<PathBuf> {
        // xtask itself lies in the same directory.
        let path = std::env::current_exe()?.with_file_name(name);
        ensure!(path.is_file(), "{} was not built", path.display());
        Ok(path)
    }

    fn command(&self, tool: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = tool::program(self.tool(tool)?);
        command.args(arguments).stdin(Stdio::null()).env("XDG_STATE_HOME", self.path("state"));
        let shown: Vec<String> = arguments.iter().map(|argument| argument.replace(&self.path(""), "")).collect();
        println!("   $ {tool} {}", shown.join(" "));
        Ok(command)
    }

    /// Runs a command and shows what it says: words (progress, messages) as they come, data at the end.
    pub(super) fn proofmark(&self, arguments: &[&str]) -> Result<()> {
        self.proofmark_data(arguments).map(|text| self.say(&text))
    }

    /// Runs a command and gives its standard output.
    fn proofmark_data(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command("proofmark", arguments)?;
        let output = self.finish(command.stdout(Stdio::piped()), "proofmark")?;
        ensure!(output.status.success(), "proofmark {} failed", arguments.first().unwrap_or(&""));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a command, and shows what it says only if it fails.
    pub(super) fn proofmark_quiet(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.command("proofmark", arguments)?;
        let output = self.finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()), "proofmark")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    pub(super) fn proofmark_json(&self, arguments: &[&str]) -> Result<Value> {
        serde_json::from_str(&self.proofmark_data(arguments)?).context("--json prints JSON")
    }

    /// `proofmark release` of the finished build, signed by CI.
    pub(super) fn release(&self, arguments: &[&str]) -> Result<Value> {
        let (repository, ci, built) = (self.path("repository"), self.path("keys/ci-1.key"), self.path("built"));
        let fixed = ["release", "--workspace", "examples/router", "--built", &built, "--repository", &repository, "--key", &ci, "--json"];
        self.proofmark_json(&[&fixed, arguments].concat())
    }

    pub(super) fn proofmark_refuses(&self, arguments: &[&str], code: i32) -> Result<()> {
        let command = self.command("proofmark", arguments)?;
        self.refuses(command, code)
    }

    pub(super) fn verifier(&self, host: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.verifier_command(host, arguments)?;
        let output = self.finish(command.stdout(Stdio::piped()), "proofmark-verifier")?;
        self.say(&String::from_utf8_lossy(&output.stdout));
        ensure!(output.status.success(), "proofmark-verifier {} failed", arguments.first().unwrap_or(&""));
        Ok(())
    }

    pub(super) fn verifier_refuses(&self, host: &str, arguments: &[&str], code: i32) -> Result<()> {
        let command = self.verifier_command(host, arguments)?;
        self.refuses(command, code)
    }

    fn verifier_command(&self, host: &str, arguments: &[&str]) -> Result<Command> {
        let root = self.path(host);
        self.command("proofmark-verifier", &[&["--root", &root], arguments].concat())
    }

    /// Runs a command that must be refused, and shows its message and exit code.
    fn refuses(&self, mut command: Command, code: i32) -> Result<()> {
        let output = self.finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()), "the command")?;
        self.say(&String::from_utf8_lossy(&output.stderr));
        let have = output.status.code();
        self.say(&format!("exit {}", have.map_or("by signal".to_owned(), |code| code.to_string())));
        ensure!(have == Some(code), "this had to be refused with {code}");
        Ok(())
    }

    fn init_arguments(&self, host: &str, environment: &str, repository: &str) -> Vec<String> {
        let trust = self.path("repository/trust/1.trust.json");
        [
            "init",
            "--trust",
            &trust,
            "--sha256",
            &self.pin,
            "--host",
            host,
            "--environment",
            environment,
            "--group",
            "prod/router",
            "--repository",
            repository,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// `init`, a uid for the router's user, and the venue's credential.
    pub(super) fn set_up_host(&self, dir: &str, host: &str, environment: &str) -> Result<()> {
        let arguments = self.init_arguments(host, environment, &self.path("repository"));
        self.verifier(dir, &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        let etc = self.dir().join(dir).join("etc/proofmark");
        let config = etc.join("host.toml");
        let text = fs::read_to_string(&config)?;
        fs::write(&config, format!("{text}\n[users]\nrouter = {ROUTER_UID}\n"))?;
        let token = etc.join("credentials/venue-token");
        fs::create_dir_all(token.parent().context("a parent")?)?;
        fs::write(&token, "not-a-real-token")?;
        fs::set_permissions(&token, PermissionsExt::from_mode(0o600))?;
        Ok(())
    }

    pub(super) fn init_refuses(&self, dir: &str, host: &str, environment: &str, repository: &Path, code: i32) -> Result<()> {
        let arguments = self.init_arguments(host, environment, &repository.display().to_string());
        self.verifier_refuses(dir, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), code)
    }

    /// A copy of the repository as it is now: a mirror.
    pub(super) fn copy_repository(&self, name: &str) -> Result<PathBuf> {
        let target = self.dir().join(name);
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.dir().join("repository")).arg(&target);
        self.wait(copy, "copy the repository")?;
        Ok(target)
    }

    pub(super) fn start_venues(&mut self) -> Result<()> {
        let program = tool::router().join("target/x86_64-unknown-linux-gnu/debug/venue-sim");
        for (name, port) in [("north", PORTS[2]), ("south", PORTS[3])] {
            let mut command = Command::new(&program);
            command.args(["--name", name, "--listen", &format!("127.0.0.1:{port}")]).stdin(Stdio::null());
            let (child, line) = self.start(command)?;
            self.processes.push((format!("venue {name}"), child));
            self.say(&line);
        }
        Ok(())
    }

    /// `proofmark-verifier run`, until the router says that it listens and has both venues.
    pub(super) fn start_router(&mut self) -> Result<()> {
        let command = self.verifier_command("host", &["run", "prod/router"])?;
        let (child, line) = self.start(command)?;
        self.processes.push(("router".to_owned(), child));
        self.say(&line);
        let deadline = Instant::now() + Duration::from_secs(10);
        while health().is_none_or(|text| text.matches("\"connected\":true").count() < 2) {
            ensure!(Instant::now() < deadline, "the router did not connect to its venues within ten seconds: {:?}", health());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Starts a process that says one line when it is ready.
    fn start(&self, mut command: Command) -> Result<(Child, String)> {
        let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut reader = BufReader::new(stdout);
            reader.read_line(&mut line)?;
            // Keep reading, so that the process never waits for us.
            std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        }
        if line.is_empty() {
            let status = child.wait()?;
            bail!("{:?} ended before it was ready: {status}", command.get_program());
        }
        Ok((child, line))
    }

    /// TERM to everything, the newest first; KILL to what is still there after five seconds.
    pub(super) fn stop_processes(&mut self) -> Result<()> {
        for (name, mut child) in self.processes.drain(..).rev() {
            signal(&child, rustix::process::Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(5);
            let status = loop {
                match child.try_wait()? {
                    Some(status) => break status,
                    None if Instant::now() > deadline => {
                        child.kill()?;
                        break child.wait()?;
                    }
                    None => std::thread::sleep(Duration::from_millis(20)),
                }
            };
            println!("   stopped {name}: {status}");
        }
        Ok(())
    }

    fn wait(&self, mut command: Command, what: &str) -> Result<()> {
        let output = self.finish(&mut command, what)?;
        ensure!(output.status.success(), "cannot {what}: {}", output.status);
        Ok(())
    }

    /// Runs to the end, or until Ctrl-C, which is passed on.
    fn finish(&self, command: &mut Command, what: &str) -> Result<Output> {
        let mut child = command.spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        let collect = |stream: Option<Box<dyn Read + Send>>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                stream.map(|mut stream| stream.read_to_end(&mut bytes));
                bytes
            })
        };
        let stdout = collect(child.stdout.take().map(|s| Box::new(s) as _));
        let stderr = collect(child.stderr.take().map(|s| Box::new(s) as _));
        let mut told = false;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if tool::interrupted() && !told {
                told = true;
                signal(&child, rustix::process::Signal::TERM);
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        if tool::interrupted() {
            bail!("{what}: stopped by Ctrl-C");
        }
        let stdout = stdout.join().unwrap_or_default();
        let stderr = stderr.join().unwrap_or_default();
        Ok(Output { status, stdout, stderr })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear(false);
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The router's own word on how it is.
fn health() -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", PORTS[1])).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    std::io::Write::write_all(&mut stream, b"GET /health HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
