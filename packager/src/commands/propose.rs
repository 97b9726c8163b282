//! What the commands that propose, review, sign and publish have in common: where proposals lie, and how a new index is made.

use std::path::PathBuf;

use proofmark::clock;
use proofmark::exit::{Exit, Refusal, Refuse};
use proofmark::proposal::{self, Desk, Subject};
use proofmark::repository::{Published, Repository};
use proofmark::signing::Signer;
use proofmark::text;
use proofmark::verbs::VerbError;
use proofmark_core::group::Group;
use proofmark_core::name::{GroupName, Name};
use proofmark_core::{Kind, Time};
use serde_json::json;

use super::Done;
use super::place::{KeyArguments, RepositoryArguments, core};

/// Which proposal, and where it lies.
#[derive(Debug, clap::Args)]
pub(crate) struct ProposalArguments {
    /// N for an index, trust-N, resume-SHA256, adopt-SHA256, or the beginning of one of them [default: the only open one]
    #[arg(value_name = "WHAT")]
    pub(crate) what: Option<String>,
    #[command(flatten)]
    pub(crate) repository: RepositoryArguments,
    /// Directory with a proposal that came by mail; may be repeated, and their signatures are put together
    #[arg(long, value_name = "DIR")]
    pub(crate) proposal: Vec<PathBuf>,
}

impl ProposalArguments {
    /// The options again, for the next command line.
    pub(crate) fn again(&self) -> String {
        let mailed: String =
            self.proposal.iter().map(|path| format!(" --proposal {}", text::one_line(&path.display().to_string()))).collect();
        format!("{}{mailed}", self.repository.again())
    }
}

/// What every command takes that makes a proposal.
#[derive(Debug, clap::Args)]
pub(crate) struct ProposeArguments {
    #[command(flatten)]
    pub(crate) repository: RepositoryArguments,
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    /// Who asks for it, as trust names holders: that person cannot approve it. For the machine's key; a person's own key proposes for that
    /// person [default: the holder of the key]
    #[arg(long, value_name = "HOLDER", value_parser = core::<Name>)]
    pub(crate) proposer: Option<Name>,
    /// Write the proposal to a directory, to be mailed, and not to the repository
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl ProposeArguments {
    /// Makes the next index with the groups that `make` changes, signs it, and writes it as a proposal.
    pub(crate) fn propose(&self, make: impl FnOnce(&Repository, &Published) -> Result<Vec<Group>, Refusal>) -> Result<Done, Refusal> {
        let mut words = String::new();
        let repository = self.repository.open(&mut words)?;
        let key = self.key.load()?;
        let trust = repository.trust();
        let signer = Signer::new(trust, Kind::Index, &key).map_err(|error| error.refusal())?;
        let proposer = self.proposer(&repository, signer.name());
        let _lock = self.out.is_none().then(|| repository.lock()).transpose().map_err(|error| error.refusal())?;
        let Some(previous) = repository.published().map_err(|error| error.refusal())? else {
            return Err(Refusal::new(Exit::NotInIndex, "no-index", "nothing is published yet", "index/")
                .want("a published index that this could follow")
                .have("none")
                .next("proofmark release makes the first one"));
        };
        let changed = make(&repository, &previous)?;
        let draft = proposal::draft(trust, Some(&previous), &proposer, changed).map_err(|refusal| refusal.refusal())?;
        if draft.is_empty() {
            let what = format!("index {}", previous.index.version);
            return Err(VerbError::NoChange { what }.refusal());
        }
        let desk = Desk::new(&repository, &[], self.out.as_deref());
        let place = proposal::write(&desk, &draft, &signer).map_err(|error| error.refusal())?;
        let subject = Subject::Index(draft.next.index.version);
        words += &self.next(subject, &proposer, &place);
        let json =
            json!({ "ok": true, "proposal": subject.to_string(), "place": place, "proposer": proposer, "sha256": draft.next.digest });
        Ok(Done { data: format!("{place}\n"), json: format!("{json:#}\n"), words })
    }

    /// Who proposes: as named, else the holder of the key.
    pub(crate) fn proposer(&self, repository: &Repository, key: &Name) -> Name {
        let holder = repository.trust().keys.get(key).map(|key| key.holder.clone());
        self.proposer.clone().or(holder).unwrap_or_else(|| key.clone())
    }

    /// What comes next, in words.
    pub(crate) fn next(&self, subject: Subject, proposer: &Name, place: &str) -> String {
        let again = self.repository.again();
        match &self.out {
            None => format!(
                "proposal {subject}, by {proposer}\nnext: a reviewer other than {proposer} runs: proofmark approve {subject} {again} --key REVIEWER.key\n"
            ),
            Some(_) => format!(
                "proposal {subject}, by {proposer}, in {place}: mail the directory\nnext: a reviewer other than {proposer} runs: \
                 proofmark approve --proposal {place} --out SIGNED {again} --key REVIEWER.key\n"
            ),
        }
    }
}

/// A group of the newest index.
pub(crate) fn group<'a>(published: &'a Published, name: &GroupName) -> Result<&'a Group, Refusal> {
    let known = || published.groups.keys().map(ToString::to_string).collect();
    let found = published.groups.get(name).map(|group| &**group);
    found.ok_or_else(|| VerbError::NoGroup { group: name.clone(), known: known() }.refusal())
}

/// This machine's time, to be signed.
pub(crate) fn now() -> Result<Time, Refusal> {
    clock::now().ok_or_else(|| {
        Refusal::new(Exit::Clock, "clock", "this machine's clock is not set", "clock")
            .want("a time from 1970 to 9999")
            .have("another")
            .next("set the clock")
    })
}

/// A length of time on a command line, in seconds: 90s, 30m, 24h, 168h.
pub(crate) fn seconds(text: &str) -> Result<i64, String> {
    let duration: jiff::SignedDuration = text.parse().map_err(|_| "want a time like 24h or 30m".to_owned())?;
    match duration.as_secs() {
        seconds @ 1..=315_360_000 => Ok(seconds),
        _ => Err("want one second to ten years".into()),
    }
}
