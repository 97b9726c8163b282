//! How far a download is: a bar on a terminal, a line now and then elsewhere. Not for the start path, which downloads nothing.

use crate::report;
use indicatif::{ProgressBar, ProgressStyle};
use proofmark_core::text::escape;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Downloads that are done before anybody could read about them say nothing.
const QUIET: u64 = 1 << 20;
/// Between two lines of a log.
const EVERY: Duration = Duration::from_secs(10);

/// One download.
pub struct Bar {
    bar: Option<ProgressBar>,
    name: String,
    size: u64,
    done: u64,
    said: Instant,
}

impl Bar {
    /// A download of `size` bytes of which `from` are there.
    pub fn new(path: &str, size: u64, from: u64) -> Self {
        let name = escape(path.rsplit('/').next().unwrap_or(path)).to_string();
        let mut bar = Bar { bar: None, name, size, done: from, said: Instant::now() };
        if size < QUIET {
            return bar;
        }
        if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta}");
            let shown = ProgressBar::new(size).with_message(bar.name.clone()).with_position(from);
            bar.bar = Some(style.map(|style| shown.clone().with_style(style)).unwrap_or(shown));
        } else if from > 0 {
            report::say(format_args!("{}: {size} bytes, going on after {from}", bar.name));
        }
        bar
    }

    /// One that says nothing.
    pub fn none() -> Self {
        Bar { bar: None, name: String::new(), size: 0, done: 0, said: Instant::now() }
    }

    /// More bytes have come.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        match &self.bar {
            Some(bar) => bar.inc(bytes),
            None if self.size >= QUIET && self.said.elapsed() >= EVERY => {
                self.said = Instant::now();
                report::say(format_args!("{}: {} of {} bytes", self.name, self.done, self.size));
            }
            None => {}
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
