//! Resume and adopt: statements that need what an index needs, a machine and a second person, and carry no bundle.
//!
//! A resume lifts one halt and lies in the repository; an adopt document brings one host back and is carried to it. This file must never
//! put a resume in place that the core does not accept for the halt in its name.

use std::collections::BTreeSet;
use std::io::Cursor;

use proofmark_core::adopt::Adopt;
use proofmark_core::halt::{Halt, Scope};
use proofmark_core::index::Pin;
use proofmark_core::json::{self, Document};
use proofmark_core::name::{GroupName, Name};
use proofmark_core::resume::Resume;
use proofmark_core::signature::{self, SignedFile};
use proofmark_core::trust::Trust;
use proofmark_core::{Digest, Kind, Reason, Refusal, Time};

use crate::halts::{self, InForce};
use crate::proposal::{self, Desk, ProposalError, Subject};
use crate::repository::{Repository, RepositoryError};
use crate::signing::Signer;

/// What is stated.
#[derive(Clone, Debug)]
pub enum What {
    /// A halt ends.
    Resume(Resume, Option<Halt>),
    /// A host comes back.
    Adopt(Adopt),
}

/// A resume or adopt document, as far as it is signed.
#[derive(Debug)]
pub struct Statement {
    /// Which.
    pub subject: Subject,
    /// The bytes and the signatures so far.
    pub file: SignedFile,
    /// What it says.
    pub what: What,
    /// Keys whose signatures are there and valid.
    pub signers: BTreeSet<Name>,
}

/// The resume of a halt, by whoever proposes it.
pub fn resume(trust: &Trust, halt: Digest, reason: String, proposer: Name, now: Time) -> proofmark_core::Result<(Subject, Vec<u8>)> {
    let resume = Resume { format: 1, kind: Resume::KIND.into(), repository: trust.repository.clone(), halt, reason, proposer, issued: now };
    let bytes = json::print(&resume);
    let subject = Subject::Resume(halt);
    json::parse::<Resume>(&bytes, &subject.file())?;
    Ok((subject, bytes))
}

/// The adopt document of a host: its groups, the newest documents as floors, the halts that concern it.
///
/// # Errors
/// Where the newest index lists the host in no group, or there is no head.
pub fn adopt(repository: &Repository, host: &Name, proposer: Name, now: Time, seconds: i64) -> Result<(Subject, Vec<u8>), ProposalError> {
    let trust = repository.trust();
    let lacks = |want: &str, have: String| Refusal::new(Reason::HostNotInGroup, format_args!("host {host}"), want, have);
    let published = repository.published()?.ok_or_else(|| lacks("a published index", "none".into()))?;
    let groups: Vec<GroupName> =
        published.groups.iter().filter(|(_, group)| group.hosts.contains_key(host)).map(|(name, _)| name.clone()).collect();
    let Some(first) = groups.first() else {
        let have = format!("groups {}", published.groups.keys().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        return Err(lacks("a group of the newest index that lists it", have).into());
    };
    let heads = repository.heads()?;
    // The version of a thief's head would be a floor that nothing ends.
    let head = heads.floor(trust).ok_or_else(|| {
        lacks(
            &format!("a head by a key of trust {}, as a floor: proofmark head makes one", trust.version),
            format!("head {}", heads.newest),
        )
    })?;
    let halts = halts::in_force(repository)?;
    let concerned = halts.iter().filter(|halt| groups.iter().any(|name| halts::concerns(halt, name, &published.groups[name])));
    let first_trust = repository.trusts().first().map_or(trust, |first| first);
    let adopt = Adopt {
        format: 1,
        kind: Adopt::KIND.into(),
        repository: trust.repository.clone(),
        host: host.clone(),
        environment: first.environment.clone(),
        first_trust: Pin { version: first_trust.version, sha256: first_trust.digest() },
        trust: Pin { version: trust.version, sha256: trust.digest() },
        index: Pin { version: published.index.version, sha256: published.index.digest() },
        head: Pin { version: head.version, sha256: head.digest() },
        halts: concerned.map(|halt| halt.digest).collect(),
        groups,
        proposer,
        issued: now,
        expires: now.plus(seconds),
    };
    let bytes = json::print(&adopt);
    let subject = Subject::Adopt(Digest::of(&bytes));
    json::parse::<Adopt>(&bytes, &subject.file())?;
    Ok((subject, bytes))
}

/// Halts in force that a person means.
pub fn meant<'a>(halts: &'a [InForce], scope: Option<&Scope>, digest: Option<&str>) -> Vec<&'a InForce> {
    let by_scope = |halt: &&InForce| scope.is_none_or(|scope| halt.halt.scope == *scope);
    let by_digest = |halt: &&InForce| digest.is_none_or(|digest| halt.digest.to_string().starts_with(digest));
    halts.iter().filter(by_scope).filter(by_digest).collect()
}

/// Signs a new statement and writes it. Returns where it lies.
pub fn write(desk: &Desk<'_>, subject: Subject, bytes: &[u8], signer: &Signer<'_>) -> Result<String, ProposalError> {
    let trust = desk.repository().trust();
    desk.check_free(subject, bytes)?;
    let file = sign(&SignedFile { bytes: bytes.to_vec(), signatures: Vec::new() }, subject, signer)?;
    let statement = parse(trust, subject, file)?;
    proposal::check_author(trust, &subject.file(), statement.proposer(), &statement.signers)?;
    desk.write(subject, &[(trust, &trust.roles.index)], &statement.file, &Default::default())
}

/// Reads one and checks everything but whether the role is met.
pub fn read(desk: &Desk<'_>, subject: Subject) -> Result<Statement, ProposalError> {
    let trust = desk.repository().trust();
    let file = desk.signed(subject, &[(trust, &trust.roles.index)])?;
    let mut statement = parse(trust, subject, file)?;
    proposal::check_author(trust, &subject.file(), statement.proposer(), &statement.signers)?;
    if let What::Resume(resume, halt) = &mut statement.what {
        let file = halts::read(desk.repository(), resume.halt, trust)?;
        *halt = file.and_then(|file| Halt::listed(&trust.repository, resume.halt, &file.bytes));
    }
    Ok(statement)
}

fn parse(trust: &Trust, subject: Subject, file: SignedFile) -> proofmark_core::Result<Statement> {
    let name = subject.file();
    let comment = signature::comment(&trust.repository, subject.kind(), None, &name);
    let role = &trust.roles.index;
    let bytes = &mut file.bytes.as_slice();
    let signers = signature::verify_signatures(trust, role, &comment, &name, &file.signatures, bytes, &|_, _| Ok(()))?.signers;
    if signers.is_empty() {
        return Err(Refusal::new(Reason::Threshold, name, "a signature by a key of role index", "none"));
    }
    let wrong = |want: String, have: String| Err(Refusal::new(Reason::WrongDocument, &name, want, have));
    let (what, repository) = match subject {
        Subject::Resume(halt) => {
            let resume: Resume = json::parse(&file.bytes, &name)?;
            if resume.halt != halt {
                return wrong(format!("halt {halt}"), format!("halt {}", resume.halt));
            }
            let repository = resume.repository.clone();
            (What::Resume(resume, None), repository)
        }
        _ => {
            let adopt: Adopt = json::parse(&file.bytes, &name)?;
            if subject != Subject::Adopt(Digest::of(&file.bytes)) {
                return wrong(name.clone(), format!("sha256 {}", Digest::of(&file.bytes)));
            }
            let repository = adopt.repository.clone();
            (What::Adopt(adopt), repository)
        }
    };
    if repository != trust.repository {
        return wrong(format!("repository {}", trust.repository), repository.to_string());
    }
    Ok(Statement { subject, file, what, signers })
}

fn sign(file: &SignedFile, subject: Subject, signer: &Signer<'_>) -> Result<SignedFile, ProposalError> {
    let signature = signer.sign(subject.kind(), None, &subject.file(), &mut Cursor::new(&file.bytes))?;
    let mut file = file.clone();
    file.signatures.retain(|(key, _)| key != signer.name());
    file.signatures.push((signer.name().clone(), signature));
    Ok(file)
}

impl Statement {
    /// Holder who wrote it.
    pub fn proposer(&self) -> &Name {
        match &self.what {
            What::Resume(resume, _) => &resume.proposer,
            What::Adopt(adopt) => &adopt.proposer,
        }
    }

    /// What is still missing: the core's words.
    pub fn missing(&self, trust: &Trust) -> Option<String> {
        let refusal = trust.check_second_person(self.proposer(), &self.signers).err()?;
        Some(format!("{}; have {}", refusal.want(), refusal.have()))
    }

    /// Adds a signature to the very bytes that were shown. Returns where it lies.
    pub fn approve(&self, desk: &Desk<'_>, signer: &Signer<'_>) -> Result<String, ProposalError> {
        let trust = desk.repository().trust();
        let file = sign(&self.file, self.subject, signer)?;
        desk.write(self.subject, &[(trust, &trust.roles.index)], &file, &Default::default())
    }

    /// The core's verdict; a resume is put in place, an adopt document stays where it lies, to be carried to its host.
    pub fn publish(&self, desk: &Desk<'_>) -> Result<Option<String>, ProposalError> {
        let repository = desk.repository();
        let trust = repository.trust();
        match (&self.subject, &self.what) {
            (Subject::Resume(halt), _) => {
                Resume::verify(trust, *halt, &self.file)?;
                if halts::read(repository, *halt, trust)?.is_none() {
                    let path = format!("halt/{halt}.halt.json");
                    return Err(RepositoryError::Missing { path, place: repository.place() }.into());
                }
                let check = |file: &SignedFile| Resume::verify(trust, *halt, file).map(drop);
                let path = format!("resume/{}", self.subject.file());
                repository.write_document(&path, Kind::Resume, None, &self.file, &check)?;
                repository.update_latest()?;
                Ok(Some(path))
            }
            _ => Adopt::verify(trust, &self.file).map(|_| None).map_err(ProposalError::from),
        }
    }

    /// In words.
    pub fn words(&self, trust: &Trust) -> String {
        let names = |names: &BTreeSet<Name>| names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        let mut out = match &self.what {
            What::Resume(resume, halt) => {
                let halt = match halt {
                    Some(halt) => {
                        format!("{}, by {} at {}: {:?}", halt.scope, halt.by, halt.issued, proofmark_core::text::escape(&halt.reason))
                    }
                    None => "which this repository does not have".into(),
                };
                format!(
                    "resume: lifts halt {}, for ever\n  the halt     {halt}\n  because      {:?}\n  after it     what it stopped may start again, as the newest index and head say\n",
                    resume.halt,
                    proofmark_core::text::escape(&resume.reason)
                )
            }
            What::Adopt(adopt) => {
                let groups = adopt.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                format!(
                    "adopt: host {} of {groups} comes back without its state\n  floors       trust {}, index {}, head {}\n  halts        {} that it must latch\n  until        {}\n  ask          was its state lost, or taken away? is it this host? who asked?\n",
                    adopt.host,
                    adopt.trust.version,
                    adopt.index.version,
                    adopt.head.version,
                    adopt.halts.len(),
                    adopt.expires
                )
            }
        };
        out += &format!("  proposed by  {}\n  signed by    {}\n", self.proposer(), names(&self.signers));
        if let Some(missing) = self.missing(trust) {
            out += &format!("  missing      {missing}\n");
        }
        out
    }
}
