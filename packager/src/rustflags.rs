//! How our one compiler flag gets in without pushing the project's own flags out.
//!
//! Cargo takes rustflags from exactly one of its sources: the environment, else the matching `[target]` tables (joined), else
//! `[build]`. `--config` joins lists, but only within one of these. So ours must go where the project's are in force. The flags
//! must never go in by RUSTFLAGS: it would switch all the others off.

use std::path::{Path, PathBuf};

use cargo_platform::{Cfg, Platform};
use toml::{Table, Value};

use crate::config::Linking;
use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};

/// A flag cannot be placed, or a flag of the project is not reproducible.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The project's cargo configuration is malformed.
    #[error("{}: {message}", .path.display())]
    Malformed {
        /// The file, relative to the workspace.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A flag asks for the machine that builds.
    #[error("{}: {flag}", .path.display())]
    Native {
        /// The file, relative to the workspace.
        path: PathBuf,
        /// The flag.
        flag: String,
    },
}

impl Refuse for FlagError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Malformed { path, message } => {
                Refusal::new(Exit::Malformed, "cargo-config", "not a cargo configuration", path.display()).have(message)
            }
            Self::Native { path, flag } => {
                Refusal::new(Exit::Usage, "native-cpu", "a flag that depends on the machine that builds", path.display())
                    .want("a named processor, such as -C target-cpu=x86-64-v3")
                    .have(flag)
                    .next("name the processor of your hosts, commit, and call again")
            }
        }
    }
}

/// The flags that are ours.
pub fn ours(linking: Linking, target: &str) -> Vec<String> {
    let gnu = target.contains("-linux-gnu");
    match linking {
        Linking::Static if gnu => ["-C", "target-feature=+crt-static"].map(str::to_owned).to_vec(),
        // musl is static by default; other systems have no static C library.
        Linking::Static | Linking::Dynamic => Vec::new(),
    }
}

/// The arguments for cargo that add `ours` to the flags in force for `target` in the workspace at `root`.
/// `cfg` is the output of `rustc --print cfg --target TARGET`.
pub fn arguments(root: &Path, ours: &[String], target: &str, cfg: &[String]) -> Result<Vec<String>, FlagError> {
    let cfg: Vec<Cfg> = cfg.iter().filter_map(|line| line.parse().ok()).collect();
    let mut in_target = false;
    for (path, table) in configurations(root)? {
        let flags = in_force(&table, target, &cfg);
        for flag in flags.iter().flat_map(|(_, flags)| flags) {
            if flag.contains("target-cpu=native") || flag.contains("tune-cpu=native") {
                return Err(FlagError::Native { path, flag: flag.clone() });
            }
        }
        in_target |= flags.iter().any(|(of_target, _)| *of_target);
    }
    if ours.is_empty() {
        return Ok(Vec::new());
    }
    let list = Value::Array(ours.iter().cloned().map(Value::String).collect());
    let key = if in_target { format!("target.{target}.rustflags") } else { "build.rustflags".into() };
    Ok(vec!["--config".into(), format!("{key}={list}")])
}

/// The rustflags of one file that concern `target`: whether they are of a `[target]` table, and the flags.
fn in_force(table: &Table, target: &str, cfg: &[Cfg]) -> Vec<(bool, Vec<String>)> {
    let mut found = Vec::new();
    if let Some(Value::Table(targets)) = table.get("target") {
        for (key, value) in targets {
            // Cargo's rule: a key is a triple, or an expression in cfg(...).
            let matches = key.parse::<Platform>().is_ok_and(|platform| platform.matches(target, cfg));
            if matches && let Some(flags) = value.get("rustflags") {
                found.push((true, words(flags)));
            }
        }
    }
    if let Some(flags) = table.get("build").and_then(|build| build.get("rustflags")) {
        found.push((false, words(flags)));
    }
    found
}

/// A list of strings, or one string with spaces: cargo takes both.
fn words(flags: &Value) -> Vec<String> {
    match flags {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The cargo configuration of the workspace, with what it includes. Cargo reads `config` before `config.toml`, never both.
pub(crate) fn configurations(root: &Path) -> Result<Vec<(PathBuf, Table)>, FlagError> {
    let mut found = Vec::new();
    for name in [".cargo/config", ".cargo/config.toml"] {
        if root.join(name).is_file() {
            read(root, Path::new(name), 0, &mut found)?;
            break;
        }
    }
    Ok(found)
}

fn read(root: &Path, path: &Path, depth: usize, found: &mut Vec<(PathBuf, Table)>) -> Result<(), FlagError> {
    let malformed = |message: String| FlagError::Malformed { path: path.into(), message };
    if depth > 8 {
        return Err(malformed("included more than eight deep".into()));
    }
    let text = match std::fs::read_to_string(root.join(path)) {
        // An include may be optional; where it is not, cargo itself will say so.
        Err(error) if depth > 0 && error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.at("read", path)?,
    };
    let table: Table = text.parse().map_err(|error: toml::de::Error| malformed(error.message().to_owned()))?;
    let included: Vec<String> = match table.get("include") {
        Some(Value::Array(list)) => {
            list.iter().filter_map(|item| item.as_str().or_else(|| item.get("path")?.as_str())).map(str::to_owned).collect()
        }
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    for name in included {
        read(root, &path.parent().unwrap_or(Path::new("")).join(name), depth + 1, found)?;
    }
    found.push((path.into(), table));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: &str = "x86_64-unknown-linux-gnu";

    fn decide(config: &str) -> Result<Vec<String>, FlagError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".cargo")).unwrap();
        std::fs::write(dir.path().join(".cargo/config.toml"), config).unwrap();
        std::fs::write(dir.path().join(".cargo/more.toml"), "[target.x86_64-unknown-linux-gnu]\nrustflags = []").unwrap();
        let cfg = ["unix".to_owned(), "target_os=\"linux\"".to_owned()];
        arguments(dir.path(), &ours(Linking::Static, LINUX), LINUX, &cfg)
    }

    #[test]
    fn our_flag_goes_where_the_projects_flags_are_in_force() {
        let build = r#"build.rustflags=["-C", "target-feature=+crt-static"]"#;
        let target = r#"target.x86_64-unknown-linux-gnu.rustflags=["-C", "target-feature=+crt-static"]"#;
        for (config, want) in [
            ("", build),
            ("[build]\nrustflags = ['--cfg', 'foo']", build),
            ("[target.x86_64-unknown-linux-gnu]\nrustflags = '--cfg foo'", target),
            ("[target.x86_64-unknown-linux-gnu]\nlinker = 'cc'", build),
            ("[target.'cfg(unix)']\nrustflags = ['--cfg', 'foo']\n[build]\nrustflags = ['--cfg', 'bar']", target),
            ("[target.'cfg(windows)']\nrustflags = ['--cfg', 'foo']", build),
            ("[target.aarch64-unknown-linux-gnu]\nrustflags = ['--cfg', 'foo']", build),
            ("include = ['more.toml']", target),
            ("include = [{ path = 'gone.toml', optional = true }]", build),
        ] {
            assert_eq!(decide(config).unwrap(), ["--config", want], "{config}");
        }
    }

    #[test]
    fn a_flag_for_the_building_machines_processor_is_refused() {
        let refusal = decide("[build]\nrustflags = ['-C', 'target-cpu=native']").unwrap_err().refusal();
        assert_eq!(refusal.reason, "native-cpu");
        assert!(decide("[target.'cfg(windows)']\nrustflags = ['-Ctarget-cpu=native']").is_ok(), "not in force here");
    }

    #[test]
    fn only_static_linking_on_gnu_is_ours() {
        assert!(ours(Linking::Dynamic, LINUX).is_empty() && ours(Linking::Static, "x86_64-unknown-linux-musl").is_empty());
        assert_eq!(ours(Linking::Static, "armv7-unknown-linux-gnueabihf").len(), 2);
    }
}
