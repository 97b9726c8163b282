//! The payload of the stories: a static program that tells what it sees. Compiled once from `tests/fixtures/probe.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Path of the compiled probe.
pub fn path() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| compile("probe.rs"))
}

/// Compiles a file of `tests/fixtures/` to a static program beside the test binaries.
pub fn compile(source: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(source);
    let out = std::env::current_exe().unwrap().with_file_name(format!("fixture-{}", source.file_stem().unwrap().to_str().unwrap()));
    let stale = |out: &Path| {
        let time = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified());
        !matches!((time(out), time(&source)), (Ok(made), Ok(written)) if made > written)
    };
    if stale(&out) {
        // Test processes may compile at the same time: each to its own file, then one rename.
        let own = out.with_extension(std::process::id().to_string());
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let status = Command::new(rustc)
            .args(["--edition=2024", "-Copt-level=1", "-Cstrip=symbols", "-Ctarget-feature=+crt-static"])
            .args(["--target", "x86_64-unknown-linux-gnu", "-o"])
            .arg(&own)
            .arg(&source)
            .status()
            .expect("rustc runs");
        assert!(status.success(), "rustc compiles {}", source.display());
        std::fs::rename(&own, &out).unwrap();
    }
    out
}
