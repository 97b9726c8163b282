//! Runs another program, hands its lines on as they come, and ends it when this program is told to stop.
//!
//! It returns only when every process that holds the program's output is gone, so that a caller may remove what they used.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::exit::{IoContext, IoError};
use crate::interrupt::{self, Interrupted};
use crate::progress::Progress;
use crate::text;

/// How a program ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code 0.
    pub success: bool,
    /// Exit code; none after a signal.
    pub code: Option<i32>,
    /// Everything it wrote to standard error, line by line, made harmless.
    pub lines: Vec<String>,
    /// Everything it wrote to standard output.
    pub stdout: Vec<u8>,
}

impl Outcome {
    /// The last `count` lines.
    pub fn tail(&self, count: usize) -> String {
        self.lines[self.lines.len().saturating_sub(count)..].join("\n")
    }
}

/// The program could not be run, or had to be ended.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Starting or reading failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Stopped by a signal.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Runs `command` without input, in a process group of its own: a Ctrl-C at the terminal reaches this program alone, which then
/// kills that group. Killed, not asked: what runs here writes only into directories that are thrown away, and cargo's cache
/// survives it by design.
pub fn run(command: &mut Command, progress: &dyn Progress) -> Result<Outcome, ToolError> {
    interrupt::check()?;
    let program = command.get_program().to_owned();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().at("run", &program)?;
    let (Some(mut out), Some(err)) = (child.stdout.take(), child.stderr.take()) else { unreachable!("both are piped") };
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut err = BufReader::new(err);
        let mut line = Vec::new();
        while err.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let _ = sender.send(text::tool_line(&line));
            line.clear();
        }
    });
    let stdout = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut lines = Vec::new();
    let mut stop = Ok(());
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                progress.tool(&line);
                lines.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if stop.is_ok() {
            stop = interrupt::check();
            if stop.is_err()
                && let Some(pid) = Pid::from_raw(child.id() as i32)
            {
                // Fails only if the group has ended already.
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            }
        }
    }
    let _ = reader.join();
    let stdout = stdout.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).at("read the output of", &program)?;
    let status = child.wait().at("wait for", &program)?;
    stop?;
    Ok(Outcome { success: status.success(), code: status.code(), lines, stdout })
}
