//! One case: a host, a repository, a clock and a command; and what must come of it. In memory, and as files that any language reads.

use super::repo::{GROUP, HOST, NOW, Repo, Tree};
use crate::world::t;
use proofmark_core::admission::State;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::{Digest, Time};
use serde_json::{Map, Value, json};

/// What a host has before or after a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Before {
    /// Nothing was ever set up.
    Blank,
    /// The state is missing or damaged.
    Lost,
    /// A whole state.
    Whole(Box<State>),
}

/// What a host is asked.
#[derive(Clone, Debug)]
pub enum Command {
    Init(Given),
    Update,
    Run(GroupName),
    Verify { full: bool },
    Halt(String),
    Adopt(String, Given),
}

/// Who a host is to be: what `init` and `adopt` are given.
#[derive(Clone, Debug)]
pub struct Given {
    pub host: Name,
    pub environment: Name,
    pub groups: Vec<GroupName>,
    /// Path of the first trust document, in the tree.
    pub trust: String,
    /// Its digest, as it came over another channel.
    pub sha256: Digest,
}

/// What must come of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    pub code: u8,
    pub word: String,
    /// A start under an expired head, which must be said aloud.
    pub aloud: bool,
    pub after: Before,
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its directory.
    pub name: String,
    /// A sentence: what must happen.
    pub says: String,
    /// All files of the repository; also what the host has kept of it.
    pub tree: Tree,
    pub now: Time,
    /// The host's: `x86_64`.
    pub architecture: &'static str,
    pub command: Command,
    pub before: Before,
    pub expected: Expected,
}

impl Given {
    /// The standard host, given the first trust document of this repository.
    pub fn of(repo: &Repo) -> Self {
        let trust = "trust/1.trust.json".to_owned();
        let sha256 = Digest::of(repo.read(&trust));
        Given { host: t(HOST), environment: t("prod"), groups: vec![t(GROUP)], trust, sha256 }
    }

    fn print(&self) -> Value {
        json!({ "host": self.host, "environment": self.environment, "groups": self.groups, "trust": self.trust, "sha256": self.sha256 })
    }

    fn parse(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap();
        let groups = value["groups"].as_array().unwrap().iter().map(|group| t(group.as_str().unwrap())).collect();
        Given { host: t(text("host")), environment: t(text("environment")), groups, trust: text("trust").into(), sha256: t(text("sha256")) }
    }
}

impl Command {
    fn print(&self) -> (Value, Value) {
        match self {
            Command::Init(given) => (json!(["init"]), given.print()),
            Command::Update => (json!(["update"]), Value::Null),
            Command::Run(group) => (json!(["run", group]), Value::Null),
            Command::Verify { full: false } => (json!(["verify"]), Value::Null),
            Command::Verify { full: true } => (json!(["verify", "--full"]), Value::Null),
            Command::Halt(file) => (json!(["halt", file]), Value::Null),
            Command::Adopt(file, given) => (json!(["adopt", file]), given.print()),
        }
    }

    fn parse(words: &Value, given: &Value) -> Self {
        let words: Vec<&str> = words.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        match words[..] {
            ["init"] => Command::Init(Given::parse(given)),
            ["update"] => Command::Update,
            ["run", group] => Command::Run(t(group)),
            ["verify"] => Command::Verify { full: false },
            ["verify", "--full"] => Command::Verify { full: true },
            ["halt", file] => Command::Halt(file.into()),
            ["adopt", file] => Command::Adopt(file.into(), Given::parse(given)),
            _ => panic!("{words:?}"),
        }
    }
}

impl Before {
    /// The form that is nobody's own: `"blank"`, `"lost"`, or identity and state as FORMAT.md section 7 has them.
    pub fn print(&self) -> Value {
        let state = match self {
            Before::Blank => return json!("blank"),
            Before::Lost => return json!("lost"),
            Before::Whole(state) => state,
        };
        let mut value = serde_json::to_value(state).unwrap();
        let object = value.as_object_mut().unwrap();
        object.remove("format");
        object.remove("kind");
        let identity = object["identity"].as_object_mut().unwrap();
        let (sha256, version) = (identity.remove("first_trust"), identity.remove("first_trust_version"));
        identity.insert("first_trust".into(), json!({ "version": version, "sha256": sha256 }));
        value
    }

    pub fn parse(value: &Value) -> Self {
        match value.as_str() {
            Some("blank") => return Before::Blank,
            Some("lost") => return Before::Lost,
            _ => {}
        }
        let mut object: Map<String, Value> = value.as_object().unwrap().clone();
        object.insert("format".into(), json!(1));
        object.insert("kind".into(), json!("state"));
        let identity = object["identity"].as_object_mut().unwrap();
        let first = identity.remove("first_trust").unwrap();
        identity.insert("first_trust".into(), first["sha256"].clone());
        identity.insert("first_trust_version".into(), first["version"].clone());
        Before::Whole(serde_json::from_value(Value::Object(object)).unwrap())
    }
}

impl Case {
    /// A case at the usual time and place, of which nothing is expected yet.
    pub fn new(name: &str, says: &str, repo: &Repo, command: Command, before: &Before) -> Self {
        Case {
            name: name.into(),
            says: says.into(),
            tree: repo.files.clone(),
            now: t(NOW),
            architecture: "x86_64",
            command,
            before: before.clone(),
            expected: Expected { code: 0, word: "done".into(), aloud: false, after: before.clone() },
        }
    }

    /// `case.json`: everything but the tree. `base` and `without` say what the tree is besides the files beside it.
    pub fn print(&self, base: &str, without: &[&str]) -> Value {
        let (command, given) = self.command.print();
        let Expected { code, word, aloud, after } = &self.expected;
        let after = if *after == self.before { json!("unchanged") } else { after.print() };
        json!({
            "says": self.says, "base": base, "without": without, "now": self.now, "architecture": self.architecture,
            "command": command, "given": given, "before": self.before.print(),
            "expect": { "code": code, "word": word, "aloud": aloud, "after": after },
        })
    }

    /// The inverse of [`Case::print`]; `tree` is the base without what is missing, and with what lies beside the case.
    pub fn parse(name: &str, value: &Value, tree: Tree) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let before = Before::parse(&value["before"]);
        let expect = &value["expect"];
        let after = if expect["after"] == "unchanged" { before.clone() } else { Before::parse(&expect["after"]) };
        Case {
            name: name.into(),
            says: text(&value["says"]),
            tree,
            now: t(value["now"].as_str().unwrap()),
            architecture: if value["architecture"] == "x86_64" { "x86_64" } else { "aarch64" },
            command: Command::parse(&value["command"], &value["given"]),
            before,
            expected: Expected {
                code: u8::try_from(expect["code"].as_u64().unwrap()).unwrap(),
                word: text(&expect["word"]),
                aloud: expect["aloud"].as_bool().unwrap(),
                after,
            },
        }
    }
}
