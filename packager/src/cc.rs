//! The C toolchain of the operating system (`environment = "host"`): the files that a link, or a crate with C code, takes from it.
//!
//! They are used in place and read-only: their digest is locked, but no other machine can be given them. Two machines whose record
//! differs may build different bytes, and buildinfo then says why.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::digest;
use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};

/// The recorded C toolchain.
#[derive(Debug, Clone, Serialize)]
pub struct CToolchain {
    /// Always `host`: of the operating system.
    pub kind: &'static str,
    /// SHA-256 over the lines `SHA256  NAME` of `files`.
    pub digest: String,
    /// Its files, sorted by name.
    pub files: Vec<CFile>,
}

/// One file of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CFile {
    /// What the compiler calls it: `cc1`, `libc.a`, ...
    pub name: String,
    /// The real file on this machine; not part of any record.
    #[serde(skip)]
    pub path: PathBuf,
    /// Its digest.
    pub sha256: String,
}

/// There is no C toolchain.
#[derive(Debug, thiserror::Error)]
pub enum CcError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A part is missing.
    #[error("{0} is not installed")]
    Missing(&'static str),
}

impl Refuse for CcError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::Missing(part) => Refusal::new(Exit::Platform, "no-cc", "something needed is missing", part)
                .want("a C compiler, its linker, and the C library with headers and start files")
                .next("apt-get install gcc libc6-dev   (Fedora: dnf install gcc glibc-static)"),
        }
    }
}

/// Programs asked for with `cc -print-prog-name`. Where clang is cc, cc1 and collect2 do not exist.
const PROGRAMS: &[(&str, bool)] =
    &[("cc1", false), ("collect2", false), ("lto-wrapper", false), ("ld", true), ("as", false), ("ar", false)];

/// Files asked for with `cc -print-file-name`: what rustc links on *-linux-gnu, static or not.
const FILES: &[(&str, bool)] = &[
    ("crt1.o", true),
    ("crti.o", true),
    ("crtn.o", true),
    ("Scrt1.o", false),
    ("rcrt1.o", false),
    ("crtbegin.o", false),
    ("crtbeginS.o", false),
    ("crtbeginT.o", false),
    ("crtend.o", false),
    ("crtendS.o", false),
    ("libc.a", false),
    ("libc.so", false),
    ("libc.so.6", false),
    ("libc_nonshared.a", false),
    ("libm.a", false),
    ("libm.so.6", false),
    ("libgcc.a", true),
    ("libgcc_eh.a", false),
    ("libgcc_s.so.1", false),
];

/// Finds and hashes the C toolchain of this machine.
pub fn record() -> Result<CToolchain, CcError> {
    let Some(cc) = on_path("cc") else { return Err(CcError::Missing("cc, the C compiler")) };
    let mut found = vec![("cc".to_owned(), cc)];
    for (option, list) in [("-print-prog-name", PROGRAMS), ("-print-file-name", FILES)] {
        for &(name, needed) in list {
            match ask(option, name)? {
                Some(path) => found.push((name.to_owned(), path)),
                None if needed => return Err(CcError::Missing(name)),
                None => {}
            }
        }
    }
    let mut files = Vec::new();
    for (name, path) in found {
        let path = path.canonicalize().at("resolve", &path)?;
        let (sha256, _) = digest::sha256_file(&path)?;
        files.push(CFile { name, path, sha256 });
    }
    files.sort();
    let lines: String = files.iter().map(|file| format!("{}  {}\n", file.sha256, file.name)).collect();
    Ok(CToolchain { kind: "host", digest: digest::sha256(lines.as_bytes()), files })
}

/// What the compiler calls itself: the first line of `cc --version`.
pub fn version() -> Result<String, CcError> {
    let output = Command::new("cc").arg("--version").env("PATH", SANDBOX_PATH).env("LC_ALL", "C").output().at("run", "cc")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("unknown").to_owned())
}

/// The compiler's answer; None where it only repeats the name, which is how it says "no".
fn ask(option: &str, name: &str) -> Result<Option<PathBuf>, CcError> {
    let output = Command::new("cc")
        .arg(format!("{option}={name}"))
        .env("PATH", SANDBOX_PATH)
        .env("LC_ALL", "C")
        .stderr(Stdio::null())
        .output()
        .at("run", "cc")?;
    let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if answer.starts_with('/') {
        return Ok(Some(PathBuf::from(answer)).filter(|path| path.is_file()));
    }
    Ok(if option == "-print-prog-name" { on_path(name) } else { None })
}

/// What the sandbox has of the system in its PATH; a compiler elsewhere would not be the one that is used.
const SANDBOX_PATH: &str = "/usr/bin:/bin";

fn on_path(name: &str) -> Option<PathBuf> {
    SANDBOX_PATH.split(':').map(|directory| PathBuf::from(directory).join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machines_compiler_is_recorded_by_its_real_files() {
        let Ok(record) = record() else {
            eprintln!("skipped: no C compiler here");
            return;
        };
        assert!(record.files.iter().any(|file| file.name == "cc" && !file.path.ends_with("/cc")), "cc is a link everywhere: {record:?}");
        assert!(record.files.is_sorted());
    }
}
