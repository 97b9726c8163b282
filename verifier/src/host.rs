//! What every command is given: where the host's files are, and how they are written.

use crate::durable::Disk;
use crate::paths::Layout;
use std::path::Path;

/// A host.
pub struct Host<'a> {
    /// Its files.
    pub layout: Layout,
    /// Its disk.
    pub disk: Disk<'a>,
}

impl Host<'static> {
    /// The host below `root`, with nothing between it and its disk.
    pub fn new(root: &Path) -> Self {
        Host { layout: Layout::new(root), disk: Disk::new() }
    }
}
