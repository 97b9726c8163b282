//! Cases of starts and checks: steps 15 to 18 of FORMAT.md section 7, `verify`, ATTACKS 18.

use super::case::{Before, Case, Command, Given};
use super::hosts::{next, run};
use super::repo::{HOST, Repo, bundle, group};
use super::suite::{Suite, after, with};
use crate::world::t;
use proofmark_core::group::Gate;

/// All of them.
pub fn cases(suite: &mut Suite) {
    starts(suite);
    checks(suite);
}

fn starts(suite: &mut Suite) {
    let (repo, staged, started) = (suite.standard.clone(), suite.staged.clone(), suite.started.clone());
    let at = |mut case: Case, now: &str| {
        case.now = t(now);
        case
    };
    suite.done(run("00-run", "what is staged starts under a fresh head", &repo, &staged));
    suite.done(run("00-run-again", "and starts again", &repo, &started));
    suite.refused(
        run("00-run-with-nothing-staged", "a host with nothing active starts nothing", &repo, &suite.empty.clone()),
        94,
        "not-staged",
    );
    let upgraded = suite.upgraded.clone();
    let host = suite.upgraded_host.clone();
    suite.done(run("00-run-the-upgrade", "the new release starts, not the old one", &upgraded, &host));

    suite.refused(
        at(run("18-first-start-under-an-expired-head", "a first start needs a fresh head", &repo, &staged), "2026-03-03T09:00:01Z"),
        85,
        "expired",
    );
    suite.aloud(at(
        run("18-restart-within-the-grace", "what ran under a fresh head restarts within the grace, and it is said aloud", &repo, &started),
        "2026-03-03T09:00:01Z",
    ));
    suite.aloud(at(run("18-restart-in-the-last-second", "until the grace ends", &repo, &started), "2026-03-10T09:00:00Z"));
    suite.refused(at(run("18-restart-after-the-grace", "and then no more", &repo, &started), "2026-03-10T09:00:01Z"), 85, "expired");
    suite.refused(
        at(run("19-run-with-a-clock-of-1970", "a clock before the time floor starts nothing", &repo, &started), "1970-01-01T00:00:00Z"),
        93,
        "clock",
    );

    let brief = Repo::assigning(|group| group.freshness.activate_seconds = 3600);
    let mut edge = run("18-activate-seconds", "a first start is within activate_seconds of the head", &brief, &staged);
    let empty = after(&brief, Command::Init(Given::of(&brief)), &Before::Blank);
    edge.before = after(&brief, Command::Update, &empty);
    suite.refused(edge.clone(), 85, "expired");
    edge.name = "18-activate-seconds-to-the-second".into();
    edge.now = t("2026-03-02T10:00:00Z");
    suite.done(edge);

    let all = Repo::assigning(|group| group.gate = Gate::All);
    let empty = after(&all, Command::Init(Given::of(&all)), &Before::Blank);
    let host = after(&all, Command::Update, &empty);
    suite.refused(run("00-run-with-a-gate", "a level 2 verifier starts nothing that waits for a go", &all, &host), 88, "gate-closed");

    let mut other = run("21-run-a-group-that-is-not-followed", "a host starts only the groups it follows", &repo, &started);
    let mut two = Repo::new();
    let router = two.publish_bundle(&bundle("1.0"), &["ci-1"]);
    let mut quoter = router.clone();
    quoter.role = t("quoter");
    two.publish_groups(&[router, quoter]);
    two.publish_head(|_| {}, &["clock-1"]);
    let empty = after(&two, Command::Init(Given::of(&two)), &Before::Blank);
    other.before = after(&two, Command::Update, &empty);
    other.tree = two.files.clone();
    other.command = Command::Run(t("prod/quoter"));
    suite.refused(other.clone(), 89, "host-not-in-group");
    other.name = "21-run-a-group-that-is-nowhere".into();
    other.command = Command::Run(t("prod/gateway"));
    suite.refused(other, 82, "not-in-index");

    let moved = with(&started, |state| {
        for followed in state.groups.values_mut() {
            followed.active.as_mut().unwrap().bundle = bundle("1.1").digest();
        }
    });
    suite.refused(
        run("20-the-stored-group-file-is-not-the-staged-one", "what is active is what the accepted group file names", &repo, &moved),
        84,
        "transition",
    );
    let mut same = group(&bundle("1.0"));
    same.silence.alert_seconds = 61;
    let again = next(&repo, same);
    let staged_before = after(&again, Command::Update, &started);
    let Before::Whole(old) = &started else { panic!("no state") };
    let unstaged = with(&staged_before, |state| {
        for (name, followed) in &mut state.groups {
            followed.active = old.groups[name].active.clone();
        }
    });
    suite.refused(
        run("20-the-same-bundle-under-another-group-file", "a start is under the group file that was staged", &again, &unstaged),
        94,
        "not-staged",
    );
    let host = t::<proofmark_core::name::Name>(HOST);
    let cloned = with(&started, |state| state.identity.host = t("rtr-2"));
    assert_ne!(host, t("rtr-2"));
    suite.refused(run("21-another-host-s-state", "a host starts nothing of another host's", &repo, &cloned), 89, "host-not-in-group");
}

/// `verify`, and what a start and a check do with documents that were damaged where they are kept.
fn checks(suite: &mut Suite) {
    let (repo, started) = (suite.standard.clone(), suite.started.clone());
    let verify = |name: &str, says: &str, repo: &Repo, full: bool| Case::new(name, says, repo, Command::Verify { full }, &started);
    suite.done(verify("00-verify", "what is stored is as it was accepted", &repo, false));
    suite.done(verify("00-verify-full", "and so is the bundle it came from", &repo, true));
    let mut late = verify("00-verify-does-not-judge-the-head-s-age", "verify does not say whether a start is permitted now", &repo, false);
    late.now = t("2026-12-01T00:00:00Z");
    suite.done(late);

    let path = |prefix: &str, suffix: &str| {
        repo.files.keys().rev().find(|path| path.starts_with(prefix) && path.ends_with(suffix)).unwrap().clone()
    };
    let signature = path("bundles/", ".minisig");
    let mut unsigned = repo.clone();
    unsigned.remove(&signature);
    suite.done(verify(
        "00-verify-looks-at-no-bundle-signature",
        "signatures over the bundle were checked when it was stored",
        &unsigned,
        false,
    ));
    suite.refused(verify("02-verify-full-bundle-unsigned", "verify --full looks at them", &unsigned, true), 80, "threshold");
    for (name, prefix, suffix, at, code, word) in [
        ("head", "head/", ".json", 0, 80, "bad-signature"),
        ("index", "index/", ".json", 0, 81, "digest"),
        ("group", "group/", ".json", 0, 81, "digest"),
        ("trust", "trust/", ".json", 0, 92, "trust-pin"),
    ] {
        let mut damaged = repo.clone();
        damaged.flip(&path(prefix, suffix), at);
        suite.refused(verify(&format!("01-verify-{name}"), &format!("the stored {name} is judged anew"), &damaged, false), code, word);
        let says = format!("a start judges the stored {name} anew");
        suite.refused(run(&format!("01-run-{name}"), &says, &damaged, &started), code, word);
        let mut lacking = repo.clone();
        lacking.remove(&path(prefix, suffix));
        suite.refused(
            run(
                &format!("23-run-without-{name}"),
                "a document that was accepted and is not there any more is a damaged state",
                &lacking,
                &started,
            ),
            94,
            "state",
        );
    }
}
