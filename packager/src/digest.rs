//! SHA-256 of bytes, files and lists of files, as the hex that buildinfo and Cargo.lock use. The hash itself is the core's.

use std::fs::File;
use std::path::{Path, PathBuf};

use proofmark_core::Digest;

use crate::exit::{IoContext, IoError};

/// Lower-case hex SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// Lower-case hex SHA-256 of a file, and its size in bytes. Follows symbolic links.
pub fn sha256_file(path: &Path) -> Result<(String, u64), IoError> {
    let mut file = File::open(path).at("open", path)?;
    let (digest, size) = Digest::of_reader(&mut file).at("read", path)?;
    Ok((digest.to_string(), size))
}

/// One digest for a list of files: SHA-256 over the lines `SHA256  NAME\n` (as `sha256sum` prints them), sorted by name.
/// `files` are pairs of name and path. Two threads: hashing a toolchain is bound by the processor, and two is what every machine has.
pub fn sha256_list(mut files: Vec<(String, PathBuf)>) -> Result<String, IoError> {
    files.sort();
    files.dedup();
    let half = files.len().div_ceil(2);
    let (left, right) = files.split_at(half);
    let (left, right) = std::thread::scope(|scope| {
        let right = scope.spawn(|| lines(right));
        let left = lines(left);
        (left, right.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    Ok(sha256((left? + &right?).as_bytes()))
}

fn lines(files: &[(String, PathBuf)]) -> Result<String, IoError> {
    let mut out = String::new();
    for (name, path) in files {
        out += &format!("{}  {name}\n", sha256_file(path)?.0);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_digest_is_that_of_sha256sum_lines_in_name_order() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("1"), dir.path().join("2"));
        std::fs::write(&a, "x").unwrap();
        std::fs::write(&b, "y").unwrap();
        let want = sha256(format!("{}  a\n{}  b\n", sha256(b"x"), sha256(b"y")).as_bytes());
        assert_eq!(sha256_list(vec![("b".into(), b), ("a".into(), a)]).unwrap(), want);
    }
}
