//! What the machine's library saw (machine/witness.c), read after a run, and judged: which files of the inputs were opened, and who
//! asked for something that a build cannot have.
//!
//! The log is written by the programs of the build themselves, so nothing in it is believed to be complete or harmless: it is bounded,
//! malformed lines are left out, and every text of it is data.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use serde::Serialize;

use crate::exit::{IoContext, IoError};
use crate::files;
use crate::text;

/// More of a log is not read, bytes. A large build writes some ten megabytes.
const LARGEST: u64 = 1 << 30;

/// Notes beyond these are not kept.
const NOTES: usize = 200;

/// Where inputs are inside. Nothing else can be opened, unless this list is wrong.
const DECLARED: [&str; 12] =
    ["/usr/", "/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/opt/", "/etc/", "/toolchain/", "/src/", "/vendor/"];

/// Somebody asked for something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Asked {
    /// An address with its port, a name, or a path.
    pub what: String,
    /// The program that asked.
    pub program: String,
    /// The crate that it worked for, with its version; empty for cargo itself.
    #[serde(rename = "crate")]
    pub krate: String,
}

/// What was seen in one run.
#[derive(Debug, Clone, Default)]
pub struct Witnessed {
    /// Files of the inputs that were opened, by their path inside; empty unless asked for.
    pub opened: BTreeSet<String>,
    /// Opened files that are no input.
    pub undeclared: BTreeSet<Asked>,
    /// Addresses and names of the Internet.
    pub internet: BTreeSet<Asked>,
    /// Local sockets, and files looked for in vain at places where a build has nothing to look for.
    pub notes: BTreeSet<Asked>,
}

/// Makes the directory that becomes /proofmark/log.
pub fn prepare(log: &Path, traced: bool) -> Result<(), IoError> {
    files::create(log)?;
    // Whoever is the builder outside writes into them.
    for name in ["asked", "opened"].into_iter().take(1 + usize::from(traced)) {
        let path = log.join(name);
        files::write(&path, b"", false, 0)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(&path, mode).at("set the mode of", &path)?;
    }
    Ok(())
}

/// Reads what was written into the directory `log`.
pub fn read(log: &Path) -> Result<Witnessed, IoError> {
    let mut witnessed = Witnessed::default();
    for name in ["asked", "opened"] {
        let path = log.join(name);
        // The directory was the build's to write: no link is followed, and no pipe is waited for.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = match File::options().read(true).custom_flags(flags).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.at("open", &path)?,
        };
        if !file.metadata().at("inspect", &path)?.is_file() {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "no regular file: the build has replaced it"))
                .at("read", path);
        }
        let mut lines = BufReader::new(file.take(LARGEST));
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).at("read", &path)? > 0 {
            witnessed.add(String::from_utf8_lossy(&line).trim_end_matches('\n'));
            line.clear();
        }
    }
    Ok(witnessed)
}

impl Witnessed {
    /// One line: kind, what, program and crate, with tabs between them.
    fn add(&mut self, line: &str) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [kind, what, program, krate] = fields[..] else { return };
        let asked = || Asked { what: text::one_line(what), program: text::one_line(program), krate: text::one_line(krate.trim()) };
        match kind {
            // The library writes down what the kernel says, which has no such part: somebody else has written the line.
            "opened" if what.split('/').any(|part| part == "..") => drop(self.undeclared.insert(asked())),
            "opened" if DECLARED.iter().any(|place| what.starts_with(place)) => {
                self.opened.insert(what.to_owned());
            }
            // A directory of the root itself is what all paths begin with.
            "opened" if what == "/" || DECLARED.iter().any(|place| what == place.trim_end_matches('/')) => {}
            "opened" => {
                self.undeclared.insert(asked());
            }
            "internet" => {
                self.internet.insert(asked());
            }
            "socket" | "missing" if self.notes.len() < NOTES => {
                self.notes.insert(asked());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_told_from_what_is_none_and_a_torn_line_is_nothing() {
        let mut seen = Witnessed::default();
        for line in [
            "opened\t/usr/include/stdio.h\t/usr/bin/cc1\tlibz-sys 1.1.0",
            "opened\t/mnt/secret\t/target/build-script-build\tbad 0.1.0",
            "internet\t192.0.2.1 port 443\t/target/build-script-build\tbad 0.1.0",
            "missing\t/home/x/.gitconfig\t/target/build-script-build\tbad 0.1.0",
            "opened\t/usr/../etc/shadow\t/target/build-script-build\tbad 0.1.0",
            "opened\t/usr/inc",
            "",
        ] {
            seen.add(line);
        }
        assert_eq!(seen.opened.iter().collect::<Vec<_>>(), ["/usr/include/stdio.h"]);
        assert_eq!(seen.undeclared.first().unwrap().what, "/mnt/secret");
        assert_eq!(seen.internet.first().unwrap().krate, "bad 0.1.0");
        assert_eq!((seen.notes.len(), seen.undeclared.len()), (1, 2));
    }

    #[test]
    fn a_log_that_the_build_has_replaced_is_not_waited_for_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let asked = dir.path().join("asked");
        rustix::fs::mknodat(rustix::fs::CWD, &asked, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert!(read(dir.path()).is_err());
        std::fs::remove_file(&asked).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &asked).unwrap();
        assert!(read(dir.path()).is_err());
    }
}
