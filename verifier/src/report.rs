//! The one printer. Data goes to stdout, words to stderr; what came from outside has been escaped by the core.

use proofmark_core::Refusal;
use serde_json::{Value, json};
use std::io::Write;

/// What a command has to say when it is done: for people, and for machines.
#[derive(Clone, Debug)]
pub struct Report {
    lines: Vec<String>,
    json: Value,
}

impl Report {
    /// A report with this JSON, and no lines yet.
    pub fn new(json: Value) -> Self {
        Report { lines: Vec::new(), json }
    }

    /// Adds a field for machines.
    pub fn field(&mut self, name: &str, value: Value) {
        if let Value::Object(fields) = &mut self.json {
            fields.insert(name.to_owned(), value);
        }
    }

    /// Adds a line for people.
    pub fn line(&mut self, line: String) {
        self.lines.push(line);
    }
}

/// Words for people, as one write. A log that is full or gone has no part in the outcome: `eprintln!` would panic.
pub fn say(text: impl std::fmt::Display) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Prints the outcome and gives the exit code.
pub fn print(outcome: &Result<Report, Refusal>, as_json: bool) -> u8 {
    let (text, code) = match outcome {
        Ok(report) if as_json => (format!("{}\n", report.json), 0),
        Ok(report) => (report.lines.iter().map(|line| format!("{line}\n")).collect(), 0),
        Err(refusal) => {
            say(refusal);
            let text = if as_json { format!("{}\n", refusal_json(refusal)) } else { String::new() };
            (text, refusal.reason().code())
        }
    };
    // A reader that went away has no part in the outcome.
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}

/// A refusal as a JSON object.
pub fn refusal_json(refusal: &Refusal) -> Value {
    let reason = refusal.reason();
    json!({
        "result": "refused", "code": reason.code(), "reason": reason.word(), "subject": refusal.subject(),
        "want": refusal.want(), "have": refusal.have(), "next": reason.next(),
    })
}
