//! A key that somebody else holds: an agent, a token, a key service, behind a command that signs what it reads.
//!
//! The command gets the message on standard input and writes the 64 bytes of the raw Ed25519 signature (RFC 8032) on standard output.
//! It is the user's own and as trusted as the shell it was typed into, but its answer is not: this file only runs it, within a time and
//! a size, and assembles minisign's envelope. It must never decide whether a signature is good: `signing` asks the core.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use blake2::{Blake2b512, Digest as _};
use data_encoding::BASE64;
use proofmark_core::key::PublicKey;

use crate::exit::{Exit, Refusal, Refuse};
use crate::interrupt::{self, Interrupted};

/// Bytes of an Ed25519 signature.
const SIGNATURE: usize = 64;
/// How long a command may take: somebody has to find the token and touch it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A command that signs with one key.
pub(super) struct External {
    pub(super) command: String,
    pub(super) patience: Duration,
}

/// The command gave no signature.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// It cannot be started, or what is to be signed cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A signal came while it ran.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// It ended with a failure.
    #[error("{0}")]
    Failed(std::process::ExitStatus),
    /// It did not end.
    #[error("nothing within {} seconds", .0.as_secs())]
    Slow(Duration),
    /// It wrote something else than one signature.
    #[error("{0} bytes")]
    Length(String),
}

impl ExternalError {
    /// The refusal to show for this command.
    pub(crate) fn refusal_of(&self, command: &str) -> Refusal {
        let refusal = |code, reason, what| Refusal::new(code, reason, what, command).have(self);
        match self {
            Self::Interrupted(error) => error.refusal(),
            Self::Io(_) => refusal(Exit::Io, "signer", "the signer cannot be used")
                .want("a command that reads a message and writes a signature")
                .next("nothing was written; try the command by itself: docs/signers.md"),
            Self::Failed(_) => refusal(Exit::Io, "signer-failed", "the signer failed")
                .want("exit status 0")
                .next("nothing was written; what the command said is above. docs/signers.md has commands that work"),
            Self::Slow(patience) => refusal(Exit::Io, "signer-slow", "the signer did not answer")
                .want(format!("a signature within {} seconds", patience.as_secs()))
                .next("nothing was written; unlock or touch the device and call again"),
            Self::Length(_) => refusal(Exit::Malformed, "signer-output", "the signer wrote something else than a signature")
                .want(format!("exactly {SIGNATURE} bytes on standard output: a raw Ed25519 signature, no text, no line end"))
                .next("nothing was written; docs/signers.md shows how to unwrap what agents and key services give"),
        }
    }
}

impl External {
    /// The two signatures of minisign's prehashed form (FORMAT.md section 3), as the bytes of a signature file. Nobody has verified it.
    pub(super) fn sign(&self, public: &PublicKey, reader: &mut dyn Read, comment: &str, untrusted: &str) -> Result<Vec<u8>, ExternalError> {
        let mut hash = Blake2b512::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                n => hash.update(&buffer[..n]),
            }
        }
        let signature = self.ask(&hash.finalize())?;
        let global = self.ask(&[&signature, comment.as_bytes()].concat())?;
        let line = [b"ED".as_slice(), public.id(), &signature].concat();
        let [line, global] = [&line[..], &global].map(|bytes| BASE64.encode(bytes));
        Ok(format!("untrusted comment: {untrusted}\n{line}\ntrusted comment: {comment}\n{global}\n").into_bytes())
    }

    /// Runs the command once. Its standard error is the user's terminal: some ask for a PIN there, or say what to touch.
    fn ask(&self, message: &[u8]) -> Result<[u8; SIGNATURE], ExternalError> {
        interrupt::check()?;
        let mut child = Command::new("/bin/sh").arg("-c").arg(&self.command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else { unreachable!("both are piped") };
        let message = message.to_vec();
        // Threads, since a command may neither read nor write; they end with it, or with this program.
        std::thread::spawn(move || {
            // A command that does not read its message signs something else, and the core says so.
            let _ = stdin.write_all(&message);
        });
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = (&mut stdout).take(SIGNATURE as u64 + 1).read_to_end(&mut bytes).map(|_| bytes);
            let _ = sender.send(read);
        });
        let begin = Instant::now();
        let bytes = loop {
            match receiver.recv_timeout(Duration::from_millis(20)) {
                Ok(read) => break read?,
                Err(_) => self.patient(&mut child, begin)?,
            }
        };
        // More than a signature is refused whatever follows: do not wait for a command that writes for ever.
        if bytes.len() > SIGNATURE {
            end(&mut child);
            return Err(ExternalError::Length("more".into()));
        }
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status,
                None => {
                    std::thread::sleep(Duration::from_millis(2));
                    self.patient(&mut child, begin)?;
                }
            }
        };
        if !status.success() {
            return Err(ExternalError::Failed(status));
        }
        let length = bytes.len();
        bytes.try_into().map_err(|_| ExternalError::Length(length.to_string()))
    }

    fn patient(&self, child: &mut Child, begin: Instant) -> Result<(), ExternalError> {
        let stop = match interrupt::check() {
            Err(error) => error.into(),
            Ok(()) if begin.elapsed() > self.patience => ExternalError::Slow(self.patience),
            Ok(()) => return Ok(()),
        };
        end(child);
        Err(stop)
    }
}

fn end(child: &mut Child) {
    // Both fail only when it has ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_11_a_signer_that_does_not_end_is_not_waited_for() {
        for command in ["exec sleep 100", "exec sleep 100 >&-", "cat >/dev/null; sleep 100"] {
            let slow = External { command: command.into(), patience: Duration::from_millis(100) };
            assert!(matches!(slow.ask(b"message"), Err(ExternalError::Slow(_))), "{command}");
        }
    }
}
