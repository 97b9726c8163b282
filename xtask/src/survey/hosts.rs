//! Two hosts that a plain build cannot tell from real ones: other paths, user names, locales, time zones, umasks and environments, and
//! another time of day. The crates are fetched once, for the first, and copied for the second.

use super::Program;
use crate::tool;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A host: its folder, the umask, the environment.
type Perturbed = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const HOSTS: [Perturbed; 2] = [
    ("alpha", "022", &[("USER", "alice"), ("LANG", "C.UTF-8"), ("TZ", "Pacific/Kiritimati"), ("HOSTNAME", "alpha")]),
    ("beta/a/longer/path", "077", &[("USER", "bob"), ("LC_ALL", "C"), ("TZ", "America/St_Johns"), ("HOSTNAME", "beta"), ("NOISE", "x")]),
];

/// The hosts of one program.
pub(super) struct Hosts {
    dir: PathBuf,
    name: &'static str,
}

impl Hosts {
    /// The published source on the first host, in a git checkout as its developers have one, with all crates fetched.
    pub(super) fn set_up(dir: &Path, program: &Program) -> Result<Self> {
        let hosts = Hosts { dir: dir.to_path_buf(), name: program.name };
        let Program { name, version, own_build_id, .. } = program;
        // Cargo gets the sources: of a project that depends on the program.
        let asker = dir.join("asker");
        fs::create_dir_all(asker.join("src"))?;
        fs::write(asker.join("src/lib.rs"), "")?;
        let manifest = format!(
            "[package]\nname = \"asker\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[dependencies]\n{name} = \"={version}\"\n[workspace]\n"
        );
        fs::write(asker.join("Cargo.toml"), manifest)?;
        tool::run(hosts.cargo().args(["fetch", "--quiet"]).current_dir(&asker))?;
        // A program without a library is no package of the asker's for `cargo metadata`; its source was fetched all the same.
        let sources = folders(&hosts.cargo_home().join("registry/src"))?;
        let source = sources.iter().map(|registry| registry.join(format!("{name}-{version}"))).find(|source| source.is_dir());
        let source = source.context("the program's source, as cargo fetched it")?;

        let workspace = hosts.workspace(0);
        copy(&source, &workspace)?;
        for cargos in [".cargo-ok", ".cargo_vcs_info.json", "Cargo.toml.orig"] {
            let _ = fs::remove_file(workspace.join(cargos));
        }
        if let Some(id) = own_build_id {
            fs::create_dir_all(workspace.join(".cargo"))?;
            fs::write(workspace.join(".cargo/config.toml"), format!("[build]\nrustflags = [\"-Clink-arg=-Wl,--build-id=0x{id}\"]\n"))?;
        }
        git(&workspace, &["init", "-q"])?;
        commit(&workspace, "as published")?;
        tool::run(hosts.cargo().args(["fetch", "--quiet", "--locked"]).current_dir(&workspace))?;
        Ok(hosts)
    }

    /// A copy of the workspace with a `proofmark.toml`.
    pub(super) fn proofmarked(&self, proofmark: &Path, program: &Program) -> Result<PathBuf> {
        let workspace = self.dir.join("proofmarked").join(self.name);
        copy(&self.workspace(0), &workspace)?;
        tool::output(Command::new(proofmark).arg("init").current_dir(&workspace).env("CARGO_HOME", self.cargo_home()))?;
        if let Some(features) = program.features {
            let file = workspace.join("proofmark.toml");
            fs::write(&file, format!("features = {features:?}\ndefault_features = false\n{}", fs::read_to_string(&file)?))?;
        }
        if program.writable_source {
            let file = workspace.join("proofmark.toml");
            fs::write(&file, fs::read_to_string(&file)? + "\n[build]\nwritable_source = true\n")?;
        }
        commit(&workspace, "proofmark init")?;
        Ok(workspace)
    }

    /// Builds on both hosts with the command line that Proofmark has used inside its sandbox, but for its paths and its job count.
    /// Gives the first host's seconds, and whether both made the same programs.
    pub(super) fn build_plainly(&self, argv: &[String]) -> Result<(f64, bool)> {
        copy(&self.home(0).join("cargo-home"), &self.home(1).join("cargo-home"))?;
        copy(&self.workspace(0), &self.workspace(1))?;
        let mut seconds = 0.0;
        for number in [1, 0] {
            let begin = Instant::now();
            self.build_on(number, argv)?;
            seconds = begin.elapsed().as_secs_f64();
        }
        let programs = self.programs(0)?;
        ensure!(!programs.is_empty(), "plain cargo built no program");
        let mut is_identical = programs == self.programs(1)?;
        for program in &programs {
            is_identical = is_identical && fs::read(self.target(0).join(program))? == fs::read(self.target(1).join(program))?;
        }
        Ok((seconds, is_identical))
    }

    /// Where cargo keeps what it has fetched for the first host.
    pub(super) fn cargo_home(&self) -> PathBuf {
        self.home(0).join("cargo-home")
    }

    fn home(&self, number: usize) -> PathBuf {
        self.dir.join(HOSTS[number].0)
    }

    fn workspace(&self, number: usize) -> PathBuf {
        self.home(number).join("work").join(self.name)
    }

    fn target(&self, number: usize) -> PathBuf {
        self.home(number).join("target")
    }

    /// Cargo as the first host's user runs it.
    fn cargo(&self) -> Command {
        let mut cargo = tool::cargo();
        cargo.env("CARGO_HOME", self.cargo_home());
        cargo
    }

    fn build_on(&self, number: usize, argv: &[String]) -> Result<()> {
        let (_, umask, env) = HOSTS[number];
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new("sh");
        command.args(["-c", "umask \"$1\" && shift && exec \"$@\"", "sh", umask]).arg(cargo);
        let mut words = argv.iter().skip(1).peekable();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--manifest-path" | "--message-format" => drop(words.next()),
                word if word.starts_with("--message-format=") => {}
                // The vendored crates are the sandbox's; flags go on.
                "--config" if words.peek().is_some_and(|value| value.starts_with('/')) => drop(words.next()),
                "--target-dir" => {
                    words.next();
                    command.arg(word).arg(self.target(number));
                }
                _ => {
                    command.arg(word);
                }
            }
        }
        let keep = ["PATH", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.env_clear().envs(keep).envs(env.iter().copied());
        let home = self.home(number);
        if std::env::var_os("RUSTUP_HOME").is_none() {
            let rustup = std::env::var_os("HOME").map(|home| Path::new(&home).join(".rustup"));
            command.envs(rustup.map(|path| ("RUSTUP_HOME", path)));
        }
        command.env("HOME", &home).env("CARGO_HOME", home.join("cargo-home")).env("CARGO_INCREMENTAL", "0");
        command.current_dir(self.workspace(number)).stdin(Stdio::null());
        ensure!(command.status()?.success(), "plain cargo failed");
        Ok(())
    }

    /// Programs in `target/TRIPLE/PROFILE`, relative to the target directory.
    fn programs(&self, number: usize) -> Result<Vec<PathBuf>> {
        let target = self.target(number);
        let mut found = Vec::new();
        for triple in folders(&target)? {
            for profile in folders(&triple)? {
                for entry in fs::read_dir(&profile)? {
                    let path = entry?.path();
                    if fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF")) && path.extension().is_none() {
                        found.push(path.strip_prefix(&target)?.to_path_buf());
                    }
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    let entries: Vec<_> = fs::read_dir(path)?.collect::<std::io::Result<_>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a parent")?)?;
    tool::run(Command::new("cp").arg("-r").arg(from).arg(to))
}

fn commit(workspace: &Path, message: &str) -> Result<()> {
    git(workspace, &["add", "-A", "-f"])?;
    git(workspace, &["commit", "-q", "-m", message])
}

fn git(dir: &Path, arguments: &[&str]) -> Result<()> {
    let identity = ["-c", "user.name=survey", "-c", "user.email=survey@example.invalid", "-c", "init.defaultBranch=main"];
    tool::run(Command::new("git").args(identity).args(arguments).current_dir(dir))
}
