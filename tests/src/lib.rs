//! What the stories in `tests/tests/` share: one builder of signed repositories, one probe payload, one way to run the real binaries.
//!
//! Nothing here is a mock: keys are real, bundles are packed by the packager, and hosts are the verifier's own binary under `--root`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot set up its world is to stop there; names say the rest")]

pub mod faulty;
pub mod host;
pub mod probe;
pub mod published;
pub mod s3;
pub mod story;
pub mod vectors;
pub mod web;
pub mod world;

pub use host::{Host, Outcome, binary};
pub use world::{Bundle, World};
