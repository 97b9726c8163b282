//! Which crate something came from: by symbol path, by a source path in the binary, or by the name of a file that cargo made.

/// Crates that come with the compiler: they are rarely to blame, only in between.
const STANDARD: [&str; 12] = [
    "core",
    "alloc",
    "std",
    "compiler_builtins",
    "hashbrown",
    "std_detect",
    "panic_unwind",
    "panic_abort",
    "unwind",
    "addr2line",
    "gimli",
    "proc_macro",
];

/// Whether a crate comes with the compiler.
pub(super) fn is_standard(krate: &str) -> bool {
    STANDARD.contains(&krate)
}

/// Whether a source path is one of the standard library.
pub(super) fn is_standard_path(path: &str) -> bool {
    path.starts_with("/rustc/") || path.starts_with("library/") || path.starts_with("/rust/deps/") || path.contains("/rustlib/src/rust/")
}

/// The crate of a demangled function: of the first path in it that is not the standard library's, so that `drop_in_place::<a::B>` is
/// of `a`. None for C.
pub(super) fn of_symbol(name: &str) -> Option<String> {
    let mut first = None;
    let mut rest = name;
    while let Some(at) = rest.find("::") {
        let head = &rest[..at];
        let start =
            head.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + head[at..].chars().next().map_or(1, char::len_utf8));
        let word = &head[start..];
        // After `::` comes the inside of a path; only what stands at its start is a crate.
        let begins = !head[..start].ends_with(':') && word.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if begins && !is_standard(word) {
            return Some(word.to_owned());
        }
        if begins {
            first.get_or_insert(word);
        }
        // Skip the rest of this path.
        let tail = &rest[at + 2..];
        let end = tail.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(tail.len());
        rest = &tail[end..];
    }
    first.map(str::to_owned)
}

/// The crate in a source path: `/vendor/NAME-VERSION/...`, a registry's, or the directory before `src` in a workspace.
pub(super) fn of_text(text: &str) -> Option<String> {
    for mark in ["/vendor/", "/registry/src/", "/git/checkouts/"] {
        let Some((_, rest)) = text.split_once(mark) else { continue };
        let mut parts = rest.split('/');
        // Below a registry, one directory names the registry.
        let part = if mark == "/vendor/" { parts.next() } else { parts.nth(1) };
        return part.map(|part| without_version(part).to_owned()).filter(|name| !name.is_empty());
    }
    if is_standard_path(text) {
        return None;
    }
    let (before, _) = text.split_once("/src/")?;
    let name = before.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The crate of a file in cargo's output directory: `.../deps/libNAME-HASH.rlib`, or `.../build/NAME-HASH/...`.
pub(super) fn of_path(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let name = |part: &str| part.rsplit_once('-').map(|(name, _)| name.to_owned());
    if let Some(at) = parts.iter().position(|part| *part == "build") {
        return name(parts.get(at + 1)?);
    }
    let file = parts.last()?;
    parts.contains(&"deps").then(|| name(file.strip_prefix("lib").unwrap_or(file)))?
}

/// `NAME` of `NAME-1.2.3`.
fn without_version(part: &str) -> &str {
    let digit = |at: &usize| part.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit);
    part.match_indices('-').map(|(at, _)| at).find(digit).map_or(part, |at| &part[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_of_a_function_is_the_first_that_is_not_the_standard_library() {
        for (name, want) in [
            ("router::desk::Desk::enter", Some("router")),
            ("<router::desk::Desk as core::fmt::Debug>::fmt", Some("router")),
            ("core::ptr::drop_in_place::<alloc::vec::Vec<routing::order::Order>>", Some("routing")),
            ("<alloc::vec::Vec<u8> as core::fmt::Debug>::fmt", Some("alloc")),
            ("memcpy", None),
        ] {
            assert_eq!(of_symbol(name).as_deref(), want, "{name}");
        }
    }

    #[test]
    fn the_crate_is_found_in_source_paths_and_in_cargos_file_names() {
        for (text, want) in [
            ("/vendor/serde_json-1.0.154/src/de.rs", Some("serde_json")),
            ("/home/u/.cargo/registry/src/index.crates.io-0123/ring-0.17.8/src/x.c", Some("ring")),
            ("crates/router/src/desk.rs:12", Some("router")),
            ("/rustc/0123/library/core/src/fmt.rs", None),
            ("/rust/deps/addr2line-0.25.1/src/unit.rs", None),
            ("src/main.rs", None),
        ] {
            assert_eq!(of_text(text).as_deref(), want, "{text}");
        }
        for (path, want) in [
            ("target/x/release/deps/libserde_json-0a1b.rlib", Some("serde_json")),
            ("target/x/release/build/leaky-0a1b/out/stamp.rs", Some("leaky")),
            ("root/bin/router", None),
        ] {
            assert_eq!(of_path(path).as_deref(), want, "{path}");
        }
    }
}
