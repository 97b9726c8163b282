//! `proofmark explain`.

use std::fs;
use std::path::PathBuf;

use proofmark::compare;
use proofmark::exit::{Exit, Explained, IoContext, Refusal, Refuse};
use proofmark::text;
use serde_json::json;

use super::Done;
use crate::terminal::Console;

/// Tell what differs between two builds, and why it probably does
///
/// For two bundles, two programs or other files, or two build directories (what `proofmark build --out` wrote, what a failed build kept, or
/// cargo's target directories): which file, ELF section, function and text, the likely cause, the crate that brought it, and the remedy.
///
/// The verdict is by bytes alone. Nothing here is verified: no signature and no group file is looked at, and causes are guesses.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 identical, 81 different, 90 a bundle that does not agree with itself, 2 usage, 95 input or output.\n\n\
    Example:\n  proofmark explain old/router-1.2-prod+x86_64-unknown-linux-gnu.tar.zst new/router-1.2-prod+x86_64-unknown-linux-gnu.tar.zst"
)]
pub(crate) struct Arguments {
    /// A bundle, a file, or a directory
    #[arg(value_name = "A")]
    first: PathBuf,
    /// Another of the same kind
    #[arg(value_name = "B")]
    second: PathBuf,
    /// Tell everything that was found, not only what fits a screen
    #[arg(long)]
    verbose: bool,
    /// Write a page for a browser, in one file that loads nothing
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Add what Debian's diffoscope says, which must be installed
    #[arg(long, conflicts_with = "json")]
    diffoscope: bool,
    /// Print the explanation, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let explanation = compare::explain(&arguments.first, &arguments.second).map_err(|error| error.refusal())?;
    let mut data = compare::text(&explanation, arguments.verbose);
    if let Some(path) = &arguments.html {
        fs::write(path, compare::page(&explanation)).at("write", path).map_err(|error| error.refusal())?;
        data += &format!("\nwritten to {}\n", text::one_line(&path.display().to_string()));
    }
    if arguments.diffoscope {
        let says = compare::diffoscope(&arguments.first, &arguments.second, &Console::new()).map_err(|error| error.refusal())?;
        data += &format!("\ndiffoscope says:\n{says}\n");
    } else if !explanation.identical && compare::is_installed().is_some() {
        data += "\ndiffoscope is installed: --diffoscope adds what it says, disassembly included\n";
    }
    let value = serde_json::to_value(&explanation).map_err(|error| Refusal::new(Exit::Internal, "json", "no JSON", error))?;
    if explanation.identical {
        let json = json!({ "ok": true, "explanation": value });
        return Ok(Done { data, json: format!("{json:#}\n"), words: String::new() });
    }
    let subject = explanation.members.first().map_or("", |member| &member.path);
    let next = explanation.causes.first().map_or("compare what the two were built from", |finding| finding.remedy);
    Err(Refusal::new(Exit::Hash, "different", "not identical", subject).next(next).explained(Explained { text: data, json: value }))
}
