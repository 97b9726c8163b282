//! The cases of `tests/vectors/commands`: collected, held against the core, written as files; and read back.

use super::case::{Before, Case, Command, Given};
use super::play::play;
use super::repo::{GROUP, Repo, Tree, bundle};
use crate::world::t;
use proofmark_core::admission::State;
use proofmark_core::group::Mode;
use std::collections::BTreeMap;

/// The cases so far, and the repositories most of them begin with.
pub struct Suite {
    /// Trust 1, release 1.0, index 2, head 2.
    pub standard: Repo,
    /// And release 1.1 in its place: index 3, head 3.
    pub upgraded: Repo,
    /// A host that was set up before there was a release.
    pub empty: Before,
    /// And staged release 1.0.
    pub staged: Before,
    /// And started it.
    pub started: Before,
    /// A host that has started release 1.0 and then staged release 1.1.
    pub upgraded_host: Before,
    cases: Vec<Case>,
    /// Where the core is of another opinion than the source.
    faults: Vec<String>,
}

impl Suite {
    pub fn new() -> Self {
        let standard = Repo::standard();
        let upgraded = upgrade(&standard);
        let first = Repo::new();
        let empty = after(&first, Command::Init(Given::of(&first)), &Before::Blank);
        let staged = after(&standard, Command::Update, &empty);
        let started = after(&standard, Command::Run(t(GROUP)), &staged);
        let upgraded_host = after(&upgraded, Command::Update, &started);
        Suite { standard, upgraded, empty, staged, started, upgraded_host, cases: Vec::new(), faults: Vec::new() }
    }

    /// A case that ends well; what it says of the state afterwards is the core's word.
    pub fn done(&mut self, case: Case) -> Before {
        self.push(case, 0, "done", false)
    }

    /// A start within the grace.
    pub fn aloud(&mut self, case: Case) {
        self.push(case, 0, "done", true);
    }

    /// A case that is refused and changes nothing.
    pub fn refused(&mut self, case: Case, code: u8, word: &str) {
        let (name, before) = (case.name.clone(), case.before.clone());
        if self.push(case, code, word, false) != before {
            self.faults.push(format!("{name}: changes the state"));
        }
    }

    /// A case that is refused, though a halt stays latched.
    pub fn latched_and_refused(&mut self, case: Case, code: u8, word: &str) -> Before {
        self.push(case, code, word, false)
    }

    fn push(&mut self, mut case: Case, code: u8, word: &str, aloud: bool) -> Before {
        assert!(self.cases.iter().all(|other| other.name != case.name), "{} twice", case.name);
        let played = play(&case);
        let have = match &played.verdict {
            Ok(()) => (0, "done"),
            Err(refusal) => (refusal.reason().code(), refusal.reason().word()),
        };
        if ((code, word), aloud) != (have, played.aloud) {
            self.faults
                .push(format!("{}: want {code} {word}, aloud {aloud}; have {:?}, aloud {}", case.name, played.verdict, played.aloud));
        }
        case.expected.code = code;
        case.expected.word = word.into();
        case.expected.aloud = aloud;
        case.expected.after = played.after.clone();
        self.cases.push(case);
        played.after
    }

    /// The base repositories, and a directory for each case: `case.json`, and under `repository/` what the base has not.
    pub fn write(&self, files: &mut Tree) {
        assert!(self.faults.is_empty(), "the core does not agree:\n{}", self.faults.join("\n"));
        let bases = BTreeMap::from([("standard", &self.standard), ("upgraded", &self.upgraded)]);
        for (name, repo) in &bases {
            files.extend(repo.files.iter().map(|(path, bytes)| (format!("repositories/{name}/{path}"), bytes.clone())));
        }
        for case in &self.cases {
            let choices = bases.iter().map(|(name, repo)| (*name, differs(&case.tree, &repo.files)));
            let (base, (added, without)) = choices.min_by_key(|(_, (added, without))| 4 * added.len() + without.len()).unwrap();
            let dir = format!("commands/{}", case.name);
            files.insert(format!("{dir}/case.json"), super::print(&case.print(base, &without)));
            files.extend(added.into_iter().map(|(path, bytes)| (format!("{dir}/repository/{path}"), bytes.clone())));
        }
    }
}

impl Default for Suite {
    fn default() -> Self {
        Self::new()
    }
}

/// What `tree` has that `base` has not, and what it lacks.
fn differs<'a>(tree: &'a Tree, base: &'a Tree) -> (Vec<(&'a String, &'a Vec<u8>)>, Vec<&'a str>) {
    let added = tree.iter().filter(|(path, bytes)| base.get(*path) != Some(*bytes)).collect();
    (added, base.keys().filter(|path| !tree.contains_key(*path)).map(String::as_str).collect())
}

/// The cases that lie in these files, as [`super::read`] gives them.
pub fn parse(files: &Tree) -> Vec<Case> {
    let below = |prefix: &str| -> Tree {
        let range = files.range(prefix.to_owned()..).take_while(|(path, _)| path.starts_with(prefix));
        range.map(|(path, bytes)| (path[prefix.len()..].to_owned(), bytes.clone())).collect()
    };
    let named = files.keys().filter_map(|path| path.strip_prefix("commands/")?.strip_suffix("/case.json"));
    let parse = |name: &str| {
        let value: serde_json::Value = serde_json::from_slice(&files[&format!("commands/{name}/case.json")]).unwrap();
        let mut tree = below(&format!("repositories/{}/", value["base"].as_str().unwrap()));
        for path in value["without"].as_array().unwrap() {
            tree.remove(path.as_str().unwrap()).unwrap();
        }
        tree.extend(below(&format!("commands/{name}/repository/")));
        Case::parse(name, &value, tree)
    };
    named.map(parse).collect()
}

/// The state that a command leads to.
#[track_caller]
pub fn after(repo: &Repo, command: Command, before: &Before) -> Before {
    let played = play(&Case::new("", "", repo, command, before));
    played.verdict.unwrap();
    played.after
}

/// The same host, with something else in its state.
pub fn with(before: &Before, edit: impl FnOnce(&mut State)) -> Before {
    let Before::Whole(state) = before else { panic!("no state") };
    let mut state = state.clone();
    edit(&mut state);
    Before::Whole(state)
}

/// Release 1.1 in place of 1.0.
fn upgrade(standard: &Repo) -> Repo {
    let mut repo = standard.clone();
    let old = bundle("1.0").digest();
    let mut group = repo.publish_bundle(&bundle("1.1"), &["ci-1"]);
    group.mode = Mode::Upgrade;
    group.from = vec![old];
    group.rollback_targets = vec![old];
    repo.publish_groups(&[group]);
    repo.next_head();
    repo
}
