//! `latest` (section 5.6): an unsigned hint of where to look. Nothing is believed because of it.

use crate::digest::Digest;
use crate::json::{self, Document};
use crate::limits;
use crate::refusal::Result;
use serde::{Deserialize, Serialize};

/// The hint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latest {
    /// 1.
    pub format: u64,
    /// `latest`.
    pub kind: String,
    /// Version of the newest trust.
    pub trust: u64,
    /// Version of the newest index; 0: none.
    pub index: u64,
    /// Version of the newest head; 0: none.
    pub head: u64,
    /// Halts in force, sorted: as many as fit, those first that the head does not list yet.
    pub halts: Vec<Digest>,
}

impl Document for Latest {
    const KIND: &'static str = "latest";
    const LIMIT: usize = limits::LATEST;

    fn check(&self) -> Result<()> {
        json::sorted(&self.halts, limits::LATEST_HALTS, "halts")
    }
}
