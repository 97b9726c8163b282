//! What each crate is without the deterministic machine: intrinsic, when it comes out the same anyway; enforced, when only the machine makes
//! it so; broken, when not even the machine does (such a build is refused before this is asked).
//!
//! What is found is a fact about one machine on one day, so it goes into machine.json, which no document names. What a project *declares*
//! (`enforced` in `[build]`) is an input: it stands in buildinfo, the same for every builder, and is checked here.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Error;
use super::factors::Factor;
use super::run::{How, Site};
use super::units::{self, Needs, Unit};
use crate::sandbox::Machine;

/// The class of one crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The same without the machine.
    Intrinsic,
    /// Not the same without it, by itself.
    Enforced,
    /// Not the same without it, and neither are these, which it needs.
    Through(Vec<String>),
}

/// The class of every crate that was compiled.
pub type Classes = BTreeMap<String, Class>;

/// Builds twice without the machine and compares unit by unit.
pub(super) fn classify(site: &Site<'_>, needs: &Needs, made: &[Unit]) -> Result<Classes, Error> {
    let mut found: Vec<Vec<Unit>> = Vec::new();
    let runs: [(&'static str, &[Factor]); 2] = [("bare-1", &[]), ("bare-2", &Factor::ALL)];
    for (name, varied) in runs {
        site.progress.step(&format!("building without the deterministic machine, {}", &name[5..]));
        let run = site.build(How { name, varied, machine: Machine::Off, traced: false })?;
        found.push(units::list(&run.target)?);
        super::blame::remove(&run.target)?;
    }
    Ok(classes(needs, made, [&found[0], &found[1]]))
}

fn classes(needs: &Needs, made: &[Unit], bare: [&[Unit]; 2]) -> Classes {
    let differing = units::differing(bare[0], bare[1], needs);
    let roots = needs.roots(&differing);
    let all = made.iter().filter_map(|unit| units::crate_of(&unit.path)).map(|name| needs.name(name));
    all.map(|name| {
        let class = if roots.contains(&name) {
            Class::Enforced
        } else if differing.contains(&name) {
            Class::Through(needs.among(&name, &roots))
        } else {
            Class::Intrinsic
        };
        (name, class)
    })
    .collect()
}

/// Compares with what the project declares; without a declaration everything goes.
pub(super) fn check(classes: &Classes, declared: Option<&[String]>) -> Result<(), Error> {
    let Some(declared) = declared else { return Ok(()) };
    let undeclared: Vec<String> = classes
        .iter()
        .filter(|(name, class)| **class == Class::Enforced && !declared.contains(name))
        .map(|(name, _)| name.clone())
        .collect();
    if undeclared.is_empty() { Ok(()) } else { Err(Error::Undetermined { declared: declared.to_vec(), found: undeclared }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_enforced_where_the_difference_begins_and_through_it_where_it_goes_on() {
        let lock =
            "[[package]]\nname = \"app\"\ndependencies = [\"low\", \"tame\"]\n[[package]]\nname = \"low\"\n[[package]]\nname = \"tame\"\n";
        let unit = |name: &str, sha256: &str| Unit { path: format!("r/deps/lib{name}-1.rlib"), sha256: sha256.into() };
        let first = [unit("app", "1"), unit("low", "1"), unit("tame", "1")];
        let second = [unit("app", "2"), unit("low", "2"), unit("tame", "1")];
        let found = classes(&Needs::new(lock.as_bytes()), &first, [&first, &second]);
        assert_eq!(found["low"], Class::Enforced);
        assert_eq!(found["app"], Class::Through(vec!["low".into()]));
        assert_eq!(found["tame"], Class::Intrinsic);
        assert!(check(&found, None).is_ok() && check(&found, Some(&["low".into()])).is_ok());
        assert!(matches!(check(&found, Some(&[])), Err(Error::Undetermined { found, .. }) if found == ["low"]));
    }
}
