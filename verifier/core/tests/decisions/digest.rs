//! Digests, and the words by which documents and refusals show what they hold.

use proofmark_core::Digest;
use proofmark_core::group::Mode;
use std::io::{self, Read};

/// Gives its content in pieces, and before each piece the error that it was told.
struct Broken(Vec<&'static [u8]>, io::ErrorKind);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.pop() {
            None => Ok(0),
            Some(b"") => Err(self.1.into()),
            Some(piece) => {
                buffer[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
        }
    }
}

#[test]
fn a_digest_is_of_all_that_a_reader_gives_or_there_is_none() {
    // From the last to the first.
    let pieces = || vec![b"c".as_slice(), b"", b"ab"];
    let (digest, length) = Digest::of_reader(&mut Broken(pieces(), io::ErrorKind::Interrupted)).unwrap();
    assert_eq!((digest, length), (Digest::of(b"abc"), 3));
    let error = Digest::of_reader(&mut Broken(pieces(), io::ErrorKind::WouldBlock)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn what_is_shown_is_what_documents_hold() {
    let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((Digest::of(b"abc").to_string(), format!("{:?}", Digest::of(b"abc"))), (hex.to_owned(), hex.to_owned()));
    for (mode, word) in [(Mode::Install, "install"), (Mode::Upgrade, "upgrade"), (Mode::Rollback, "rollback")] {
        assert_eq!((mode.to_string(), serde_json::to_string(&mode).unwrap()), (word.to_owned(), format!("\"{word}\"")));
    }
}
