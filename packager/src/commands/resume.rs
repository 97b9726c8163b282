//! `proofmark resume`.

use proofmark::exit::{Refusal, Refuse};
use proofmark::halts;
use proofmark::proposal::Desk;
use proofmark::signing::Signer;
use proofmark::statement;
use proofmark_core::Kind;
use proofmark_core::halt::Scope;
use proofmark_core::name::GroupName;
use proofmark_core::text::escape;
use serde_json::json;

use super::Done;
use super::halt::no_halt;
use super::propose::{ProposeArguments, now};

/// Propose to lift halts: each needs what an index needs, a machine and a second person
///
/// WHAT is a group, `everything`, or the beginning of a halt's digest; every halt in force that fits gets its own resume. After approve and
/// publish, the next head tells the hosts. A lifted halt stays lifted.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  proofmark resume prod/router --reason \"1.3 assigned, counter checked in uat\" --repository releases --key ci-1.key --proposer alice\n  \
    proofmark approve resume-3f2a --repository releases --key bob-1.key && proofmark publish resume-3f2a --repository releases\n  \
    proofmark head --repository releases --key head-1.key"
)]
pub(crate) struct Arguments {
    /// ENV/ROLE, `everything`, or the beginning of a halt's digest
    #[arg(value_name = "WHAT")]
    what: String,
    /// Why it may run again: 1 to 120 bytes
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    pub(super) propose: ProposeArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let repository = arguments.propose.repository.open(&mut words)?;
    let scope = match arguments.what.parse::<GroupName>() {
        Ok(group) => Some(Scope::Group(group)),
        Err(_) if arguments.what == "everything" => Some(Scope::Everything),
        Err(_) => None,
    };
    let in_force = halts::in_force(&repository).map_err(|error| error.refusal())?;
    let digest = scope.is_none().then_some(arguments.what.as_str());
    let meant = statement::meant(&in_force, scope.as_ref(), digest);
    if meant.is_empty() {
        let known = in_force.iter().map(|halt| format!("{}: {}", halt.digest, halt.halt.scope)).collect();
        return Err(no_halt(&arguments.what, known));
    }
    let key = arguments.propose.key.load()?;
    let signer = Signer::new(repository.trust(), Kind::Resume, &key).map_err(|error| error.refusal())?;
    let proposer = arguments.propose.proposer(&repository, signer.name());
    let _lock = arguments.propose.out.is_none().then(|| repository.lock()).transpose().map_err(|error| error.refusal())?;
    let desk = Desk::new(&repository, &[], arguments.propose.out.as_deref());
    let (mut data, mut made) = (String::new(), Vec::new());
    for halt in meant {
        let (subject, bytes) = statement::resume(repository.trust(), halt.digest, arguments.reason.clone(), proposer.clone(), now()?)
            .map_err(|refusal| refusal.refusal())?;
        let place = statement::write(&desk, subject, &bytes, &signer).map_err(|error| error.refusal())?;
        words += &format!(
            "halt {}: {}, by {} at {}: \"{}\"\n",
            halt.digest,
            halt.halt.scope,
            halt.halt.by,
            halt.halt.issued,
            escape(&halt.halt.reason)
        );
        words += &arguments.propose.next(subject, &proposer, &place);
        data += &format!("{place}\n");
        made.push(subject.to_string());
    }
    let json = json!({ "ok": true, "proposals": made, "proposer": proposer });
    Ok(Done { data, json: format!("{json:#}\n"), words })
}
