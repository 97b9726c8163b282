//! The host side of Proofmark: fetches, keeps, stages and starts what the trusted core has accepted, and nothing else.
//!
//! `verifier/FORMAT.md` sections 7 and 8 are the definition. Read it in this order: [`update`] (from a repository to the
//! accepted state), [`chain`] (documents in the order of the core's types), [`run`] (from the accepted state to exec),
//! [`stage`] and [`grants`] (the payload's private root), [`launch`] (privileges, and the one exec call).
//!
//! What is absent on purpose: decisions (they are `proofmark-core`'s), signing keys, a flag that skips a check, a fallback to
//! an older bundle or a weaker confinement, a process that stays. [`launch`] execs; then the verifier is gone.
//!
//! Each of these has one home: the clock ([`clock`]), durable writes ([`durable`]), network ([`source`]), opening files that
//! others could have prepared ([`files`]), unsafe code (`os`), exec ([`launch`]), output ([`report`]).

pub mod adopt;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub mod documents;
pub mod durable;
pub mod failure;
pub mod files;
pub mod grants;
pub mod halts;
pub mod host;
pub mod init;
pub mod latch;
pub mod launch;
pub mod mounts;
pub mod os;
pub mod paths;
pub mod progress;
pub mod report;
pub mod run;
pub mod source;
pub mod stage;
pub mod state;
pub mod status;
pub mod store;
pub mod update;
pub mod user;
pub mod verify;

pub use proofmark_core as core;
