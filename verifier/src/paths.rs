//! Where everything is on a host (FORMAT.md section 8). Makes paths; opens nothing.

use proofmark_core::Digest;
use proofmark_core::name::{GroupName, Name};
use std::path::{Path, PathBuf};

/// All host files, shifted by `--root`.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout below `root`; a relative one is taken from the current directory, once.
    pub fn new(root: &Path) -> Self {
        Layout { root: std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf()) }
    }

    /// `/`, shifted.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// `/etc/proofmark/host.toml`
    pub fn host_toml(&self) -> PathBuf {
        self.root.join("etc/proofmark/host.toml")
    }
    /// `/etc/proofmark/credentials`
    pub fn credentials(&self) -> PathBuf {
        self.root.join("etc/proofmark/credentials")
    }
    /// `/etc/passwd`
    pub fn passwd(&self) -> PathBuf {
        self.root.join("etc/passwd")
    }
    /// `/var/lib/proofmark`
    pub fn lib(&self) -> PathBuf {
        self.root.join("var/lib/proofmark")
    }
    /// `/var/lib/proofmark/state.json`
    pub fn state(&self) -> PathBuf {
        self.lib().join(STATE)
    }
    /// `/var/lib/proofmark/documents`
    pub fn documents(&self) -> PathBuf {
        self.lib().join(DOCUMENTS)
    }
    /// The accepted documents under the head of this digest.
    pub fn documents_of(&self, head: Digest) -> PathBuf {
        self.documents().join(head.to_string())
    }
    /// `/var/lib/proofmark/store`
    pub fn store(&self) -> PathBuf {
        self.lib().join("store")
    }
    /// `/var/lib/proofmark/store/DIGEST.partial`
    pub fn partial(&self, digest: Digest) -> PathBuf {
        self.store().join(format!("{digest}{PARTIAL}"))
    }
    /// `/var/lib/proofmark/store/DIGEST`
    pub fn bundle(&self, digest: Digest) -> PathBuf {
        self.store().join(digest.to_string())
    }
    /// `/var/lib/proofmark/payload/ENV+ROLE`
    pub fn payload(&self, group: &GroupName) -> PathBuf {
        self.lib().join("payload").join(group.component())
    }
    /// `/run/proofmark`
    pub fn run(&self) -> PathBuf {
        self.root.join("run/proofmark")
    }
    /// Where the payload's root is mounted, in a private mount namespace, until it becomes `/`.
    pub fn mount_point(&self) -> PathBuf {
        self.run().join("root")
    }
}

/// Name of the state file in [`Layout::lib`].
pub const STATE: &str = "state.json";
/// Name of the documents directory in [`Layout::lib`].
pub const DOCUMENTS: &str = "documents";
/// Ending of a download that was cut off.
pub const PARTIAL: &str = ".partial";
/// Prefix of everything unfinished; left behind only by a crash, and removed by the next update.
pub const TEMPORARY: &str = ".tmp-";

/// `FILE.KEY.minisig`, beside FILE.
pub fn signature(file: &str, key: &Name) -> String {
    format!("{file}.{key}.minisig")
}
