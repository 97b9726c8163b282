//! The trusted core of Proofmark: formats, checks and decisions. Bytes and a time go in, a verdict comes out.
//!
//! `verifier/FORMAT.md` is the definition of everything here; section numbers in comments are its sections.
//!
//! What is absent on purpose: network, async, clocks, file names of the host, environment variables, threads,
//! signing keys. Readers are handed in; nothing is written but to sinks handed in. Nothing here panics on input.
//!
//! Where a new check belongs:
//! - about one document alone: its own file ([`trust`], [`index`], [`group`], [`head`], [`halt`], [`resume`], [`adopt`],
//!   [`manifest`]);
//! - about who signed: [`signature`]; about bytes of a bundle: [`bundle`];
//! - about how documents fit together, or fit this host: [`admission`].

#![forbid(unsafe_code)]

pub mod admission;
pub mod adopt;
pub mod bundle;
pub mod digest;
pub mod group;
pub mod halt;
pub mod head;
pub mod index;
pub mod json;
pub mod key;
pub mod latest;
pub mod limits;
pub mod manifest;
pub mod name;
pub mod refusal;
pub mod resume;
pub mod signature;
pub mod text;
pub mod time;
pub mod trust;

pub use digest::Digest;
pub use refusal::{Reason, Refusal, Result};
pub use signature::{Kind, SignedFile, Verified};
pub use time::Time;

/// What this core can enforce: `min_verifier` of an index above it is refused (section 5.2).
pub const LEVEL: u64 = 2;
