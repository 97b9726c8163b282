//! `signatures/`: files of one signature each, over one document by one key; FORMAT.md section 3, ATTACKS 5 to 10.

use super::repo::{Repo, Tree};
use super::sign::{self, Envelope};
use data_encoding::BASE64;
use proofmark_core::signature::Kind;
use serde_json::{Value, json};

const DOCUMENT: &str = "2.index.json";
const KEY: &str = "alice-1";

/// A case: file, sentence, exit code, reason word.
type Case = (&'static str, &'static str, Vec<u8>, u8, &'static str);

/// Writes the document, the key, and every signature with what must be said of it.
pub fn write(files: &mut Tree) {
    let repo = Repo::standard();
    let document = repo.read("index/2.index.json");
    let comment = repo.comment(Kind::Index, Some(2), DOCUMENT);
    let cases: Vec<Value> = cases(document, &comment)
        .into_iter()
        .map(|(name, says, bytes, code, word)| {
            files.insert(format!("signatures/{name}.minisig"), bytes);
            json!({ "file": format!("{name}.minisig"), "says": says, "code": code, "word": word })
        })
        .collect();
    let suite = json!({ "document": DOCUMENT, "public": sign::public(KEY), "comment": comment, "cases": cases });
    files.insert(format!("signatures/{DOCUMENT}"), document.to_vec());
    files.insert("signatures/cases.json".into(), super::print(&suite));
}

fn cases(document: &[u8], comment: &str) -> Vec<Case> {
    let good = sign::envelope(KEY, comment, document);
    let text = good.print();
    let lines: Vec<&str> = text.lines().collect();
    let joined = |lines: &[&str]| format!("{}\n", lines.join("\n")).into_bytes();
    let line = |n: usize, other: &str| {
        let mut changed = lines.clone();
        changed[n] = other;
        joined(&changed)
    };
    let edited = |edit: &dyn Fn(&mut Envelope)| {
        let mut envelope = good.clone();
        edit(&mut envelope);
        envelope.print().into_bytes()
    };
    let sealed = |edit: &dyn Fn(&mut Envelope)| {
        let mut envelope = good.clone();
        edit(&mut envelope);
        envelope.seal(KEY);
        envelope.print().into_bytes()
    };
    let commented = |from: &str, to: &str| sign::sign(KEY, &comment.replace(from, to), document);
    // Another last character of the base64, whose unused bits are not zero.
    let unused = |line: &str| {
        let at = line.find('=').unwrap() - 1;
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let value = alphabet.find(&line[at..=at]).unwrap();
        format!("{}{}{}", &line[..at], &alphabet[value + 1..value + 2], &line[at + 1..])
    };
    let long = good.clone();
    let with_untrusted = |length: usize| {
        let mut envelope = long.clone();
        envelope.untrusted = "x".repeat(length);
        envelope.print().into_bytes()
    };
    let ok = (0, "done");
    let malformed = (90, "malformed");
    let bad = (80, "bad-signature");
    let other = (80, "signed-for-something-else");
    let case = |name, says, bytes, (code, word): (u8, &'static str)| (name, says, bytes, code, word);
    vec![
        case("good", "a signature", text.clone().into_bytes(), ok),
        case("untrusted-comment-empty", "line 1 may say nothing", with_untrusted(0), ok),
        case("untrusted-comment-1024", "line 1 may say much", with_untrusted(1024), ok),
        case("untrusted-comment-1025", "line 1 may not say more", with_untrusted(1025), malformed),
        case("over-4096-bytes", "a signature file has at most 4096 bytes", with_untrusted(4096), (90, "limit")),
        case("empty", "nothing is no signature", vec![], malformed),
        case("three-lines", "four lines, not three", joined(&lines[..3]), malformed),
        case("five-lines", "four lines, not five", joined(&[&lines[..], &["more"]].concat()), malformed),
        case("empty-fifth-line", "nothing after the fourth line", joined(&[&lines[..], &[""]].concat()), malformed),
        case("no-last-line-end", "every line is ended", text.trim_end().as_bytes().to_vec(), malformed),
        case("crlf", "by LF and nothing else", text.replace('\n', "\r\n").into_bytes(), malformed),
        case("cr", "not by CR", text.replace('\n', "\r").into_bytes(), malformed),
        case("escape", "line 1 holds no control character", line(0, "untrusted comment: \x1b[31mred"), malformed),
        case("tab", "not even a tab", line(0, "untrusted comment: \t"), malformed),
        case("not-ascii", "nor anything beyond ASCII", line(0, "untrusted comment: ä"), malformed),
        case(
            "not-utf-8",
            "nor bytes that are no text",
            [b"untrusted comment: \xff".as_slice(), &text.as_bytes()[lines[0].len()..]].concat(),
            malformed,
        ),
        case("byte-order-mark", "nor a byte order mark", [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat(), malformed),
        case("no-untrusted-comment", "line 1 says what it is", line(0, "comment: x"), malformed),
        case("untrusted-comment-without-space", "in these very bytes", line(0, "untrusted comment:x"), malformed),
        case("no-trusted-comment", "line 3 says what it is", line(2, comment), malformed),
        case("trusted-comment-capital", "in these very bytes", line(2, &format!("Trusted comment: {comment}")), malformed),
        case("space-before-base64", "no space around base64", line(1, &format!(" {}", lines[1])), malformed),
        case("space-after-base64", "no space around base64", line(1, &format!("{} ", lines[1])), malformed),
        case("space-after-the-last-base64", "no space around base64", line(3, &format!("{} ", lines[3])), malformed),
        case("base64-unused-bits", "unused bits of base64 are zero", line(1, &unused(lines[1])), malformed),
        case("base64-unused-bits-of-line-4", "unused bits of base64 are zero", line(3, &unused(lines[3])), malformed),
        case("base64-no-padding", "base64 is padded", line(1, lines[1].trim_end_matches('=')), malformed),
        case("base64-url-alphabet", "the alphabet is the standard one", line(3, &format!("-_{}", &lines[3][2..])), malformed),
        case("base64-short", "line 2 is 74 bytes", line(1, &BASE64.encode(&[0x45, 0x44, 1])), malformed),
        case("base64-long", "line 4 is 64 bytes", line(3, &BASE64.encode(&[1; 65])), malformed),
        case("algorithm-Ed", "only the prehashed form", edited(&|envelope| envelope.algorithm = *b"Ed"), malformed),
        case("algorithm-unknown", "only the prehashed form", edited(&|envelope| envelope.algorithm = *b"EE"), malformed),
        case("comment-other-version", "the comment is built and compared", commented("version=2", "version=1"), other),
        case("comment-other-file", "the comment is built and compared", commented("file=2", "file=1"), other),
        case("comment-other-kind", "the comment is built and compared", commented("kind=index", "kind=head"), other),
        case("comment-other-repository", "the comment is built and compared", commented("repo=0", "repo=1"), other),
        case("comment-with-more", "and never parsed", commented("2.index.json", "2.index.json "), other),
        case("comment-empty", "nor is nothing enough", sealed(&|envelope| envelope.trusted.clear()), other),
        case("comment-changed-and-not-signed", "whatever line 4 says of it", line(2, "trusted comment: proofmark1"), other),
        case(
            "comment-before-signature",
            "comments are judged before signatures",
            {
                let mut envelope = sign::envelope("mallory-1", &comment.replace("version=2", "version=1"), document);
                envelope.id = sign::id(KEY);
                envelope.print().into_bytes()
            },
            other,
        ),
        case("other-key-id", "the key id is that of the key", edited(&|envelope| envelope.id = [1; 8]), bad),
        case(
            "other-key-same-id",
            "a key id identifies nobody",
            {
                let mut envelope = sign::envelope("mallory-1", comment, document);
                envelope.id = sign::id(KEY);
                envelope.print().into_bytes()
            },
            bad,
        ),
        case("other-bytes", "the bytes are those that were signed", sign::sign(KEY, comment, b"other bytes"), bad),
        case("signature-bit", "every bit counts", sealed(&|envelope| envelope.signature[40] ^= 1), bad),
        case("signature-bit-of-r", "every bit of R counts", sealed(&|envelope| envelope.signature[0] ^= 1), bad),
        case("global-bit", "also in line 4", edited(&|envelope| envelope.global[10] ^= 1), bad),
        case(
            "global-of-another-comment",
            "line 4 is over the comment that stands there",
            {
                let mut envelope = good.clone();
                envelope.trusted = "another".into();
                envelope.seal(KEY);
                envelope.trusted = comment.into();
                envelope.print().into_bytes()
            },
            bad,
        ),
        case(
            "global-of-another-signature",
            "and over the signature that stands there",
            {
                let mut envelope = sign::envelope(KEY, comment, b"other bytes");
                envelope.signature = good.signature;
                envelope.print().into_bytes()
            },
            bad,
        ),
        case("s-plus-l", "S is below the group's order", sealed(&|envelope| envelope.signature = sign::malleate(&envelope.signature)), bad),
        case("s-plus-l-of-line-4", "also in line 4", edited(&|envelope| envelope.global = sign::malleate(&envelope.global)), bad),
        case("signature-zero", "nothing signs nothing", sealed(&|envelope| envelope.signature = [0; 64]), bad),
    ]
}
