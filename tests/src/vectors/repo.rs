//! A release repository in memory, the same on every machine: fixed keys, fixed times. A case clones one and spoils one thing.

use super::sign;
use crate::world::{role, t};
use proofmark::pack::{self, Content, Member, Packed};
use proofmark_core::adopt::Adopt;
use proofmark_core::group::{Entry, Freshness, Gate, Group, Host, Lease, Mode, Silence};
use proofmark_core::halt::{self, Halt, Scope};
use proofmark_core::head::{Head, IndexPin};
use proofmark_core::index::{GroupPin, Index, Pin};
use proofmark_core::json::{self, Document};
use proofmark_core::latest::Latest;
use proofmark_core::manifest::{FileMode, Launch, Limits, Manifest, Source};
use proofmark_core::resume::Resume;
use proofmark_core::signature::{self, Kind};
use proofmark_core::trust::{Key, Roles, Trust};
use proofmark_core::{Digest, Time};
use std::collections::BTreeMap;

/// Files by their repository path.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// The clock of every case that does not say otherwise.
pub const NOW: &str = "2026-03-02T12:00:00Z";
pub const HOST: &str = "rtr-1";
pub const GROUP: &str = "prod/router";
/// Who signs an index, a resume, an adopt document.
pub const BOTH: [&str; 2] = ["ci-1", "alice-1"];

/// A repository: its files, and the documents last published.
#[derive(Clone)]
pub struct Repo {
    pub files: Tree,
    pub trust: Trust,
    pub index: Option<(Index, Digest, u64)>,
    pub head: u64,
    pub now: Time,
}

/// A packed bundle.
#[derive(Clone)]
pub struct Bundle {
    pub packed: Packed,
    pub bytes: Vec<u8>,
}

impl Bundle {
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    pub fn file(&self) -> String {
        let Manifest { product, release, environment, target, .. } = &self.packed.manifest;
        Entry::file_name(product, release, environment, target)
    }

    pub fn path(&self) -> String {
        format!("bundles/{}/{}", self.digest(), self.file())
    }
}

/// `name` is held by whoever its first part names: `ci-1` by `ci`.
pub fn key(name: &str) -> Key {
    let holder = name.rsplit_once('-').map_or(name, |(holder, _)| holder);
    Key { holder: t(holder), public: sign::public(name) }
}

/// Trust 1 of every repository here.
pub fn trust() -> Trust {
    Trust {
        format: 1,
        kind: "trust".into(),
        repository: t("0123456789abcdef0123456789abcdef"),
        version: 1,
        keys: ["root-1", "ci-1", "alice-1", "bob-1", "clock-1"].map(|name| (t(name), key(name))).into(),
        roles: Roles {
            trust: role(&[("owners", 1, &["root-1"])]),
            index: role(&[("ci", 1, &["ci-1"]), ("reviewers", 1, &["alice-1", "bob-1"])]),
            bundle: role(&[("ci", 1, &["ci-1"])]),
            head: role(&[("clock", 1, &["clock-1"])]),
            halt: role(&[("operators", 1, &["alice-1", "bob-1"])]),
            go: role(&[("operators", 1, &["alice-1", "bob-1"])]),
        },
        second_person: t("reviewers"),
    }
}

/// The manifest of most bundles: a program, a configuration.
pub fn manifest(release: &str) -> Manifest {
    Manifest {
        format: 1,
        kind: "manifest".into(),
        contract: 1,
        product: t("router"),
        release: t(release),
        environment: t("prod"),
        target: t("x86_64-unknown-linux-gnu"),
        wire_epoch: 2,
        source: Source { commit: t(&"c".repeat(40)), tree: t(&"d".repeat(40)), time: t("2026-01-01T00:00:00Z") },
        buildinfo: Digest::of(b"buildinfo"),
        flags: vec![],
        files: vec![],
        launch: Launch {
            argv: vec!["/bin/router".into()],
            env: BTreeMap::from([("MODE".into(), "story".into())]),
            user: t("payload"),
            dangerous_root: false,
            limits: Limits { open_files: Some(64), processes: None, core_bytes: Some(0), memory_bytes: None },
            capabilities: vec![],
            state: None,
            credentials: vec![],
            supervisor: vec![],
            host_files: vec![],
        },
    }
}

/// A file with this content.
pub fn member(path: &str, mode: FileMode, content: &str) -> Member {
    Member { path: t(path), mode, content: Content::Bytes(content.into()) }
}

/// The files of most bundles.
pub fn members(release: &str) -> Vec<Member> {
    vec![
        member("root/bin/router", FileMode::Program, &format!("#!/bin/sh\necho router {release}\n")),
        member("root/etc/router.toml", FileMode::Data, "listen = 1\n"),
    ]
}

/// A bundle of these.
pub fn pack(manifest: Manifest, members: Vec<Member>) -> Bundle {
    let mut bytes = Vec::new();
    let packed = pack::pack(manifest, members, &mut bytes).unwrap();
    Bundle { packed, bytes }
}

/// The bundle of a release.
pub fn bundle(release: &str) -> Bundle {
    pack(manifest(release), members(release))
}

impl Repo {
    /// Trust 1, an index without groups and its head.
    pub fn new() -> Self {
        let mut repo = Repo { files: Tree::new(), trust: trust(), index: None, head: 0, now: t("2026-03-02T08:00:00Z") };
        repo.publish_trust(trust(), &["root-1"]);
        repo.publish_groups(&[]);
        repo.publish_head(|_| {}, &["clock-1"]);
        repo.now = t("2026-03-02T09:00:00Z");
        repo
    }

    /// And release 1.0 for the standard host: index 2 and head 2.
    pub fn standard() -> Self {
        let mut repo = Repo::new();
        let bundle = bundle("1.0");
        let group = repo.publish_bundle(&bundle, &["ci-1"]);
        repo.publish_groups(&[group]);
        repo.publish_head(|_| {}, &["clock-1"]);
        repo
    }

    /// The standard repository, whose index has another group file.
    pub fn assigning(edit: impl FnOnce(&mut Group)) -> Self {
        let mut repo = Repo::new();
        let mut group = repo.publish_bundle(&bundle("1.0"), &["ci-1"]);
        edit(&mut group);
        repo.publish_groups(&[group]);
        repo.publish_head(|_| {}, &["clock-1"]);
        repo
    }

    pub fn write(&mut self, path: impl Into<String>, bytes: &[u8]) {
        self.files.insert(path.into(), bytes.to_vec());
    }

    pub fn remove(&mut self, path: &str) {
        assert!(self.files.remove(path).is_some(), "{path}");
    }

    pub fn read(&self, path: &str) -> &[u8] {
        self.files.get(path).unwrap_or_else(|| panic!("{path}"))
    }

    /// Changes one byte of a file.
    pub fn flip(&mut self, path: &str, at: usize) {
        self.files.get_mut(path).unwrap()[at] ^= 1;
    }

    /// Changes one character of line 2 of a signature file into another of base64.
    pub fn damage(&mut self, path: &str) {
        let file = self.files.get_mut(path).unwrap();
        let at = file.iter().position(|&byte| byte == b'\n').unwrap() + 41;
        file[at] = if file[at] == b'A' { b'B' } else { b'A' };
    }

    /// The trusted comment of a file of this repository.
    pub fn comment(&self, kind: Kind, version: Option<u64>, file: &str) -> String {
        signature::comment(&self.trust.repository, kind, version, file)
    }

    /// Writes signatures and the file at `dir/file`.
    pub fn write_signed(&mut self, dir: &str, file: &str, kind: Kind, version: Option<u64>, bytes: &[u8], signers: &[&str]) {
        let comment = self.comment(kind, version, file);
        for key in signers {
            self.write(format!("{dir}/{file}.{key}.minisig"), &sign::sign(key, &comment, bytes));
        }
        self.write(format!("{dir}/{file}"), bytes);
    }

    pub fn publish_trust(&mut self, trust: Trust, signers: &[&str]) {
        let version = trust.version;
        self.publish_trust_bytes(version, &json::print(&trust), signers);
        self.trust = trust;
        self.write_latest(|_| {});
    }

    pub fn publish_trust_bytes(&mut self, version: u64, bytes: &[u8], signers: &[&str]) {
        self.write_signed("trust", &format!("{version}.trust.json"), Kind::Trust, Some(version), bytes, signers);
    }

    /// The next trust, changed.
    pub fn rotate(&mut self, edit: impl FnOnce(&mut Trust), signers: &[&str]) {
        let mut trust = self.trust.clone();
        trust.version += 1;
        edit(&mut trust);
        self.publish_trust(trust, signers);
    }

    /// Signs and writes a bundle; gives the standard group file for it.
    pub fn publish_bundle(&mut self, bundle: &Bundle, signers: &[&str]) -> Group {
        self.write_signed(&format!("bundles/{}", bundle.digest()), &bundle.file(), Kind::Bundle, None, &bundle.bytes, signers);
        group(bundle)
    }

    /// Writes a group file's bytes under their digest.
    pub fn write_group(&mut self, bytes: &[u8]) -> GroupPin {
        let sha256 = Digest::of(bytes);
        self.write(format!("group/{sha256}.group.json"), bytes);
        GroupPin { sha256, size: bytes.len() as u64 }
    }

    /// The next index.
    pub fn draft_index(&mut self, groups: &[Group]) -> Index {
        let groups = groups.iter().map(|group| (group.name(), self.write_group(&json::print(group)))).collect();
        let previous = self.index.as_ref();
        Index {
            format: 1,
            kind: "index".into(),
            repository: self.trust.repository.clone(),
            version: previous.map_or(1, |(index, ..)| index.version + 1),
            min_verifier: 1,
            proposer: t("ci"),
            prev: previous.map(|(index, sha256, _)| Pin { version: index.version, sha256: *sha256 }),
            groups,
        }
    }

    /// Signs and writes the next index, with these groups.
    pub fn publish_groups(&mut self, groups: &[Group]) {
        let index = self.draft_index(groups);
        self.publish_index(index, &BOTH);
    }

    pub fn publish_index(&mut self, index: Index, signers: &[&str]) {
        let bytes = json::print(&index);
        self.publish_index_bytes(index.version, &bytes, signers);
        self.index = Some((index, Digest::of(&bytes), bytes.len() as u64));
        self.write_latest(|_| {});
    }

    pub fn publish_index_bytes(&mut self, version: u64, bytes: &[u8], signers: &[&str]) {
        self.write_signed("index", &format!("{version}.index.json"), Kind::Index, Some(version), bytes, signers);
    }

    /// The next head, of what stands here, issued at `self.now` for a day.
    pub fn draft_head(&self, edit: impl FnOnce(&mut Head)) -> Head {
        let (index, sha256, size) = self.index.clone().unwrap();
        let trust = self.trust.version;
        let mut head = Head {
            format: 1,
            kind: "head".into(),
            repository: self.trust.repository.clone(),
            version: self.head + 1,
            issued: self.now,
            expires: self.now.plus(86_400),
            trust: Pin { version: trust, sha256: Digest::of(self.read(&format!("trust/{trust}.trust.json"))) },
            index: IndexPin { version: index.version, size, sha256 },
            halts: vec![],
        };
        edit(&mut head);
        head
    }

    pub fn publish_head(&mut self, edit: impl FnOnce(&mut Head), signers: &[&str]) {
        let head = self.draft_head(edit);
        self.publish_head_bytes(head.version, &json::print(&head), signers);
    }

    pub fn publish_head_bytes(&mut self, version: u64, bytes: &[u8], signers: &[&str]) {
        self.write_signed("head", &format!("{version}.head.json"), Kind::Head, Some(version), bytes, signers);
        self.head = version;
        self.write_latest(|_| {});
    }

    /// A head over the newest index, an hour later.
    pub fn next_head(&mut self) {
        self.now = self.now.plus(3600);
        self.publish_head(|_| {}, &["clock-1"]);
    }

    pub fn halt(&self, scope: Scope, holder: &str) -> Halt {
        Halt {
            format: 1,
            kind: Halt::KIND.into(),
            repository: self.trust.repository.clone(),
            scope,
            mode: halt::Mode::Kill,
            drain_seconds: None,
            reason: "child orders without parent".into(),
            by: t(holder),
            issued: self.now,
        }
    }

    pub fn publish_halt(&mut self, halt: &Halt, signers: &[&str]) -> Digest {
        let bytes = json::print(halt);
        let digest = Digest::of(&bytes);
        self.write_signed("halt", &signature::digest_name(Kind::Halt, digest), Kind::Halt, None, &bytes, signers);
        digest
    }

    /// Points `latest` at these halts.
    pub fn hint(&mut self, halts: &[Digest]) {
        let mut halts = halts.to_vec();
        halts.sort();
        self.write_latest(|latest| latest.halts = halts);
    }

    pub fn publish_resume(&mut self, halt: Digest, edit: impl FnOnce(&mut Resume), signers: &[&str]) {
        let mut resume = Resume {
            format: 1,
            kind: Resume::KIND.into(),
            repository: self.trust.repository.clone(),
            halt,
            reason: "counter checked".into(),
            proposer: t("ci"),
            issued: self.now,
        };
        edit(&mut resume);
        self.write_signed("resume", &signature::digest_name(Kind::Resume, halt), Kind::Resume, None, &json::print(&resume), signers);
    }

    /// An adopt document for the standard host; gives its path.
    pub fn publish_adopt(&mut self, edit: impl FnOnce(&mut Adopt), signers: &[&str]) -> String {
        let pin = |kind: &str, version: u64| Pin { version, sha256: Digest::of(self.read(&format!("{kind}/{version}.{kind}.json"))) };
        let mut adopt = Adopt {
            format: 1,
            kind: Adopt::KIND.into(),
            repository: self.trust.repository.clone(),
            host: t(HOST),
            environment: t("prod"),
            groups: vec![t(GROUP)],
            first_trust: pin("trust", 1),
            trust: pin("trust", self.trust.version),
            index: pin("index", self.index.as_ref().map_or(1, |(index, ..)| index.version)),
            head: pin("head", self.head),
            halts: vec![],
            proposer: t("ci"),
            issued: self.now,
            expires: self.now.plus(86_400),
        };
        edit(&mut adopt);
        let bytes = json::print(&adopt);
        let file = signature::digest_name(Kind::Adopt, Digest::of(&bytes));
        self.write_signed("adopt", &file, Kind::Adopt, None, &bytes, signers);
        format!("adopt/{file}")
    }

    pub fn write_latest(&mut self, edit: impl FnOnce(&mut Latest)) {
        let mut latest = Latest {
            format: 1,
            kind: Latest::KIND.into(),
            trust: self.trust.version,
            index: self.index.as_ref().map_or(0, |(index, ..)| index.version),
            head: self.head,
            halts: vec![],
        };
        edit(&mut latest);
        self.write("latest", &json::print(&latest));
    }
}

impl Default for Repo {
    fn default() -> Self {
        Self::new()
    }
}

/// The standard group file for a bundle: `prod/router`, host `rtr-1`, no gate.
pub fn group(bundle: &Bundle) -> Group {
    let manifest = &bundle.packed.manifest;
    Group {
        format: 1,
        kind: "group".into(),
        repository: trust().repository,
        environment: t("prod"),
        role: t("router"),
        hosts: BTreeMap::from([(t(HOST), Host { record_key: None })]),
        bundle: Entry {
            sha256sum: Entry::line(bundle.digest(), &bundle.file()),
            size: bundle.bytes.len() as u64,
            unpacked_size: bundle.packed.unpacked_size,
            manifest_sha256: bundle.packed.manifest_sha256,
            product: manifest.product.clone(),
            release: manifest.release.clone(),
            target: manifest.target.clone(),
            wire_epoch: manifest.wire_epoch,
            source_commit: manifest.source.commit.clone(),
        },
        mode: Mode::Install,
        from: vec![],
        rollback_targets: vec![],
        revoked: vec![],
        ledger: vec![],
        gate: Gate::None,
        freshness: Freshness { activate_seconds: 86_400, restart_seconds: 604_800, lease: Lease::Grace },
        silence: Silence { alert_seconds: 60, stop_seconds: None },
    }
}
