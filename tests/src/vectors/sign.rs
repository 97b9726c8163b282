//! Test keys that are the same on every machine, and signature files written byte by byte, so that each byte can be wrong.
//!
//! A key is derived from its name: anybody can sign with it. Never put one of them into a trust document that a host pins.

use blake2::{Blake2b512, Digest as _};
use data_encoding::BASE64;
use proofmark_core::Digest;
use proofmark_core::key::PublicKey;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// The parts of a signature file, before they are joined.
#[derive(Clone)]
pub struct Envelope {
    pub untrusted: String,
    pub algorithm: [u8; 2],
    pub id: [u8; 8],
    pub signature: [u8; 64],
    pub trusted: String,
    pub global: [u8; 64],
}

/// The secret half of key `name`.
fn pair(name: &str) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&bytes::<32>("seed", name)).unwrap()
}

/// The first bytes of the digest of a constant text.
fn bytes<const N: usize>(what: &str, name: &str) -> [u8; N] {
    let text = format!("proofmark test vectors: {what} of {name}");
    let digest = data_encoding::HEXLOWER.decode(Digest::of(text.as_bytes()).to_string().as_bytes()).unwrap();
    digest[..N].try_into().unwrap()
}

/// minisign's key id of key `name`.
pub fn id(name: &str) -> [u8; 8] {
    bytes("id", name)
}

/// The public half of key `name`.
pub fn public(name: &str) -> PublicKey {
    PublicKey::from_base64(&encode(&id(name), pair(name).public_key().as_ref())).unwrap()
}

/// minisign's spelling of a public key.
pub fn encode(id: &[u8; 8], key: &[u8]) -> String {
    BASE64.encode(&[b"Ed", id.as_slice(), key].concat())
}

/// A signature of `bytes` by key `name` under `comment`.
pub fn envelope(name: &str, comment: &str, bytes: &[u8]) -> Envelope {
    let pair = pair(name);
    let signature: [u8; 64] = pair.sign(&Blake2b512::digest(bytes)).as_ref().try_into().unwrap();
    let mut envelope = Envelope {
        untrusted: "signature from a test key".into(),
        algorithm: *b"ED",
        id: id(name),
        signature,
        trusted: comment.into(),
        global: [0; 64],
    };
    envelope.seal(name);
    envelope
}

/// A signature file of `bytes` by key `name` under `comment`.
pub fn sign(name: &str, comment: &str, bytes: &[u8]) -> Vec<u8> {
    envelope(name, comment, bytes).print().into_bytes()
}

impl Envelope {
    /// Signs what line 4 is over, as it stands now.
    pub fn seal(&mut self, name: &str) {
        let over = [self.signature.as_slice(), self.trusted.as_bytes()].concat();
        self.global = pair(name).sign(&over).as_ref().try_into().unwrap();
    }

    /// The four lines.
    pub fn print(&self) -> String {
        format!(
            "untrusted comment: {}\n{}\ntrusted comment: {}\n{}\n",
            self.untrusted,
            BASE64.encode(&[self.algorithm.as_slice(), &self.id, &self.signature].concat()),
            self.trusted,
            BASE64.encode(&self.global)
        )
    }
}

/// The same signature with the group's order added to S: what a verifier that does not look at S's size takes for another one.
pub fn malleate(signature: &[u8; 64]) -> [u8; 64] {
    // 2^252 + 27742317777372353535851937790883648493, little-endian.
    let mut order = [0u8; 32];
    order[..16].copy_from_slice(&27742317777372353535851937790883648493u128.to_le_bytes());
    order[31] = 0x10;
    let mut malleated = *signature;
    let mut carry = 0;
    for (byte, more) in malleated[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    malleated
}
