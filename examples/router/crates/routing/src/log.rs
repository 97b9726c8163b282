//! One way to write to standard error: a line at a time, and a closed standard error is no reason to stop.

use std::fmt;
use std::io::{self, Write as _};

/// Writes a line to standard error.
#[macro_export]
macro_rules! note {
    ($($words:tt)*) => { $crate::log::line(format_args!($($words)*)) };
}

/// What [`note!`] calls.
pub fn line(words: fmt::Arguments<'_>) {
    // One write for the line, so that threads do not mix theirs. `eprintln!` would panic where nobody reads.
    let _ = io::stderr().write_all(format!("{words}\n").as_bytes());
}
