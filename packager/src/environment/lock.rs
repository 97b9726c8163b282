//! `proofmark.lock`: the layers that a build environment is made of, each pinned by its content. Written like Cargo.lock.
//!
//! One text for one lock: what is read must be what would be written, so that its digest means its content. This file must never
//! look at a machine; it only reads and prints.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use proofmark_core::Digest;
use serde::{Deserialize, Serialize};

use super::error::EnvironmentError;
use crate::config::Config;
use crate::digest;
use crate::exit::IoContext;
use crate::names::PackageName;

/// Name of the file, beside `Cargo.lock`.
pub const FILE: &str = "proofmark.lock";

/// Largest lock that is read, bytes.
const LARGEST: u64 = 1 << 20;

/// A whole `proofmark.lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Always 1.
    pub version: u32,
    /// Debian's name of the architecture that the build runs on, or the processor's where the system is the host's.
    pub architecture: String,
    /// The packages of proofmark.toml that the `deb` layers are the closure of; empty where the system is the host's.
    pub packages: Vec<String>,
    /// In the order of their kinds, and by name.
    #[serde(rename = "layer")]
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// What it is.
    pub kind: Kind,
    /// The package; the toolchain's host, and other targets after `+`; or the part of the host.
    pub name: String,
    /// Its version, for people; the digest is its identity.
    pub version: String,
    /// SHA-256 of its bytes: the `.deb` file, or the tree stream of [`crate::inputs::tree`]. For a part of the host, of the list of its files.
    pub sha256: Digest,
    /// How many bytes these are.
    pub size: u64,
}

/// What a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A Debian package.
    Deb,
    /// The files of a Rust toolchain.
    Rust,
    /// A part of this machine, used in place: recorded and compared, but it cannot travel.
    Host,
}

impl Layer {
    /// `deb gcc 4:12.2.0-3`: how messages name it.
    pub fn title(&self) -> String {
        let kind = match self.kind {
            Kind::Deb => "deb",
            Kind::Rust => "rust",
            Kind::Host => "host",
        };
        format!("{kind} {} {}", self.name, self.version)
    }
}

impl Lock {
    /// Sorts the layers into the one order that a lock has.
    pub fn new(architecture: &str, packages: &[String], mut layers: Vec<Layer>) -> Self {
        layers.sort();
        Self { version: 1, architecture: architecture.into(), packages: packages.to_vec(), layers }
    }

    /// The layers of one kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(move |layer| layer.kind == kind)
    }

    /// Whether a part of the host is in it.
    pub fn is_host(&self) -> bool {
        self.of(Kind::Host).next().is_some()
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = String::from(
            "# Written by `proofmark lock`; not meant to be edited by hand. It pins what a build sees of an operating system,\n\
             # and the Rust toolchain, by content: docs/environment.md of Proofmark.\n",
        );
        let list = self.packages.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        // Writing to a String cannot fail. `{:?}` of these grammars is a TOML string: no control character, quote or backslash.
        let _ = write!(text, "version = {}\narchitecture = {:?}\npackages = [{list}]\n", self.version, self.architecture);
        for Layer { kind, name, version, sha256, size } in &self.layers {
            let kind = match kind {
                Kind::Deb => "deb",
                Kind::Rust => "rust",
                Kind::Host => "host",
            };
            let _ = write!(
                text,
                "\n[[layer]]\nkind = {kind:?}\nname = {name:?}\nversion = {version:?}\nsha256 = \"{sha256}\"\nsize = {size}\n"
            );
        }
        text
    }

    /// SHA-256 of its text.
    pub fn digest(&self) -> String {
        digest::sha256(self.to_text().as_bytes())
    }

    /// Reads the text of a `proofmark.lock`; `path` is used in messages only.
    pub fn parse(text: &str, path: &Path) -> Result<Self, EnvironmentError> {
        let malformed = |message: String| EnvironmentError::LockFormat { path: path.into(), message };
        let lock: Self = toml::from_str(text).map_err(|error| malformed(error.message().to_owned()))?;
        if lock.version != 1 {
            return Err(malformed(format!("version {}: this program reads version 1", lock.version)));
        }
        let plain = |text: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-.:~_() ,".contains(&b);
            !text.is_empty() && text.len() <= 200 && text.bytes().all(plain)
        };
        if !plain(&lock.architecture) || lock.packages.iter().any(|name| !is_package(name)) {
            return Err(malformed("architecture or packages: not a name".into()));
        }
        for layer in &lock.layers {
            let name = match layer.kind {
                Kind::Deb => is_package(&layer.name),
                Kind::Rust | Kind::Host => plain(&layer.name),
            };
            if !name || !plain(&layer.version) {
                return Err(malformed(format!("layer {:?} {:?}: not a name or not a version", layer.name, layer.version)));
            }
        }
        if let Some(pair) = lock.layers.windows(2).find(|pair| (pair[0].kind, &pair[0].name) >= (pair[1].kind, &pair[1].name)) {
            return Err(malformed(format!("layer {:?} is there twice, or out of order", pair[1].name)));
        }
        // But for comments, which may change with this program.
        let says = |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        if says(text) != says(&lock.to_text()) {
            return Err(malformed("it was edited by hand".into()));
        }
        Ok(lock)
    }

    /// Whether it was resolved from what `config` asks for.
    pub fn check_config(&self, config: &Config) -> Result<(), EnvironmentError> {
        let (want, have) = (words(config.build.is_host(), &config.build.packages()), words(self.is_host(), &self.packages));
        if want == have { Ok(()) } else { Err(EnvironmentError::LockStale { want, have }) }
    }
}

fn words(host: bool, packages: &[String]) -> String {
    if host { "environment = \"host\"".into() } else { format!("packages = {packages:?}") }
}

fn is_package(name: &str) -> bool {
    name.parse::<PackageName>().is_ok()
}

/// The first lock in one of `directories`: the commit's, which is in the exported source, before one in the working tree.
pub(super) fn find(directories: &[&Path]) -> Result<Option<Lock>, EnvironmentError> {
    match directories.iter().map(|directory| directory.join(FILE)).find(|path| path.exists()) {
        Some(path) => read(&path).map(Some),
        None => Ok(None),
    }
}

/// The lock in the file at `path`.
pub(super) fn read(path: &Path) -> Result<Lock, EnvironmentError> {
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text)).at("read", path)?;
    if text.len() as u64 > LARGEST {
        return Err(EnvironmentError::LockFormat { path: path.into(), message: format!("it is larger than {LARGEST} bytes") });
    }
    Lock::parse(&text, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Refuse;

    fn layer(kind: Kind, name: &str) -> Layer {
        Layer { kind, name: name.into(), version: "1:2.3-4+b1~x".into(), sha256: Digest::of(b""), size: 7 }
    }

    fn lock() -> Lock {
        let rust = Layer { version: "1.95.0 (59807616e 2026-04-14)".into(), ..layer(Kind::Rust, "x86_64-unknown-linux-gnu") };
        Lock::new("amd64", &["gcc".into(), "libc6-dev".into()], vec![rust, layer(Kind::Deb, "libstdc++6"), layer(Kind::Deb, "gcc")])
    }

    #[test]
    fn a_lock_is_read_back_as_it_was_written() {
        let text = lock().to_text();
        let back = Lock::parse(&text, Path::new(FILE)).unwrap();
        assert_eq!(back, lock());
        assert_eq!(
            back.layers.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>(),
            ["gcc", "libstdc++6", "x86_64-unknown-linux-gnu"]
        );
    }

    #[test]
    fn a_lock_that_no_program_wrote_is_refused() {
        let good = lock().to_text();
        for (from, to, says) in [
            ("version = 1", "version = 2", "version 2"),
            ("size = 7", "size = 7\nsise = 7", "sise"),
            ("\"gcc\"\nver", "\"-gcc\"\nver", "not a name"),
            ("\"gcc\"\nver", "\"gcc=1\"\nver", "not a name"),
            ("\"libstdc++6\"", "\"gcc\"", "twice"),
            ("1:2.3-4", "1\\n2", "not a version"),
            ("size = 7", "size = 0x7", "by hand"),
            ("\n[[layer]]", "\n\n[[layer]]", "by hand"),
        ] {
            assert!(good.contains(from), "{from}");
            let refusal = Lock::parse(&good.replacen(from, to, 1), Path::new(FILE)).unwrap_err().refusal();
            assert_eq!(refusal.reason, "environment-lock");
            assert!(refusal.have.as_ref().is_some_and(|have| have.contains(says)), "{to}: {refusal:?}");
        }
    }

    #[test]
    fn a_committed_lock_wins_over_one_in_the_working_tree() {
        let dir = tempfile::tempdir().unwrap();
        let [source, workspace] = ["source", "workspace"].map(|name| dir.path().join(name));
        for directory in [&source, &workspace] {
            std::fs::create_dir(directory).unwrap();
        }
        let found = || find(&[&source, &workspace]).unwrap();
        assert!(found().is_none());
        std::fs::write(workspace.join(FILE), lock().to_text()).unwrap();
        assert_eq!(found().unwrap(), lock());
        std::fs::write(source.join(FILE), Lock { architecture: "arm64".into(), ..lock() }.to_text()).unwrap();
        assert_eq!(found().unwrap().architecture, "arm64");
    }
}
