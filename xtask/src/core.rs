//! `cargo xtask core`: how much code has to be right for a host to be safe. The numbers are published in SECURITY.md, and CI
//! compares them, so that they cannot grow unnoticed.
//!
//! A line of code is a line that is not blank, not only a comment, and not in a `#[cfg(test)]` module. The sources are rustfmt's, so
//! a module that begins in the first column ends with the next `}` in the first column.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::tool;

const SOURCES: &str = "verifier/core/src";
const PUBLISHED: &str = "SECURITY.md";
/// What is counted is what a host runs.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Arguments of `core`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Compare with the numbers in SECURITY.md; fail when they differ.
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
struct Size {
    /// Lines in all files.
    lines: usize,
    /// Lines of code.
    code: usize,
    /// Crates linked into the core.
    dependencies: BTreeSet<String>,
    /// Crates that only run while it is built: build scripts, procedural macros and what these need.
    build_dependencies: BTreeSet<String>,
    /// Crates linked into `proofmark-verifier` beside the core and the core's own: argument parsing, HTTP, TLS, system calls.
    verifier_dependencies: BTreeSet<String>,
}

/// Measures, and prints or compares.
pub(crate) fn run(args: Args) -> Result<()> {
    let size = measure()?;
    if args.check {
        return check(&size, &fs::read_to_string(tool::root().join(PUBLISHED)).with_context(|| format!("cannot read {PUBLISHED}"))?);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&size)?);
        return Ok(());
    }
    println!("{}", sentence(&size));
    println!("({} lines with comments and tests. Not counted: the standard library, the C code inside zstd-sys, the kernel.)", size.lines);
    for (title, crates) in [("dependencies", &size.dependencies), ("only at build time", &size.build_dependencies)] {
        println!("\n{title}:");
        crates.iter().for_each(|name| println!("  {name}"));
    }
    let more = size.verifier_dependencies.len();
    println!(
        "\nThe program proofmark-verifier links {more} more crates. They fetch, parse its arguments and call the kernel: they can make it"
    );
    println!("fail, but what they bring is bytes that the core believes only by signature and digest.");
    Ok(())
}

fn sentence(size: &Size) -> String {
    let Size { code, dependencies, build_dependencies, .. } = size;
    format!("The core is {code} lines of code and {} dependencies ({} at build time).", dependencies.len(), build_dependencies.len())
}

fn check(size: &Size, published: &str) -> Result<()> {
    let have = sentence(size);
    let line = published.lines().map(str::trim).find(|line| line.starts_with("The core is ") && line.ends_with(" at build time)."));
    if line == Some(&have) {
        return Ok(());
    }
    bail!(
        "the size of the trusted core has changed\n  want  {}\n  have  {have}\nnext: make the core smaller, or argue for the growth and change {PUBLISHED}",
        line.unwrap_or("(no such line in SECURITY.md)")
    )
}

fn measure() -> Result<Size> {
    let (mut lines, mut code) = (0, 0);
    for file in files(&tool::root().join(SOURCES))? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        lines += text.lines().count();
        code += code_lines(&text).with_context(|| format!("cannot count {}", file.display()))?;
    }
    let dependencies = crates("proofmark-core", "normal,no-proc-macro")?;
    let all = crates("proofmark-core", "normal,build")?;
    let verifier = crates("proofmark-verifier", "normal,no-proc-macro")?;
    Ok(Size {
        lines,
        code,
        build_dependencies: all.difference(&dependencies).cloned().collect(),
        verifier_dependencies: verifier.difference(&dependencies).filter(|name| !name.starts_with("proofmark-core ")).cloned().collect(),
        dependencies,
    })
}

/// What `package` depends on, without itself, as `name version`.
///
/// From `cargo tree`: it resolves the features of this package alone, as the release build does. `cargo metadata` resolves
/// those of the whole workspace at once and counts crates that are never linked.
fn crates(package: &str, edges: &str) -> Result<BTreeSet<String>> {
    let mut command = tool::cargo();
    command.args(["tree", "--locked", "--package", package, "--edges", edges, "--target", TARGET, "--prefix", "none", "--format", "{p}"]);
    let text = tool::output(&mut command)?;
    let mut crates = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next().and_then(|word| word.strip_prefix('v'))) else {
            bail!("cargo tree says {line:?}, not `name vVERSION`");
        };
        if name != package {
            crates.insert(format!("{name} {version}"));
        }
    }
    Ok(crates)
}

fn files(directory: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.append(&mut files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(path);
        }
    }
    Ok(found)
}

fn code_lines(text: &str) -> Result<usize> {
    let mut count = 0;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line == "#[cfg(test)]" {
            match lines.next() {
                Some(module) if module.starts_with("mod ") && module.ends_with('{') => {
                    while lines.next().is_some_and(|line| line != "}") {}
                }
                other => bail!("want an inline test module after #[cfg(test)], have {other:?}"),
            }
        } else if line.starts_with("/*") {
            bail!("block comments are not counted: use //");
        } else if !line.is_empty() && !line.starts_with("//") {
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blank_lines_and_test_modules_are_not_code() {
        let text =
            "//! Doc.\n\nuse a; // why\n/// Doc.\nfn f() {\n    // why\n}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n\nfn h() {}\n";
        assert_eq!(code_lines(text).unwrap(), 4);
    }

    #[test]
    fn what_the_rule_cannot_count_is_an_error() {
        assert!(code_lines("/* a */\n").is_err());
        assert!(code_lines("#[cfg(test)]\nfn f() {}\n").is_err());
    }

    #[test]
    fn a_grown_core_or_a_missing_sentence_fails_the_check() {
        let none = BTreeSet::new;
        let size = Size { lines: 9, code: 7, dependencies: none(), build_dependencies: none(), verifier_dependencies: none() };
        assert!(check(&size, "x\nThe core is 7 lines of code and 0 dependencies (0 at build time).\ny\n").is_ok());
        for published in ["", "The core is 6 lines of code and 0 dependencies (0 at build time).\n"] {
            let error = check(&size, published).unwrap_err().to_string();
            assert!(error.contains("\n  have  The core is 7 lines"), "{error}");
        }
    }
}
