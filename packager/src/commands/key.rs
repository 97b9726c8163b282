//! `proofmark key`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use proofmark::exit::{Refusal, Refuse};
use proofmark::keys::{self, Protection};
use proofmark_core::name::Name;
use serde_json::json;

use super::Done;
use super::place::{PasswordArguments, core, shown};

/// Make and show signing keys, in minisign's own format
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(New),
    Show(Show),
    Import(Import),
}

/// Make a key pair: NAME.key (secret, mode 0600) and NAME.pub
///
/// The name is the key's name in trust, for ever: give a person's next key a new one (alice-2). Files are never overwritten. Stock
/// minisign can use both files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark key new alice-1 --out keys\n  PROOFMARK_KEY_PASSWORD=... proofmark key new ci-1 --out keys")]
struct New {
    /// Name of the key
    #[arg(value_parser = core::<Name>)]
    name: Name,
    /// Where the files go; created where missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    password: PasswordArguments,
    /// Do not encrypt the secret key: whoever reads the file can sign
    #[arg(long, conflicts_with = "password_file")]
    dangerous_no_password: bool,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    json: bool,
}

/// Show a public key: the key, its id, and how it is named for `trust init`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark key show keys/alice-1.pub")]
struct Show {
    /// Public key file of minisign
    #[arg(value_name = "FILE.pub")]
    file: PathBuf,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    json: bool,
}

/// Make NAME.pub from the public key of an agent, a token or a key service
///
/// The secret key stays where it is; commands then take --signer COMMAND --signer-key NAME.pub (docs/signers.md). FILE is an OpenSSH
/// public key, a PEM with BEGIN PUBLIC KEY, or 64 hex digits; Ed25519 in each case.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  proofmark key import alice-1 --from ~/.ssh/id_ed25519.pub --out keys")]
struct Import {
    /// Name of the key
    #[arg(value_parser = core::<Name>)]
    name: Name,
    /// Public key of the other program
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Where the file goes; created where missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn is_json(&self) -> bool {
        match &self.command {
            Command::New(new) => new.json,
            Command::Show(show) => show.json,
            Command::Import(import) => import.json,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    match &arguments.command {
        Command::New(arguments) => new(arguments),
        Command::Show(arguments) => show(arguments),
        Command::Import(arguments) => import(arguments),
    }
}

fn import(arguments: &Import) -> Result<Done, Refusal> {
    let made = keys::import(&arguments.name, &arguments.from, &arguments.out).map_err(|error| error.refusal())?;
    let words = format!(
        "public key {}\nnext: give it to whoever makes trust: proofmark trust init {}\n",
        shown(&made.public),
        option(&arguments.name, &made.public)
    );
    let json = json!({ "ok": true, "name": arguments.name, "public": made.key, "id": keys::key_id(&made.key), "public_file": made.public });
    Ok(Done { data: format!("{}\n", made.key), json: format!("{json:#}\n"), words })
}

fn new(arguments: &New) -> Result<Done, Refusal> {
    let secret = arguments.out.join(format!("{}.key", arguments.name));
    let mut words = String::new();
    let protection = if arguments.dangerous_no_password {
        words += &format!("warning: {} is not encrypted: whoever reads it can sign as {}\n", shown(&secret), arguments.name);
        Protection::DangerousNone
    } else {
        Protection::Password(arguments.password.password(&secret, true).map_err(|error| error.refusal())?)
    };
    let made = keys::generate(&arguments.name, &arguments.out, protection).map_err(|error| error.refusal())?;
    words += &format!("secret key {} (mode 0600), public key {}\n", shown(&made.secret), shown(&made.public));
    words += &format!(
        "next: give {} to whoever makes trust: proofmark trust init {}\n",
        shown(&made.public),
        option(&arguments.name, &made.public)
    );
    let json = json!({ "ok": true, "name": arguments.name, "public": made.key, "id": keys::key_id(&made.key), "secret_file": made.secret, "public_file": made.public });
    Ok(Done { data: format!("{}\n", made.key), json: format!("{json:#}\n"), words })
}

fn show(arguments: &Show) -> Result<Done, Refusal> {
    let key = keys::load_public(&arguments.file).map_err(|error| error.refusal())?;
    let name = arguments.file.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse::<Name>().ok());
    let id = keys::key_id(&key);
    let mut words = format!("key id {id}\n");
    if let Some(name) = &name {
        words += &format!("for trust: proofmark trust init {}\n", option(name, &arguments.file));
    }
    let json = json!({ "ok": true, "public": key, "id": id });
    Ok(Done { data: format!("{key}\n"), json: format!("{json:#}\n"), words })
}

/// The option of `trust init` for a key; the group is for the caller to choose.
fn option(name: &Name, file: &Path) -> String {
    format!("--reviewer HOLDER:{name}={}   # or --owner, --ci, --head, --builder, --operator", shown(file))
}
