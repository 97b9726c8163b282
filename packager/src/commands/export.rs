//! `proofmark export`.

use std::path::PathBuf;

use clap::ValueEnum;
use proofmark::exit::{Refusal, Refuse};
use proofmark::progress::Progress as _;
use proofmark::provenance::key::Key;
use proofmark::provenance::{self, Names, dsse};
use proofmark::{bundle_file, digest};
use serde_json::json;

use super::Done;
use super::place::new_file;
use crate::terminal::Console;

/// Say about a release what the tools of others read
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Provenance(Provenance),
}

/// Write SLSA provenance v1 for a bundle: an in-toto statement in a signed envelope (DSSE)
///
/// Says which programs and which bundle came from which commit, crates and compilers. Hosts never read it; it is for cosign, in-toto,
/// policy engines. The same bundle, key and names give the same bytes. Every byte of the bundle is checked first, and the buildinfo
/// beside it must be the one that its manifest names; whether the bundle is the one that was released is yours to know: who signs
/// vouches for it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out export.pem\n  \
    proofmark export provenance releases/bundles/DIGEST/FILE.tar.zst --key export.pem --builder https://ci.example.org/release \\\n    \
    --source git+https://git.example.org/router --form sigstore --out FILE.sigstore.json\n  \
    cosign verify-blob-attestation --key export.pub --bundle FILE.sigstore.json --type slsaprovenance1 --insecure-ignore-tlog FILE.tar.zst\n\n\
    docs/provenance.md: what each field means, and how to verify it.")]
struct Provenance {
    /// The bundle, FILE.tar.zst, with FILE.buildinfo.json beside it
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Private key that signs: P-256, PEM, not encrypted
    #[arg(long, value_name = "FILE.pem", required_unless_present = "statement", conflicts_with = "statement")]
    key: Option<PathBuf>,
    /// Do not sign: print the statement alone, for cosign attest-blob --statement or another signer
    #[arg(long, conflicts_with = "form")]
    statement: bool,
    /// Who built, as a URI of your own: builder.id
    #[arg(long, value_name = "URI", value_parser = uri)]
    builder: String,
    /// Where the source is, as a git URI without the commit, e.g. git+https://HOST/PATH
    #[arg(long, value_name = "URI", value_parser = uri)]
    source: Option<String>,
    /// What is written around the statement
    #[arg(long, value_enum, default_value_t = Form::Dsse)]
    form: Form,
    /// Write to this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the key's id and the digests, or the refusal, as JSON; the envelope itself goes to --out
    #[arg(long, requires = "out")]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The envelope alone
    Dsse,
    /// The envelope in a Sigstore bundle, as cosign 3 wants it
    Sigstore,
}

impl Arguments {
    pub(super) fn is_json(&self) -> bool {
        let What::Provenance(arguments) = &self.what;
        arguments.json
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let What::Provenance(arguments) = &arguments.what;
    // Before the bundle, which may be large: a wrong key is found out at once.
    let key = arguments.key.as_deref().map(Key::load).transpose().map_err(|error| error.refusal())?;
    let console = Console::new();
    console.step("checking the bundle");
    let bundle = bundle_file::open(&arguments.bundle).map_err(|error| error.refusal())?;
    drop(console);
    let names = Names { builder: arguments.builder.clone(), source: arguments.source.clone() };
    let statement = provenance::statement(&bundle, &names).map_err(|error| error.refusal())?;
    let signed = key.as_ref().map(|key| key.sign(&dsse::to_sign(&statement))).transpose().map_err(|error| error.refusal())?;
    let (bytes, words) = match (&signed, arguments.form) {
        (None, _) => (statement.clone(), String::new()),
        (Some(signature), Form::Dsse) => (dsse::envelope(&statement, signature), words(key.as_ref())),
        (Some(signature), Form::Sigstore) => (dsse::sigstore_bundle(&statement, signature), words(key.as_ref())),
    };
    let json = json!({
        "ok": true,
        "bundle": bundle.digest,
        "statement": digest::sha256(&statement),
        "key_id": signed.map(|signature| signature.key_id),
        "public_key": key.map(|key| key.public_pem),
        "out": arguments.out,
    });
    Ok(Done { data: new_file(arguments.out.as_deref(), bytes)?, json: format!("{json:#}\n"), words })
}

fn words(key: Option<&Key>) -> String {
    key.map(|key| format!("who verifies needs this key:\n{}", key.public_pem)).unwrap_or_default()
}

/// A URI as far as it matters here: a scheme, and nothing that would break a line or a terminal (RFC 3986, section 3).
fn uri(text: &str) -> Result<String, String> {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c));
    if is_scheme && text.len() <= 1024 && text.bytes().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("want a URI such as https://ci.example.org/release".into())
}
