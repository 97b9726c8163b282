//! What is the same in every build: the inputs, their places inside, the command line. What is varied on purpose is in `factors.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::exit::{IoContext, IoError};
use crate::files;
use crate::graph;
use crate::sandbox::{self, Machine, Root, Spec, machine};

/// The inputs of a build on this machine.
pub(super) struct Inputs {
    /// Holds our settings: etc, etc-bare, proc, proofmark.
    settings: PathBuf,
    /// Holds src and vendor.
    sources: PathBuf,
}

/// The directories of one run.
pub(super) struct Places<'a> {
    pub(super) root: &'a Root,
    pub(super) toolchain: &'a Path,
    pub(super) target: &'a Path,
    pub(super) log: &'a Path,
}

impl Inputs {
    /// In the directory `at`, which exists.
    pub(super) fn new(at: PathBuf) -> Self {
        Self { settings: at.clone(), sources: at }
    }

    pub(super) fn source(&self) -> PathBuf {
        self.sources.join("src")
    }

    pub(super) fn vendor(&self) -> PathBuf {
        self.sources.join("vendor")
    }

    /// What becomes /etc.
    pub(super) fn etc(&self) -> PathBuf {
        self.settings.join("etc")
    }

    /// What becomes /etc where the machine is off.
    fn bare_etc(&self) -> PathBuf {
        self.settings.join("etc-bare")
    }

    /// What becomes /proofmark.
    pub(super) fn proofmark(&self) -> PathBuf {
        self.settings.join("proofmark")
    }

    /// The settings that are ours: /etc, cargo's configuration, and the answers of the machine but for its library.
    pub(super) fn settings(&self, cargo_config: &str, root: &Root, time: u64) -> Result<(), IoError> {
        for etc in [self.etc(), self.bare_etc()] {
            sandbox::write_etc(&etc, root, time)?;
        }
        machine::load(&self.etc(), time)?;
        files::create(&self.proofmark())?;
        files::write(&self.proofmark().join("cargo.toml"), cargo_config.as_bytes(), false, time)?;
        machine::write(&self.proofmark(), &self.settings.join("proc"), time)
    }

    /// The same inputs at another place, made in the reverse order: what a directory lists first depends on that, and on the file
    /// system. Sources are copied into `other`, where that is one; files that can be shared are, those of the source tree only if
    /// `shared`.
    pub(super) fn again(&self, at: &Path, other: Option<&Path>, shared: bool, time: u64) -> Result<Self, IoError> {
        files::create(at)?;
        let sources = other.unwrap_or(at);
        recreate(&self.vendor(), &sources.join("vendor"), true, time)?;
        recreate(&self.source(), &sources.join("src"), shared, time)?;
        for name in ["proofmark", "proc", "etc-bare", "etc"] {
            recreate(&self.settings.join(name), &at.join(name), true, time)?;
        }
        Ok(Self { settings: at.to_owned(), sources: sources.to_owned() })
    }

    /// Bytes of the sources.
    pub(super) fn size(&self) -> Result<u64, IoError> {
        let mut size = 0;
        for root in [self.source(), self.vendor()] {
            for file in files::regular_below(&root)? {
                size += fs::metadata(root.join(&file)).at("inspect", &file)?.len();
            }
        }
        Ok(size)
    }

    pub(super) fn spec(&self, places: &Places<'_>, machine: Machine, env: &BTreeMap<String, String>) -> Spec {
        let Places { root, toolchain, target, log } = *places;
        let mut read_only = vec![(toolchain.to_path_buf(), "/toolchain".to_owned())];
        let inside = |path: PathBuf, name: &str| (path, format!("/{name}"));
        read_only.extend([
            inside(self.source(), "src"),
            inside(self.vendor(), "vendor"),
            inside(if machine == Machine::On { self.etc() } else { self.bare_etc() }, "etc"),
            inside(self.proofmark(), "proofmark"),
        ]);
        let mut writable = vec![(target.to_path_buf(), "/target".to_owned())];
        if machine == Machine::On {
            read_only.extend(machine::mounts(&self.proofmark(), &self.settings.join("proc")));
            writable.push((log.to_path_buf(), "/proofmark/log".to_owned()));
        }
        // rust-src changes the bytes of a binary by being there (paths of the standard library in panics).
        let rust_src = "lib/rustlib/src";
        let hidden = if toolchain.join(rust_src).is_dir() { vec![format!("/toolchain/{rust_src}")] } else { Vec::new() };
        Spec { root: root.clone(), machine, read_only, writable, hidden, env: env.clone() }
    }
}

/// Makes the tree `from` again as `to`, last names first. Where they may be `shared`, files are links to the same content if the file
/// system allows.
fn recreate(from: &Path, to: &Path, shared: bool, time: u64) -> Result<(), IoError> {
    files::create(to)?;
    for entry in files::listed(from)?.into_iter().rev() {
        let Some(name) = entry.file_name() else { continue };
        let new = to.join(name);
        let meta = fs::symlink_metadata(&entry).at("inspect", &entry)?;
        if meta.is_dir() {
            recreate(&entry, &new, shared, time)?;
        } else if meta.is_symlink() {
            let target = fs::read_link(&entry).at("read", &entry)?;
            files::symlink(&target.to_string_lossy(), &new, time)?;
        } else if !shared || fs::hard_link(&entry, &new).is_err() {
            let bytes = fs::read(&entry).at("read", &entry)?;
            files::write(&new, &bytes, meta.permissions().mode() & 0o111 != 0, time)?;
        }
    }
    files::settle(to, time)
}

/// The command line inside.
pub(super) fn cargo_build(config: &Config, target: &str, flags: &[String]) -> Vec<String> {
    let mut argv: Vec<String> = [
        "/toolchain/bin/cargo",
        "build",
        "--locked",
        "--offline",
        "--manifest-path",
        "/src/Cargo.toml",
        "--config",
        "/proofmark/cargo.toml",
    ]
    .map(str::to_owned)
    .to_vec();
    argv.extend_from_slice(flags);
    argv.extend(graph::MESSAGES.map(str::to_owned));
    // On every machine the same: build scripts see it as NUM_JOBS.
    let jobs = machine::PROCESSORS.to_string();
    for (option, value) in
        [("--target-dir", "/target"), ("--jobs", jobs.as_str()), ("--target", target), ("--profile", config.profile.as_str())]
    {
        argv.extend([option.to_owned(), value.to_owned()]);
    }
    if !config.default_features {
        argv.push("--no-default-features".into());
    }
    for feature in &config.features {
        argv.extend(["--features".to_owned(), feature.to_string()]);
    }
    let mut packages: Vec<&str> = config.binaries.iter().map(|binary| binary.package.as_str()).collect();
    packages.dedup();
    for package in packages {
        argv.extend(["--package".to_owned(), package.to_owned()]);
    }
    for binary in &config.binaries {
        argv.extend(["--bin".to_owned(), binary.name.to_string()]);
    }
    argv
}

/// Where cargo puts the programs below `directory`, with their place in the bundle.
pub(super) fn programs(config: &Config, directory: &Path, target: &str) -> Vec<(String, PathBuf)> {
    // The built-in profiles share two directories (The Cargo Book, "Build cache").
    let profile = match config.profile.as_str() {
        "dev" | "test" => "debug",
        "bench" => "release",
        other => other,
    };
    let suffix = if target.contains("-windows-") { ".exe" } else { "" };
    let mut found: Vec<(String, PathBuf)> = config
        .binaries
        .iter()
        .map(|binary| {
            (format!("root/{}", binary.bundle_path()), directory.join(target).join(profile).join(format!("{}{suffix}", binary.name)))
        })
        .collect();
    found.sort();
    found
}
