//! Proofmark's write side: from a commit of a Cargo workspace to bytes that anybody can make again.
//!
//! The story, in order: [`config`] says what is wanted, [`source`] takes the files of one commit, [`vendor`] the crates that
//! `Cargo.lock` names, [`environment`] the operating system and compilers that `proofmark.lock` names ([`toolchain`] and [`cc`] look at
//! what this machine has), [`sandbox`] is the only place where code of the project runs, [`build`] builds twice, [`compare`] decides whether the two are one, [`buildinfo`] writes down every input.
//!
//! Then the release: [`release`] makes a bundle of it with [`pack`] and [`ledger`], [`signing`] signs it with a key of [`keys`],
//! [`proposal`] puts it on hosts under the rules of [`assignment`], [`review`] shows the second person what changes, [`head`] says what is
//! current. [`repository`] keeps it all, in a [`store`]; [`ceremony`] makes the first trust document. The core checks whatever is written.
//!
//! This crate must never print, read a terminal or end the process: that is the work of `main.rs` and its commands. It must never
//! use an input that the commit, `Cargo.lock`, `proofmark.toml` or the recorded compilers do not determine.

pub mod assignment;
pub mod auditable;
pub mod build;
pub mod builders;
pub mod buildinfo;
pub mod bundle_file;
pub mod cc;
pub mod ceremony;
pub mod claim;
pub mod clock;
pub mod compare;
pub mod config;
pub mod contents;
pub mod digest;
pub mod environment;
pub mod exit;
pub mod files;
pub mod gc;
pub mod graph;
pub mod halts;
pub mod head;
pub mod history;
pub mod html;
pub mod init;
pub mod inputs;
pub mod interrupt;
pub mod keys;
pub mod ledger;
pub mod lockfile;
pub mod log;
pub mod memory;
pub mod names;
pub mod pack;
pub mod progress;
pub mod proposal;
pub mod proposed;
pub mod provenance;
pub mod purl;
pub mod release;
pub mod repository;
pub mod reproduce;
pub mod resign;
pub mod review;
pub mod rotation;
pub mod rustflags;
pub mod sandbox;
pub mod sbom;
pub mod signing;
pub mod source;
pub mod statement;
pub mod store;
pub mod text;
pub mod tool;
pub mod toolchain;
pub mod vendor;
pub mod verbs;
pub mod workspace;

/// The determinism contract: packer, sandbox policy, flags and compressor as one number (FORMAT.md). A change that may alter the
/// bytes of a release raises it.
pub const CONTRACT: u32 = 1;
