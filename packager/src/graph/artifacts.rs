//! What a build compiled, from the messages that cargo writes for programs (The Cargo Book, "External tools").
//!
//! The target directory is new for each build, so that nothing is left out as fresh, and every unit has its message.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use cargo_metadata::Message;

use super::GraphError;

/// The option that makes cargo write them; what people read stays on standard error.
pub const MESSAGES: [&str; 2] = ["--message-format", "json-render-diagnostics"];

/// One compiled package: all its units together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// A library or program of it was compiled for the target, not only for the machine that builds.
    pub for_target: bool,
    /// Its features. Those of the units for the target, where there are any: only they are in a program.
    pub features: BTreeSet<String>,
}

/// What was compiled, by cargo's package id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Artifacts {
    /// The packages.
    pub units: BTreeMap<String, Unit>,
    /// Names of the compiled targets as code writes them: `tikv_jemalloc_sys`.
    pub targets: BTreeSet<String>,
}

/// Reads the standard output of `cargo build`, which wrote below `/target/TARGET` what is for the target.
pub fn artifacts(stdout: &[u8], target: &str) -> Result<Artifacts, GraphError> {
    let place = format!("/target/{target}/");
    let mut targets = BTreeSet::new();
    let mut found: BTreeMap<String, [Option<BTreeSet<String>>; 2]> = BTreeMap::new();
    for message in Message::parse_stream(Cursor::new(stdout)) {
        let message = message.map_err(|error| GraphError::Message { what: "cargo build", says: error.to_string() })?;
        let Message::CompilerArtifact(artifact) = message else { continue };
        let for_target = artifact.filenames.iter().any(|file| file.as_str().starts_with(&place));
        let features = found.entry(artifact.package_id.repr).or_default();
        features[usize::from(for_target)].get_or_insert_default().extend(artifact.features);
        targets.insert(artifact.target.name);
    }
    let units = found.into_iter().map(|(id, [host, target])| {
        let for_target = target.is_some();
        (id, Unit { for_target, features: target.or(host).unwrap_or_default() })
    });
    Ok(Artifacts { units: units.collect(), targets })
}

impl Artifacts {
    /// Checks that another build compiled the same.
    pub fn check_same(&self, other: &Artifacts) -> Result<(), GraphError> {
        let ids: BTreeSet<&String> = self.units.keys().chain(other.units.keys()).collect();
        match ids.into_iter().find(|id| self.units.get(*id) != other.units.get(*id)) {
            Some(id) => Err(GraphError::Differ(id.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, features: &str, file: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"{id}","manifest_path":"/x/Cargo.toml","target":{{"kind":["lib"],"crate_types":["lib"],"name":"x","src_path":"/x/lib.rs","edition":"2021","doc":true,"doctest":true,"test":true}},"profile":{{"opt_level":"3","debuginfo":0,"debug_assertions":false,"overflow_checks":false,"test":false}},"features":[{features}],"filenames":["{file}"],"executable":null,"fresh":false}}"#
        ) + "\n"
    }

    #[test]
    fn a_package_compiled_for_both_is_the_one_that_is_in_the_program() {
        let text = [
            line("a#1", r#""host""#, "/target/release/deps/liba.rlib"),
            line("a#1", r#""std","alloc""#, "/target/t-t/release/deps/liba.rlib"),
            line("b#1", "", "/target/release/libb.so"),
            "{\"reason\":\"build-finished\",\"success\":true}\n".into(),
        ]
        .concat();
        let found = artifacts(text.as_bytes(), "t-t").unwrap();
        assert_eq!(found.units["a#1"], Unit { for_target: true, features: ["alloc", "std"].map(str::to_owned).into() });
        assert!(!found.units["b#1"].for_target);
        assert!(found.check_same(&artifacts(text.as_bytes(), "t-t").unwrap()).is_ok());
        let other = artifacts(text.replace("alloc", "core").as_bytes(), "t-t").unwrap();
        assert!(matches!(found.check_same(&other), Err(GraphError::Differ(id)) if id == "a#1"));
    }
}
