//! What is the same in both builds (the inputs, their places inside, the command line) and what is varied on purpose (the outside).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::exit::{IoContext, IoError};
use crate::files;
use crate::graph;
use crate::sandbox::{self, Outside, Root, Spec};

/// How many jobs cargo runs, on every machine: build scripts see it as NUM_JOBS.
const JOBS: &str = "4";

/// The inputs of a build on this machine, below one directory.
pub(super) struct Inputs {
    pub(super) directory: PathBuf,
}

impl Inputs {
    pub(super) fn source(&self) -> PathBuf {
        self.directory.join("src")
    }

    pub(super) fn vendor(&self) -> PathBuf {
        self.directory.join("vendor")
    }

    /// The settings that are ours: /etc, and cargo's configuration.
    pub(super) fn settings(&self, cargo_config: &str, root: &Root, time: u64) -> Result<(), IoError> {
        sandbox::write_etc(&self.directory.join("etc"), root, time)?;
        let directory = self.directory.join("proofmark");
        files::create(&directory)?;
        files::write(&directory.join("cargo.toml"), cargo_config.as_bytes(), false, time)?;
        files::settle(&directory, time)
    }

    pub(super) fn move_to(&mut self, directory: PathBuf) -> Result<(), IoError> {
        fs::rename(&self.directory, &directory).at("rename", &self.directory)?;
        self.directory = directory;
        Ok(())
    }

    pub(super) fn spec(&self, root: &Root, toolchain: &Path, target: &Path, env: &BTreeMap<String, String>) -> Spec {
        let inside = |name: &str| (self.directory.join(name), format!("/{name}"));
        let mut read_only = vec![(toolchain.to_path_buf(), "/toolchain".to_owned())];
        read_only.extend(["src", "vendor", "etc", "proofmark"].map(inside));
        // rust-src changes the bytes of a binary by being there (paths of the standard library in panics).
        let rust_src = "lib/rustlib/src";
        let hidden = if toolchain.join(rust_src).is_dir() { vec![format!("/toolchain/{rust_src}")] } else { Vec::new() };
        Spec { root: root.clone(), read_only, writable: vec![(target.to_path_buf(), "/target".to_owned())], hidden, env: env.clone() }
    }
}

/// The outside of one of the two builds: as different as one machine can make them.
pub(super) fn outside(number: usize) -> Outside {
    let env = [
        [("TZ", "Pacific/Kiritimati"), ("LANG", "C"), ("USER", "first"), ("HOME", "/")],
        [("TZ", "America/St_Johns"), ("LC_ALL", "tr_TR.UTF-8"), ("USER", "second-user"), ("HOME", "/nonexistent")],
    ];
    Outside {
        ids: sandbox::may_choose_user().then(|| (sandbox::OUTER_IDS[number], sandbox::OUTER_IDS[number])),
        umask: [0o022, 0o077][number],
        // One processor less: what asks for their number is found out here, and not on a customer's machine.
        spare_processors: number,
        env: env[number].iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
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
    for (option, value) in [("--target-dir", "/target"), ("--jobs", JOBS), ("--target", target), ("--profile", config.profile.as_str())] {
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
