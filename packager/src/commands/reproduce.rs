//! `proofmark reproduce`.

use std::path::PathBuf;

use proofmark::exit::{Exit, Refusal, Refuse};
use proofmark::proposal::{Desk, Subject};
use proofmark::reproduce::{self, Request, Vouch, Which};
use proofmark_core::Digest;
use proofmark_core::name::GroupName;
use serde_json::json;

use super::Done;
use super::place::{FromArguments, PasswordArguments, core, external, shown};
use super::sign::proposed;
use crate::terminal::Console;

/// Build a published release again, from the repository alone, and compare
///
/// Takes source, crates and layers from inputs/ of the repository, each checked against the buildinfo, which the signed bundle pins. Needs
/// no registry, no package mirror, no git and no network. The whole bundle is packed again and compared: the same bytes, or 81, and both
/// are kept.
///
/// With --sign, a builder vouches: first the builder's own sources must confirm what the release was built from (the clone has the same
/// files at the same commit; its Cargo.lock names the crates; the package client and the toolchain of this machine give the layers). What
/// they do not confirm is named, and nothing is built or signed. Then the builder's signature goes beside the bundle.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  proofmark reproduce prod/router --from releases\n  \
    proofmark reproduce router 1.2 prod --from releases\n  \
    proofmark reproduce BUNDLE-SHA256 --from releases --sign keys/carol-1.key --source ~/src/router")]
pub(crate) struct Arguments {
    /// SHA-256 of a bundle, its path in the repository, a group (ENV/ROLE), or PRODUCT RELEASE ENV
    #[arg(required = true, num_args = 1..=3, value_name = "BUNDLE")]
    which: Vec<String>,
    #[command(flatten)]
    from: FromArguments,
    /// The builder's secret key: vouch for the bundle if it comes out the same
    #[arg(long, value_name = "FILE.key", requires = "source", conflicts_with = "signer")]
    sign: Option<PathBuf>,
    /// Command that holds the builder's key (docs/signers.md), instead of --sign
    #[arg(long, value_name = "COMMAND", requires_all = ["source", "signer_key"])]
    signer: Option<String>,
    /// Public key of --signer
    #[arg(long, value_name = "FILE.pub", requires = "signer")]
    signer_key: Option<PathBuf>,
    /// The builder's own clone: directory of proofmark.toml in it
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// The proposed rotation that makes the key a builder's [default: the newest trust]
    #[arg(long, value_name = "trust-N", value_parser = core::<Subject>, requires = "source")]
    under: Option<Subject>,
    /// Write the signature into this directory, to be mailed, and not into the repository
    #[arg(long, value_name = "DIR", requires = "source")]
    out: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArguments,
    /// Rust toolchain, for a release that was built with the compilers of its host [default: the release's own]
    #[arg(long, value_name = "DIR")]
    toolchain: Option<PathBuf>,
    /// Where temporary files go, some gigabytes [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print the result, or the refusal, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// One word is a digest, a path or a group; three are product, release and environment.
fn which(words: &[String]) -> Result<Which, Refusal> {
    let wrong = || {
        Refusal::new(Exit::Usage, "which-bundle", "this names no bundle", words.join(" "))
            .want("SHA-256 of a bundle, its path in the repository, a group (ENV/ROLE), or PRODUCT RELEASE ENV")
            .have(words.join(" "))
            .next("see proofmark reproduce --help")
    };
    match words {
        [one] => {
            let in_path = one.split_once("bundles/").and_then(|(_, rest)| rest.split('/').next());
            let digest = in_path.unwrap_or(one).parse::<Digest>().ok().map(Which::Bundle);
            digest.or_else(|| one.parse::<GroupName>().ok().map(Which::Group)).ok_or_else(wrong)
        }
        [product, release, environment] => match (product.parse(), release.parse(), environment.parse()) {
            (Ok(product), Ok(release), Ok(environment)) => Ok(Which::Release(product, release, environment)),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Done, Refusal> {
    let mut words = String::new();
    let which = which(&arguments.which)?;
    let repository = arguments.from.open(&mut words)?;
    let key = match (&arguments.sign, &arguments.signer, &arguments.signer_key) {
        (Some(path), ..) => Some(arguments.password.load(path)?),
        (None, Some(command), Some(public)) => Some(external(command, public)?),
        _ => None,
    };
    let trust = match arguments.under {
        None => (**repository.trust()).clone(),
        Some(subject) => proposed(&Desk::new(&repository, &[], None), subject)?,
    };
    let worker = std::env::current_exe().map_err(|error| Refusal::new(Exit::Internal, "exe", "cannot find this program", error))?;
    let request = Request { which, toolchain: arguments.toolchain.clone(), scratch: arguments.scratch.clone(), worker };
    let vouch = match (&key, &arguments.source) {
        (Some(key), Some(clone)) => Some(Vouch { key, trust: &trust, clone, out: arguments.out.as_deref() }),
        _ => None,
    };
    let console = Console::new();
    let done = reproduce::reproduce(&repository, &request, vouch.as_ref(), &console).map_err(|error| error.refusal())?;
    drop(console);

    let newest = repository.trust().version;
    let under =
        |version: u64| if version == newest { String::new() } else { format!(", whom trust {version} named; {newest} is the newest") };
    let signers = done.signers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    words += &format!(
        "identical: {} inputs of the repository make the same bundle; signed before by {signers}{}\n",
        done.inputs,
        under(done.trust)
    );
    if let Some((key, place)) = &done.signed {
        words += &match &arguments.out {
            None => format!("signed by {key}: {place}\n"),
            Some(out) => format!(
                "signed by {key}, in {}\nnext: mail the file to whoever writes the repository; it belongs beside the bundle, under its name: {}\n",
                shown(out),
                done.path
            ),
        };
    }
    let json = json!({ "ok": true, "identical": true, "bundle": done.bundle, "path": done.path, "inputs": done.inputs, "signed_before": done.signers, "trust": done.trust,
        "signed_by": done.signed.as_ref().map(|(key, _)| key), "signature": done.signed.as_ref().map(|(_, place)| place) });
    Ok(Done { data: format!("{}  {}\n", done.bundle, done.path), json: format!("{json:#}\n"), words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_has_four_names() {
        let digest = Digest::of(b"x");
        let of = |words: &[&str]| which(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[&digest.to_string()]).unwrap(), Which::Bundle(digest));
        assert_eq!(of(&[&format!("bundles/{digest}/router-1-prod+t.tar.zst")]).unwrap(), Which::Bundle(digest));
        assert!(matches!(of(&["prod/router"]).unwrap(), Which::Group(_)));
        assert!(matches!(of(&["router", "1.2", "prod"]).unwrap(), Which::Release(..)));
        for wrong in [&["router"][..], &["router", "1.2"], &["Router", "1.2", "prod"], &["../x"]] {
            assert_eq!(of(wrong).unwrap_err().reason, "which-bundle");
        }
    }
}
