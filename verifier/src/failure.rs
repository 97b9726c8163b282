//! Errors of the operating system as refusals: "cannot tell" (95), "this host lacks it" (91). Never used for content.

use proofmark_core::{Reason, Refusal};
use std::fmt::Display;
use std::path::Path;

/// Reading or writing `path` failed. `doing` completes "want": `"to be read"`.
pub fn io<E: Display>(path: impl AsRef<Path>, doing: &str) -> impl FnOnce(E) -> Refusal {
    move |error| Refusal::new(Reason::Io, path.as_ref().display(), doing, error)
}

/// A feature of the platform is missing; `call` is the system call that said so.
pub fn platform<E: Display>(feature: &str, needs: &str, call: &str) -> impl FnOnce(E) -> Refusal {
    move |error| Refusal::new(Reason::Platform, feature, needs, format_args!("{call}: {error}"))
}

/// A refusal of the host itself, not of an operating system's call.
pub fn lacks(subject: impl Display, want: impl Display, have: impl Display) -> Refusal {
    Refusal::new(Reason::Platform, subject, want, have)
}
