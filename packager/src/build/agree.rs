//! Builds until there is a verdict: every build has the same bytes as the first, or the reason why not.
//!
//! Each build but the first has everything varied that this machine can vary. Nothing is retried, normalised or left out of the comparison.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::factors::Factor;
use super::run::{How, Made, Site};
use super::units::{self, Needs, Unit};
use super::{Effort, Error, blame, closure, keep};
use crate::compare;
use crate::files;
use crate::graph::Artifacts;
use crate::sandbox::Machine;
use crate::sandbox::witness::Asked;

/// What all builds agree on.
pub(super) struct Agreed {
    /// Target directory of the first.
    pub(super) first: PathBuf,
    pub(super) units: Vec<Unit>,
    pub(super) compiled: Artifacts,
    /// Text of the closure.
    pub(super) closure: String,
    pub(super) seconds: Vec<f64>,
    pub(super) notes: BTreeSet<Asked>,
}

/// Builds as often as asked, each time with everything varied but the first, and compares each with the first: programs, compiled units,
/// and, where both are traced, what they opened.
pub(super) fn agree(
    site: &Site<'_>,
    effort: Effort,
    needs: &Needs,
    outputs: &dyn Fn(&Path) -> Vec<(String, PathBuf)>,
) -> Result<Agreed, Error> {
    const NAMES: [&str; Effort::MOST] = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"];
    let number = effort.builds.clamp(2, Effort::MOST);
    let run = |name: &'static str, varied: &[Factor], traced: bool| {
        site.progress.step(&format!("building, {name} of {number}"));
        let made = site.build(How { name, varied, machine: Machine::On, traced })?;
        // Code of the project wrote there. A link would have the packager read, and publish, what is not of this build.
        for (_, program) in outputs(&made.target) {
            if let Some(why) = files::not_plain(&made.target, &program)? {
                let path = program.strip_prefix(&made.target).unwrap_or(&program).display().to_string();
                return Err(Error::Output { path, why });
            }
        }
        Ok::<_, Error>(made)
    };
    let first = run(NAMES[0], &[], effort.trace)?;
    let units = units::list(&first.target)?;
    let text = |made: &Made| closure::text(&made.witnessed.opened, site.root, site.inputs);
    let mut closure = if effort.trace { Some(text(&first)?) } else { None };
    let (mut seconds, mut notes) = (vec![first.seconds], first.witnessed.notes.clone());
    for name in &NAMES[1..number] {
        let second = run(name, &Factor::ALL, true)?;
        site.progress.step("comparing");
        let differs = |made: &Made| -> Result<bool, Error> {
            Ok(!compare::is_same(&outputs(&first.target), &outputs(&made.target))? || units::list(&made.target)? != units)
        };
        first.compiled.check_same(&second.compiled)?;
        if differs(&second)? {
            let blamed = blame::blame(site, needs, [&units, &units::list(&second.target)?], &Factor::ALL, &differs)?;
            return Err(Error::Differ(Box::new(keep::keep(site, [&first.target, &second.target], outputs, blamed)?)));
        }
        let have = text(&second)?;
        match &closure {
            Some(want) if *want != have => return Err(Error::Closure { want: want.clone(), have }),
            _ => closure = Some(have),
        }
        seconds.push(second.seconds);
        notes.extend(second.witnessed.notes.iter().cloned());
        blame::remove(&second.target)?;
    }
    Ok(Agreed { first: first.target, units, compiled: first.compiled, closure: closure.unwrap_or_default(), seconds, notes })
}
