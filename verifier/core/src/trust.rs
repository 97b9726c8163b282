//! Trust documents (section 5.1): who may sign what, and the rotation from one to the next.

use crate::digest::Digest;
use crate::json::{self, Document};
use crate::key::PublicKey;
use crate::limits;
use crate::name::{Name, RepositoryId};
use crate::refusal::{Reason, Refusal, Result};
use crate::signature::{Kind, SignedFile, Verified, verify_document};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A trust document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// 1.
    pub format: u64,
    /// `trust`.
    pub kind: String,
    /// The repository it speaks for.
    pub repository: RepositoryId,
    /// 1, 2, 3 ...
    pub version: u64,
    /// Every key, by its name.
    pub keys: BTreeMap<Name, Key>,
    /// Who may sign what.
    pub roles: Roles,
    /// The group of role `index` in which the proposer's own signature does not count.
    pub second_person: Name,
}

/// A key and who holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// A person or a machine; the unit of "second person".
    pub holder: Name,
    /// The key itself.
    pub public: PublicKey,
}

/// The six roles, all present.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Signs trust documents.
    pub trust: Role,
    /// Signs indexes, resumes and adopt documents.
    pub index: Role,
    /// Signs bundles.
    pub bundle: Role,
    /// Signs heads; online, short-lived statements.
    pub head: Role,
    /// Signs halts: one group with threshold 1, so that any one key stops.
    pub halt: Role,
    /// Signs goes.
    pub go: Role,
}

impl Roles {
    /// Name and role, in a fixed order.
    pub fn all(&self) -> [(&'static str, &Role); 6] {
        let Roles { trust, index, bundle, head, halt, go } = self;
        [("trust", trust), ("index", index), ("bundle", bundle), ("head", head), ("halt", halt), ("go", go)]
    }
}

/// Key groups, all of which must be met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Role(pub BTreeMap<Name, KeyGroup>);

/// So many of these keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyGroup {
    /// At least 1, at most `keys.len()`.
    pub threshold: u64,
    /// Names in [`Trust::keys`], sorted.
    pub keys: Vec<Name>,
}

impl Role {
    /// Whether the key belongs to the role.
    pub fn has_key(&self, name: &Name) -> bool {
        self.keys().any(|key| key == name)
    }

    /// All keys of the role, group by group.
    pub fn keys(&self) -> impl Iterator<Item = &Name> {
        self.0.values().flat_map(|group| &group.keys)
    }

    /// Whether `signers` meet every group. `not_counted` names a group and the keys that do not count in it (the proposer's).
    pub fn check_met(&self, signers: &BTreeSet<Name>, not_counted: Option<(&Name, &BTreeSet<Name>)>) -> Result<()> {
        for (name, group) in &self.0 {
            let present = || group.keys.iter().filter(|key| signers.contains(*key));
            let excluded = not_counted.filter(|(excluded_in, _)| *excluded_in == name).map(|(_, keys)| keys);
            let counted = present().filter(|key| excluded.is_none_or(|keys| !keys.contains(*key))).count() as u64;
            if counted >= group.threshold {
                continue;
            }
            let missing: Vec<&str> = group.keys.iter().filter(|key| !signers.contains(*key)).map(Name::as_str).collect();
            let want = format!("{} of {} signatures of key group {name}", group.threshold, group.keys.len());
            return Err(if present().count() as u64 > counted {
                let own: Vec<&str> = present().filter(|key| excluded.is_some_and(|keys| keys.contains(*key))).map(Name::as_str).collect();
                Refusal::new(
                    Reason::SecondPerson,
                    "signatures",
                    format!("{want}, not counting the proposer"),
                    format!("{counted}, and the proposer's own: {}", own.join(", ")),
                )
            } else {
                Refusal::new(Reason::Threshold, "signatures", want, format!("{counted}; not signed by: {}", missing.join(", ")))
            });
        }
        Ok(())
    }
}

impl Document for Trust {
    const KIND: &'static str = "trust";
    const LIMIT: usize = limits::TRUST;

    fn check(&self) -> Result<()> {
        json::at_most(self.keys.len(), limits::KEYS, "keys")?;
        let wrong = |subject: String, want: &str, have: String| Err(Refusal::new(Reason::Trust, subject, want, have));
        if self.version == 0 {
            return wrong("version".into(), "1 or more", "0".into());
        }
        let mut by_bytes: BTreeMap<&[u8; 32], &Name> = BTreeMap::new();
        for (name, key) in &self.keys {
            if let Some(other) = by_bytes.insert(key.public.bytes(), name) {
                return wrong(format!("keys {other}, {name}"), "a key under one name", "the same 32 key bytes twice".into());
            }
        }
        for (role_name, role) in self.roles.all() {
            self.check_role(role_name, role)?;
        }
        for key in self.roles.head.keys() {
            if let Some((other, _)) = self.roles.all().into_iter().find(|(name, role)| *name != "head" && role.has_key(key)) {
                return wrong(format!("key {key}"), "the head's key in no other role", format!("also in role {other}"));
            }
        }
        if let Some(idle) = self.keys.keys().find(|key| !self.roles.all().iter().any(|(_, role)| role.has_key(key))) {
            return wrong(format!("key {idle}"), "every key in a role", "in none".into());
        }
        let index = &self.roles.index.0;
        if index.len() < 2 {
            return wrong("role index".into(), "at least two key groups: machine and second person", format!("{}", index.len()));
        }
        let halt: Vec<u64> = self.roles.halt.0.values().map(|group| group.threshold).collect();
        if halt != [1] {
            return wrong("role halt".into(), "one key group with threshold 1: any one key stops", format!("thresholds {halt:?}"));
        }
        if !index.contains_key(&self.second_person) {
            return wrong("second_person".into(), "a key group of role index", self.second_person.to_string());
        }
        Ok(())
    }
}

impl Trust {
    fn check_role(&self, role_name: &str, role: &Role) -> Result<()> {
        let subject = |group: &Name| format!("role {role_name}, key group {group}");
        let wrong = |subject: String, want: &str, have: String| Err(Refusal::new(Reason::Trust, subject, want, have));
        json::at_most(role.0.len(), limits::KEY_GROUPS, role_name)?;
        if role.0.is_empty() {
            return wrong(format!("role {role_name}"), "at least one key group", "none".into());
        }
        let mut holders: BTreeMap<&Name, &Name> = BTreeMap::new();
        for (name, group) in &role.0 {
            json::sorted(&group.keys, limits::KEYS, &subject(name))?;
            if group.threshold == 0 || group.threshold > group.keys.len() as u64 {
                return wrong(
                    subject(name),
                    "a threshold from 1 to the number of keys",
                    format!("{} of {}", group.threshold, group.keys.len()),
                );
            }
            for key in &group.keys {
                let Some(Key { holder, .. }) = self.keys.get(key) else {
                    return wrong(subject(name), "keys that the document has", format!("{key}, which it has not"));
                };
                if let Some(other) = holders.insert(holder, key) {
                    return wrong(format!("role {role_name}"), "a holder once in a role", format!("{holder} holds {other} and {key}"));
                }
            }
        }
        Ok(())
    }

    /// The first trust of a host: it has the pinned digest and is signed by its own role `trust`.
    pub fn pinned(pin: Digest, file: &SignedFile) -> Result<Verified<Trust>> {
        let have = Digest::of(&file.bytes);
        if have != pin {
            return Err(Refusal::new(Reason::TrustPin, "trust", format_args!("sha256 {pin}"), format_args!("sha256 {have}")));
        }
        Self::self_signed(file)
    }

    /// A trust document signed by its own role `trust`: what a writer checks before it publishes a first one.
    pub fn self_signed(file: &SignedFile) -> Result<Verified<Trust>> {
        // The keys are in the document itself, so it is parsed first: the pin has vouched for the bytes.
        let own: Trust = json::parse(&file.bytes, "trust")?;
        verify_document(&own, &own.roles.trust, Kind::Trust, own.version, file)
    }

    /// Trust N+1 offered to a holder of N: signed by N's role `trust` and by its own (section 5.1, Rotation).
    pub fn rotate(current: &Verified<Trust>, file: &SignedFile) -> Result<Verified<Trust>> {
        let version = current.version + 1;
        let next: Verified<Trust> = verify_document(current, &current.roles.trust, Kind::Trust, version, file)?;
        let subject = format!("{version}.trust.json");
        if next.version != version {
            return Err(Refusal::new(Reason::Trust, subject, format_args!("version {version}"), next.version));
        }
        if next.repository != current.repository {
            return Err(Refusal::new(Reason::Trust, subject, format_args!("repository {}", current.repository), &next.repository));
        }
        for (name, key) in &next.keys {
            if current.keys.get(name).is_some_and(|old| old != key) {
                return Err(Refusal::new(
                    Reason::Trust,
                    subject,
                    format_args!("key {name} as in version {}", current.version),
                    "other bytes or another holder",
                ));
            }
        }
        verify_document(&next, &next.roles.trust, Kind::Trust, version, file)
    }

    /// Whether `signers` of a document of role `index` meet it with somebody other than its `proposer`.
    pub fn check_second_person(&self, proposer: &Name, signers: &BTreeSet<Name>) -> Result<()> {
        let proposers = self.keys_of(proposer);
        if proposers.is_empty() {
            return Err(Refusal::new(Reason::SecondPerson, "proposer", "a holder of some key", proposer));
        }
        self.roles.index.check_met(signers, Some((&self.second_person, &proposers)))
    }

    /// Keys held by `holder`.
    pub fn keys_of(&self, holder: &Name) -> BTreeSet<Name> {
        self.keys.iter().filter(|(_, key)| key.holder == *holder).map(|(name, _)| name.clone()).collect()
    }
}
