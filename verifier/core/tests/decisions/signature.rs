//! Section 3: the envelope, the comment, and whose signatures count.

use crate::world::*;
use data_encoding::BASE64;
use proofmark_core::head::Head;
use proofmark_core::signature::{self, verify_signatures};
use proofmark_core::{Digest, Kind, Reason, Refusal, Result, SignedFile, Verified, json, limits};

fn head_with(edit: impl FnOnce(&mut SignedFile)) -> Result<Verified<Head>> {
    let scene = Scene::new();
    let trust = first(&scene.trusts[0]);
    let mut file = scene.head.1.clone();
    edit(&mut file);
    Head::verify(&trust, 1, &file)
}

/// A head whose signature file was edited as text.
fn text(edit: impl FnOnce(String) -> String) -> Result<Verified<Head>> {
    head_with(|file| file.signatures[0].1 = edit(String::from_utf8(file.signatures[0].1.clone()).unwrap()).into_bytes())
}

fn line(text: &str, number: usize, edit: impl Fn(&str) -> String) -> String {
    text.lines().enumerate().map(|(n, line)| if n == number { edit(line) } else { line.to_owned() } + "\n").collect()
}

fn raw(text: &str, number: usize, edit: impl Fn(&mut Vec<u8>)) -> String {
    line(text, number, |line| {
        let mut bytes = BASE64.decode(line.as_bytes()).unwrap();
        edit(&mut bytes);
        BASE64.encode(&bytes)
    })
}

#[test]
fn attack_7_8_a_signature_file_has_one_form() {
    let verified = text(|text| text).unwrap();
    assert_eq!(verified.signers().iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["head-1"]);
    let malformed = |edit: &dyn Fn(String) -> String| refused(text(edit), Reason::Malformed);
    malformed(&|s| s.clone() + "x\n");
    malformed(&|s| s.trim_end().to_owned());
    malformed(&|s| s.replace('\n', "\r\n"));
    malformed(&|s| line(&s, 0, |l| l.replace("untrusted comment: ", "untrusted comment:")));
    malformed(&|s| line(&s, 2, |l| l.replace("trusted comment: ", "trusted comment:")));
    malformed(&|s| line(&s, 0, |l| l.to_owned() + "\t"));
    malformed(&|s| line(&s, 0, |l| l.to_owned() + "\u{7f}"));
    malformed(&|s| line(&s, 0, |l| l.to_owned() + "\u{e9}"));
    malformed(&|s| line(&s, 1, |l| format!("{l} ")));
    malformed(&|s| line(&s, 1, |l| l.trim_end_matches('=').to_owned()));
    malformed(&|s| raw(&s, 1, |bytes| bytes[1] = b'd'));
    malformed(&|s| raw(&s, 1, |bytes| bytes[0] = b'e'));
    malformed(&|s| raw(&s, 1, |bytes| bytes.push(0)));
    malformed(&|s| raw(&s, 3, |bytes| bytes.truncate(63)));
    // Of another length, in the parser's own words: no library has seen it.
    for (number, words) in [(1, "75 and 64 bytes"), (3, "74 and 65 bytes")] {
        let refusal = text(|s| raw(&s, number, |bytes| bytes.push(0))).unwrap_err();
        assert!(refusal.have().starts_with(words), "{refusal}");
    }
    malformed(&|_| String::new());
    refused(head_with(|file| file.signatures[0].1.push(0xff)), Reason::Malformed);
    let comment = |length: usize| text(|s| line(&s, 0, |_| format!("untrusted comment: {}", "x".repeat(length))));
    assert!(comment(0).is_ok() && comment(1024).is_ok());
    refused(comment(1025), Reason::Malformed);
    refused(text(|s| line(&s, 0, |l| format!("{l}{}", "x".repeat(4096)))), Reason::Limit);
    // 4096 bytes are looked at.
    refused(text(|s| line(&s, 0, |l| format!("{l}{}", "x".repeat(4096 - s.len())))), Reason::Malformed);
}

#[test]
fn attack_1_5_9_a_changed_byte_a_foreign_key_and_another_comment_are_refused() {
    refused(text(|s| raw(&s, 1, |bytes| bytes[20] ^= 1)), Reason::BadSignature);
    refused(text(|s| raw(&s, 1, |bytes| bytes[3] ^= 1)), Reason::BadSignature);
    refused(text(|s| raw(&s, 3, |bytes| bytes[20] ^= 1)), Reason::BadSignature);
    refused(head_with(|file| file.bytes.push(b' ')), Reason::BadSignature);
    let comment = signature::comment(&trust().repository, Kind::Head, Some(1), "1.head.json");
    assert_eq!(comment, "proofmark1 repo=0123456789abcdef0123456789abcdef kind=head version=1 file=1.head.json");
    assert_eq!(
        signature::comment(&trust().repository, Kind::Bundle, None, "f"),
        "proofmark1 repo=0123456789abcdef0123456789abcdef kind=bundle version=- file=f"
    );
    let by = |key: &str, comment: &str| head_with(|file| file.signatures[0].1 = sign_raw(key, comment, &file.bytes));
    assert!(by("head-1", &comment).is_ok());
    refused(by("head-1", &comment.replace("version=1", "version=2")), Reason::WrongComment);
    refused(by("head-1", &(comment.clone() + " ")), Reason::WrongComment);
    // A foreign key with our key id.
    let id = *public("head-1").id();
    let forged = String::from_utf8(sign_raw("idle-1", &comment, &Scene::new().head.1.bytes)).unwrap();
    let forged = raw(&forged, 1, |bytes| bytes[2..10].copy_from_slice(&id));
    refused(head_with(|file| file.signatures[0].1 = forged.into_bytes()), Reason::BadSignature);
}

#[test]
fn attack_10_a_second_spelling_of_s_is_refused() {
    // The group order, little endian: S + L is the same number to a careless verifier.
    let order = data_encoding::HEXLOWER.decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let malleable = |bytes: &mut Vec<u8>, at: usize| {
        let mut carry = 0u16;
        for n in 0..32 {
            let sum = u16::from(bytes[at + n]) + u16::from(order[n]) + carry;
            (bytes[at + n], carry) = (sum as u8, sum >> 8);
        }
        assert_eq!(carry, 0);
    };
    refused(text(|s| raw(&s, 1, |bytes| malleable(bytes, 10 + 32))), Reason::BadSignature);
    refused(text(|s| raw(&s, 3, |bytes| malleable(bytes, 32))), Reason::BadSignature);
}

#[test]
fn a_bad_signature_beside_a_good_one_refuses_and_a_strangers_is_ignored() {
    let mut scene = Scene::new();
    let both = ["ci-1", "alice-1"];
    scene.publish_index(1, |_| {}, &both);
    let trust = first(&scene.trusts[0]);
    let verify = |edit: &dyn Fn(&mut SignedFile)| {
        let mut file = scene.index.clone();
        edit(&mut file);
        proofmark_core::index::Index::verify(&trust, 1, &file).map(drop)
    };
    assert!(verify(&|_| {}).is_ok());
    refused(verify(&|file| file.signatures.push((t("bob-1"), b"junk".to_vec()))), Reason::Malformed);
    assert!(verify(&|file| file.signatures.push((t("head-1"), b"junk".to_vec()))).is_ok());
    assert!(verify(&|file| file.signatures.push((t("nobody"), b"junk".to_vec()))).is_ok());
    // The same signature twice, and under another name.
    assert!(verify(&|file| file.signatures.push(file.signatures[0].clone())).is_ok());
    refused(verify(&|file| file.signatures[1] = (t("alice-1"), file.signatures[0].1.clone())), Reason::BadSignature);
    // The form of all files, then the first bad signature.
    refused(
        verify(&|file| {
            let text = String::from_utf8(file.signatures[0].1.clone()).unwrap();
            file.signatures[0].1 = raw(&text, 1, |bytes| bytes[20] ^= 1).into_bytes();
            file.signatures[1].1 = b"junk".to_vec();
        }),
        Reason::Malformed,
    );
}

#[test]
fn what_an_index_promises_is_judged_before_any_signature() {
    let trust = first(&sign_trust(&trust(), &["root-1"]));
    let comment = signature::comment(&trust.repository, Kind::Bundle, None, "f");
    let signatures = [(t("ci-1"), sign_raw("ci-1", &comment, b"other bytes"))];
    let promised = |digest: Digest, size: u64| {
        assert_eq!((digest, size), (Digest::of(b"bytes"), 5));
        Err(Refusal::new(Reason::Size, "f", "x", "y"))
    };
    let role = &trust.roles.bundle;
    refused(verify_signatures(&trust, role, &comment, "f", &signatures, &mut &b"bytes"[..], &promised), Reason::Size);
    refused(verify_signatures(&trust, role, &comment, "f", &signatures, &mut &b"bytes"[..], &|_, _| Ok(())), Reason::BadSignature);
    let signed = verify_signatures(&trust, role, &comment, "f", &signatures, &mut &b"other bytes"[..], &|_, _| Ok(())).unwrap();
    assert_eq!((signed.size, signed.digest, signed.signers.len()), (11, Digest::of(b"other bytes"), 1));
    struct Broken(u8, Option<i32>);
    impl std::io::Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(std::io::ErrorKind::Interrupted.into()),
                2 => {
                    buffer[..5].copy_from_slice(b"bytes");
                    Ok(5)
                }
                _ => self.1.map_or(Ok(0), |code| Err(std::io::Error::from_raw_os_error(code))),
            }
        }
    }
    refused(verify_signatures(&trust, role, &comment, "f", &signatures, &mut Broken(0, Some(5)), &|_, _| Ok(())), Reason::Io);
    let signatures = [(t("ci-1"), sign_raw("ci-1", &comment, b"bytes"))];
    let signed = verify_signatures(&trust, role, &comment, "f", &signatures, &mut Broken(0, None), &|_, _| Ok(())).unwrap();
    assert_eq!((signed.size, signed.signers.len()), (5, 1), "a read that was interrupted is done again");
}

#[test]
fn a_document_of_the_greatest_size_is_verified_and_one_byte_more_is_not_looked_at() {
    let scene = Scene::new();
    let trust = first(&scene.trusts[0]);
    let verify = |size: usize| {
        let mut bytes = scene.head.1.bytes.clone();
        bytes.resize(size, b' ');
        Head::verify(&trust, 1, &sign(Kind::Head, Some(1), "1.head.json", bytes, &["head-1"]))
    };
    assert_eq!(verify(limits::HEAD).unwrap().size(), limits::HEAD as u64);
    refused(verify(limits::HEAD + 1), Reason::Limit);
}

#[test]
fn a_verified_document_knows_its_digest_and_size() {
    let scene = Scene::new();
    let chain = scene.chain().unwrap();
    assert_eq!((chain.head().digest(), chain.head().size()), (Digest::of(&scene.head.1.bytes), scene.head.1.bytes.len() as u64));
    let group = scene.assign(None).unwrap();
    let bytes = json::print(&scene.groups[&scene.name()]);
    assert_eq!((group.digest(), group.size(), group.signers().len()), (Digest::of(&bytes), bytes.len() as u64, 0));
}
