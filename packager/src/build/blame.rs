//! After a difference: the crate where it begins, and which part of the outside let it in.
//!
//! Costs more builds, at most one for each factor and one for none. Nothing here can turn a difference into a match.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::Error;
use super::factors::Factor;
use super::run::{How, Made, Site};
use super::units::{self, Needs, Unit};
use crate::exit::IoContext;
use crate::sandbox::Machine;

/// Where a difference comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blamed {
    /// The crates where it begins: none of what they need differs.
    pub crates: BTreeSet<String>,
    /// Their units that differ.
    pub units: Vec<String>,
    /// What let it in.
    pub origin: Origin,
}

/// What let a difference in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "origin", content = "factor")]
pub enum Origin {
    /// It is there even when nothing is varied: something that is another each time.
    EachTime,
    /// This factor alone.
    Factor(Factor),
    /// No factor alone: several together, or it does not show each time.
    Unclear,
}

impl fmt::Display for Blamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let crates: Vec<&str> = self.crates.iter().map(String::as_str).collect();
        if !crates.is_empty() {
            writeln!(f, "begins in crate {}: {}", crates.join(", "), self.units.iter().take(4).cloned().collect::<Vec<_>>().join(", "))?;
        }
        match self.origin {
            Origin::EachTime => f.write_str(
                "differs each time, though nothing is varied: a processor's clock or counter, raw system calls, or the order of threads",
            ),
            Origin::Factor(factor) => write!(f, "differs when only this is varied: {factor}"),
            Origin::Unclear => f.write_str("differs when everything is varied, not for one factor alone"),
        }
    }
}

/// Finds out. `differs` compares a run with the first build.
pub(super) fn blame(
    site: &Site<'_>,
    needs: &Needs,
    units: [&[Unit]; 2],
    varied: &[Factor],
    differs: &dyn Fn(&Made) -> Result<bool, Error>,
) -> Result<Blamed, Error> {
    let crates = needs.roots(&units::differing(units[0], units[1], needs));
    let (first, second): (BTreeSet<&Unit>, BTreeSet<&Unit>) = (units[0].iter().collect(), units[1].iter().collect());
    let of_roots =
        |path: &str| units::crate_of(path).is_some_and(|name| crates.iter().any(|krate| krate.replace('-', "_") == name.replace('-', "_")));
    let mut paths: Vec<String> = first.symmetric_difference(&second).map(|unit| unit.path.clone()).filter(|path| of_roots(path)).collect();
    paths.dedup();

    let alone = |name: &'static str, varied: &[Factor]| -> Result<bool, Error> {
        let made = site.build(How { name, varied, machine: Machine::On, traced: false })?;
        let found = differs(&made)?;
        remove(&made.target)?;
        Ok(found)
    };
    site.progress.step("they differ; building again with nothing varied");
    let mut origin = Origin::Unclear;
    if alone("control", &[])? {
        origin = Origin::EachTime;
    } else {
        // One after the other: each run needs all processors.
        for (factor, name) in varied.iter().zip(["alone-1", "alone-2", "alone-3", "alone-4", "alone-5", "alone-6"]) {
            site.progress.step(&format!("building again, varying {factor}"));
            if alone(name, &[*factor])? {
                origin = Origin::Factor(*factor);
                break;
            }
        }
    }
    Ok(Blamed { crates, units: paths, origin })
}

pub(super) fn remove(directory: &Path) -> Result<(), Error> {
    Ok(fs::remove_dir_all(directory).at("remove", directory)?)
}
