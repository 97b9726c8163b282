//! DSSE, the envelope of in-toto: what exactly is signed, and the two forms in which others read it.

use data_encoding::BASE64;
use serde::Serialize;

use super::key::Signature;

/// Media type of a statement.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Media type of Sigstore's bundle, version 0.3.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The bytes that are signed: version 1 of the pre-authentication encoding, over the type and the payload.
pub fn to_sign(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    payload: String,
    payload_type: &'static str,
    signatures: [Signed<'a>; 1],
}

#[derive(Serialize)]
struct Signed<'a> {
    keyid: &'a str,
    sig: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'a> {
    media_type: &'static str,
    verification_material: Material<'a>,
    dsse_envelope: Envelope<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Material<'a> {
    public_key: Hint<'a>,
    /// None; some readers want to be told.
    tlog_entries: [(); 0],
}

#[derive(Serialize)]
struct Hint<'a> {
    hint: &'a str,
}

/// The envelope alone, as in-toto's own tools and securesystemslib take it.
pub fn envelope(payload: &[u8], signature: &Signature) -> Vec<u8> {
    print(&signed(payload, signature))
}

/// The envelope inside a Sigstore bundle, as cosign 3 takes it. It has no entry of a transparency log.
pub fn sigstore_bundle(payload: &[u8], signature: &Signature) -> Vec<u8> {
    print(&Bundle {
        media_type: BUNDLE,
        verification_material: Material { public_key: Hint { hint: &signature.hint }, tlog_entries: [] },
        dsse_envelope: signed(payload, signature),
    })
}

fn signed<'a>(payload: &[u8], signature: &'a Signature) -> Envelope<'a> {
    Envelope {
        payload: BASE64.encode(payload),
        payload_type: PAYLOAD_TYPE,
        signatures: [Signed { keyid: &signature.key_id, sig: BASE64.encode(&signature.der) }],
    }
}

fn print(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("string keys, and no serializer of its own that fails");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_binds_the_type_and_both_lengths() {
        assert_eq!(to_sign(b"{}"), b"DSSEv1 28 application/vnd.in-toto+json 2 {}");
    }
}
