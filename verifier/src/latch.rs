//! `halt FILE`: a halt that came by another way than the repository. Latches it, and needs no network.
//!
//! It waits for no update: the latch is written between two steps of one. It never lifts anything, and ends no process.

use crate::chain::{Reading, signatures};
use crate::failure;
use crate::files::Directory;
use crate::halts::announce;
use crate::host::Host;
use crate::paths::signature;
use crate::report::Report;
use crate::run::accepted;
use crate::state;
use proofmark_core::admission::{Latching, describe};
use proofmark_core::halt::Halt;
use proofmark_core::json::Document;
use proofmark_core::text::escape;
use proofmark_core::{Digest, Reason, Refusal, Result, SignedFile, limits};
use serde_json::json;
use std::path::Path;

/// Latches the halt in `file`, with the signatures beside it, under the accepted trust.
pub fn halt(host: &Host, file: &Path) -> Result<Report> {
    let (snapshot, documents) = accepted(host)?;
    let reading = Reading::cached(&snapshot.state, crate::clock::now()?, &*documents);
    let session = reading.accepted_session()?;
    let file = read(file, session.trust().roles.halt.keys())?;
    let digest = Digest::of(&file.bytes);
    let (next, latching) = state::note(host, |next| session.latch(next, &file))?;
    let text = next.latched.get(&digest).map_or_else(|| format!("halt {digest}"), |halt| describe(&digest, halt.as_ref()));
    let subject = format!("halt {digest}");
    let change = match latching {
        Latching::New => "latched",
        Latching::Known => "latched before",
        Latching::Full => "not kept: there are so many that they count as a halt of everything",
        Latching::Lifted => return Err(Refusal::new(Reason::Lifted, subject, "a halt that was not lifted", "one that was")),
        Latching::Elsewhere => {
            let want = format!("a halt of everything, of {}, of one of its groups, or of a bundle", next.identity.host);
            return Err(Refusal::new(Reason::Elsewhere, subject, want, "a halt of another host or group"));
        }
    };
    announce(&snapshot.state, &next);
    let mut report = Report::new(json!({ "result": "done", "halt": digest, "change": change, "latched": next.latched.len() }));
    report.line(format!("{change}: {}", escape(&text)));
    report.line("nothing that it stops starts on this host any more; what runs must be stopped with the service manager".to_owned());
    Ok(report)
}

/// A document and the signatures beside it, `FILE.KEY.minisig` of these keys.
pub fn read<'k>(path: &Path, keys: impl Iterator<Item = &'k proofmark_core::name::Name>) -> Result<SignedFile> {
    let absolute = std::path::absolute(path).map_err(failure::io(path, "a file"))?;
    let none = || Refusal::new(Reason::Io, absolute.display(), "a file, with FILE.KEY.minisig beside it", "no such file");
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name().and_then(|name| name.to_str())) else { return Err(none()) };
    let directory = Directory::open(parent)?.ok_or_else(none)?;
    let bytes = directory.read(name, Halt::LIMIT.max(limits::ADOPT))?.ok_or_else(none)?;
    let signatures = signatures(keys, |key| directory.read(&signature(name, key), limits::SIGNATURE))?;
    Ok(SignedFile { bytes, signatures })
}
