//! The one printer: data to standard output, words to standard error, and the exit code that goes with them.
//!
//! On a terminal, a line that changes; elsewhere, plain lines. Colour carries no meaning.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use proofmark::exit::{Exit, Refusal};
use proofmark::progress::Progress;

use crate::commands::Done;

/// Prints a command's result and gives the exit code.
pub(crate) fn finish(json: bool, result: Result<Done, Refusal>) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    let (data, words, code) = match result {
        Ok(done) => (if json { done.json } else { done.data }, done.words, Exit::Ok),
        Err(refusal) => {
            let mut data = serde_json::json!({ "ok": false, "refused": refusal });
            let mut text = String::new();
            if let Some(explanation) = &refusal.explanation {
                data["explanation"] = explanation.json.clone();
                text.clone_from(&explanation.text);
            }
            (if json { format!("{data:#}\n") } else { text }, refusal.to_string(), refusal.code)
        }
    };
    let written = stdout.write_all(data.as_bytes()).and_then(|()| stdout.flush());
    eprint!("{words}");
    match written {
        // The reader has what it wanted, and closed.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("cannot write to standard output: {error}");
            ExitCode::from(Exit::Io as u8)
        }
        _ => ExitCode::from(code as u8),
    }
}

/// Progress on standard error.
pub(crate) struct Console {
    bar: Option<ProgressBar>,
}

impl Console {
    /// A changing line on a terminal, plain lines elsewhere.
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_msg:.dim} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar }
    }
}

impl Progress for Console {
    fn step(&self, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(text.to_owned());
                bar.set_message("");
            }
            None => eprintln!("{text}"),
        }
    }

    fn tool(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(line.trim().to_owned()),
            None => eprintln!("  cargo | {line}"),
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
