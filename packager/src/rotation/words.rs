//! A trust document and a rotation in words, for people who have to sign one.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proofmark_core::name::Name;
use proofmark_core::trust::{KeyGroup, Trust};
use serde_json::{Value, json};

use super::Rotation;

/// Who may do what: one line for each group of keys.
pub fn show(trust: &Trust) -> String {
    let mut out = String::new();
    for (role, what) in [
        ("trust", "sign the next trust document"),
        ("index", "say what runs where, resume after a halt, adopt a host"),
        ("bundle", "vouch for a bundle"),
        ("head", "say what is current"),
        ("halt", "stop hosts, each key alone"),
        ("go", "say go for a group"),
    ] {
        let _ =
            writeln!(out, "{role:8} {what}{}", if role == "halt" || groups(trust, role).count() < 2 { "" } else { "; every group must" });
        for (name, group) in groups(trust, role) {
            let second = if role == "index" && *name == trust.second_person { "; the second person: not the proposer" } else { "" };
            let _ = writeln!(out, "  {:16} {}{second}", name.as_str(), of(trust, group));
        }
    }
    out
}

/// `2 of 3: alice-1 (alice), ...`.
fn of(trust: &Trust, group: &KeyGroup) -> String {
    let keys: Vec<String> = group.keys.iter().map(|key| named(trust, key)).collect();
    format!("{} of {}: {}", group.threshold, group.keys.len(), keys.join(", "))
}

fn named(trust: &Trust, key: &Name) -> String {
    format!("{key} ({})", trust.keys.get(key).map_or("?", |key| key.holder.as_str()))
}

fn groups<'a>(trust: &'a Trust, role: &str) -> impl Iterator<Item = (&'a Name, &'a KeyGroup)> {
    let all = trust.roles.all();
    all.into_iter().find(|(name, _)| *name == role).into_iter().flat_map(|(_, role)| role.0.iter())
}

impl Rotation {
    /// What changes, who has signed, and what stands in the way.
    pub fn words(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "trust {} -> {}", self.current.version, self.next.version);
        let list = |keys: &BTreeSet<Name>| {
            if keys.is_empty() { "nobody".into() } else { keys.iter().map(Name::as_str).collect::<Vec<_>>().join(", ") }
        };
        let _ = writeln!(out, "  signed by    old keys: {}; new keys: {}", list(&self.old_signers), list(&self.new_signers));
        if let Some(missing) = self.missing() {
            let _ = writeln!(out, "  missing      {missing}");
        }
        for line in self.changes() {
            let _ = writeln!(out, "  {line}");
        }
        for obstacle in &self.obstacles {
            let _ = writeln!(out, "  FIRST        {}", obstacle.line());
        }
        if !self.obstacles.is_empty() {
            let _ = writeln!(
                out,
                "               proofmark sign --under trust-{} --key NEW.key, by each key that is missing",
                self.next.version
            );
        }
        out
    }

    /// One fact a line.
    pub fn changes(&self) -> Vec<String> {
        let (old, new) = (&self.current, &self.next);
        let mut out = Vec::new();
        for key in new.keys.keys().filter(|key| !old.keys.contains_key(*key)) {
            out.push(format!("+ key        {} {}", named(new, key), new.keys[key].public));
        }
        for key in old.keys.keys().filter(|key| !new.keys.contains_key(*key)) {
            out.push(format!("- key        {} can sign nothing any more", named(old, key)));
        }
        for (role, _) in old.roles.all() {
            let names: BTreeSet<&Name> = groups(old, role).chain(groups(new, role)).map(|(name, _)| name).collect();
            for name in names {
                let find = |trust| groups(trust, role).find(|(other, _)| *other == name).map(|(_, group)| of(trust, group));
                match (find(old), find(new)) {
                    (a, b) if a == b => {}
                    (Some(a), Some(b)) => out.push(format!("  {role}/{name}: {a} -> {b}")),
                    (Some(a), None) => out.push(format!("- {role}/{name}: was {a}")),
                    (None, Some(b)) => out.push(format!("+ {role}/{name}: {b}")),
                    (None, None) => {}
                }
            }
        }
        if old.second_person != new.second_person {
            out.push(format!("  second person: {} -> {}", old.second_person, new.second_person));
        }
        out
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "kind": "trust", "version": self.next.version, "sha256": proofmark_core::Digest::of(&self.file.bytes),
            "signed_old": self.old_signers, "signed_new": self.new_signers, "missing": self.missing(),
            "changes": self.changes(), "first": self.obstacles.iter().map(super::Obstacle::line).collect::<Vec<_>>(),
            "trust": self.next,
        })
    }
}
