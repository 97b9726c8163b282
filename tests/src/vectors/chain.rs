//! Cases of first contact, of changed bytes and of who signed: FORMAT.md sections 3 and 7.1, ATTACKS 1 to 10.

use super::case::{Before, Case, Command, Given};
use super::repo::{BOTH, GROUP, Repo, bundle};
use super::sign;
use super::suite::Suite;
use crate::world::t;
use proofmark_core::Digest;
use proofmark_core::head::IndexPin;
use proofmark_core::json;
use proofmark_core::signature::Kind;

/// All of them.
pub fn cases(suite: &mut Suite) {
    first_contact(suite);
    a_changed_byte(suite);
    signers(suite);
}

pub(super) fn update(name: &str, says: &str, repo: &Repo, before: &Before) -> Case {
    Case::new(name, says, repo, Command::Update, before)
}

pub(super) fn at(mut case: Case, now: &str) -> Case {
    case.now = t(now);
    case
}

fn first_contact(suite: &mut Suite) {
    let repo = suite.standard.clone();
    let init = |name: &str, says: &str, repo: &Repo, before: &Before, edit: fn(&mut Given)| {
        let mut given = Given::of(&suite.standard);
        edit(&mut given);
        Case::new(name, says, repo, Command::Init(given), before)
    };
    let mut all = Vec::new();
    let ok =
        init("00-init", "a blank host is set up: it accepts trust, head and index, and has nothing active", &repo, &Before::Blank, |_| {});
    let pin = "a first trust document that is not the pinned one is refused";
    all.push((init("00-init-another-pin", pin, &repo, &Before::Blank, |given| given.sha256 = Digest::of(b"another")), 92, "trust-pin"));
    let whole = "a host that was set up is never set up again";
    all.push((init("00-init-where-a-state-is", whole, &repo, &suite.empty.clone(), |_| {}), 94, "state-exists"));
    let lost = "a lost state is never first use";
    all.push((init("23-init-where-the-state-is-lost", lost, &repo, &Before::Lost, |_| {}), 94, "state"));
    let says = "a host follows groups of its own environment only";
    all.push((
        init("21-init-of-another-environment", says, &repo, &Before::Blank, |given| given.environment = t("uat")),
        96,
        "wrong-environment",
    ));

    let mut unsigned = repo.clone();
    unsigned.remove("trust/1.trust.json.root-1.minisig");
    let says = "the first trust document is signed by its own role trust, pinned or not";
    all.push((init("02-init-trust-unsigned", says, &unsigned, &Before::Blank, |_| {}), 80, "threshold"));
    let mut headless = repo.clone();
    headless.write_latest(|latest| latest.head = 0);
    all.push((
        init("00-init-no-head-yet", "a repository without a head sets no host up", &headless, &Before::Blank, |_| {}),
        98,
        "no-head",
    ));
    let mut nothing = repo.clone();
    nothing.remove("latest");
    all.push((init("00-init-no-latest", "a repository without latest tells nothing", &nothing, &Before::Blank, |_| {}), 98, "unreachable"));
    let expired = init("18-init-expired-head", "first contact needs a fresh head", &repo, &Before::Blank, |_| {});
    all.push((at(expired, "2026-03-03T09:00:01Z"), 85, "expired"));
    suite.done(ok);
    for (case, code, word) in all {
        suite.refused(case, code, word);
    }
    let mut last = Case::new(
        "18-init-last-second",
        "a head is valid at the second it expires",
        &repo,
        Command::Init(Given::of(&repo)),
        &Before::Blank,
    );
    last.now = t("2026-03-03T09:00:00Z");
    suite.done(last);
    for (name, command) in [("update", Command::Update), ("run", Command::Run(t(GROUP))), ("verify", Command::Verify { full: false })] {
        let says = "a host that was never set up does nothing else";
        suite.refused(Case::new(&format!("00-{name}-on-a-blank-host"), says, &repo, command.clone(), &Before::Blank), 94, "not-set-up");
        let says = "a host whose state is missing or damaged does nothing but adopt";
        suite.refused(Case::new(&format!("23-{name}-on-a-lost-host"), says, &repo, command, &Before::Lost), 94, "state");
    }
}

fn a_changed_byte(suite: &mut Suite) {
    let (repo, empty) = (suite.standard.clone(), suite.empty.clone());
    suite.done(update("00-update", "an empty host stages what the index assigns", &repo, &empty));
    let path = |prefix: &str, suffix: &str| {
        repo.files
            .keys()
            .rev()
            .find(|path| path.starts_with(prefix) && path.ends_with(suffix))
            .unwrap_or_else(|| panic!("{prefix} {suffix}"))
            .clone()
    };
    let head = path("head/", ".minisig");
    let comment = String::from_utf8_lossy(repo.read(&head)).find("proofmark1").unwrap();
    let flips = [
        ("head", path("head/", ".json"), 0, "head of other bytes than were signed", 80, "bad-signature"),
        ("index", path("index/", ".json"), 0, "index of another digest than the head pins", 81, "digest"),
        ("group", path("group/", ".json"), 0, "group file of another digest than the index pins", 81, "digest"),
        ("bundle", path("bundles/", ".zst"), 100, "bundle of another digest than the group file names", 81, "digest"),
        (
            "comment",
            path("head/", ".minisig"),
            comment,
            "signature whose trusted comment is of something else",
            80,
            "signed-for-something-else",
        ),
    ];
    for (name, path, at, what, code, word) in flips {
        let mut changed = repo.clone();
        changed.flip(&path, at);
        suite.refused(update(&format!("01-{name}"), &format!("a {what} is refused"), &changed, &empty), code, word);
    }
    for (name, path, what) in [
        ("head-signature", path("head/", ".minisig"), "damaged signature of the head"),
        ("index-signature", path("index/", "alice-1.minisig"), "damaged signature of the index, though it is one of two,"),
        ("bundle-signature", path("bundles/", ".minisig"), "damaged signature of the bundle"),
    ] {
        let mut changed = repo.clone();
        changed.damage(&path);
        suite.refused(update(&format!("01-{name}"), &format!("a {what} is refused"), &changed, &empty), 80, "bad-signature");
    }
    let mut changed = repo.clone();
    changed.files.get_mut(&path("index/", ".json")).unwrap().push(b'\n');
    suite.refused(update("01-index-size", "an index of another size than the head pins is refused", &changed, &empty), 81, "size");
    let mut changed = repo.clone();
    changed.files.get_mut(&path("bundles/", ".zst")).unwrap().push(0);
    suite.refused(update("01-bundle-size", "a bundle of another size than the group file names is refused", &changed, &empty), 81, "size");
    for (name, prefix, suffix, what) in [
        ("head", "head/", ".json", "head"),
        ("index", "index/", ".json", "index"),
        ("group", "group/", ".json", "group file"),
        ("bundle", "bundles/", ".zst", "bundle"),
    ] {
        let mut lacking = repo.clone();
        lacking.remove(&path(prefix, suffix));
        suite.refused(
            update(&format!("24-no-{name}"), &format!("a repository that lacks the {what} changes nothing"), &lacking, &empty),
            98,
            "unreachable",
        );
    }
    let mut long = repo.clone();
    long.files.get_mut("latest").unwrap().resize(1025, b' ');
    suite.refused(update("24-latest-too-long", "latest has at most 1024 bytes", &long, &empty), 90, "limit");
}

/// The standard repository, whose index 1 is signed by others.
fn index_signed_by(signers: &[&str], proposer: &str) -> Repo {
    let mut repo = Repo::new();
    let group = repo.publish_bundle(&bundle("1.0"), &["ci-1"]);
    let mut index = repo.draft_index(&[group]);
    index.proposer = t(proposer);
    repo.publish_index(index, signers);
    repo.publish_head(|_| {}, &["clock-1"]);
    repo
}

fn signers(suite: &mut Suite) {
    let empty = suite.empty.clone();
    let refused: &[(&str, &[&str], &str, &str, &str)] = &[
        ("02-index-by-ci-only", &["ci-1"], "ci", "every key group of role index is met, or the index is refused", "threshold"),
        ("02-index-by-two-reviewers", &["alice-1", "bob-1"], "ci", "two reviewers are no machine: a count is not enough", "threshold"),
        ("02-index-by-nobody", &[], "ci", "an index that nobody signed is refused", "threshold"),
        ("02-index-second-person-is-the-proposer", &BOTH, "alice", "the proposer's own signature is no second person's", "second-person"),
        ("02-index-proposer-unknown", &BOTH, "mallory", "the proposer holds some key of trust", "second-person"),
        ("06-index-by-the-head-key", &["ci-1", "clock-1"], "ci", "a key of role head is nobody in role index", "threshold"),
    ];
    for (name, signers, proposer, says, word) in refused {
        suite.refused(update(name, says, &index_signed_by(signers, proposer), &empty), 80, word);
    }
    let says = "a reviewer may propose, and another one is the second person";
    suite.done(update("02-index-a-reviewer-proposes", says, &index_signed_by(&["ci-1", "alice-1", "bob-1"], "alice"), &empty));

    let repo = suite.standard.clone();
    let index = "index/2.index.json";
    let mut twice = repo.clone();
    twice.remove(&format!("{index}.ci-1.minisig"));
    twice.write(format!("{index}.bob-1.minisig"), repo.read(&format!("{index}.alice-1.minisig")));
    suite.refused(
        update("03-one-signature-under-two-names", "a signature is of the key in its file's name, or the index is refused", &twice, &empty),
        80,
        "bad-signature",
    );

    let comment = repo.comment(Kind::Index, Some(2), "2.index.json");
    let mut foreign = repo.clone();
    let mut envelope = sign::envelope("mallory-1", &comment, repo.read(index));
    envelope.id = sign::id("alice-1");
    foreign.write(format!("{index}.alice-1.minisig"), envelope.print().as_bytes());
    suite.refused(update("05-another-key-with-the-same-key-id", "a key id identifies nobody", &foreign, &empty), 80, "bad-signature");

    let mut other_id = repo.clone();
    let mut envelope = sign::envelope("alice-1", &comment, repo.read(index));
    envelope.id = sign::id("bob-1");
    other_id.write(format!("{index}.alice-1.minisig"), envelope.print().as_bytes());
    suite.refused(update("05-the-same-key-with-another-key-id", "the key id is that of the key", &other_id, &empty), 80, "bad-signature");

    for (name, says, kind, version, file, repository) in [
        ("kind", "a signature as a head is none as an index", Kind::Head, 2, "2.index.json", None),
        ("version", "a signature of index 1 is none of index 2", Kind::Index, 1, "2.index.json", None),
        ("file", "a signature of another file is none of this one", Kind::Index, 2, "3.index.json", None),
        ("repository", "a signature in another repository is none in this one", Kind::Index, 2, "2.index.json", Some("f")),
    ] {
        let mut spoilt = repo.clone();
        if let Some(other) = repository {
            spoilt.trust.repository = t(&other.repeat(32));
        }
        let comment = spoilt.comment(kind, Some(version), file);
        spoilt.write(format!("{index}.alice-1.minisig"), &sign::sign("alice-1", &comment, repo.read(index)));
        suite.refused(update(&format!("09-comment-of-another-{name}"), says, &spoilt, &empty), 80, "signed-for-something-else");
    }

    let mut legacy = repo.clone();
    let mut envelope = sign::envelope("alice-1", &comment, repo.read(index));
    envelope.algorithm = *b"Ed";
    legacy.write(format!("{index}.alice-1.minisig"), envelope.print().as_bytes());
    suite.refused(update("07-index-signed-as-Ed", "only the prehashed form is a signature", &legacy, &empty), 90, "malformed");

    let mut malleated = repo.clone();
    let mut envelope = sign::envelope("alice-1", &comment, repo.read(index));
    envelope.signature = sign::malleate(&envelope.signature);
    envelope.seal("alice-1");
    malleated.write(format!("{index}.alice-1.minisig"), envelope.print().as_bytes());
    suite.refused(
        update("10-s-plus-l", "S is below the group's order, or the signature is refused", &malleated, &empty),
        80,
        "bad-signature",
    );
    let mut malleated = repo.clone();
    let mut envelope = sign::envelope("alice-1", &comment, repo.read(index));
    envelope.global = sign::malleate(&envelope.global);
    malleated.write(format!("{index}.alice-1.minisig"), envelope.print().as_bytes());
    suite.refused(update("10-s-plus-l-of-the-comment", "and so in line 4", &malleated, &empty), 80, "bad-signature");

    let mut bad = repo.clone();
    bad.write(format!("{index}.bob-1.minisig"), b"junk\n");
    suite.refused(
        update("08-a-third-signature-is-junk", "a signature that is present is valid, even where the others would do", &bad, &empty),
        90,
        "malformed",
    );
    let mut stranger = repo.clone();
    stranger.write(format!("{index}.mallory-1.minisig"), b"junk\n");
    suite.done(update(
        "08-a-stranger's-signature-is-not-looked-at",
        "signatures of keys that the role does not have are nobody's",
        &stranger,
        &empty,
    ));

    // Form before comment before signature, over all files.
    let mut both = repo.clone();
    both.damage(&format!("{index}.alice-1.minisig"));
    both.write(format!("{index}.ci-1.minisig"), b"junk\n");
    suite.refused(update("08-form-comes-before-signature", "all forms are judged before any signature", &both, &empty), 90, "malformed");

    let mut foreign = Repo::new();
    let mut group = foreign.publish_bundle(&bundle("1.0"), &["ci-1"]);
    let good = foreign.clone();
    group.repository = t(&"f".repeat(32));
    foreign.publish_groups(&[group.clone()]);
    foreign.publish_head(|_| {}, &["clock-1"]);
    suite.refused(
        update("06-group-of-another-repository", "a group file is of the host's repository", &foreign, &empty),
        80,
        "wrong-document",
    );
    let mut foreign = good.clone();
    group.repository = t(&"0123456789abcdef".repeat(2));
    let mut index = foreign.draft_index(&[group]);
    index.repository = t(&"f".repeat(32));
    foreign.publish_index(index, &BOTH);
    foreign.publish_head(|_| {}, &["clock-1"]);
    suite.refused(update("06-index-of-another-repository", "an index is of the host's repository", &foreign, &empty), 80, "wrong-document");
    let mut foreign = repo.clone();
    foreign.publish_head(|head| head.repository = t(&"f".repeat(32)), &["clock-1"]);
    suite.refused(update("06-head-of-another-repository", "a head is of the host's repository", &foreign, &empty), 80, "wrong-document");

    let mut renamed = repo.clone();
    let head = json::print(&renamed.draft_head(|head| head.version = 9));
    renamed.publish_head_bytes(3, &head, &["clock-1"]);
    suite.refused(
        update("06-head-of-another-version", "a head has the version of its file's name", &renamed, &empty),
        80,
        "wrong-document",
    );
    let mut renamed = repo.clone();
    let mut index = renamed.draft_index(&[]);
    (index.version, index.prev.as_mut().unwrap().version) = (9, 8);
    let bytes = json::print(&index);
    renamed.publish_index_bytes(3, &bytes, &BOTH);
    let pin = IndexPin { version: 3, size: bytes.len() as u64, sha256: Digest::of(&bytes) };
    renamed.publish_head(|head| head.index = pin, &["clock-1"]);
    suite.refused(
        update("06-index-of-another-version", "an index has the version of its file's name", &renamed, &empty),
        80,
        "wrong-document",
    );
    let owner = index_signed_by(&BOTH, "root");
    suite.done(update("02-index-proposed-by-the-holder-of-any-key", "a proposer holds some key, of whichever role", &owner, &empty));
    let mut low = repo.clone();
    low.write_latest(|latest| (latest.trust, latest.index) = (0, 0));
    suite.done(update("00-latest-is-a-hint", "a hint that is too low leads nowhere else", &low, &empty));
}
