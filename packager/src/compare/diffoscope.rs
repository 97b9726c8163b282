//! Debian's diffoscope, for those who have it: it unpacks and disassembles what this program only names.
//!
//! Only ever run when asked for. It is a foreign program over hostile files; nothing it says decides anything.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::exit::{Exit, Refusal, Refuse};
use crate::progress::Progress;
use crate::tool::ToolError;
use crate::{text, tool};

/// Directories in which a program of the system is looked for, whatever PATH says.
const PLACES: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/bin"];
/// Lines of its report that are kept.
const LINES: usize = 2000;

/// It has nothing to say.
#[derive(Debug, thiserror::Error)]
pub enum DiffoscopeError {
    /// It is not on this machine.
    #[error("diffoscope is not installed")]
    Absent,
    /// It failed.
    #[error("diffoscope failed: {says}")]
    Failed {
        /// Its last lines.
        says: String,
    },
    /// It could not be run, or was stopped.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

impl Refuse for DiffoscopeError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Absent => Refusal::new(Exit::Platform, "no-diffoscope", "diffoscope is not installed", PLACES.join(", "))
                .next("apt-get install diffoscope-minimal, or leave out --diffoscope"),
            Self::Failed { says } => Refusal::new(Exit::Platform, "diffoscope", "diffoscope failed", "diffoscope").have(says),
            Self::Tool(error) => error.refusal(),
        }
    }
}

/// Where diffoscope is, if this machine has it.
pub fn is_installed() -> Option<PathBuf> {
    let is_program =
        |path: &PathBuf| path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
    PLACES.iter().map(|place| Path::new(place).join("diffoscope")).find(is_program)
}

/// Its report on the two, as text made harmless.
pub fn diffoscope(first: &Path, second: &Path, progress: &dyn Progress) -> Result<String, DiffoscopeError> {
    let mut command = Command::new(is_installed().ok_or(DiffoscopeError::Absent)?);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("HOME", "/nonexistent");
    command
        .args(["--no-progress", "--exclude-directory-metadata=yes", "--max-text-report-size", "1000000", "--text", "-", "--"])
        .args([first, second]);
    let outcome = tool::run(&mut command, progress)?;
    // diffoscope(1), EXIT STATUS: 0 no difference, 1 differences, 2 trouble.
    if !matches!(outcome.code, Some(0 | 1)) {
        return Err(DiffoscopeError::Failed { says: outcome.tail(5) });
    }
    let lines: Vec<String> = outcome.stdout.split(|byte| *byte == b'\n').take(LINES).map(text::tool_line).collect();
    Ok(lines.join("\n"))
}
