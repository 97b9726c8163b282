//! The machine's own package client, used as a librarian: it knows the sources and the keys, we only ask and take files.
//!
//! Everything it writes is in a private directory that lives as long as [`Client`]: no list, cache or state of the system is read or
//! changed, nothing is installed, no hook of the machine runs, and root is not needed. What it brings is believed only by its digest.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use proofmark_core::Digest;

use super::LayerSource;
use super::error::EnvironmentError;
use super::lock::{Kind, Layer};
use crate::exit::{IoContext, IoError};
use crate::files;
use crate::progress::Progress;
use crate::tool::{self, Outcome, ToolError};

/// apt, with the package lists of this moment.
#[derive(Debug)]
pub struct Client {
    directory: tempfile::TempDir,
}

impl Client {
    /// Gets the package lists of the machine's sources into a private directory.
    pub fn open(architecture: &str, progress: &dyn Progress) -> Result<Self, EnvironmentError> {
        progress.step("reading package lists with apt");
        // Not in the cache: as root, apt downloads as another user, who must be able to walk here.
        let parent = Path::new("/tmp");
        let directory = tempfile::Builder::new().prefix("proofmark-apt-").tempdir_in(parent).at("create a directory in", parent)?;
        let client = Self { directory };
        let root = client.root();
        fs::set_permissions(root, fs::Permissions::from_mode(0o711)).at("set the mode of", root)?;
        for name in ["lists/partial", "cache/archives/partial"] {
            files::directory(root, Path::new(name))?;
        }
        files::write(&root.join("status"), b"", false, super::TIME)?;
        files::write(&root.join("apt.conf"), client.configuration(architecture).as_bytes(), false, super::TIME)?;
        client.must(client.command("apt-get", &["update"]), root, progress)?;
        Ok(client)
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Read after the machine's own configuration, so that it wins. The empty status makes a closure complete.
    fn configuration(&self, architecture: &str) -> String {
        let root = self.root().display();
        format!(
            "#clear APT::Update;\n#clear DPkg;\n#clear APT::Architectures;\n\
             APT::Architecture \"{architecture}\";\nAPT::Architectures {{ \"{architecture}\"; }};\n\
             APT::Install-Recommends \"false\";\nAPT::Install-Suggests \"false\";\n\
             Acquire::Languages {{ \"none\"; }};\nAcquire::Retries \"3\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled \"false\";\n\
             Acquire::IndexTargets::deb::CNF::DefaultEnabled \"false\";\n\
             Dir::State \"{root}\";\nDir::State::lists \"lists/\";\nDir::State::status \"{root}/status\";\n\
             Dir::State::extended_states \"extended_states\";\n\
             Dir::Cache \"{root}/cache\";\nDir::Cache::archives \"archives/\";\nDir::Cache::pkgcache \"pkgcache.bin\";\n\
             Dir::Cache::srcpkgcache \"srcpkgcache.bin\";\nDir::Log \"{root}\";\n"
        )
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        // The environment stays: it may name the machine's proxy.
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        command.arg("-c").arg(self.root().join("apt.conf")).arg("-q").args(arguments);
        command
    }

    fn run(&self, mut command: Command, directory: &Path, progress: &dyn Progress) -> Result<Outcome, EnvironmentError> {
        match tool::run(command.current_dir(directory), progress) {
            Err(ToolError::Io(IoError { source, .. })) if source.kind() == std::io::ErrorKind::NotFound => Err(EnvironmentError::NoClient),
            other => Ok(other?),
        }
    }

    fn must(&self, command: Command, directory: &Path, progress: &dyn Progress) -> Result<Outcome, EnvironmentError> {
        let name = format!("{} {}", command.get_program().display(), command.get_args().nth(3).unwrap_or_default().display());
        let outcome = self.run(command, directory, progress)?;
        if outcome.success { Ok(outcome) } else { Err(EnvironmentError::Client { command: name, says: outcome.tail(10) }) }
    }

    /// The whole closure of `packages`, as layers.
    pub fn resolve(&self, packages: &[String], progress: &dyn Progress) -> Result<Vec<Layer>, EnvironmentError> {
        let mut arguments = vec!["--simulate", "--no-remove", "install", "--"];
        arguments.extend(packages.iter().map(String::as_str));
        let outcome = self.run(self.command("apt-get", &arguments), self.root(), progress)?;
        if !outcome.success {
            return Err(EnvironmentError::Unresolved { packages: packages.to_vec(), says: outcome.tail(10) });
        }
        let chosen = installs(&String::from_utf8_lossy(&outcome.stdout));
        let known = self.show(&chosen, progress)?;
        let layers = chosen.iter().map(|(name, version)| known.get(&(name.clone(), version.clone())).cloned());
        layers.collect::<Option<Vec<_>>>().filter(|layers| !layers.is_empty()).ok_or_else(|| EnvironmentError::Unresolved {
            packages: packages.to_vec(),
            says: "the package lists have no sha256 for some of them".into(),
        })
    }

    /// The layers that the lists have for the names and versions of `layers`.
    pub(super) fn known(&self, layers: &[&Layer], progress: &dyn Progress) -> Result<Vec<Layer>, EnvironmentError> {
        let names: Vec<(String, String)> = layers.iter().map(|layer| (layer.name.clone(), layer.version.clone())).collect();
        Ok(self.show(&names, progress)?.into_values().collect())
    }

    /// What the lists say of these packages; those that they do not know are left out.
    fn show(&self, packages: &[(String, String)], progress: &dyn Progress) -> Result<BTreeMap<(String, String), Layer>, EnvironmentError> {
        let names: Vec<String> = packages.iter().map(|(name, version)| format!("{name}={version}")).collect();
        let mut arguments = vec!["show", "--"];
        arguments.extend(names.iter().map(String::as_str));
        // Fails where one is not known; the others are printed all the same.
        let outcome = self.run(self.command("apt-cache", &arguments), self.root(), progress)?;
        Ok(stanzas(&String::from_utf8_lossy(&outcome.stdout)))
    }
}

impl LayerSource for Client {
    fn title(&self) -> String {
        "the sources of this machine's package client (apt)".into()
    }

    fn fetch(&self, layers: &[&Layer], progress: &dyn Progress) -> Result<Vec<PathBuf>, EnvironmentError> {
        let wanted: Vec<(String, String)> =
            layers.iter().filter(|layer| layer.kind == Kind::Deb).map(|layer| (layer.name.clone(), layer.version.clone())).collect();
        let known = self.show(&wanted, progress)?;
        let mut names = Vec::new();
        for (layer, key) in layers.iter().filter(|layer| layer.kind == Kind::Deb).zip(&wanted) {
            match known.get(key) {
                // Said before anything is transferred; the bytes are hashed all the same.
                Some(offered) if offered.sha256 != layer.sha256 => {
                    let next = "ask who publishes this source why one version has two contents; `proofmark lock` takes the new one";
                    super::check(layer, offered.sha256, &format!("the package lists of {}", self.title()), next)?;
                }
                Some(_) => names.push(format!("{}={}", layer.name, layer.version)),
                None => {}
            }
        }
        let into = self.root().join("fetched");
        if !into.is_dir() {
            files::create(&into)?;
            if let Some((uid, gid)) = downloader() {
                chown(&into, Some(uid), Some(gid)).at("change the owner of", &into)?;
            }
        }
        if !names.is_empty() {
            progress.step(&format!("fetching {} packages with apt", names.len()));
            let mut arguments = vec!["download", "--"];
            arguments.extend(names.iter().map(String::as_str));
            self.must(self.command("apt-get", &arguments), &into, progress)?;
        }
        Ok(files::listed(&into)?)
    }
}

/// The user as whom apt downloads where it is run by root (APT::Sandbox::User, by default and in every Debian).
fn downloader() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> = users.lines().find(|line| line.starts_with("_apt:"))?.split(':').collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// Names and versions in the `Inst` lines of apt-get --simulate: `Inst NAME (VERSION SOURCE... [ARCHITECTURE])`.
fn installs(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
        Some((name.split(':').next()?.to_owned(), rest.split([' ', ')']).next()?.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// The stanzas of apt-cache show that have all that a layer needs.
fn stanzas(text: &str) -> BTreeMap<(String, String), Layer> {
    let mut found = BTreeMap::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim);
        if let (Some(name), Some(version), Some(size), Some(sha256)) = (field("Package"), field("Version"), field("Size"), field("SHA256"))
            && let (Ok(size), Ok(sha256)) = (size.parse(), sha256.parse::<Digest>())
        {
            let layer = Layer { kind: Kind::Deb, name: name.into(), version: version.into(), sha256, size };
            found.insert((layer.name.clone(), layer.version.clone()), layer);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_would_install_is_read_from_its_simulation() {
        let text = "Reading package lists...\nInst libc6 (2.36-9 Debian:12/stable, Debian-Security:12/stable [amd64]) []\n\
                    Inst libtirpc-common:all (1.3.3+ds-1 Debian:12.15/oldstable [all])\nConf libc6 (2.36-9 Debian)\n";
        let want = [("libc6", "2.36-9"), ("libtirpc-common", "1.3.3+ds-1")];
        assert_eq!(installs(text), want.map(|(name, version)| (name.to_owned(), version.to_owned())));
    }

    #[test]
    fn a_stanza_without_a_sha256_is_no_layer() {
        let sha256 = Digest::of(b"x");
        let text = format!(
            "Package: a\nVersion: 1\nSize: 7\nSHA256: {sha256}\nDescription: x\n SHA256: none\n\nPackage: b\nVersion: 1\nSize: 7\n"
        );
        let found = stanzas(&text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&("a".to_owned(), "1".to_owned())].sha256, sha256);
    }
}
