//! Where each file of a repository is (FORMAT.md section 2). Opens nothing.

use proofmark_core::signature::{Kind, file_name};
use proofmark_core::{Digest, limits};

/// `KIND/N.KIND.json`.
pub fn document_path(kind: Kind, version: u64) -> String {
    format!("{}/{}", kind.word(), file_name(kind, version))
}

/// `group/DIGEST.group.json`.
pub fn group_path(digest: Digest) -> String {
    format!("group/{digest}.group.json")
}

/// `bundles/DIGEST/FILE`.
pub fn bundle_path(digest: Digest, file: &str) -> String {
    format!("bundles/{digest}/{file}")
}

/// Beside the bundle: `.tar.zst` becomes `.buildinfo.json`.
pub fn buildinfo_path(digest: Digest, file: &str) -> String {
    bundle_path(digest, &format!("{}.buildinfo.json", file.strip_suffix(".tar.zst").unwrap_or(file)))
}

/// Beside the bundle: `.tar.zst` becomes `.sbom.cdx.json`.
pub fn sbom_path(digest: Digest, file: &str) -> String {
    bundle_path(digest, &format!("{}.sbom.cdx.json", file.strip_suffix(".tar.zst").unwrap_or(file)))
}

/// Versions of the documents of a kind among file names, ascending.
pub(super) fn versions(names: &[String], kind: Kind) -> Vec<u64> {
    let suffix = format!(".{}.json", kind.word());
    let mut found: Vec<u64> = names.iter().filter_map(|name| plain_number(name.strip_suffix(&suffix)?)).collect();
    found.sort_unstable();
    found
}

/// An integer of the format as it stands in a file name: at least 1, no leading zero.
pub(crate) fn plain_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number > 0 && number <= limits::INTEGER && number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_of_a_version_counts() {
        let names = [
            "10.index.json",
            "9.index.json",
            "09.index.json",
            "0.index.json",
            "+1.index.json",
            "1.index.json.ci-1.minisig",
            "3.trust.json",
        ];
        assert_eq!(versions(&names.map(str::to_owned), Kind::Index), [9, 10]);
    }
}
