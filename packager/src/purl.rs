//! Package URLs (ECMA-427): the names under which scanners and their databases know a package.
//!
//! A package of the source tree has none: a purl claims a place in a registry, and somebody else's package may have the name there.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::graph::{CRATES_IO, Package};

/// All but the unreserved characters of RFC 3986 and the colon, which the specification leaves alone.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// The purl of a crate; none for a package of the source tree.
pub fn cargo(package: &Package) -> Option<String> {
    let plain = format!("pkg:cargo/{}@{}", encoded(&package.name), encoded(&package.version));
    let source = package.source.as_deref()?;
    Some(match source {
        CRATES_IO => plain,
        git if git.starts_with("git+") => format!("{plain}?vcs_url={}", encoded(git)),
        registry => {
            let url = ["registry+", "sparse+"].iter().find_map(|prefix| registry.strip_prefix(prefix)).unwrap_or(registry);
            format!("{plain}?repository_url={}", encoded(url))
        }
    })
}

/// The purl of a package of Debian.
pub fn deb(name: &str, version: &str) -> String {
    format!("pkg:deb/debian/{}@{}", encoded(name), encoded(version))
}

fn encoded(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, ENCODED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Kind;

    #[test]
    fn a_crate_is_named_with_the_place_it_comes_from_and_one_of_the_tree_not_at_all() {
        let purl = |source: Option<&str>| {
            cargo(&Package {
                id: String::new(),
                name: "openssl-src".into(),
                version: "300.5.0+3.5.0".into(),
                source: source.map(str::to_owned),
                kind: Kind::Build,
                license: None,
                features: Vec::new(),
                dependencies: Vec::new(),
                build_dependencies: Vec::new(),
            })
        };
        assert_eq!(purl(Some(CRATES_IO)).unwrap(), "pkg:cargo/openssl-src@300.5.0%2B3.5.0");
        assert_eq!(
            purl(Some("sparse+https://registry.example.org/index/")).unwrap(),
            "pkg:cargo/openssl-src@300.5.0%2B3.5.0?repository_url=https:%2F%2Fregistry.example.org%2Findex%2F"
        );
        assert!(purl(Some("git+https://example.org/x#abc")).unwrap().ends_with("?vcs_url=git%2Bhttps:%2F%2Fexample.org%2Fx%23abc"));
        assert_eq!(purl(None), None);
        assert_eq!(deb("libstdc++-12-dev", "1:12.2.0-14+deb12u1"), "pkg:deb/debian/libstdc%2B%2B-12-dev@1:12.2.0-14%2Bdeb12u1");
    }
}
