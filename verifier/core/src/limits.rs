//! Every bound of FORMAT.md section 10, and nothing else.

/// `latest`, bytes.
pub const LATEST: usize = 1 << 10;
/// One `.minisig` file, bytes.
pub const SIGNATURE: usize = 4 << 10;
/// A trust document, bytes.
pub const TRUST: usize = 64 << 10;
/// A head, bytes.
pub const HEAD: usize = 64 << 10;
/// A halt, and a resume, bytes.
pub const HALT: usize = 4 << 10;
/// An adopt document, bytes.
pub const ADOPT: usize = 64 << 10;
/// An index, bytes.
pub const INDEX: usize = 1 << 20;
/// A group file, bytes.
pub const GROUP: usize = 1 << 20;
/// `manifest.json`, bytes.
pub const MANIFEST: usize = 4 << 20;
/// A bundle as published, bytes.
pub const BUNDLE: u64 = 4 << 30;
/// The tar stream inside a bundle, bytes.
pub const UNPACKED: u64 = 8 << 30;
/// Files in a manifest.
pub const FILES: usize = 16_384;
/// Keys in a trust document.
pub const KEYS: usize = 256;
/// Key groups in a role.
pub const KEY_GROUPS: usize = 8;
/// Groups in an index.
pub const GROUPS: usize = 4096;
/// Hosts in a group.
pub const HOSTS: usize = 1024;
/// Entries of `from` and of `rollback_targets`.
pub const TRANSITIONS: usize = 64;
/// Entries of `revoked`, and of `ledger`.
pub const HISTORY: usize = 4096;
/// Entries of `flags`.
pub const FLAGS: usize = 1024;
/// Entries of `halts` in a head or an adopt document; halts that a host has latched.
pub const HALTS: usize = 512;
/// Lifted halts that a host remembers.
pub const LIFTED: usize = 1024;
/// Entries of `halts` in `latest`.
pub const LATEST_HALTS: usize = 8;
/// `reason` of a halt or resume, bytes.
pub const REASON: usize = 120;
/// Longest drain of a halt, seconds.
pub const DRAIN: u64 = 3600;
/// Longest life of an adopt document, seconds.
pub const ADOPT_SECONDS: i64 = 604_800;
/// Groups that one host follows.
pub const FOLLOWED: usize = 64;
/// One string in JSON, bytes after unescaping.
pub const STRING: usize = 4096;
/// Nesting of JSON objects and arrays.
pub const DEPTH: usize = 8;
/// Entries of `argv`, and of `env`.
pub const ARGV: usize = 256;
/// Entries of `credentials`, and of `host_files`.
pub const GRANTS: usize = 64;
/// By how much an index's version may be above the accepted one: whoever signs a wild number leaves room for the next.
pub const INDEX_STEP: u64 = 1 << 32;
/// Rotations from a host's first trust on.
pub const ROTATIONS: u64 = 1024;
/// Largest integer: 2^53 - 1, which every JSON reader holds exactly.
pub const INTEGER: u64 = (1 << 53) - 1;
/// Largest zstd window, as a power of two.
pub const WINDOW_LOG: u32 = 23;
/// Seconds by which two honest clocks may differ.
pub const CLOCK_SKEW: i64 = 600;
/// Latest mtime, seconds: 11 octal digits, as in a ustar header.
pub const TAR_TIME: i64 = 0o77_777_777_777;
/// A member path, bytes: what the `name` field of a ustar header holds.
pub const MEMBER_PATH: usize = 100;
