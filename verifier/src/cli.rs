//! The command line: what can be asked, and the words that explain it. It decides nothing.

use crate::core::name::{GroupName, Name};
use crate::core::{Digest, Reason, Refusal, Result};
use crate::host::Host;
use crate::report::{self, Report};
use crate::verify::Extent;
use crate::{adopt, init, latch, run, status, update, verify};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes (they never change; with --json a reason word says more):
   0 done                     2 usage                     79 flag ledger
  80 signature, threshold,   81 hash or size              82 not in the index
     second person           83 revoked                   84 rollback, equivocation
  85 expired                 86 host in two groups        87 halted
  88 gate closed             89 host in no group          90 malformed, limit
  91 this platform lacks     92 trust invalid             93 clock
     what is named           94 state                     95 I/O (retry)
  96 wrong environment,      97 payload policy            98 unreachable (retry)
     target, product, role   99 internal error           130 interrupted";

/// Lets a host start nothing but what the signed release index names.
#[derive(Parser, Debug)]
#[command(version, propagate_version = true, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// Directory that stands for `/`, for all host files
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    root: PathBuf,

    /// Print a JSON object on stdout, also for a refusal
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

/// Who a host is: what `init` and `adopt` are given.
#[derive(Args, Debug)]
struct Identity {
    /// The first trust document
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// Its SHA-256
    #[arg(long, value_name = "HEX")]
    sha256: Digest,
    /// This host's name in the index
    #[arg(long, value_name = "NAME")]
    host: Name,
    /// This host's environment
    #[arg(long, value_name = "ENV")]
    environment: Name,
    /// A group to follow; may be given again
    #[arg(long, value_name = "ENV/ROLE", required = true, num_args = 1..)]
    group: Vec<GroupName>,
    /// URL or directory of the repository; may be given again, they are tried in turn
    #[arg(long, value_name = "URL", required = true, num_args = 1..)]
    repository: Vec<String>,
}

impl Identity {
    fn given(&self) -> init::Identity {
        init::Identity {
            trust: self.trust.clone(),
            sha256: self.sha256,
            host: self.host.clone(),
            environment: self.environment.clone(),
            groups: self.group.clone(),
            repository: self.repository.clone(),
        }
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Set this host up, once
    #[command(
        long_about = "\
Set this host up, once: pin the first trust document, walk to a fresh head, write the host's identity.

The digest must come to you over another channel than the file. The host is what --host says, whatever its host name is.
The trust document's signatures are taken from beside it (FILE.KEY.minisig) or from the repository. Nothing is staged yet:
`update` does that. A host that was set up before is refused.",
        after_help = "\
Example:
  proofmark-verifier init --trust trust.json --sha256 3f5a... --host rtr-1 --environment prod \\
      --group prod/router --repository https://releases.example.org/

Exit codes: 0; 80 signature; 81 digest; 84 equivocation; 85 the head expired; 90 malformed; 91 too old; 92 not the pinned
trust; 93 clock; 94 set up before; 95 I/O; 96 a group of another environment; 98 unreachable, or no head yet."
    )]
    Init(Identity),
    /// Give this host a state again, where its own is missing or damaged
    #[command(
        long_about = "\
Give this host a state again, where its own is missing or damaged. Never where a whole one exists.

It takes a document that the people who sign the index have signed for this one host (proofmark adopt), with its signatures
beside it (FILE.KEY.minisig), and a head that was signed after that document. Versions that the document names are floors.
Halts that the document and the head name are latched; a halt that only this host had seen is lost with its state, so
publish every halt. The other arguments are those of the host's `init`.",
        after_help = "\
Example:
  proofmark-verifier adopt rtr-1.adopt.json --trust trust.json --sha256 3f5a... --host rtr-1 --environment prod \\
      --group prod/router --repository https://releases.example.org/

Exit codes: as init, and 84 the head is older than the document; 85 the document expired; 89 it is for another host."
    )]
    Adopt {
        /// The adopt document
        #[arg(value_name = "FILE")]
        document: PathBuf,
        #[command(flatten)]
        identity: Identity,
    },
    /// Latch a halt that came by another way than the repository; needs no network
    #[command(
        long_about = "\
Latch a halt that came by another way than the repository, with its signatures beside it (FILE.KEY.minisig). Needs no network.

From then on nothing that the halt stops starts here, also after a reboot, until its resume lifts it. It ends no process: stop
what runs with your service manager.",
        after_help = "\
Example:
  proofmark-verifier halt /media/usb/halt.json

Exit codes: 0, also where it was latched before; 80 not signed by a key of role halt; 84 it was lifted before; 89 it is about
other hosts and groups; 90 malformed; 94 state; 95 I/O."
    )]
    Halt {
        /// The halt
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Fetch, check and stage what the newest index assigns to this host
    #[command(
        long_about = "\
Fetch, check and stage what the newest index assigns to this host.

Everything is checked before anything is kept; a refusal changes nothing, but a halt that was seen stays latched. What runs
goes on running: stop and start it with your service manager. While a halt is in force everything is staged as ever and
nothing starts; a resume is found here. Two updates at once take turns.",
        after_help = "\
Example:
  proofmark-verifier update

Exit codes: any but 2, 87, 88 and 130. 95 and 98 may be tried again; the others need somebody to look."
    )]
    Update,
    /// Start a group's payload in place of this process, or refuse
    #[command(
        long_about = "\
Start a group's payload in place of this process, or refuse. Needs no network.

Documents and manifest are checked again, every file is copied to a private file system, sealed and hashed, and becomes the
payload's root. The payload gets its own user, environment, limits and nothing of the host but what the manifest names; it
keeps this process id, so Type=notify works. Without root it runs as you, in a user namespace.",
        after_help = "\
Example, in a systemd unit:
  ExecStart=/usr/bin/proofmark-verifier run prod/router
  RestartPreventExitStatus=79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 96 97

Exit codes: the payload's own once it runs; before, any but 2, 92 trust-missing, 98 and 130. 95 may be tried again."
    )]
    Run {
        /// The group, as in prod/router
        #[arg(value_name = "ENV/ROLE")]
        group: GroupName,
    },
    /// Check what is stored, without starting it
    #[command(
        long_about = "\
Check what is stored, without starting it: the chain of documents, the manifest, and the content of every file.
With --full also the bundle itself: its signatures and every byte. Changes nothing, needs no network.",
        after_help = "\
Example:
  proofmark-verifier verify prod/router --full

Exit codes: 0 everything is as it was accepted; else the code of what is not: 79 to 84, 86, 89 to 97."
    )]
    Verify {
        /// One group; without it, all that have something staged
        #[arg(value_name = "ENV/ROLE")]
        group: Option<GroupName>,
        /// Also the bundle: signatures and every byte
        #[arg(long)]
        full: bool,
    },
    /// Show who this host is, what it has accepted, and whether each group would start now
    #[command(after_help = "\
Example:
  proofmark-verifier status --json | jq '.groups[].would_start'

Exit codes: 0, also where a start would be refused (the output says why); 94 no usable state; 95 I/O.")]
    Status,
}

/// Runs the program; gives its exit code.
pub fn main() -> u8 {
    // Files are made with the modes that FORMAT.md says, whoever starts this.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { Reason::Usage.code() } else { 0 };
        }
    };
    let outcome = std::panic::catch_unwind(|| execute(&cli))
        .unwrap_or_else(|_| Err(Refusal::new(Reason::Internal, "proofmark-verifier", "no panic", "a panic; its message is above")));
    report::print(&outcome, cli.json)
}

fn execute(cli: &Cli) -> Result<Report> {
    let host = Host::new(&cli.root);
    match &cli.command {
        Command::Init(identity) => init::init(&host, &identity.given()),
        Command::Adopt { document, identity } => adopt::adopt(&host, &identity.given(), document),
        Command::Halt { file } => latch::halt(&host, file),
        Command::Update => update::update(&host),
        Command::Run { group } => Err(run::run(&host, group)),
        Command::Verify { group, full } => verify::verify(&host, group.as_ref(), if *full { Extent::Bundle } else { Extent::Files }),
        Command::Status => status::status(&host),
    }
}
