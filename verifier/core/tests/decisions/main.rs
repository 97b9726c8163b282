//! Every decision of the core, in memory: signed documents in, a verdict out. Each test fails when the check in its name is deleted.

mod adopt;
mod bundle;
mod chain;
mod digest;
mod documents;
mod group;
mod halts;
mod manifest;
mod properties;
mod signature;
mod start;
mod state;
mod trust;
mod world;
