//! Ctrl-C: a signal only sets a flag; whoever runs something long looks at it, stops its own child and returns.
//!
//! Nothing is done inside a handler, so temporary directories go by their own `Drop` and no half-made output stays.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// A signal asked this program to stop.
#[derive(Debug, thiserror::Error, Clone, Copy)]
#[error("interrupted")]
pub struct Interrupted;

/// Catches SIGINT, SIGTERM and SIGHUP from now on. A second signal ends the program at once.
pub fn install() -> std::io::Result<()> {
    let flag = Arc::new(AtomicBool::new(false));
    if FLAG.set(flag.clone()).is_err() {
        return Ok(());
    }
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The order matters: the first of the two sees the flag that earlier signals left.
        signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(())
}

/// Err once a signal has come.
pub fn check() -> Result<(), Interrupted> {
    match FLAG.get() {
        Some(flag) if flag.load(Ordering::SeqCst) => Err(Interrupted),
        _ => Ok(()),
    }
}
