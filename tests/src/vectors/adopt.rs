//! Cases of lost states, and of the document that is the way back: FORMAT.md section 7.5, ATTACKS 23.

use super::case::{Before, Case, Command, Given};
use super::halts::{run, update};
use super::repo::{BOTH, GROUP, Repo};
use super::suite::{Suite, after};
use crate::world::t;
use proofmark_core::Digest;

/// All of them.
pub fn cases(suite: &mut Suite) {
    // An hour after the head: its signers knew of it. The head that follows is newer than the document.
    let document = |edit: &dyn Fn(&mut proofmark_core::adopt::Adopt), signers: &[&str]| {
        let mut repo = Repo::standard();
        let path = repo.publish_adopt(|adopt| edit(adopt), signers);
        repo.next_head();
        (repo, path)
    };
    let case = |name: &str, says: &str, (repo, path): &(Repo, String), before: &Before| {
        Case::new(name, says, repo, Command::Adopt(path.clone(), Given::of(repo)), before)
    };
    let good = document(&|_| {}, &BOTH);
    let host = suite.done(case("23-adopt", "a lost host has a state again: floors, and nothing active", &good, &Before::Lost));
    suite.done(case("23-adopt-a-blank-host", "and so has one that was never set up", &good, &Before::Blank));
    suite.done(update("23-update-after-adopt", "an adopted host stages what the index assigns", &good.0, &host));
    suite.refused(case("23-adopt-where-a-state-is", "a whole state is never replaced", &good, &host), 94, "state-exists");

    let halt = Digest::of(b"a halt that the signers know of");
    let with_halt = document(&|adopt| adopt.halts = vec![halt], &BOTH);
    let stopped =
        suite.done(case("23-adopt-with-a-halt", "the halts of the document are latched, with text or without", &with_halt, &Before::Lost));
    let staged = after(&with_halt.0, Command::Update, &stopped);
    suite.refused(
        run("23-run-with-an-adopted-halt", "one without its text counts as one of everything", &with_halt.0, &staged),
        87,
        "halted",
    );
    let mut lifted = with_halt.0.clone();
    lifted.publish_resume(halt, |_| {}, &BOTH);
    suite.done(update("23-an-adopted-halt-is-lifted", "its resume lifts it", &lifted, &stopped));

    suite.done(case(
        "23-adopt-beside-a-resume",
        "a halt of the document that has a resume is lifted at once",
        &(lifted, with_halt.1.clone()),
        &Before::Lost,
    ));

    let refused = [
        ("23-adopt-by-ci-alone", "it needs all who sign an index", document(&|_| {}, &["ci-1"]), 80, "threshold"),
        (
            "23-adopt-by-the-proposer-alone",
            "the second person is a second person",
            document(&|adopt| adopt.proposer = t("alice"), &BOTH),
            80,
            "second-person",
        ),
        ("23-adopt-another-host", "it is for one host", document(&|adopt| adopt.host = t("rtr-2"), &BOTH), 89, "for-another-host"),
        (
            "23-adopt-another-environment",
            "of one environment",
            document(&|adopt| (adopt.environment, adopt.groups) = (t("uat"), vec![t("uat/router")]), &BOTH),
            96,
            "wrong-environment",
        ),
        (
            "23-adopt-other-groups",
            "that follows these groups",
            document(&|adopt| adopt.groups = vec![t("prod/quoter"), t(GROUP)], &BOTH),
            89,
            "for-another-host",
        ),
        (
            "23-adopt-another-first-trust",
            "and was pinned to this trust",
            document(&|adopt| adopt.first_trust.sha256 = Digest::of(b"another"), &BOTH),
            92,
            "trust-pin",
        ),
        (
            "23-adopt-of-the-future",
            "a document of the future is refused",
            document(&|adopt| (adopt.issued, adopt.expires) = (t("2026-03-02T12:10:01Z"), t("2026-03-03T00:00:00Z")), &BOTH),
            93,
            "clock",
        ),
        (
            "23-adopt-expired",
            "a document ends",
            document(&|adopt| (adopt.issued, adopt.expires) = (t("2026-03-02T08:00:00Z"), t("2026-03-02T11:59:59Z")), &BOTH),
            85,
            "expired",
        ),
        (
            "23-adopt-older-head",
            "the head is issued when the document was, or later",
            document(&|adopt| adopt.issued = t("2026-03-02T10:00:01Z"), &BOTH),
            84,
            "rollback",
        ),
        (
            "23-adopt-a-newer-head-was-seen",
            "what the document names are floors",
            document(&|adopt| adopt.head.version = 4, &BOTH),
            84,
            "rollback",
        ),
        ("23-adopt-a-newer-index-was-seen", "also the index", document(&|adopt| adopt.index.version = 3, &BOTH), 84, "rollback"),
        (
            "23-adopt-another-index-was-seen",
            "of one version there is one index",
            document(&|adopt| adopt.index.sha256 = Digest::of(b"another"), &BOTH),
            84,
            "equivocation",
        ),
        ("23-adopt-a-newer-trust-was-seen", "also the trust", document(&|adopt| adopt.trust.version = 2, &BOTH), 92, "trust-missing"),
        (
            "23-adopt-of-another-repository",
            "it is of the host's repository",
            document(&|adopt| adopt.repository = t(&"f".repeat(32)), &BOTH),
            80,
            "wrong-document",
        ),
        (
            "23-adopt-for-too-long",
            "it is for seven days at most",
            document(&|adopt| adopt.expires = adopt.issued.plus(604_801), &BOTH),
            90,
            "malformed",
        ),
    ];
    for (name, says, spoilt, code, word) in refused {
        suite.refused(case(name, says, &spoilt, &Before::Lost), code, word);
    }
    let mut changed = good.clone();
    changed.0.flip(&good.1, 1);
    suite.refused(
        case("01-adopt", "a document of other bytes than were signed is refused", &changed, &Before::Lost),
        80,
        "signed-for-something-else",
    );
}
