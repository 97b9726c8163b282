//! A repository in memory: real keys, and a scene in which everything is in order until a test spoils one thing.

use minisign::KeyPair;
use proofmark_core::admission::{Chain, Intent, Listed, Permit, Session, State};
use proofmark_core::adopt::Adopt;
use proofmark_core::group::{Entry, Freshness, Gate, Group, Host, Lease, Mode, Silence};
use proofmark_core::halt::{self, Halt, Scope};
use proofmark_core::head::{Head, IndexPin};
use proofmark_core::index::{GroupPin, Index, Pin};
use proofmark_core::json::{self, Document};
use proofmark_core::key::PublicKey;
use proofmark_core::name::GroupName;
use proofmark_core::resume::Resume;
use proofmark_core::signature::{self, digest_name, file_name};
use proofmark_core::trust::{Key, KeyGroup, Role, Roles, Trust};
use proofmark_core::{Digest, Kind, Reason, Result, SignedFile, Time, Verified};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::LazyLock;

/// Made once: what matters is who has which.
static KEYS: LazyLock<BTreeMap<String, KeyPair>> = LazyLock::new(|| {
    let names = ["root-1", "root-2", "ci-1", "ci-2", "alice-1", "bob-1", "carol-1", "head-1", "head-2", "idle-1"];
    names.map(|name| (name.to_owned(), KeyPair::generate_unencrypted_keypair().unwrap())).into()
});

pub(crate) const SIGNERS: [&str; 2] = ["ci-1", "alice-1"];

pub(crate) fn t<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

/// 2026-11-23T09:00:00Z and some seconds.
pub(crate) fn at(seconds: i64) -> Time {
    t::<Time>("2026-11-23T09:00:00Z").plus(seconds)
}

pub(crate) fn public(key: &str) -> PublicKey {
    PublicKey::from_base64(&KEYS[key].pk.to_base64()).unwrap()
}

pub(crate) fn role(groups: &[(&str, u64, &[&str])]) -> Role {
    let group = |(name, threshold, keys): &(&str, u64, &[&str])| {
        (t(name), KeyGroup { threshold: *threshold, keys: keys.iter().map(|key| t(key)).collect() })
    };
    Role(groups.iter().map(group).collect())
}

/// Trust 1, before it is signed.
pub(crate) fn trust() -> Trust {
    let keys = [("root-1", "root"), ("ci-1", "ci"), ("alice-1", "alice"), ("bob-1", "bob"), ("head-1", "clock")];
    Trust {
        format: 1,
        kind: "trust".into(),
        repository: t("0123456789abcdef0123456789abcdef"),
        version: 1,
        keys: keys.map(|(name, holder)| (t(name), Key { holder: t(holder), public: public(name) })).into(),
        roles: Roles {
            trust: role(&[("owners", 1, &["root-1"])]),
            index: role(&[("ci", 1, &["ci-1"]), ("reviewers", 1, &["alice-1", "bob-1"])]),
            bundle: role(&[("ci", 1, &["ci-1"])]),
            head: role(&[("head", 1, &["head-1"])]),
            halt: role(&[("operators", 1, &["alice-1", "bob-1"])]),
            go: role(&[("operators", 1, &["alice-1", "bob-1"])]),
        },
        second_person: t("reviewers"),
    }
}

/// Adds a key to a trust document; it is in no role yet.
pub(crate) fn add_key(trust: &mut Trust, name: &str, holder: &str) {
    trust.keys.insert(t(name), Key { holder: t(holder), public: public(name) });
}

pub(crate) fn sign_raw(key: &str, comment: &str, bytes: &[u8]) -> Vec<u8> {
    let pair = &KEYS[key];
    minisign::sign(Some(&pair.pk), &pair.sk, Cursor::new(bytes), Some(comment), None).unwrap().into_string().into_bytes()
}

/// Any bytes, signed under the comment that belongs to them.
pub(crate) fn sign(kind: Kind, version: Option<u64>, name: &str, bytes: Vec<u8>, signers: &[&str]) -> SignedFile {
    let comment = signature::comment(&trust().repository, kind, version, name);
    let signatures = signers.iter().map(|key| (t(key), sign_raw(key, &comment, &bytes))).collect();
    SignedFile { bytes, signatures }
}

pub(crate) fn sign_trust(trust: &Trust, signers: &[&str]) -> SignedFile {
    sign(Kind::Trust, Some(trust.version), &file_name(Kind::Trust, trust.version), json::print(trust), signers)
}

pub(crate) fn sign_head(head: &Head, signers: &[&str]) -> SignedFile {
    sign(Kind::Head, Some(head.version), &file_name(Kind::Head, head.version), json::print(head), signers)
}

pub(crate) fn sign_index(index: &Index, signers: &[&str]) -> SignedFile {
    sign(Kind::Index, Some(index.version), &file_name(Kind::Index, index.version), json::print(index), signers)
}

pub(crate) fn sign_halt(halt: &Halt, signers: &[&str]) -> SignedFile {
    let bytes = json::print(halt);
    let name = digest_name(Kind::Halt, Digest::of(&bytes));
    sign(Kind::Halt, None, &name, bytes, signers)
}

pub(crate) fn sign_resume(resume: &Resume, name: Digest, signers: &[&str]) -> SignedFile {
    sign(Kind::Resume, None, &digest_name(Kind::Resume, name), json::print(resume), signers)
}

pub(crate) fn sign_adopt(adopt: &Adopt, signers: &[&str]) -> SignedFile {
    let bytes = json::print(adopt);
    let name = digest_name(Kind::Adopt, Digest::of(&bytes));
    sign(Kind::Adopt, None, &name, bytes, signers)
}

pub(crate) fn halt(scope: Scope) -> Halt {
    Halt {
        format: 1,
        kind: "halt".into(),
        repository: trust().repository,
        scope,
        mode: halt::Mode::Kill,
        drain_seconds: None,
        reason: "child orders without parent".into(),
        by: t("alice"),
        issued: at(0),
    }
}

pub(crate) fn resume(halt: Digest) -> Resume {
    let (format, kind, repository) = (1, "resume".into(), trust().repository);
    Resume { format, kind, repository, halt, reason: "counter checked".into(), proposer: t("ci"), issued: at(0) }
}

/// A group file for bundle `content`: `prod/router`, host `rtr-1`.
pub(crate) fn group(content: &str) -> Group {
    let mut group = Group {
        format: 1,
        kind: "group".into(),
        repository: trust().repository,
        environment: t("prod"),
        role: t("router"),
        hosts: [(t("rtr-1"), Host { record_key: None })].into(),
        bundle: Entry {
            sha256sum: String::new(),
            size: 100,
            unpacked_size: 1000,
            manifest_sha256: Digest::of(b"manifest"),
            product: t("router"),
            release: t("1.2"),
            target: t("x86_64-unknown-linux-gnu"),
            wire_epoch: 2,
            source_commit: t(&"c".repeat(40)),
        },
        mode: Mode::Install,
        from: vec![],
        rollback_targets: vec![],
        revoked: vec![],
        ledger: vec![],
        gate: Gate::None,
        freshness: Freshness { activate_seconds: 3600, restart_seconds: 7200, lease: Lease::Grace },
        silence: Silence { alert_seconds: 60, stop_seconds: None },
    };
    name_bundle(&mut group, content);
    group
}

/// Makes the group's `sha256sum` line that of bundle `content`.
pub(crate) fn name_bundle(group: &mut Group, content: &str) {
    group.bundle.sha256sum = Entry::line(Digest::of(content.as_bytes()), &group.bundle_file());
}

/// A host and what a repository offers it.
pub(crate) struct Scene {
    pub(crate) state: State,
    pub(crate) now: Time,
    pub(crate) intent: Intent,
    pub(crate) trusts: Vec<SignedFile>,
    pub(crate) head: (u64, SignedFile),
    pub(crate) index: SignedFile,
    pub(crate) groups: BTreeMap<GroupName, Group>,
}

/// Trust, verified, as the first one.
pub(crate) fn first(file: &SignedFile) -> Verified<Trust> {
    Trust::pinned(Digest::of(&file.bytes), file).unwrap()
}

pub(crate) fn index(groups: &BTreeMap<GroupName, Group>, version: u64) -> Index {
    let pin = |group: &Group| {
        let bytes = json::print(group);
        GroupPin { sha256: Digest::of(&bytes), size: bytes.len() as u64 }
    };
    Index {
        format: 1,
        kind: "index".into(),
        repository: trust().repository,
        version,
        min_verifier: 1,
        proposer: t("ci"),
        prev: (version > 1).then(|| Pin { version: version - 1, sha256: Digest::of(b"index before") }),
        groups: groups.iter().map(|(name, group)| (name.clone(), pin(group))).collect(),
    }
}

impl Scene {
    /// A host right after `init`, and a repository with version 1 of everything.
    pub(crate) fn new() -> Self {
        Self::of([group("bundle 1")])
    }

    pub(crate) fn of(groups: impl IntoIterator<Item = Group>) -> Self {
        let file = sign_trust(&trust(), &["root-1"]);
        let groups: BTreeMap<GroupName, Group> = groups.into_iter().map(|group| (group.name(), group)).collect();
        let state = State::first(t("rtr-1"), t("prod"), &first(&file), groups.keys().cloned());
        let nothing = SignedFile::default();
        let mut scene =
            Scene { state, now: at(60), intent: Intent::Change, trusts: vec![file], head: (1, nothing.clone()), index: nothing, groups };
        scene.publish(1, 1);
        scene
    }

    /// Index and head of these versions, for the groups as they are.
    pub(crate) fn publish(&mut self, index: u64, head: u64) {
        self.publish_index(index, |_| {}, &SIGNERS);
        self.publish_head(head, |_| {}, &["head-1"]);
    }

    pub(crate) fn publish_index(&mut self, version: u64, edit: impl FnOnce(&mut Index), signers: &[&str]) {
        let mut index = index(&self.groups, version);
        edit(&mut index);
        self.index = sign_index(&index, signers);
    }

    /// A head for the index and the newest trust of the scene, valid for a day from [`at`]`(0)`.
    pub(crate) fn publish_head(&mut self, version: u64, edit: impl FnOnce(&mut Head), signers: &[&str]) {
        let index: Index = json::parse(&self.index.bytes, "index").unwrap();
        let newest: Trust = json::parse(&self.trusts.last().unwrap().bytes, "trust").unwrap();
        let mut head = Head {
            format: 1,
            kind: "head".into(),
            repository: trust().repository,
            version,
            issued: at(0),
            expires: at(86_400),
            trust: Pin { version: newest.version, sha256: Digest::of(&self.trusts.last().unwrap().bytes) },
            index: IndexPin { version: index.version, size: self.index.bytes.len() as u64, sha256: Digest::of(&self.index.bytes) },
            halts: vec![],
        };
        edit(&mut head);
        self.head = (version, sign_head(&head, signers));
    }

    /// The next trust, edited and signed.
    pub(crate) fn rotate(&mut self, edit: impl FnOnce(&mut Trust), signers: &[&str]) {
        let mut next: Trust = json::parse(&self.trusts.last().unwrap().bytes, "trust").unwrap();
        next.version += 1;
        edit(&mut next);
        self.trusts.push(sign_trust(&next, signers));
    }

    pub(crate) fn session(&self) -> Result<Session<'_>> {
        let mut session = Session::open(&self.state, self.now, self.intent, &self.trusts[0])?;
        for file in &self.trusts[1..] {
            session.rotate(file)?;
        }
        Ok(session)
    }

    pub(crate) fn chain(&self) -> Result<Chain<'_>> {
        self.session()?.head(self.head.0, &self.head.1)?.index(&self.index)
    }

    pub(crate) fn name(&self) -> GroupName {
        self.groups.keys().next().unwrap().clone()
    }

    /// The group's file against the host; `previous` is that of what is active.
    pub(crate) fn assign(&self, previous: Option<&Group>) -> Result<Verified<Group>> {
        let name = self.name();
        self.chain()?.assign(&name, &json::print(&self.groups[&name]), previous, "x86_64")
    }

    /// The host accepts everything and stages the first group.
    pub(crate) fn accept(&mut self) {
        let name = self.name();
        let chain = self.chain().unwrap();
        let group = chain.assign(&name, &json::print(&self.groups[&name]), None, "x86_64").unwrap();
        self.state = chain.advance(&[(name, &group)]).unwrap();
    }

    /// What was staged has been started.
    pub(crate) fn started(&mut self) {
        let name = self.name();
        self.state.groups.get_mut(&name).unwrap().active.as_mut().unwrap().started = true;
    }

    /// Whether the staged group may start; no listed halt can be had.
    pub(crate) fn permit(&self) -> Result<Permit> {
        self.permit_with(|_| None)
    }

    pub(crate) fn permit_with(&self, find: impl FnMut(Digest) -> Option<Vec<u8>>) -> Result<Permit> {
        let chain = self.chain()?;
        let name = self.name();
        let group = chain.assign(&name, &json::print(&self.groups[&name]), None, "x86_64")?;
        let listed: Listed = chain.listed(find);
        chain.permit(&name, &group, &listed)
    }
}

/// Refused, and for this reason.
#[track_caller]
pub(crate) fn refused<T>(outcome: Result<T>, reason: Reason) {
    match outcome {
        Ok(_) => panic!("want {reason:?}, have a success"),
        Err(refusal) => assert_eq!(refusal.reason(), reason, "{refusal}"),
    }
}

/// Parses what a document prints, after an edit of the text.
pub(crate) fn reparsed<D: Document>(document: &D, edit: impl FnOnce(String) -> String) -> Result<D> {
    json::parse(edit(String::from_utf8(json::print(document)).unwrap()).as_bytes(), "document")
}
