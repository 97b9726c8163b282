//! A release repository with real keys, made in memory and written to a directory; every part can be spoiled before it is signed.

use minisign::KeyPair;
use proofmark::pack::{self, Content, Member, Packed};
use proofmark_core::adopt::Adopt;
use proofmark_core::group::{Entry, Freshness, Gate, Group, Host, Lease, Mode, Silence};
use proofmark_core::halt::{self, Halt, Scope};
use proofmark_core::head::{Head, IndexPin};
use proofmark_core::index::{GroupPin, Index, Pin};
use proofmark_core::json::{self, Document};
use proofmark_core::key::PublicKey;
use proofmark_core::latest::Latest;
use proofmark_core::manifest::{FileMode, Launch, Limits, Manifest, Source};
use proofmark_core::name::RepositoryId;
use proofmark_core::resume::Resume;
use proofmark_core::signature::{self, Kind};
use proofmark_core::trust::{Key, KeyGroup, Role, Roles, Trust};
use proofmark_core::{Digest, Time};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// The group, host and environment of most stories.
pub const GROUP: &str = "prod/router";
pub const HOST: &str = "rtr-1";

/// Keys by name, and the documents last published.
pub struct World {
    dir: tempfile::TempDir,
    keys: BTreeMap<String, KeyPair>,
    pub trust: Trust,
    pub index: Option<(Index, Digest, u64)>,
    pub head_version: u64,
}

/// A packed bundle and its bytes.
#[derive(Clone)]
pub struct Bundle {
    pub packed: Packed,
    pub bytes: Vec<u8>,
}

/// Parses one of the core's text types.
pub fn t<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

pub fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time::from_unix(since.as_secs() as i64).unwrap()
}

/// `sha256` of every key group of the standard trust: who is in which role.
pub const KEYS: [(&str, &str); 5] = [("root-1", "root"), ("ci-1", "ci"), ("alice-1", "alice"), ("bob-1", "bob"), ("head-1", "clock")];

impl World {
    /// Keys and trust 1, published; nothing else.
    pub fn new() -> Self {
        let keys: BTreeMap<String, KeyPair> =
            KEYS.iter().map(|(name, _)| (name.to_string(), KeyPair::generate_unencrypted_keypair().unwrap())).collect();
        let trust = Trust {
            format: 1,
            kind: "trust".into(),
            repository: t::<RepositoryId>("0123456789abcdef0123456789abcdef"),
            version: 1,
            keys: KEYS
                .iter()
                .map(|(name, holder)| {
                    (t(name), Key { holder: t(holder), public: PublicKey::from_base64(&keys[*name].pk.to_base64()).unwrap() })
                })
                .collect(),
            roles: Roles {
                trust: role(&[("owners", 1, &["root-1"])]),
                index: role(&[("ci", 1, &["ci-1"]), ("reviewers", 1, &["alice-1", "bob-1"])]),
                bundle: role(&[("ci", 1, &["ci-1"])]),
                head: role(&[("head", 1, &["head-1"])]),
                halt: role(&[("operators", 1, &["alice-1", "bob-1"])]),
                go: role(&[("operators", 1, &["alice-1", "bob-1"])]),
            },
            second_person: t("reviewers"),
        };
        let mut world = World { dir: tempfile::tempdir().unwrap(), keys, trust, index: None, head_version: 0 };
        world.publish_trust(&world.trust.clone(), &["root-1"]);
        world
    }

    /// Trust, the standard bundle for the standard host, index 1 and head 1.
    pub fn standard() -> Self {
        let mut world = World::new();
        let bundle = world.bundle(&["report"]);
        world.publish_bundle(&bundle, &["ci-1"]);
        let group = world.group(&bundle);
        world.publish_index(&[group], |_| {}, &["ci-1", "alice-1"]);
        world.publish_head(|_| {}, &["head-1"]);
        world
    }

    /// The repository's base.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// In one step: a host that looks meanwhile sees the old file or the new one.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.file(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let half = path.with_file_name("half");
        std::fs::write(&half, bytes).unwrap();
        std::fs::rename(half, path).unwrap();
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.file(path)).unwrap()
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.file(path)).unwrap();
    }

    /// Makes a new key under `name`, replacing one of that name.
    pub fn new_key(&mut self, name: &str) -> PublicKey {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let public = PublicKey::from_base64(&pair.pk.to_base64()).unwrap();
        self.keys.insert(name.into(), pair);
        public
    }

    pub fn key(&self, name: &str) -> &KeyPair {
        &self.keys[name]
    }

    /// A minisign signature file over `bytes`.
    pub fn sign(&self, key: &str, comment: &str, bytes: &[u8]) -> Vec<u8> {
        let pair = &self.keys[key];
        let signature = minisign::sign(Some(&pair.pk), &pair.sk, Cursor::new(bytes), Some(comment), None).unwrap();
        signature.into_string().into_bytes()
    }

    /// The trusted comment of a file of this repository.
    pub fn comment(&self, kind: Kind, version: Option<u64>, file: &str) -> String {
        signature::comment(&self.trust.repository, kind, version, file)
    }

    /// Writes signatures, then the file, at `dir/file`.
    pub fn write_signed(&self, dir: &str, file: &str, kind: Kind, version: Option<u64>, bytes: &[u8], signers: &[&str]) {
        let comment = self.comment(kind, version, file);
        for key in signers {
            self.write(&format!("{dir}/{file}.{key}.minisig"), &self.sign(key, &comment, bytes));
        }
        self.write(&format!("{dir}/{file}"), bytes);
    }

    pub fn publish_trust(&mut self, trust: &Trust, signers: &[&str]) {
        self.publish_trust_quietly(trust, signers);
        self.write_latest(|_| {});
    }

    /// Without a word in `latest`: the next head brings it up.
    pub fn publish_trust_quietly(&mut self, trust: &Trust, signers: &[&str]) {
        let version = trust.version;
        self.write_signed("trust", &format!("{version}.trust.json"), Kind::Trust, Some(version), &json::print(trust), signers);
        self.trust = trust.clone();
    }

    /// SHA-256 of trust 1: what a host pins.
    pub fn pin(&self) -> Digest {
        Digest::of(&self.read("trust/1.trust.json"))
    }

    /// The standard manifest: the probe as `/bin/probe`, started with `arguments`.
    pub fn manifest(&self, arguments: &[&str]) -> Manifest {
        let argv = std::iter::once("/bin/probe").chain(arguments.iter().copied()).map(str::to_owned).collect();
        Manifest {
            format: 1,
            kind: "manifest".into(),
            contract: 1,
            product: t("router"),
            release: t("1.2"),
            environment: t("prod"),
            target: t("x86_64-unknown-linux-gnu"),
            wire_epoch: 2,
            source: Source { commit: t(&"c".repeat(40)), tree: t(&"d".repeat(40)), time: t("2026-01-01T00:00:00Z") },
            buildinfo: Digest::of(b"buildinfo"),
            flags: vec![],
            files: vec![],
            launch: Launch {
                argv,
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

    /// The standard members: the probe and a config file.
    pub fn members(&self) -> Vec<Member> {
        vec![
            Member { path: t("root/bin/probe"), mode: FileMode::Program, content: Content::File(crate::probe::path().to_owned()) },
            Member { path: t("root/etc/router.toml"), mode: FileMode::Data, content: Content::Bytes(b"listen = 1\n".to_vec()) },
        ]
    }

    pub fn bundle(&self, arguments: &[&str]) -> Bundle {
        self.bundle_of(self.manifest(arguments), self.members())
    }

    pub fn bundle_of(&self, manifest: Manifest, members: Vec<Member>) -> Bundle {
        let mut bytes = Vec::new();
        let packed = pack::pack(manifest, members, &mut bytes).unwrap();
        Bundle { packed, bytes }
    }

    /// Publishes a bundle's bytes and signatures.
    pub fn publish_bundle(&self, bundle: &Bundle, signers: &[&str]) {
        let file = bundle.file();
        let dir = format!("bundles/{}", Digest::of(&bundle.bytes));
        self.write_signed(&dir, &file, Kind::Bundle, None, &bundle.bytes, signers);
    }

    /// The standard group file for a bundle: `prod/router`, host `rtr-1`, no gate.
    pub fn group(&self, bundle: &Bundle) -> Group {
        let manifest = &bundle.packed.manifest;
        Group {
            format: 1,
            kind: "group".into(),
            repository: self.trust.repository.clone(),
            environment: t("prod"),
            role: t("router"),
            hosts: BTreeMap::from([(t(HOST), Host { record_key: None })]),
            bundle: Entry {
                sha256sum: Entry::line(Digest::of(&bundle.bytes), &bundle.file()),
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

    /// Writes group files and returns the index that pins them, one version on; `edit` may spoil it.
    pub fn draft_index(&self, groups: &[Group], edit: impl FnOnce(&mut Index)) -> Index {
        let previous = self.index.as_ref();
        let mut index = Index {
            format: 1,
            kind: "index".into(),
            repository: self.trust.repository.clone(),
            version: previous.map_or(1, |(index, ..)| index.version + 1),
            min_verifier: 1,
            proposer: t("ci"),
            prev: previous.map(|(index, sha256, _)| Pin { version: index.version, sha256: *sha256 }),
            groups: groups.iter().map(|group| (group.name(), self.write_group(&json::print(group)))).collect(),
        };
        edit(&mut index);
        index
    }

    /// Writes a group file's bytes under their digest.
    pub fn write_group(&self, bytes: &[u8]) -> GroupPin {
        let sha256 = Digest::of(bytes);
        self.write(&format!("group/{sha256}.group.json"), bytes);
        GroupPin { sha256, size: bytes.len() as u64 }
    }

    pub fn publish_index(&mut self, groups: &[Group], edit: impl FnOnce(&mut Index), signers: &[&str]) {
        let index = self.draft_index(groups, edit);
        self.publish_index_bytes(index.version, &json::print(&index), signers);
        let (digest, size) = self.index_pin(index.version);
        self.index = Some((index, digest, size));
    }

    /// Signs and writes any bytes as index `version`.
    pub fn publish_index_bytes(&self, version: u64, bytes: &[u8], signers: &[&str]) {
        self.write_signed("index", &format!("{version}.index.json"), Kind::Index, Some(version), bytes, signers);
    }

    fn index_pin(&self, version: u64) -> (Digest, u64) {
        let bytes = self.read(&format!("index/{version}.index.json"));
        (Digest::of(&bytes), bytes.len() as u64)
    }

    /// A head for what stands in the repository, issued now, valid for a day.
    pub fn draft_head(&self, edit: impl FnOnce(&mut Head)) -> Head {
        let version = self.index.as_ref().map_or(1, |(index, ..)| index.version);
        let (sha256, size) = self.index_pin(version);
        let trust = self.trust.version;
        let mut head = Head {
            format: 1,
            kind: "head".into(),
            repository: self.trust.repository.clone(),
            version: self.head_version + 1,
            issued: now(),
            expires: now().plus(86_400),
            trust: Pin { version: trust, sha256: Digest::of(&self.read(&format!("trust/{trust}.trust.json"))) },
            index: IndexPin { version, size, sha256 },
            halts: vec![],
        };
        edit(&mut head);
        head
    }

    pub fn publish_head(&mut self, edit: impl FnOnce(&mut Head), signers: &[&str]) {
        let head = self.draft_head(edit);
        self.publish_head_bytes(head.version, &json::print(&head), signers);
    }

    /// Signs and writes any bytes as head `version`, and points `latest` at it.
    pub fn publish_head_bytes(&mut self, version: u64, bytes: &[u8], signers: &[&str]) {
        self.write_signed("head", &format!("{version}.head.json"), Kind::Head, Some(version), bytes, signers);
        self.head_version = version;
        self.write_latest(|_| {});
    }

    /// A halt of `scope` by `holder`, issued now.
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
            issued: now(),
        }
    }

    /// Signs and writes a halt. Hosts learn of it from `latest`, a head, or by hand.
    pub fn publish_halt(&self, halt: &Halt, signers: &[&str]) -> Digest {
        self.publish_named("halt", Kind::Halt, None, &json::print(halt), signers)
    }

    /// Points `latest` at these halts.
    pub fn hint(&self, halts: &[Digest]) {
        let mut halts = halts.to_vec();
        halts.sort();
        self.write_latest(|latest| latest.halts = halts);
    }

    /// Signs and writes a resume of `halt`, proposed by `ci`; `edit` may spoil it.
    pub fn publish_resume(&self, halt: Digest, edit: impl FnOnce(&mut Resume), signers: &[&str]) {
        let mut resume = Resume {
            format: 1,
            kind: Resume::KIND.into(),
            repository: self.trust.repository.clone(),
            halt,
            reason: "counter checked".into(),
            proposer: t("ci"),
            issued: now(),
        };
        edit(&mut resume);
        self.publish_named("resume", Kind::Resume, Some(halt), &json::print(&resume), signers);
    }

    /// An adopt document for the standard host: floors are what stands in the repository; `edit` may spoil it. Gives its path.
    pub fn publish_adopt(&self, edit: impl FnOnce(&mut Adopt), signers: &[&str]) -> PathBuf {
        let pin = |kind: &str, version: u64| Pin { version, sha256: Digest::of(&self.read(&format!("{kind}/{version}.{kind}.json"))) };
        let index = self.index.as_ref().map_or(1, |(index, ..)| index.version);
        let mut adopt = Adopt {
            format: 1,
            kind: Adopt::KIND.into(),
            repository: self.trust.repository.clone(),
            host: t(HOST),
            environment: t("prod"),
            groups: vec![t(GROUP)],
            first_trust: pin("trust", 1),
            trust: pin("trust", self.trust.version),
            index: pin("index", index),
            head: pin("head", self.head_version),
            halts: vec![],
            proposer: t("ci"),
            issued: now(),
            expires: now().plus(86_400),
        };
        edit(&mut adopt);
        let digest = self.publish_named("adopt", Kind::Adopt, None, &json::print(&adopt), signers);
        self.file(&format!("adopt/{digest}.adopt.json"))
    }

    /// Signs and writes what a digest names: its own, or `name`.
    fn publish_named(&self, dir: &str, kind: Kind, name: Option<Digest>, bytes: &[u8], signers: &[&str]) -> Digest {
        let digest = name.unwrap_or_else(|| Digest::of(bytes));
        self.write_signed(dir, &signature::digest_name(kind, digest), kind, None, bytes, signers);
        digest
    }

    pub fn write_latest(&self, edit: impl FnOnce(&mut Latest)) {
        let index = self.index.as_ref().map_or(0, |(index, ..)| index.version);
        let mut latest =
            Latest { format: 1, kind: Latest::KIND.into(), trust: self.trust.version, index, head: self.head_version, halts: vec![] };
        edit(&mut latest);
        self.write("latest", &json::print(&latest));
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Bundle {
    pub fn file(&self) -> String {
        let Manifest { product, release, environment, target, .. } = &self.packed.manifest;
        Entry::file_name(product, release, environment, target)
    }
}

/// A role from (group, threshold, keys).
pub fn role(groups: &[(&str, u64, &[&str])]) -> Role {
    Role(
        groups
            .iter()
            .map(|(name, threshold, keys)| (t(name), KeyGroup { threshold: *threshold, keys: keys.iter().map(|k| t(k)).collect() }))
            .collect(),
    )
}
