//! The crates that `Cargo.lock` names: found in cargo's cache, checked against the lock, unpacked by us.
//!
//! The user's own cargo does the fetching, with the user's own registry settings; what it brings is not believed until its
//! SHA-256 is the one in `Cargo.lock`. Nothing that fails the check is ever written into the vendor directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use proofmark_core::Digest;

use crate::digest;
use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::files;
use crate::inputs::{Collected, Content, Input, Kind};
use crate::interrupt::{self, Interrupted};
use crate::lockfile::Locked;
use crate::progress::Progress;
use crate::rustflags::{self, FlagError};
use crate::tool::{self, ToolError};

/// A crate cannot be had, or is not the right one.
#[derive(Debug, thiserror::Error)]
pub enum VendorError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Stopped by a signal.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Cargo could not be run.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The workspace's cargo configuration is malformed.
    #[error(transparent)]
    Config(#[from] FlagError),
    /// `cargo fetch` failed.
    #[error("cargo fetch failed")]
    Fetch {
        /// Its last lines.
        says: String,
    },
    /// The crate is there, with another content.
    #[error("{name} {version}: want {want}, have {have} in {}", .path.display())]
    Checksum {
        /// Crate.
        name: String,
        /// Version.
        version: String,
        /// SHA-256 in `Cargo.lock`.
        want: String,
        /// SHA-256 of the file.
        have: String,
        /// The file in cargo's cache.
        path: PathBuf,
    },
    /// The crate is not in the cache, even after fetching.
    #[error("{name} {version} is not in cargo's cache")]
    Absent {
        /// Crate.
        name: String,
        /// Version.
        version: String,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// The archive holds what no crate holds.
    #[error("{}: {entry}: {why}", .path.display())]
    Archive {
        /// The `.crate` file.
        path: PathBuf,
        /// Its entry.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two sources hold the same crate and version.
    #[error("{name} {version} comes from two registries")]
    TwoSources {
        /// Crate.
        name: String,
        /// Version.
        version: String,
    },
}

impl Refuse for VendorError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Interrupted(error) => error.refusal(),
            Self::Config(error) => error.refusal(),
            Self::Tool(error) => error.refusal(),
            Self::Fetch { says } if says.contains("lock file") && says.contains("--locked") => {
                Refusal::new(Exit::Usage, "lock-stale", "out of date", "Cargo.lock")
                    .have(says)
                    .next("cargo update --workspace, then commit Cargo.lock")
            }
            Self::Fetch { says } => Refusal::new(Exit::Io, "fetch", "cargo could not fetch the crates", "cargo fetch --locked")
                .have(says)
                .next(
                    "cargo fetch --locked must work with the settings of your own CARGO_HOME/config.toml: of the workspace's .cargo/config.toml \
                     only the addresses of registries are used, since a commit may not name programs that run outside of the sandbox",
                ),
            Self::Checksum { name, version, want, have, path } => Refusal::new(
                Exit::Hash,
                "crate-checksum",
                "a crate is not the one that Cargo.lock names",
                format!("{name} {version}"),
            )
            .want(format!("sha256 {want}"))
            .have(format!("sha256 {have}\nin {}", path.display()))
            .next("find out who changed it: the cache, the registry or Cargo.lock. If it was the cache: delete that file and call again"),
            Self::Absent { name, version, cache } => {
                Refusal::new(Exit::Io, "crate-absent", "not in cargo's cache", format!("{name} {version}"))
                    .have(format!("no {name}-{version}.crate below {}", cache.display()))
                    .next("cargo fetch --locked in the workspace, then call again")
            }
            Self::Archive { path, entry, why } => {
                Refusal::new(Exit::Malformed, "crate-archive", "a crate's archive holds what no crate may", path.display())
                    .have(format!("{entry}: {why}"))
            }
            Self::TwoSources { name, version } => {
                Refusal::new(Exit::Usage, "two-sources", "one crate and version from two registries", format!("{name} {version}"))
                    .want("one registry for it")
            }
        }
    }
}

/// Where crates are looked for.
#[derive(Debug, Clone, Copy)]
pub enum Cache<'a> {
    /// In cargo's cache; what it lacks, cargo fetches.
    Cargo,
    /// In a directory of files named by their digest, and nowhere else.
    Archive(&'a Path),
}

/// Gets every crate of `crates` into `to` (created here), for the exported workspace at `source`.
///
/// Returns where each of them is, to be archived.
pub fn vendor(
    cargo: &Path,
    source: &Path,
    crates: &[Locked],
    from: Cache<'_>,
    to: &Path,
    time: u64,
    progress: &dyn Progress,
) -> Result<Vec<Collected>, VendorError> {
    files::create(to)?;
    let mut collected = Vec::new();
    let cache = cargo_home(source).join("registry").join("cache");
    let find = |krate: &Locked| match from {
        Cache::Cargo => find(&cache, krate),
        Cache::Archive(directory) => archived(directory, krate),
    };
    let mut fetched = false;
    for (number, krate) in crates.iter().enumerate() {
        interrupt::check()?;
        if number > 0 && (&crates[number - 1].name, &crates[number - 1].version) == (&krate.name, &krate.version) {
            return Err(VendorError::TwoSources { name: krate.name.clone(), version: krate.version.clone() });
        }
        let (bytes, path) = match find(krate) {
            // Fetching comes first only where something lacks: a machine with a full cache needs no network.
            Err(VendorError::Absent { .. }) if !fetched && matches!(from, Cache::Cargo) => {
                fetched = true;
                fetch(cargo, source, progress)?;
                find(krate)?
            }
            other => other?,
        };
        unpack(&bytes, krate, to, time)?;
        collected.push(as_input(krate, bytes.len(), path));
    }
    files::settle(to, time)?;
    Ok(collected)
}

/// The configuration that makes cargo take every source of `crates` from `directory` and nothing from anywhere else.
pub fn source_replacement(crates: &[Locked], directory: &str) -> String {
    let mut out =
        format!("[source.proofmark-vendor]\ndirectory = {directory:?}\n\n[source.crates-io]\nreplace-with = \"proofmark-vendor\"\n");
    let mut others = BTreeMap::new();
    for krate in crates {
        // Cargo's built-in registry is known by its name, whatever its index is called in Cargo.lock.
        if !krate.source.trim_end_matches('/').ends_with("/crates.io-index") {
            // `registry+URL` is a git index, `sparse+URL` keeps its prefix in the configuration.
            others.insert(krate.source.strip_prefix("registry+").unwrap_or(&krate.source), ());
        }
    }
    for (number, registry) in others.keys().enumerate() {
        out += &format!("\n[source.proofmark-{number}]\nregistry = {registry:?}\nreplace-with = \"proofmark-vendor\"\n");
    }
    out
}

/// Cargo's home of the user who builds; cargo's own rule.
#[allow(clippy::disallowed_methods, reason = "cargo's own rule; the crates found there are checked against Cargo.lock")]
fn cargo_home(workspace: &Path) -> PathBuf {
    match std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()) {
        Some(home) => workspace.join(home),
        None => std::env::home_dir().unwrap_or_default().join(".cargo"),
    }
}

/// Lets the user's cargo fill its cache.
///
/// It runs outside of the sandbox, with the user's network and secrets. So it must not see the commit's `.cargo/config.toml`, which can name
/// programs (`rustc-wrapper`, `credential-provider`) and libraries (`[env]`): cargo looks for that file above its working directory, and there is
/// none above `/`. Of that file it is told where registries are, and no more; what the user has said of one of them stands.
fn fetch(cargo: &Path, source: &Path, progress: &dyn Progress) -> Result<(), VendorError> {
    progress.step("fetching crates with cargo");
    let home = cargo_home(source);
    let mut command = Command::new(cargo);
    command.args(["fetch", "--locked", "--manifest-path"]).arg(source.join("Cargo.toml")).current_dir("/");
    command.args(registries(source, &home)?.iter().flat_map(|setting| ["--config", setting.as_str()]));
    command.env("CARGO_HOME", &home).env("RUSTC", cargo.with_file_name("rustc"));
    command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
    let outcome = tool::run(&mut command, progress)?;
    if outcome.success { Ok(()) } else { Err(VendorError::Fetch { says: outcome.tail(20) }) }
}

/// Where the workspace says that registries and replaced sources are, as arguments for `--config`.
fn registries(source: &Path, home: &Path) -> Result<Vec<String>, VendorError> {
    let known = |table: &str, name: &str| -> bool {
        let own = ["config", "config.toml"].iter().find_map(|file| fs::read_to_string(home.join(file)).ok());
        own.and_then(|text| text.parse::<toml::Table>().ok()).is_some_and(|own| own.get(table).and_then(|table| table.get(name)).is_some())
    };
    let mut found = Vec::new();
    for (_, config) in rustflags::configurations(source)? {
        for (table, keys) in [("registries", &["index"][..]), ("source", &["registry", "replace-with"])] {
            let Some(toml::Value::Table(entries)) = config.get(table) else { continue };
            for (name, entry) in entries {
                let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
                for key in keys.iter().filter(|_| is_plain && !known(table, name)) {
                    if let Some(value @ toml::Value::String(_)) = entry.get(key) {
                        found.push(format!("{table}.{name}.{key}={value}"));
                    }
                }
            }
        }
    }
    Ok(found)
}

/// Where the crates of a finished build are, in the user's cache: to be archived by another command than the one that built. Fetches nothing.
pub fn collect(source: &Path, crates: &[Locked]) -> Result<Vec<Collected>, VendorError> {
    let cache = cargo_home(source).join("registry").join("cache");
    let collect = |krate| find(&cache, krate).map(|(bytes, path)| as_input(krate, bytes.len(), path));
    crates.iter().map(collect).collect()
}

fn as_input(krate: &Locked, size: usize, path: PathBuf) -> Collected {
    // A digest of Cargo.lock that is none was refused when the file did not have it.
    let sha256 = krate.sha256.parse().unwrap_or(Digest::of(b""));
    let name = format!("{} {}", krate.name, krate.version);
    Collected { input: Input { kind: Kind::Crate, name, sha256, size: size as u64 }, content: Content::File(path) }
}

/// The bytes of a crate from an archive of inputs, and the file they are in.
fn archived(directory: &Path, krate: &Locked) -> Result<(Vec<u8>, PathBuf), VendorError> {
    let path = directory.join(&krate.sha256);
    let (name, version) = (krate.name.clone(), krate.version.clone());
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(VendorError::Absent { name, version, cache: directory.into() });
        }
        other => other.at("read", &path)?,
    };
    match digest::sha256(&bytes) {
        have if have == krate.sha256 => Ok((bytes, path)),
        have => Err(VendorError::Checksum { name, version, want: krate.sha256.clone(), have, path }),
    }
}

/// The bytes of a crate from any registry's cache, whose digest is the locked one, and the file they are in.
fn find(cache: &Path, krate: &Locked) -> Result<(Vec<u8>, PathBuf), VendorError> {
    let mut wrong = None;
    for registry in if cache.is_dir() { files::listed(cache)? } else { Vec::new() } {
        let path = registry.join(format!("{}-{}.crate", krate.name, krate.version));
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.at("read", &path)?,
        };
        // These bytes, not the file: it may change between check and use.
        let have = digest::sha256(&bytes);
        if have == krate.sha256 {
            return Ok((bytes, path));
        }
        wrong = Some((have, path));
    }
    let (name, version) = (krate.name.clone(), krate.version.clone());
    Err(match wrong {
        Some((have, path)) => VendorError::Checksum { name, version, want: krate.sha256.clone(), have, path },
        None => VendorError::Absent { name, version, cache: cache.into() },
    })
}

/// Bytes of all files of a crate.
const UNPACKED: u64 = 1 << 30;

/// Unpacks a `.crate`: regular files below NAME-VERSION/ and nothing else.
fn unpack(bytes: &[u8], krate: &Locked, to: &Path, time: u64) -> Result<(), VendorError> {
    let top = format!("{}-{}", krate.name, krate.version);
    let label = PathBuf::from(format!("{top}.crate"));
    // Headers, padding and names that are members of their own come on top; whatever it claims, more is not read.
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes).take(2 * UNPACKED));
    files::directory(to, Path::new(&top))?;
    let mut left = UNPACKED;
    for entry in archive.entries().at("read", &label)? {
        let mut entry = entry.at("read", &label)?;
        let path = entry.path().at("read", &label)?.into_owned();
        let refuse = |why| VendorError::Archive { path: label.clone(), entry: path.display().to_string(), why };
        match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => {}
            tar::EntryType::Directory | tar::EntryType::XGlobalHeader => continue,
            _ => return Err(refuse("neither file nor directory")),
        }
        let mut parts = path.components();
        if parts.next() != Some(Component::Normal(top.as_ref())) || !parts.clone().all(|part| matches!(part, Component::Normal(_))) {
            return Err(refuse("outside of the crate's directory"));
        }
        // cargo and cargo vendor leave these out, too; the first is ours to write.
        if matches!(parts.as_path().to_str(), Some(".cargo-checksum.json" | ".cargo-ok")) {
            continue;
        }
        let executable = entry.header().mode().at("read", &label)? & 0o111 != 0;
        if let Some(parent) = path.parent() {
            files::directory(to, parent)?;
        }
        left = left.checked_sub(entry.size()).ok_or_else(|| refuse("more than any crate holds: over 1 GiB unpacked"))?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).at("read", &label)?;
        files::write(&to.join(&path), &content, executable, time)?;
    }
    // No digest per file: the whole crate was checked above, and cargo looks only at what is listed here.
    let checksum = serde_json::json!({ "files": {}, "package": krate.sha256 }).to_string();
    Ok(files::write(&to.join(&top).join(".cargo-checksum.json"), checksum.as_bytes(), false, time)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `.crate` with one entry of the given type and path.
    fn crate_with(path: &str, kind: tar::EntryType) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_size(if kind == tar::EntryType::Regular { 2 } else { 0 });
        header.set_entry_type(kind);
        header.set_mode(0o600);
        // Written by hand: the builder refuses the paths that are to be refused here.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        archive.append(&header, if kind == tar::EntryType::Regular { b"hi".as_slice() } else { b"" }).unwrap();
        archive.into_inner().unwrap().finish().unwrap()
    }

    fn locked(sha256: String) -> Locked {
        Locked { name: "a".into(), version: "1.0.0".into(), sha256, source: "registry+https://example.org/index".into() }
    }

    #[test]
    fn a_wrong_checksum_is_refused_with_both_values() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mirror")).unwrap();
        let bytes = crate_with("a-1.0.0/x", tar::EntryType::Regular);
        fs::write(dir.path().join("mirror/a-1.0.0.crate"), &bytes).unwrap();
        assert_eq!(find(dir.path(), &locked(digest::sha256(&bytes))).unwrap().0, bytes);
        let refusal = find(dir.path(), &locked("00".into())).unwrap_err().refusal();
        assert_eq!((refusal.code, refusal.reason), (Exit::Hash, "crate-checksum"));
        assert!(refusal.want.unwrap().contains("00") && refusal.have.unwrap().contains(&digest::sha256(&bytes)));
    }

    #[test]
    fn a_good_copy_in_another_registrys_cache_is_found_beside_a_bad_one() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in [("m1", b"good".as_slice()), ("m2", b"bad")] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("a-1.0.0.crate"), bytes).unwrap();
        }
        assert_eq!(find(dir.path(), &locked(digest::sha256(b"good"))).unwrap().0, b"good");
    }

    #[test]
    fn only_regular_files_inside_the_crates_directory_are_unpacked() {
        for (path, kind, good) in [
            ("a-1.0.0/src/x", tar::EntryType::Regular, true),
            ("a-1.0.0/../x", tar::EntryType::Regular, false),
            ("/a-1.0.0/x", tar::EntryType::Regular, false),
            ("b-1.0.0/x", tar::EntryType::Regular, false),
            ("a-1.0.0/x", tar::EntryType::Symlink, false),
            ("a-1.0.0/x", tar::EntryType::Link, false),
            ("a-1.0.0/x", tar::EntryType::Char, false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let result = unpack(&crate_with(path, kind), &locked("ab".into()), dir.path(), 7);
            assert_eq!(result.is_ok(), good, "{path} {kind:?}: {result:?}");
            assert_eq!(dir.path().join("a-1.0.0/src/x").exists(), good);
        }
    }

    #[test]
    fn attack_24_a_crate_that_claims_more_than_any_crate_holds_is_not_unpacked() {
        let mut header = tar::Header::new_gnu();
        header.set_path("a-1.0.0/x").unwrap();
        header.set_size(UNPACKED + 1);
        header.set_mode(0o644);
        header.set_cksum();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, header.as_bytes()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let error = unpack(&gzip.finish().unwrap(), &locked("ab".into()), dir.path(), 7).unwrap_err();
        assert!(matches!(error, VendorError::Archive { why, .. } if why.contains("1 GiB")), "{error}");
    }

    #[test]
    fn every_source_is_replaced_once() {
        let mut crates = vec![locked("1".into()), locked("2".into())];
        crates[1].source = "registry+https://example.org/crates.io-index".into();
        crates.push(Locked { source: "sparse+https://example.net/".into(), ..locked("3".into()) });
        let table: toml::Table = source_replacement(&crates, "/vendor").parse().unwrap();
        let sources = table["source"].as_table().unwrap();
        assert_eq!(sources.len(), 4, "{sources:?}");
        assert_eq!(sources["proofmark-0"]["registry"].as_str(), Some("https://example.org/index"));
        assert_eq!(sources["proofmark-1"]["registry"].as_str(), Some("sparse+https://example.net/"));
    }

    #[test]
    fn nothing_that_the_commit_names_runs_where_cargo_fetches() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("src")).unwrap();
        fs::create_dir_all(at(".cargo")).unwrap();
        fs::create_dir_all(at("home")).unwrap();
        fs::write(at("src/lib.rs"), "").unwrap();
        fs::write(at("Cargo.toml"), "[package]\nname = \"x\"\nversion = \"1.0.0\"\n").unwrap();
        fs::write(at("Cargo.lock"), "version = 4\n\n[[package]]\nname = \"x\"\nversion = \"1.0.0\"\n").unwrap();
        let script = format!("#!/bin/sh\ntouch {}\nexec \"$@\"\n", at("ran").display());
        files::write(&at("wrapper"), script.as_bytes(), true, 0).unwrap();
        fs::write(at(".cargo/config.toml"), "build.rustc-wrapper = \"./wrapper\"\n").unwrap();
        let cargo = Path::new(env!("CARGO"));
        let plain = Command::new(cargo).args(["fetch", "--locked", "--offline"]).current_dir(dir.path()).output().unwrap();
        assert!(plain.status.success() && at("ran").exists(), "cargo by itself does as the commit says: {plain:?}");
        fs::remove_file(at("ran")).unwrap();
        fetch(cargo, dir.path(), &crate::progress::Silent).unwrap();
        assert!(!at("ran").exists());
    }

    #[test]
    fn of_the_commits_cargo_configuration_a_fetch_knows_where_registries_are_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        fs::create_dir_all(dir.path().join(".cargo")).unwrap();
        fs::create_dir_all(&home).unwrap();
        let own = "[registries.ours]\nindex = \"sparse+https://ours.example/\"\n";
        fs::write(home.join("config.toml"), own).unwrap();
        let text = "[registries.theirs]\nindex = \"sparse+https://theirs.example/\"\ncredential-provider = \"./steal\"\n\
            [registries.ours]\nindex = \"sparse+https://elsewhere.example/\"\n[registries.\"a.b\"]\nindex = \"x\"\n\
            [source.crates-io]\nreplace-with = \"mirror\"\n[env]\nLD_PRELOAD = \"x.so\"\n[registry]\nglobal-credential-providers = [\"./steal\"]\n";
        fs::write(dir.path().join(".cargo/config.toml"), text).unwrap();
        let found = registries(dir.path(), &home).unwrap();
        assert_eq!(found, ["registries.theirs.index=\"sparse+https://theirs.example/\"", "source.crates-io.replace-with=\"mirror\""]);
    }
}
