//! Cases of halts and resumes: FORMAT.md section 7.2, ATTACKS 22.

use super::case::{Before, Case, Command, Given};
use super::repo::{BOTH, GROUP, Repo, bundle, key};
use super::suite::{Suite, after, with};
use crate::world::{role, t};
use proofmark_core::Digest;
use proofmark_core::halt::{Mode, Scope};

/// All of them.
pub fn cases(suite: &mut Suite) {
    latching(suite);
    scopes(suite);
    listing(suite);
    lifting(suite);
    by_hand(suite);
}

pub(super) fn update(name: &str, says: &str, repo: &Repo, before: &Before) -> Case {
    Case::new(name, says, repo, Command::Update, before)
}

pub(super) fn run(name: &str, says: &str, repo: &Repo, before: &Before) -> Case {
    Case::new(name, says, repo, Command::Run(t(GROUP)), before)
}

fn router() -> Scope {
    Scope::Group(t(GROUP))
}

/// The standard repository, whose `latest` names a halt of the group.
fn halted(repo: &Repo) -> (Repo, Digest) {
    let mut repo = repo.clone();
    let digest = repo.publish_halt(&repo.halt(router(), "alice"), &["alice-1"]);
    repo.hint(&[digest]);
    (repo, digest)
}

fn latching(suite: &mut Suite) {
    let (standard, started) = (suite.standard.clone(), suite.started.clone());
    let (repo, digest) = halted(&standard);
    let host =
        suite.done(update("22-latest-names-a-halt", "a halt that latest names is latched, before any head lists it", &repo, &started));
    suite.refused(run("22-run-halted", "a latched halt of the group stops it", &repo, &host), 87, "halted");
    suite.done(update("22-latest-names-it-again", "a latched halt is latched once", &repo, &host));

    let mut hidden = repo.clone();
    hidden.hint(&[]);
    hidden.remove(&format!("halt/{digest}.halt.json"));
    suite.done(update("22-a-mirror-hides-the-halt", "a latched halt stays latched, whoever hides it", &hidden, &host));
    suite.refused(run("22-run-although-hidden", "and stops the group", &hidden, &host), 87, "halted");
    let mut garbled = standard.clone();
    garbled.files.retain(|path, _| path == "latest");
    suite.refused(run("22-the-latch-comes-first", "a latched halt is looked at before any document", &garbled, &host), 87, "halted");

    let init = Command::Init(Given::of(&repo));
    suite.done(Case::new(
        "22-init-latest-names-a-halt",
        "a halt that latest names is latched at first contact",
        &repo,
        init,
        &Before::Blank,
    ));
    let textless = with(&host, |state| drop(state.latched.insert(digest, None)));
    suite.refused(
        run("22-run-halted-without-the-text", "a halt whose text is not at hand counts as one of everything", &repo, &textless),
        87,
        "halted",
    );
    suite.done(update("22-the-text-comes-later", "a text that was not at hand is kept when it is there and signed", &repo, &textless));

    // Of another bundle: its text would set the host free.
    let mut unsigned = standard.clone();
    let text = unsigned.publish_halt(&unsigned.halt(Scope::Bundle(Digest::of(b"another")), "alice"), &[]);
    unsigned.hint(&[text]);
    let textless = with(&started, |state| drop(state.latched.insert(text, None)));
    let still = suite.done(update("22-a-text-that-nobody-signed", "a text that nobody signed is not kept", &unsigned, &textless));
    suite.refused(run("22-run-beside-a-text-that-nobody-signed", "and the halt stays one of everything", &unsigned, &still), 87, "halted");
    let mut signed = standard.clone();
    signed.publish_halt(&signed.halt(Scope::Bundle(Digest::of(b"another")), "alice"), &["alice-1"]);
    let free =
        suite.done(update("22-a-text-that-nobody-names", "a latched halt without text is asked for by its digest", &signed, &textless));
    suite.done(run("22-run-beside-a-text-that-came-later", "and stops what its text says", &signed, &free));
    let mut second = standard.clone();
    let digest_by = second.publish_halt(&second.halt(router(), "bob"), &["alice-1", "bob-1"]);
    second.hint(&[digest_by]);
    suite.done(update("22-halt-by-the-second-who-signed", "a halt is by any of those who signed it", &second, &started));

    let mut two = repo.clone();
    let other = two.publish_halt(&two.halt(router(), "bob"), &["bob-1"]);
    two.hint(&[digest, other]);
    suite.done(update("22-two-halts-of-one-second", "both of two halts are latched", &two, &started));

    let mut late = update("22-latched-although-the-head-expired", "a halt counts although the update is refused", &repo, &started);
    late.now = t("2026-03-04T00:00:00Z");
    suite.latched_and_refused(late, 85, "expired");
    let mut behind = repo.clone();
    behind.write_latest(|latest| (latest.trust, latest.halts) = (2, vec![digest]));
    let case = update(
        "22-latched-although-a-rotation-is-hidden",
        "a mirror that holds back a trust document does not hold back the halt",
        &behind,
        &started,
    );
    suite.latched_and_refused(case, 92, "trust-missing");

    // Halts that are none.
    let none: [(&str, &str, Scope, &str, &[&str]); 5] = [
        ("22-halt-unsigned", "a halt that nobody signed is ignored", router(), "alice", &[]),
        ("22-halt-by-ci", "a halt by a key that is not in role halt is ignored", router(), "ci", &["ci-1", "clock-1"]),
        ("22-halt-in-another-s-name", "a halt that is not by one who signed it is ignored", router(), "bob", &["alice-1"]),
        ("22-halt-of-another-group", "a halt of another group is ignored", Scope::Group(t("prod/quoter")), "alice", &["alice-1"]),
        ("22-halt-of-another-host", "a halt of another host is ignored", Scope::Host(t("rtr-2")), "alice", &["alice-1"]),
    ];
    for (name, says, scope, by, signers) in none {
        let mut repo = standard.clone();
        let digest = repo.publish_halt(&repo.halt(scope, by), signers);
        repo.hint(&[digest]);
        suite.done(update(name, says, &repo, &started));
    }
    let mut changed = repo.clone();
    changed.flip(&format!("halt/{digest}.halt.json"), 1);
    suite.done(update("01-halt", "a halt of other bytes than were signed is ignored", &changed, &started));
    let mut foreign = standard.clone();
    let mut halt = foreign.halt(router(), "alice");
    halt.repository = t(&"f".repeat(32));
    let digest = foreign.publish_halt(&halt, &["alice-1"]);
    foreign.hint(&[digest]);
    suite.done(update("06-halt-of-another-repository", "a halt of another repository is ignored", &foreign, &started));

    // A halt gets through.
    let mut beside = repo.clone();
    let digest = halted(&standard).1;
    beside.write(format!("halt/{digest}.halt.json.bob-1.minisig"), b"junk\n");
    suite.done(update("22-one-good-signature-beside-a-bad-one", "one valid signature is enough for a halt", &beside, &started));
    let mut drain = standard.clone();
    let mut halt = drain.halt(router(), "alice");
    (halt.mode, halt.drain_seconds) = (Mode::Drain, Some(3600));
    let digest = drain.publish_halt(&halt, &["alice-1"]);
    drain.hint(&[digest]);
    suite.done(update("22-halt-that-drains", "a halt that lets what runs end by itself is a halt", &drain, &started));
    let mut missing = standard.clone();
    missing.hint(&[Digest::of(b"no such halt")]);
    suite.done(update(
        "22-latest-names-a-halt-that-is-not-there",
        "a halt that latest names and nobody has is ignored",
        &missing,
        &started,
    ));

    // The key that signed it was dropped.
    let mut dropped = repo.clone();
    dropped.rotate(
        |trust| {
            trust.keys.insert(t("carol-1"), key("carol-1"));
            trust.roles.halt = role(&[("operators", 1, &["carol-1"])]);
        },
        &["root-1"],
    );
    dropped.next_head();
    let mut still = dropped.clone();
    still.hint(&[digest_of(&repo)]);
    suite.done(update("22-its-key-was-dropped-later", "a latched halt outlives its key", &still, &host));
    suite.done(update("22-its-key-was-dropped-before", "a halt by a key that is no longer in role halt is ignored", &still, &started));
}

fn digest_of(repo: &Repo) -> Digest {
    let path = repo.files.keys().find(|path| path.ends_with(".halt.json")).unwrap();
    t(&path["halt/".len()..path.len() - ".halt.json".len()])
}

fn scopes(suite: &mut Suite) {
    let (standard, started) = (suite.standard.clone(), suite.started.clone());
    let release = bundle("1.0").digest();
    for (name, scope, stops) in [
        ("everything", Scope::Everything, true),
        ("this-host", Scope::Host(t("rtr-1")), true),
        ("this-bundle", Scope::Bundle(release), true),
        ("another-bundle", Scope::Bundle(Digest::of(b"another")), false),
    ] {
        let mut repo = standard.clone();
        let digest = repo.publish_halt(&repo.halt(scope, "bob"), &["bob-1"]);
        repo.hint(&[digest]);
        let host = suite.done(update(
            &format!("22-halt-of-{name}"),
            "a halt of everything, of this host, or of any bundle is latched",
            &repo,
            &started,
        ));
        let case = run(&format!("22-run-halted-{name}"), "a halt stops what its scope names", &repo, &host);
        if stops { suite.refused(case, 87, "halted") } else { drop(suite.done(case)) }
    }
    // The other halts that a host may hold without being stopped: of a group that it follows and does not run.
    let two = with(&started, |state| drop(state.groups.insert(t("prod/quoter"), Default::default())));
    let mut repo = standard.clone();
    let digest = repo.publish_halt(&repo.halt(Scope::Group(t("prod/quoter")), "bob"), &["bob-1"]);
    repo.hint(&[digest]);
    let host = suite.done(update("22-halt-of-another-followed-group", "a halt of any followed group is latched", &repo, &two));
    suite.done(run("22-run-beside-it", "and stops that group alone", &repo, &host));
    let full = with(&started, |state| {
        for n in 0..512u32 {
            let mut halt = standard.halt(Scope::Bundle(Digest::of(b"another")), "bob");
            halt.reason = format!("halt {n}");
            state.latched.insert(Digest::of(&proofmark_core::json::print(&halt)), None);
        }
    });
    suite.refused(run("22-as-many-as-can-be-kept", "512 latched halts count as a halt of everything", &standard, &full), 87, "halted");
}

fn listing(suite: &mut Suite) {
    let (standard, started) = (suite.standard.clone(), suite.started.clone());
    let mut listed = standard.clone();
    let digest = listed.publish_halt(&listed.halt(router(), "alice"), &["alice-1"]);
    listed.now = t("2026-03-02T10:00:00Z");
    listed.publish_head(|head| head.halts = vec![digest], &["clock-1"]);
    let host = suite.done(update("22-the-head-lists-a-halt", "a listed halt that is signed is latched", &listed, &started));
    suite.refused(run("22-run-listed", "and stops what it names", &listed, &host), 87, "halted");
    let mut unlisted = listed.clone();
    unlisted.next_head();
    suite.done(update("22-the-head-no-longer-lists-it", "a latched halt does not end with the list", &unlisted, &host));

    // Listed, and by nobody's key: the head's word is enough, for as long as it lasts.
    let mut bare = listed.clone();
    bare.remove(&format!("halt/{digest}.halt.json.alice-1.minisig"));
    let host =
        suite.done(update("22-a-listed-halt-without-a-signature", "a listed halt that nobody signed is not latched", &bare, &started));
    suite.refused(run("22-run-listed-without-a-signature", "but stops what it names", &bare, &host), 87, "halted");
    let mut unlisted = bare.clone();
    unlisted.next_head();
    let host = suite.done(update("22-and-is-unlisted", "until a head no longer lists it", &unlisted, &host));
    suite.done(run("22-run-unlisted", "and then no more", &unlisted, &host));

    let mut elsewhere = standard.clone();
    let digest = elsewhere.publish_halt(&elsewhere.halt(Scope::Host(t("rtr-2")), "alice"), &["alice-1"]);
    elsewhere.publish_head(|head| head.halts = vec![digest], &["clock-1"]);
    let host = suite.done(update("22-the-head-lists-a-halt-of-others", "a listed halt of others is not latched", &elsewhere, &started));
    suite.done(run("22-run-beside-a-halt-of-others", "and stops nothing", &elsewhere, &host));

    let mut lost = standard.clone();
    lost.publish_head(|head| head.halts = vec![Digest::of(b"no such halt")], &["clock-1"]);
    let host =
        suite.done(update("22-a-listed-halt-that-is-not-there", "an update goes on beside a listed halt that nobody has", &lost, &started));
    suite.refused(run("22-run-beside-a-listed-halt-that-is-not-there", "which counts as one of everything", &lost, &host), 87, "halted");
    let mut foreign = standard.clone();
    let mut halt = foreign.halt(Scope::Bundle(Digest::of(b"another")), "alice");
    halt.repository = t(&"f".repeat(32));
    let digest = foreign.publish_halt(&halt, &["alice-1"]);
    foreign.publish_head(|head| head.halts = vec![digest], &["clock-1"]);
    let host = suite.done(update(
        "06-a-listed-halt-of-another-repository",
        "an update goes on beside a listed halt of another repository",
        &foreign,
        &started,
    ));
    suite.refused(
        run("06-run-beside-a-listed-halt-of-another-repository", "which counts as one of everything", &foreign, &host),
        87,
        "halted",
    );
    let mut changed = listed.clone();
    changed.flip(&format!("halt/{}.halt.json", digest_of(&listed)), 1);
    let host =
        suite.done(update("22-a-listed-halt-of-other-bytes", "an update goes on beside a listed halt of other bytes", &changed, &started));
    suite.refused(
        run("22-run-beside-a-listed-halt-of-other-bytes", "which counts as one of everything too", &changed, &host),
        87,
        "halted",
    );
}

fn lifting(suite: &mut Suite) {
    let (repo, digest) = halted(&suite.standard);
    let host = after(&repo, Command::Update, &suite.started);
    let mut lifted = repo.clone();
    lifted.publish_resume(digest, |_| {}, &BOTH);
    let free = suite.done(update("22-resume", "a resume by those who sign an index lifts the halt", &lifted, &host));
    suite.done(run("22-run-resumed", "and what it stopped starts again", &lifted, &free));
    suite.done(update("22-a-lifted-halt-is-shown-again", "a lifted halt stays lifted", &repo, &free));
    let mut listed = repo.clone();
    listed.publish_head(|head| head.halts = vec![digest], &["clock-1"]);
    let host_listed = suite.done(update("22-a-lifted-halt-is-listed-again", "also where a head lists it", &listed, &free));
    suite.done(run("22-run-beside-a-lifted-halt", "and stops nothing", &listed, &host_listed));
    suite.done(update("22-resume-comes-with-the-halt", "a halt and its resume may come together", &lifted, &suite.started.clone()));

    for (name, says, signers, proposer) in [
        ("22-resume-by-halt-keys", "those who halt do not lift", &["alice-1", "bob-1"][..], "ci"),
        ("22-resume-by-ci-alone", "a machine alone does not lift", &["ci-1"], "ci"),
        ("22-resume-by-the-proposer-alone", "the second person is a second person", &BOTH, "alice"),
        ("22-resume-unsigned", "nobody does not lift", &[], "ci"),
    ] {
        let mut spoilt = repo.clone();
        spoilt.publish_resume(digest, |resume| resume.proposer = t(proposer), signers);
        suite.done(update(name, says, &spoilt, &host));
    }
    let mut other = repo.clone();
    other.publish_resume(digest, |resume| resume.halt = Digest::of(b"another"), &BOTH);
    suite.done(update("22-resume-of-another-halt", "a resume lifts the halt it names, under that name", &other, &host));
    let mut foreign = repo.clone();
    foreign.publish_resume(digest, |resume| resume.repository = t(&"f".repeat(32)), &BOTH);
    suite.done(update("06-resume-of-another-repository", "a resume of another repository lifts nothing", &foreign, &host));
    let mut bad = lifted.clone();
    bad.flip(&format!("resume/{digest}.resume.json"), 1);
    suite.done(update("01-resume", "a resume of other bytes than were signed lifts nothing", &bad, &host));
    let mut third = lifted.clone();
    third.write(format!("resume/{digest}.resume.json.bob-1.minisig"), b"junk\n");
    suite.done(update("22-resume-beside-a-bad-signature", "a bad signature spoils a resume", &third, &host));

    let mut late = update("22-no-resume-under-an-expired-head", "nothing is lifted by an update that is refused", &lifted, &host);
    late.now = t("2026-03-04T00:00:00Z");
    suite.refused(late, 85, "expired");
}

fn by_hand(suite: &mut Suite) {
    let (standard, started) = (suite.standard.clone(), suite.started.clone());
    let file = |digest: Digest| format!("halt/{digest}.halt.json");
    let case = |name: &str, says: &str, repo: &Repo, digest: Digest, before: &Before| {
        Case::new(name, says, repo, Command::Halt(file(digest)), before)
    };
    let mut repo = standard.clone();
    let digest = repo.publish_halt(&repo.halt(router(), "bob"), &["bob-1"]);
    let host = suite.done(case("22-by-hand", "a halt that came by hand is latched", &repo, digest, &started));
    suite.done(case("22-by-hand-again", "and may come again", &repo, digest, &host));
    let mut trust_only = repo.clone();
    trust_only.files.retain(|path, _| path.starts_with("trust/") || path.starts_with("halt/"));
    suite.done(case("22-by-hand-with-trust-alone", "it needs the accepted trust and nothing else", &trust_only, digest, &started));

    let mut unsigned = standard.clone();
    let digest = unsigned.publish_halt(&unsigned.halt(router(), "bob"), &["ci-1"]);
    suite.refused(
        case("22-by-hand-unsigned", "a halt that no key of role halt signed is refused", &unsigned, digest, &started),
        80,
        "threshold",
    );
    let mut other = standard.clone();
    let digest = other.publish_halt(&other.halt(router(), "bob"), &["alice-1"]);
    suite.refused(case("22-by-hand-in-another-s-name", "a halt is by one who signed it", &other, digest, &started), 80, "wrong-document");
    let mut elsewhere = standard.clone();
    let digest = elsewhere.publish_halt(&elsewhere.halt(Scope::Host(t("rtr-2")), "bob"), &["bob-1"]);
    suite.refused(case("22-by-hand-for-others", "a halt of others is refused", &elsewhere, digest, &started), 89, "for-another-host");
    let mut junk = standard.clone();
    let digest = junk.publish_halt(&junk.halt(router(), "bob"), &[]);
    junk.write(format!("{}.bob-1.minisig", file(digest)), b"junk\n");
    suite.refused(
        case("22-by-hand-with-junk", "where no signature is valid, the first one's refusal counts", &junk, digest, &started),
        90,
        "malformed",
    );
    let mut drain = standard.clone();
    let mut halt = drain.halt(router(), "bob");
    halt.drain_seconds = Some(1);
    let digest = drain.publish_halt(&halt, &["bob-1"]);
    suite.refused(
        case("22-by-hand-malformed", "a halt that breaks a rule of its own is refused", &drain, digest, &started),
        90,
        "malformed",
    );

    let (repo, digest) = halted(&standard);
    let mut lifted = repo.clone();
    lifted.publish_resume(digest, |_| {}, &BOTH);
    let free = after(&lifted, Command::Update, &started);
    suite.refused(case("22-by-hand-lifted-before", "a lifted halt is not latched again", &repo, digest, &free), 84, "halt-lifted");
    for (name, before, word) in [("blank", Before::Blank, "not-set-up"), ("lost", Before::Lost, "state")] {
        suite.refused(
            case(&format!("22-by-hand-on-a-{name}-host"), "a host without a state latches nothing", &repo, digest, &before),
            94,
            word,
        );
    }
}
