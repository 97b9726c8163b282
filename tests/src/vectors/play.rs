//! Plays a case through the trusted core: the steps of FORMAT.md section 7, from a tree in memory, at a given time.
//!
//! The order of the steps is the verifier's own (`update.rs`, `run.rs`, `init.rs`, `adopt.rs`, `latch.rs`), without its files, network
//! and clock. It decides nothing that the core decides.

use super::case::{Before, Case, Command, Given};
use super::repo::Tree;
use proofmark_core::admission::{Chain, Latching, Permit, Session, State};
use proofmark_core::adopt::Adopt;
use proofmark_core::bundle::{self, Discard};
use proofmark_core::group::Group;
use proofmark_core::halt::Halt;
use proofmark_core::json::Document;
use proofmark_core::name::GroupName;
use proofmark_core::trust::{Role, Trust};
use proofmark_core::{Digest, Kind, Reason, Refusal, Result, SignedFile, Verified, limits};
use proofmark_verifier::chain::{Reading, document_path, pinned_trust, signatures};
use proofmark_verifier::halts::settle;
use proofmark_verifier::paths::signature;
use proofmark_verifier::source::{Memory, Source};
use proofmark_verifier::store::bundle_path;

/// What a case led to.
pub struct Played {
    /// `Err` is the refusal.
    pub verdict: Result<()>,
    /// The state afterwards.
    pub after: Before,
    /// A start that must be said aloud: its head has expired.
    pub aloud: bool,
}

/// Plays one case.
pub fn play(case: &Case) -> Played {
    let source = Memory(case.tree.clone());
    let mut player = Player { case, source: &source, after: case.before.clone(), aloud: false };
    let verdict = player.command();
    Played { verdict, after: player.after, aloud: player.aloud }
}

struct Player<'a> {
    case: &'a Case,
    source: &'a Memory,
    after: Before,
    aloud: bool,
}

impl Player<'_> {
    fn command(&mut self) -> Result<()> {
        match (&self.case.command, self.case.before.clone()) {
            (Command::Init(given), Before::Blank) => self.init(given),
            (Command::Adopt(file, given), Before::Blank | Before::Lost) => self.adopt(file, given),
            (Command::Init(_), Before::Lost) | (_, Before::Lost) => Err(refusal(Reason::State, "a state")),
            (Command::Init(_) | Command::Adopt(..), Before::Whole(_)) => Err(refusal(Reason::StateExists, "no state")),
            (_, Before::Blank) => Err(refusal(Reason::NotSetUp, "a host that was set up")),
            (Command::Update, Before::Whole(state)) => self.update(&state),
            (Command::Run(group), Before::Whole(state)) => self.run(&state, group),
            (Command::Verify { full }, Before::Whole(state)) => self.verify(&state, *full),
            (Command::Halt(file), Before::Whole(state)) => self.halt(*state, file),
        }
    }

    fn offered<'a>(&'a self, state: &'a State) -> Reading<'a> {
        Reading::offered(state, self.case.now, self.source, self.source)
    }

    fn cached<'a>(&'a self, state: &'a State) -> Reading<'a> {
        Reading::cached(state, self.case.now, self.source)
    }

    fn init(&mut self, given: &Given) -> Result<()> {
        let state = first(given, &self.case.tree)?;
        let reading = self.offered(&state);
        let latest = reading.latest()?;
        let chain = reading.offered_chain(&latest)?;
        let mut next = chain.advance(&[])?;
        settle(&reading, &chain, &latest, &mut next)?;
        self.after = Before::Whole(Box::new(next));
        Ok(())
    }

    fn adopt(&mut self, file: &str, given: &Given) -> Result<()> {
        let fresh = first(given, &self.case.tree)?;
        let reading = self.offered(&fresh);
        let latest = reading.latest()?;
        let chain = reading.offered_chain(&latest)?;
        let adopt = Adopt::verify(chain.trust(), &self.beside(file, &chain.trust().roles.index, limits::ADOPT)?)?;
        let adopted = fresh.adopted(&adopt, self.case.now)?;
        let reading = self.offered(&adopted);
        let chain = reading.offered_chain(&latest)?;
        let mut next = chain.advance(&[])?;
        settle(&reading, &chain, &latest, &mut next)?;
        self.after = Before::Whole(Box::new(next));
        Ok(())
    }

    fn update(&mut self, state: &State) -> Result<()> {
        let reading = Reading::offered(state, self.case.now, self.source, self.source);
        let latest = reading.latest()?;
        let mut early = state.clone();
        if let Ok(session) = reading.session(latest.trust).or_else(|_| reading.accepted_session()) {
            for digest in &latest.halts {
                self.latch_hinted(&reading, &session, *digest, &mut early);
            }
        }
        self.after = Before::Whole(Box::new(early.clone()));
        let chain = reading.offered_chain(&latest)?;
        let (name, group) = self.assigned(&reading, &chain, state)?;
        self.bundle(&chain, &group)?;
        let mut next = chain.advance(&[(name, &group)])?;
        next.keep_noted(&early);
        settle(&reading, &chain, &latest, &mut next)?;
        self.after = Before::Whole(Box::new(next));
        Ok(())
    }

    fn latch_hinted(&self, reading: &Reading, session: &Session, digest: Digest, early: &mut State) {
        if let Ok(Some(file)) = reading.named(Kind::Halt, digest, Halt::LIMIT, &session.trust().roles.halt) {
            // A halt that nobody signed is ignored.
            let _ = session.latch(early, &file);
        }
    }

    /// Step 13, and 14: the repository's bundle; the store is empty.
    fn bundle(&self, chain: &Chain, group: &Group) -> Result<()> {
        let path = bundle_path(group)?;
        let absent = || refusal(Reason::Unreachable, &path);
        let bytes = self.case.tree.get(&path).ok_or_else(absent)?;
        let trust = chain.trust();
        let found = signatures(trust.roles.bundle.keys(), |key| self.source.read(&signature(&path, key), limits::SIGNATURE))?;
        // A download ends with the first byte too many.
        if bytes.len() as u64 != group.bundle.size {
            return Err(refusal(Reason::Size, &path));
        }
        bundle::verify(trust, group, &found, &mut bytes.as_slice())?;
        bundle::unpack(group, &mut bytes.as_slice(), &mut Discard)?;
        Ok(())
    }

    fn assigned(&self, reading: &Reading, chain: &Chain, state: &State) -> Result<(GroupName, Verified<Group>)> {
        let host = &state.identity.host;
        let mut listed = Vec::new();
        for name in state.groups.keys() {
            if let Some(bytes) = reading.group(chain, name)?
                && Group::verify(chain.trust(), chain.index(), name, &bytes)?.hosts.contains_key(host)
            {
                listed.push(name.clone());
            }
        }
        Chain::check_one_group(&listed, host)?;
        let name = listed.into_iter().next().or_else(|| state.groups.keys().next().cloned()).unwrap();
        let group = self.assign(reading, chain, state, &name)?;
        Ok((name, group))
    }

    fn assign(&self, reading: &Reading, chain: &Chain, state: &State, name: &GroupName) -> Result<Verified<Group>> {
        let bytes = reading.group(chain, name)?.unwrap_or_default();
        let previous = state.active(name).map(|active| reading.previous(active.group)).transpose()?;
        chain.assign(name, &bytes, previous.as_ref(), self.case.architecture)
    }

    fn run(&mut self, state: &State, name: &GroupName) -> Result<()> {
        state.check_latched(name)?;
        let reading = self.cached(state);
        let chain = reading.accepted()?;
        match state.groups.get(name) {
            Some(followed) if followed.active.is_some() => {}
            Some(_) => return Err(refusal(Reason::NotStaged, name)),
            None if !chain.index().groups.contains_key(name) => {}
            None => return Err(refusal(Reason::HostNotInGroup, name)),
        }
        let group = self.assign(&reading, &chain, state, name)?;
        self.assigned(&reading, &chain, state)?;
        let listed = chain.listed(|digest| reading.listed_halt(digest));
        let permit = chain.permit(name, &group, &listed)?;
        self.unpack(&group)?;
        self.aloud = matches!(permit, Permit::Grace(_));
        if permit == Permit::Fresh
            && let Before::Whole(after) = &mut self.after
            && let Some(active) = after.groups.get_mut(name).and_then(|followed| followed.active.as_mut())
        {
            active.started = true;
        }
        Ok(())
    }

    fn verify(&self, state: &State, full: bool) -> Result<()> {
        let reading = self.cached(state);
        let chain = reading.accepted()?;
        for (name, followed) in state.groups.iter().filter(|(_, followed)| followed.active.is_some()) {
            let group = self.assign(&reading, &chain, state, name)?;
            if followed.active.as_ref().map(|active| active.group) != Some(group.digest()) {
                return Err(refusal(Reason::NotStaged, name));
            }
            if full {
                self.bundle(&chain, &group)?;
            } else {
                self.unpack(&group)?;
            }
        }
        Ok(())
    }

    /// What the store holds of a bundle.
    fn unpack(&self, group: &Group) -> Result<()> {
        let path = bundle_path(group)?;
        let bytes = self.case.tree.get(&path).ok_or_else(|| refusal(Reason::State, &path))?;
        bundle::unpack(group, &mut bytes.as_slice(), &mut Discard).map(drop)
    }

    fn halt(&mut self, mut state: State, file: &str) -> Result<()> {
        let before = state.clone();
        let reading = Reading::cached(&before, self.case.now, self.source);
        let session = reading.accepted_session()?;
        let file = self.beside(file, &session.trust().roles.halt, Halt::LIMIT)?;
        match session.latch(&mut state, &file)? {
            Latching::Lifted => Err(refusal(Reason::Lifted, "a halt that was not lifted")),
            Latching::Elsewhere => Err(refusal(Reason::Elsewhere, "a halt for this host")),
            Latching::New | Latching::Known | Latching::Full => {
                self.after = Before::Whole(Box::new(state));
                Ok(())
            }
        }
    }

    /// A file that was carried here, with the signatures beside it.
    fn beside(&self, path: &str, role: &Role, limit: usize) -> Result<SignedFile> {
        let bytes = self.source.read(path, limit)?.ok_or_else(|| refusal(Reason::Io, path))?;
        let signatures = signatures(role.keys(), |key| self.source.read(&signature(path, key), limits::SIGNATURE))?;
        Ok(SignedFile { bytes, signatures })
    }
}

/// A host that knows its pinned trust and nothing else.
fn first(given: &Given, tree: &Tree) -> Result<State> {
    let source = Memory(tree.clone());
    if let Some(group) = given.groups.iter().find(|group| group.environment != given.environment) {
        return Err(refusal(Reason::Environment, group));
    }
    let bytes = source.read(&given.trust, Trust::LIMIT)?.ok_or_else(|| refusal(Reason::TrustPin, &given.trust))?;
    let (_, file) = pinned_trust(given.sha256, bytes, |trust, key| {
        source.read(&signature(&document_path(Kind::Trust, trust.version), key), limits::SIGNATURE)
    })?;
    let trust = Trust::pinned(given.sha256, &file)?;
    Ok(State::first(given.host.clone(), given.environment.clone(), &trust, given.groups.iter().cloned()))
}

fn refusal(reason: Reason, subject: impl std::fmt::Display) -> Refusal {
    Refusal::new(reason, subject, "as in FORMAT.md section 7", "otherwise")
}
