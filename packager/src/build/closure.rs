//! The closure: which files of the inputs a build really opened, from the trace of its second run, as one text and one digest.
//!
//! Lines are as `sha256sum` prints them for files of the operating system, and `locked  PATH` for those of toolchain, source and crates,
//! whose digests stand in buildinfo already. Paths are those inside, sorted; two builders with one environment get the same text.

use std::collections::BTreeSet;
use std::fs;

use serde::Serialize;

use super::plan::Inputs;
use crate::digest;
use crate::exit::IoError;
use crate::sandbox::Root;

/// What stands in buildinfo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Closure {
    /// How many files.
    pub files: usize,
    /// SHA-256 of the text.
    pub sha256: String,
}

/// The text for the files `opened`.
pub(super) fn text(opened: &BTreeSet<String>, root: &Root, inputs: &Inputs) -> Result<String, IoError> {
    let mut out = String::new();
    for path in opened {
        let file = match path.strip_prefix("/etc/") {
            Some(name) => inputs.etc().join(name),
            None => root.directory().join(path.trim_start_matches('/')),
        };
        if path.strip_prefix("/src/").is_some_and(|made| fs::symlink_metadata(inputs.source().join(made)).is_err()) {
            // Made by the build itself, in a source tree that it may write to: no input.
        } else if ["/toolchain/", "/src/", "/vendor/"].iter().any(|place| path.starts_with(place)) {
            out += &format!("locked  {path}\n");
        } else if file.is_file() {
            out += &format!("{}  {path}\n", digest::sha256_file(&file)?.0);
        }
    }
    Ok(out)
}

/// The closure of that text.
pub(super) fn closure(text: &str) -> Closure {
    Closure { files: text.lines().count(), sha256: digest::sha256(text.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_text_is_sorted_and_leaves_digests_to_their_locks() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/include")).unwrap();
        fs::write(dir.path().join("usr/include/x.h"), "x").unwrap();
        let opened = ["/usr/include/x.h", "/toolchain/bin/rustc", "/usr/include"].map(str::to_owned).into_iter().collect();
        let inputs = Inputs::new(dir.path().to_owned());
        let text = text(&opened, &Root::Layers(Path::new(dir.path()).to_owned()), &inputs).unwrap();
        assert_eq!(text, format!("locked  /toolchain/bin/rustc\n{}  /usr/include/x.h\n", digest::sha256(b"x")));
        assert_eq!(closure(&text).files, 2);
    }
}
