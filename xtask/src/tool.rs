//! Other programs: where they run, what of our environment they see, and how they end when we are told to.
//!
//! Every child process of xtask that may run long goes through [`run`].

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static HELD: AtomicBool = AtomicBool::new(false);
static CHILD: Mutex<Option<Pid>> = Mutex::new(None);

/// Root of this repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// The example: a workspace of its own, whose cargo must run inside it to see its `.cargo/config.toml`.
pub(crate) fn router() -> PathBuf {
    root().join("examples/router")
}

/// The cargo that runs us, in the root of the repository.
pub(crate) fn cargo() -> Command {
    program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program in the root of the repository.
///
/// It does not see what `cargo run` told *us* about the package xtask: build scripts that watch these variables (ring's does)
/// would be run again at every change between `cargo xtask` and plain cargo.
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Shows the command on standard error, runs it to its end with our output, and fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", show(command));
    let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot start {}", show(command)))?;
    let status = wait(child)?;
    if !status.success() {
        bail!("{status}: {}", show(command));
    }
    Ok(())
}

/// Standard output of a command that ends well; its standard error is ours.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", show(command)))?;
    if !output.status.success() {
        bail!("{}: {}", output.status, show(command));
    }
    String::from_utf8(output.stdout).with_context(|| format!("not UTF-8: output of {}", show(command)))
}

/// Whether the command can be started and ends well; it says nothing.
pub(crate) fn works(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Whether a program of this name is in `PATH`.
pub(crate) fn found(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(name).is_file()))
}

/// Whether we were told to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// From now on a signal only makes [`interrupted`] true: whoever asks has things to put away first.
pub(crate) fn hold_signals() {
    HELD.store(true, Ordering::SeqCst);
}

/// From now on HUP and TERM reach the running child too (INT does anyway, from the terminal), and we end after it: it can clean up.
pub(crate) fn forward_signals() -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            match *CHILD.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) {
                None if HELD.load(Ordering::SeqCst) => {}
                None => std::process::exit(130),
                // A child that has just ended is no error.
                Some(child) if signal != SIGINT => {
                    let _ = kill_process(child, Signal::TERM);
                }
                Some(_) => {}
            }
        }
    });
    Ok(())
}

fn wait(mut child: Child) -> Result<ExitStatus> {
    let set = |pid| *CHILD.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = pid;
    set(i32::try_from(child.id()).ok().and_then(Pid::from_raw));
    let status = child.wait();
    set(None);
    if interrupted() {
        bail!("interrupted");
    }
    status.context("cannot wait for a child process")
}

/// As one would type it, near enough.
fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut words = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>();
    if let Some(name) = Path::new(&words[0]).file_name() {
        words[0] = name.to_string_lossy().into_owned();
    }
    words.join(" ")
}
