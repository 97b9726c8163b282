//! The Rust toolchain: where it is, what it calls itself, and exactly the files that a build can depend on.
//!
//! A digest of these is the identity; the version line is for people. Components that are installed beside (clippy, docs, rust-src)
//! must not change it, and the sandbox hides rust-src, because its presence changes the bytes of a binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::digest;
use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::files;

/// A Rust toolchain on this machine.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// Its directory, absolute.
    pub directory: PathBuf,
    /// First line of `rustc -vV`.
    pub version: String,
    /// The triple it runs on.
    pub host: String,
    /// Digest of its files.
    pub digest: String,
}

/// No usable toolchain.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// There is no rustc to ask.
    #[error("rustc is not installed")]
    NoRustc,
    /// rustc, or rustup on its behalf, failed.
    #[error("rustc: {says}")]
    Rustc {
        /// What it says.
        says: String,
    },
    /// rust-toolchain.toml names programs instead of a version.
    #[error("{}: path = {own}", .path.display())]
    Path {
        /// The file.
        path: PathBuf,
        /// What it names.
        own: String,
    },
    /// Nothing says which files belong to it.
    #[error("{}: no manifest of {component}", .directory.display())]
    NoManifests {
        /// The toolchain.
        directory: PathBuf,
        /// The component without a manifest.
        component: String,
    },
    /// A file that every toolchain has is not there.
    #[error("{}: missing", .path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// The target that was wanted.
        target: String,
    },
}

impl Refuse for ToolchainError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::NoRustc => Refusal::new(Exit::Platform, "no-rustc", "something needed is missing", "rustc")
                .next("install Rust with rustup, or name a toolchain: --toolchain DIR"),
            Self::Rustc { says } => Refusal::new(Exit::Platform, "rustc", "the toolchain does not run", "rustc")
                .have(says)
                .next("rustup toolchain install, in the workspace"),
            Self::Path { path, own } => Refusal::new(
                Exit::Usage,
                "toolchain-path",
                "a commit may not name the programs that run outside of the sandbox",
                path.display(),
            )
            .want("channel = \"VERSION\"")
            .have(format!("path = {own}"))
            .next("name a version there, or the toolchain on the command line: --toolchain DIR"),
            Self::NoManifests { directory, component } => {
                Refusal::new(Exit::Platform, "toolchain-manifests", "this toolchain was not installed by rustup", directory.display())
                    .want("lib/rustlib/manifest-*: which files rustc, cargo and rust-std consist of, so that they can be locked")
                    .have(format!("no lib/rustlib/manifest-{component}"))
                    .next(
                        "install Rust with rustup, or name a toolchain that it has installed: --toolchain DIR; or say in proofmark.toml \
                         that the host's own tools are good enough: [build] environment = \"host\"",
                    )
            }
            Self::Incomplete { path, target } => Refusal::new(Exit::Platform, "toolchain", "the toolchain is not complete", path.display())
                .want("bin/rustc, bin/cargo and lib/rustlib/TARGET/lib")
                .have("no such file")
                .next(format!("rustup target add {target}, or name another toolchain: --toolchain DIR")),
        }
    }
}

/// Finds the toolchain: `custom`, or the one that `rustc` means in `workspace`, where rust-toolchain.toml is respected.
/// Nothing is hashed yet, so `digest` is empty.
pub fn find(workspace: &Path, custom: Option<&Path>) -> Result<Toolchain, ToolchainError> {
    let directory = match custom {
        Some(directory) => directory.to_path_buf(),
        None => {
            check_own(workspace)?;
            let mut rustc = Command::new("rustc");
            // Inside `cargo run` or `cargo test`, rustup has already been decided for another directory.
            rustc.args(["--print", "sysroot"]).current_dir(workspace).env_remove("RUSTUP_TOOLCHAIN");
            PathBuf::from(ask(&mut rustc)?.trim())
        }
    };
    let directory = directory.canonicalize().at("open", &directory)?;
    for name in ["bin/rustc", "bin/cargo"] {
        if !directory.join(name).is_file() {
            return Err(ToolchainError::Incomplete { path: directory.join(name), target: "TARGET".into() });
        }
    }
    let verbose = ask(Command::new(directory.join("bin/rustc")).arg("-vV"))?;
    let version = verbose.lines().next().unwrap_or_default().to_owned();
    let Some(host) = verbose.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned) else {
        return Err(ToolchainError::Rustc { says: verbose });
    };
    Ok(Toolchain { directory, version, host, digest: String::new() })
}

/// rustup runs what the file names: a path may lead to programs of the commit, which would run outside of the sandbox.
fn check_own(workspace: &Path) -> Result<(), ToolchainError> {
    for name in ["rust-toolchain.toml", "rust-toolchain"] {
        let path = workspace.join(name);
        let table = std::fs::read_to_string(&path).ok().and_then(|text| text.parse::<toml::Table>().ok()).unwrap_or_default();
        if let Some(own) = table.get("toolchain").and_then(|toolchain| toolchain.get("path")) {
            return Err(ToolchainError::Path { path, own: own.to_string() });
        }
    }
    Ok(())
}

impl Toolchain {
    /// Checks that `target` can be built for, and computes a digest of what is on the disk: for a toolchain that is used in place.
    pub fn lock(mut self, target: &str) -> Result<Self, ToolchainError> {
        self.digest = digest::sha256_list(self.files_on_disk(target)?)?;
        Ok(self)
    }

    /// The files that rustup's components for building consist of, sorted, as pairs of the path in the toolchain and the path on this
    /// machine. Not what is installed beside them, nor their documentation.
    pub fn component_files(&self, target: &str) -> Result<Vec<(String, PathBuf)>, ToolchainError> {
        self.check_targets(target)?;
        let mut names = Vec::new();
        for component in [
            format!("rustc-{}", self.host),
            format!("cargo-{}", self.host),
            format!("rust-std-{}", self.host),
            format!("rust-std-{target}"),
        ] {
            let manifest = self.directory.join("lib/rustlib").join(format!("manifest-{component}"));
            match std::fs::read_to_string(&manifest) {
                // Lines are `file:PATH` and, for whole directories such as share/doc, `dir:PATH`. Other installers write absolute paths.
                Ok(text) if !text.contains("file:/") => {
                    names.extend(text.lines().filter_map(|line| line.strip_prefix("file:")).map(str::to_owned));
                }
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).at("read", manifest)?,
                _ => return Err(ToolchainError::NoManifests { directory: self.directory.clone(), component }),
            }
        }
        Ok(self.places(names))
    }

    /// Without manifests: the same places, as they are on the disk.
    fn files_on_disk(&self, target: &str) -> Result<Vec<(String, PathBuf)>, ToolchainError> {
        self.check_targets(target)?;
        let mut names = self.below("bin")?;
        names.extend(self.below("libexec")?);
        names.extend(self.below("lib")?.into_iter().filter(|name| {
            let inside = |triple: &str| name.starts_with(&format!("lib/rustlib/{triple}/"));
            !name.starts_with("lib/rustlib/") || inside(&self.host) || inside(target)
        }));
        Ok(self.places(names))
    }

    fn check_targets(&self, target: &str) -> Result<(), ToolchainError> {
        for triple in [&self.host, target] {
            let libraries = self.directory.join("lib/rustlib").join(triple).join("lib");
            if !libraries.is_dir() {
                return Err(ToolchainError::Incomplete { path: libraries, target: triple.into() });
            }
        }
        Ok(())
    }

    fn places(&self, mut names: Vec<String>) -> Vec<(String, PathBuf)> {
        names.retain(|name| !["share/", "etc/", "lib/rustlib/etc/"].iter().any(|aside| name.starts_with(aside)));
        names.sort();
        names.dedup();
        names.into_iter().map(|name| (name.clone(), self.directory.join(name))).collect()
    }

    fn below(&self, part: &str) -> Result<Vec<String>, IoError> {
        let directory = self.directory.join(part);
        if !directory.is_dir() {
            return Ok(Vec::new());
        }
        Ok(files::regular_below(&directory)?.iter().map(|path| format!("{part}/{}", path.display())).collect())
    }
}

fn ask(command: &mut Command) -> Result<String, ToolchainError> {
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(ToolchainError::NoRustc),
        other => other.at("run", command.get_program())?,
    };
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(ToolchainError::Rustc { says: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(dir: &Path) -> Toolchain {
        for (name, content) in [
            ("bin/rustc", "r"),
            ("bin/cargo", "c"),
            ("lib/librustc_driver.so", "d"),
            ("lib/rustlib/t-h/lib/libstd.rlib", "s"),
            ("lib/rustlib/src/rust/library/x.rs", "rust-src"),
            ("share/doc/x", "doc"),
        ] {
            std::fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            std::fs::write(dir.join(name), content).unwrap();
        }
        Toolchain { directory: dir.into(), version: String::new(), host: "t-h".into(), digest: String::new() }
    }

    #[test]
    fn the_digest_covers_the_compiler_and_not_what_is_installed_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let digest = || toolchain(dir.path()).lock("t-h").unwrap().digest;
        let before = digest();
        std::fs::write(dir.path().join("lib/rustlib/src/rust/library/y.rs"), "more").unwrap();
        std::fs::write(dir.path().join("share/doc/y"), "more").unwrap();
        assert_eq!(digest(), before);
        std::fs::write(dir.path().join("lib/rustlib/t-h/lib/libextra.rlib"), "more").unwrap();
        assert_ne!(digest(), before);
    }

    #[test]
    fn with_rustups_manifests_only_the_listed_files_count() {
        let dir = tempfile::tempdir().unwrap();
        toolchain(dir.path());
        for (name, text) in [
            ("rustc-t-h", "file:bin/rustc\nfile:lib/librustc_driver.so\ndir:share/doc\n"),
            ("cargo-t-h", "file:bin/cargo\nfile:etc/bash_completion.d/cargo\n"),
            ("rust-std-t-h", "file:lib/rustlib/t-h/lib/libstd.rlib\n"),
        ] {
            std::fs::write(dir.path().join(format!("lib/rustlib/manifest-{name}")), text).unwrap();
        }
        let names = || toolchain(dir.path()).component_files("t-h").unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let listed = names();
        assert_eq!(listed, ["bin/cargo", "bin/rustc", "lib/librustc_driver.so", "lib/rustlib/t-h/lib/libstd.rlib"]);
        std::fs::write(dir.path().join("bin/clippy-driver"), "beside").unwrap();
        assert_eq!(names(), listed);
    }

    #[test]
    fn a_toolchain_without_rustups_manifests_is_refused_with_both_ways_out() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = || toolchain(dir.path()).component_files("t-h").unwrap_err().refusal();
        assert_eq!((refusal().code, refusal().reason), (Exit::Platform, "toolchain-manifests"));
        let next = refusal().next.unwrap();
        assert!(next.contains("rustup") && next.contains("environment = \"host\""), "{next}");
        // As Rust's standalone installer writes them.
        for component in ["rustc-t-h", "cargo-t-h", "rust-std-t-h"] {
            std::fs::write(
                dir.path().join("lib/rustlib/manifest-").with_file_name(format!("manifest-{component}")),
                "file:/usr/local/bin/rustc\n",
            )
            .unwrap();
        }
        assert_eq!(refusal().reason, "toolchain-manifests");
    }

    #[test]
    fn a_commit_that_names_programs_as_its_toolchain_is_refused_before_any_runs() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["rust-toolchain.toml", "rust-toolchain"] {
            std::fs::write(dir.path().join(name), "[toolchain]\npath = \"/src/evil\"\n").unwrap();
            assert_eq!(find(dir.path(), None).unwrap_err().refusal().reason, "toolchain-path");
            std::fs::write(dir.path().join(name), "[toolchain]\nchannel = \"1.95.0\"\n").unwrap();
            assert!(check_own(dir.path()).is_ok());
        }
    }

    #[test]
    fn a_target_that_is_not_installed_is_named_with_the_command_that_adds_it() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = toolchain(dir.path()).component_files("t-other").unwrap_err().refusal();
        assert_eq!(refusal.code, Exit::Platform);
        assert!(refusal.next.unwrap().contains("rustup target add t-other"));
    }
}
