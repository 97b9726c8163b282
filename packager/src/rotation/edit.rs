//! The edits that make one trust document from another: `GROUP` is a key group in every role that has it, `ROLE/GROUP` in that role alone.
//!
//! An edit says what it changes and nothing else. Whether the result is a trust document is for the core to say.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use proofmark_core::name::Name;
use proofmark_core::trust::{Key, KeyGroup, Role, Roles, Trust};

use super::RotationError;

/// Which key groups an edit is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The one role, or every role that has such a group.
    pub role: Option<&'static str>,
    /// Name of the group.
    pub group: Name,
}

/// The roles of a trust document.
const ROLES: [&str; 6] = ["trust", "index", "bundle", "head", "halt", "go"];

impl FromStr for Place {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (role, group) = match text.split_once('/') {
            None => (None, text),
            Some((role, group)) => {
                let role = ROLES.into_iter().find(|known| *known == role);
                (Some(role.ok_or("not a role: trust, index, bundle, head, halt or go")?), group)
            }
        };
        Ok(Place { role, group: group.parse()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            Some(role) => write!(f, "{role}/{}", self.group),
            None => self.group.fmt(f),
        }
    }
}

/// A key that trust does not have yet.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its name, for ever.
    pub name: Name,
    /// Who holds it, and the key.
    pub key: Key,
}

/// One change.
#[derive(Clone, Debug)]
pub enum Edit {
    /// A new key in a group. A `ROLE/GROUP` that does not exist is made, with a threshold of 1.
    Add(Place, NewKey),
    /// A key that trust has already, in a further group.
    AddKnown(Place, Name),
    /// A key leaves every group, and with that the document.
    Remove(Name),
    /// A key leaves a group.
    RemoveFrom(Place, Name),
    /// So many of a group's keys must sign. In role `halt` any one key is enough, whatever the group needs elsewhere.
    Threshold(Place, u64),
    /// A group goes, with all its keys.
    Drop(Place),
    /// Which group of role `index` is the second person's.
    SecondPerson(Name),
}

/// The trust document after `current` with all edits made, in the order: additions, removals, thresholds.
pub fn apply(current: &Trust, edits: &[Edit]) -> Result<Trust, RotationError> {
    let mut next = current.clone();
    next.version += 1;
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| match edit {
        Edit::Add(..) | Edit::AddKnown(..) => 0,
        Edit::Remove(_) | Edit::RemoveFrom(..) | Edit::Drop(_) => 1,
        Edit::Threshold(..) | Edit::SecondPerson(_) => 2,
    });
    for edit in edits {
        one(&mut next, edit)?;
    }
    // A key in no role has no place in trust.
    let idle: Vec<Name> = next.keys.keys().filter(|key| !next.roles.all().iter().any(|(_, role)| role.has_key(key))).cloned().collect();
    next.keys.retain(|key, _| !idle.contains(key));
    if next.keys == current.keys && next.roles == current.roles && next.second_person == current.second_person {
        return Err(RotationError::NoChange(current.version));
    }
    Ok(next)
}

fn one(next: &mut Trust, edit: &Edit) -> Result<(), RotationError> {
    match edit {
        Edit::Add(place, NewKey { name, key }) => {
            if next.keys.get(name).is_some_and(|old| old != key) {
                return Err(RotationError::NameUsed {
                    name: name.clone(),
                    version: next.version - 1,
                    holder: next.keys[name].holder.clone(),
                });
            }
            next.keys.insert(name.clone(), key.clone());
            add(&mut next.roles, place, name)
        }
        Edit::AddKnown(place, name) => {
            check_known(next, name)?;
            add(&mut next.roles, place, name)
        }
        Edit::Remove(name) => {
            check_known(next, name)?;
            each_role(&mut next.roles)
                .into_iter()
                .flat_map(|(_, role)| role.0.values_mut())
                .for_each(|group| group.keys.retain(|key| key != name));
            Ok(())
        }
        Edit::RemoveFrom(place, name) => {
            check_known(next, name)?;
            groups(&mut next.roles, place)?.into_iter().for_each(|group| group.keys.retain(|key| key != name));
            Ok(())
        }
        Edit::Threshold(place, number) => {
            groups(&mut next.roles, place)?;
            for (role, groups) in each_role(&mut next.roles) {
                // Any one key stops: only who names the role is told by the core why that cannot be changed.
                if place.role.is_none() && role == "halt" || place.role.is_some_and(|named| named != role) {
                    continue;
                }
                groups.0.get_mut(&place.group).into_iter().for_each(|group| group.threshold = *number);
            }
            Ok(())
        }
        Edit::Drop(place) => {
            groups(&mut next.roles, place)?;
            for (_, role) in each_role(&mut next.roles).into_iter().filter(|(name, _)| place.role.is_none_or(|role| role == *name)) {
                role.0.remove(&place.group);
            }
            Ok(())
        }
        Edit::SecondPerson(group) => {
            next.second_person = group.clone();
            Ok(())
        }
    }
}

fn check_known(next: &Trust, name: &Name) -> Result<(), RotationError> {
    match next.keys.contains_key(name) {
        true => Ok(()),
        false => Err(RotationError::NoKey { name: name.clone(), known: next.keys.keys().map(ToString::to_string).collect() }),
    }
}

fn add(roles: &mut Roles, place: &Place, name: &Name) -> Result<(), RotationError> {
    if let Some(role) = place.role {
        for (_, role) in each_role(roles).into_iter().filter(|(known, _)| *known == role) {
            role.0.entry(place.group.clone()).or_insert(KeyGroup { threshold: 1, keys: Vec::new() });
        }
    }
    for group in groups(roles, place)? {
        if !group.keys.contains(name) {
            group.keys.push(name.clone());
            group.keys.sort();
        }
    }
    Ok(())
}

/// The groups that a place means; at least one.
fn groups<'a>(roles: &'a mut Roles, place: &Place) -> Result<Vec<&'a mut KeyGroup>, RotationError> {
    let known: BTreeMap<String, ()> =
        roles.all().iter().flat_map(|(role, groups)| groups.0.keys().map(move |group| (format!("{role}/{group}"), ()))).collect();
    let found: Vec<&mut KeyGroup> = each_role(roles)
        .into_iter()
        .filter(|(name, _)| place.role.is_none_or(|role| role == *name))
        .filter_map(|(_, role)| role.0.get_mut(&place.group))
        .collect();
    if found.is_empty() {
        return Err(RotationError::NoGroup { place: place.to_string(), known: known.into_keys().collect() });
    }
    Ok(found)
}

fn each_role(roles: &mut Roles) -> [(&'static str, &mut Role); 6] {
    let Roles { trust, index, bundle, head, halt, go } = roles;
    [("trust", trust), ("index", index), ("bundle", bundle), ("head", head), ("halt", halt), ("go", go)]
}
