//! Cases of what is older, other, mixed, rotated or of another time: FORMAT.md sections 5.1 and 7.1, ATTACKS 12 to 19.

use super::case::{Before, Command, Given};
use super::chain::{at, update};
use super::repo::{BOTH, Repo, bundle, key};
use super::sign;
use super::suite::{Suite, after, with};
use crate::world::{role, t};
use proofmark_core::index::Pin;
use proofmark_core::json;
use proofmark_core::signature::Kind;
use proofmark_core::{Digest, Time};

/// All of them.
pub fn cases(suite: &mut Suite) {
    older(suite);
    mixed(suite);
    rotations(suite);
    a_stolen_head_key(suite);
    clocks(suite);
}

fn older(suite: &mut Suite) {
    let (repo, host) = (suite.upgraded.clone(), suite.upgraded_host.clone());
    suite.done(update("00-upgrade", "a host that runs release 1.0 stages 1.1, and remembers 1.0", &repo, &suite.started.clone()));
    suite.done(update("00-update-again", "the same documents change nothing", &repo, &host));

    let mut old = repo.clone();
    old.write_latest(|latest| (latest.index, latest.head) = (2, 2));
    suite.refused(update("12-older-head", "a head older than the accepted one is refused", &old, &host), 84, "rollback");
    let late = at(update("12-older-head-later", "and so it is when both have expired", &old, &host), "2026-04-01T00:00:00Z");
    suite.refused(late, 84, "rollback");
    let mut none = repo.clone();
    none.write_latest(|latest| latest.head = 0);
    suite.refused(update("12-no-head-any-more", "a repository that had a head has one", &none, &host), 84, "rollback");
    let mut earlier = repo.clone();
    earlier.publish_head(|head| head.issued = t("2026-03-02T09:59:59Z"), &["clock-1"]);
    suite.refused(
        update("12-newer-head-of-an-earlier-time", "a head is not issued before the accepted one", &earlier, &host),
        84,
        "rollback",
    );
    let mut index = repo.clone();
    let standard = suite.standard.index.clone().unwrap();
    index.publish_head(|head| (head.index.version, head.index.size, head.index.sha256) = (2, standard.2, standard.1), &["clock-1"]);
    suite.refused(update("12-older-index", "a new head does not bring back an old index", &index, &host), 84, "rollback");

    // The same version, other bytes.
    let mut head = repo.clone();
    head.head = 2;
    head.publish_head(|head| head.expires = head.expires.plus(1), &["clock-1"]);
    suite.refused(update("14-two-heads-of-one-version", "two heads of one version are an alarm", &head, &host), 84, "equivocation");
    let mut index = repo.clone();
    index.index = suite.standard.index.clone();
    let previous: proofmark_core::group::Group = last_group(&repo);
    let mut other = previous.clone();
    other.silence.alert_seconds = 61;
    index.publish_groups(&[other]);
    index.next_head();
    suite.refused(update("14-two-indexes-of-one-version", "two indexes of one version are an alarm", &index, &host), 84, "equivocation");
    index.publish_groups(&[previous]);
    index.next_head();
    suite.done(update("14-the-next-index-heals", "the next higher index heals hosts on either half", &index, &host));

    let trusted = with(&host, |state| state.trust.sha256 = Digest::of(b"another trust 1"));
    suite.refused(
        update("14-two-trusts-of-one-version", "the trust document of the accepted version is the accepted one", &repo, &trusted),
        84,
        "equivocation",
    );
    let pinned = with(&host, |state| state.identity.first_trust = Digest::of(b"another trust 1"));
    suite.refused(update("14-another-first-trust", "every command begins with the pinned trust document", &repo, &pinned), 92, "trust-pin");

    let mut late = repo.clone();
    late.rotate(|_| {}, &["root-1"]);
    let mut group = late.publish_bundle(&bundle("1.2"), &[]);
    group.mode = proofmark_core::group::Mode::Upgrade;
    group.from = vec![bundle("1.1").digest()];
    late.publish_groups(&[group]);
    late.next_head();
    suite.refused(
        update("13-the-last-check-fails", "trust, head and index of an update whose bundle is refused are not kept", &late, &host),
        80,
        "threshold",
    );
}

/// The group file of the newest index.
fn last_group(repo: &Repo) -> proofmark_core::group::Group {
    let pin = repo.index.as_ref().unwrap().0.groups.values().next().unwrap().sha256;
    json::parse(repo.read(&format!("group/{pin}.group.json")), "group").unwrap()
}

fn mixed(suite: &mut Suite) {
    let (repo, host) = (suite.upgraded.clone(), suite.started.clone());
    let mut index = repo.clone();
    index.write("index/3.index.json", suite.standard.read("index/2.index.json").to_vec().as_slice());
    suite.refused(update("15-head-of-today-index-of-yesterday", "the head pins the index by size and digest", &index, &host), 81, "digest");
    let group = |repo: &Repo| repo.index.as_ref().unwrap().0.groups.values().next().unwrap().sha256;
    let mut old = repo.clone();
    let yesterday = suite.standard.read(&format!("group/{}.group.json", group(&suite.standard))).to_vec();
    old.write(format!("group/{}.group.json", group(&repo)), &yesterday);
    suite.refused(
        update("15-index-of-today-group-file-of-yesterday", "the index pins group files by size and digest", &old, &host),
        81,
        "size",
    );

    let mut rotated = suite.standard.clone();
    rotated.rotate(|trust| drop(trust.keys.insert(t("bob-1"), key("bob-1"))), &["root-1"]);
    rotated.next_head();
    let mut hidden = rotated.clone();
    hidden.write_latest(|latest| latest.trust = 1);
    suite.refused(
        update("15-a-mirror-hides-a-rotation", "a head that pins a trust the host has not activates nothing", &hidden, &host),
        92,
        "trust-missing",
    );
    let mut lacking = rotated.clone();
    lacking.remove("trust/2.trust.json");
    suite.refused(
        update("15-a-rotation-cannot-be-had", "a trust document on the way that cannot be had is refused", &lacking, &host),
        92,
        "trust-missing",
    );
    let mut stale = rotated.clone();
    stale.rotate(|_| {}, &["root-1"]);
    suite.refused(
        update("15-a-head-of-before-the-rotation", "a head that pins an older trust than the newest is refused", &stale, &host),
        92,
        "trust-missing",
    );
}

fn rotations(suite: &mut Suite) {
    let (repo, host) = (suite.standard.clone(), suite.staged.clone());
    // A new owner, a new machine key, a new clock: everything signed again.
    let mut good = repo.clone();
    good.rotate(
        |trust| {
            trust.keys.insert(t("root-2"), key("root-2"));
            trust.keys.remove("root-1");
            trust.roles.trust = role(&[("owners", 1, &["root-2"])]);
        },
        &["root-1", "root-2"],
    );
    good.next_head();
    suite.done(update(
        "16-rotation",
        "a rotation that the old and the new owners signed is accepted, with all that it asks for",
        &good,
        &host,
    ));
    for (name, signer, says) in [
        ("16-rotation-without-the-old-owner", "root-1", "a rotation without the old owners' signatures is refused"),
        ("16-rotation-without-the-new-owner", "root-2", "a rotation without the new owners' signatures is refused"),
    ] {
        let mut unsigned = good.clone();
        unsigned.remove(&format!("trust/2.trust.json.{signer}.minisig"));
        suite.refused(update(name, says, &unsigned, &host), 80, "threshold");
    }
    let mut changed = good.clone();
    changed.flip("trust/2.trust.json", 1);
    suite.refused(update("01-trust", "a trust document of other bytes than were signed is refused", &changed, &host), 80, "bad-signature");

    let spoilt = |edit: &dyn Fn(&mut proofmark_core::trust::Trust)| {
        let mut repo = repo.clone();
        let mut trust = repo.trust.clone();
        trust.version = 2;
        edit(&mut trust);
        repo.publish_trust_bytes(2, &json::print(&trust), &["root-1"]);
        repo.write_latest(|latest| latest.trust = 2);
        repo
    };
    let skipped = spoilt(&|trust| trust.version = 3);
    suite.refused(update("16-trust-3-in-place-of-2", "a rotation is one version on", &skipped, &host), 92, "trust");
    let foreign = spoilt(&|trust| trust.repository = t(&"f".repeat(32)));
    suite.refused(update("16-trust-of-another-repository", "a rotation keeps the repository", &foreign, &host), 92, "trust");
    let rebound = spoilt(&|trust| {
        drop(trust.keys.insert(t("ci-1"), proofmark_core::trust::Key { holder: t("ci"), public: sign::public("mallory-1") }))
    });
    suite.refused(update("16-a-name-gets-another-key", "a key's name is never bound to other bytes", &rebound, &host), 92, "trust");
    let renamed = spoilt(&|trust| trust.keys.get_mut("bob-1").unwrap().holder = t("bert"));
    suite.refused(update("16-a-key-gets-another-holder", "a key's name is never bound to another holder", &renamed, &host), 92, "trust");
    let twice = spoilt(&|trust| {
        let public = sign::public("bob-1");
        trust.keys.insert(t("bob-2"), proofmark_core::trust::Key { holder: t("bert"), public });
        trust.roles.go = role(&[("operators", 1, &["alice-1", "bob-1", "bob-2"])]);
    });
    suite.refused(
        update("03-one-key-under-two-names", "a key under two names is refused when the document is read", &twice, &host),
        92,
        "trust",
    );
    let zero = spoilt(&|trust| trust.roles.index = role(&[("ci", 0, &["ci-1"]), ("reviewers", 1, &["alice-1", "bob-1"])]));
    suite.refused(update("04-threshold-0", "a threshold of 0 is refused when the document is read", &zero, &host), 92, "trust");
    let mut endless = repo.clone();
    endless.write_latest(|latest| latest.trust = (1 << 53) - 1);
    suite.refused(update("16-latest-names-a-trust-far-away", "the walk ends where it cannot be had", &endless, &host), 92, "trust-missing");

    // The new machine key has signed neither index nor bundle.
    let new_ci = |roles: &[&str]| {
        let mut repo = repo.clone();
        let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
        repo.rotate(
            move |trust| {
                trust.keys.insert(t("ci-2"), key("ci-2"));
                if roles.iter().any(|role| role == "index") {
                    trust.roles.index = role(&[("ci", 1, &["ci-2"]), ("reviewers", 1, &["alice-1", "bob-1"])]);
                }
                if roles.iter().any(|role| role == "bundle") {
                    trust.roles.bundle = role(&[("ci", 1, &["ci-2"])]);
                }
                if roles.len() == 2 {
                    trust.keys.remove("ci-1");
                }
            },
            &["root-1"],
        );
        repo.next_head();
        repo
    };
    suite.refused(
        update("16-rotation-that-the-index-does-not-satisfy", "the index is signed by the newest trust's keys", &new_ci(&["index"]), &host),
        80,
        "threshold",
    );
    suite.refused(
        update(
            "16-rotation-that-the-bundle-does-not-satisfy",
            "the bundle is signed by the newest trust's keys",
            &new_ci(&["bundle"]),
            &host,
        ),
        80,
        "threshold",
    );
    let mut both = new_ci(&["index", "bundle"]);
    let index = both.read("index/2.index.json").to_vec();
    both.write_signed("index", "2.index.json", Kind::Index, Some(2), &index, &["ci-2"]);
    let release = bundle("1.0");
    both.publish_bundle(&release, &["ci-2"]);
    suite.done(update(
        "16-rotation-with-what-it-makes-necessary",
        "missing signatures come beside the old ones, and nothing else changes",
        &both,
        &host,
    ));

    // k of n builders.
    let mut builders = Repo::new();
    builders.rotate(
        |trust| {
            for name in ["ann-1", "ben-1", "cat-1"] {
                trust.keys.insert(t(name), key(name));
            }
            trust.roles.bundle = role(&[("builders", 2, &["ann-1", "ben-1", "cat-1"]), ("ci", 1, &["ci-1"])]);
        },
        &["root-1"],
    );
    let group = builders.publish_bundle(&bundle("1.0"), &["ci-1", "ann-1"]);
    builders.publish_groups(&[group]);
    builders.publish_head(|_| {}, &["clock-1"]);
    let host = after(&builders, Command::Init(Given::of(&builders)), &Before::Blank);
    suite.refused(
        update("02-one-builder-of-two", "every key group of role bundle is met, or the bundle is refused", &builders, &host),
        80,
        "threshold",
    );
    builders.publish_bundle(&bundle("1.0"), &["cat-1"]);
    suite.done(update("02-two-builders-of-three", "any two builders and the machine will do", &builders, &host));
}

fn a_stolen_head_key(suite: &mut Suite) {
    let (repo, host) = (suite.standard.clone(), suite.staged.clone());
    let mut future = repo.clone();
    future.publish_head(
        |head| (head.version, head.issued, head.expires) = ((1 << 53) - 1, t("2099-01-01T00:00:00Z"), t("2099-01-02T00:00:00Z")),
        &["clock-1"],
    );
    suite.refused(update("17-a-head-of-2099", "a head of the future is refused, and makes no floor", &future, &host), 93, "clock");
    let mut soon = repo.clone();
    soon.publish_head(|head| head.issued = t("2026-03-02T12:10:00Z"), &["clock-1"]);
    suite.done(update("17-a-head-of-in-ten-minutes", "clocks may differ by 600 s", &soon, &host));
    let mut soon = repo.clone();
    soon.publish_head(|head| head.issued = t("2026-03-02T12:10:01Z"), &["clock-1"]);
    suite.refused(update("17-a-head-of-in-ten-minutes-and-a-second", "and by no more", &soon, &host), 93, "clock");

    let far = |version: u64| {
        let mut repo = repo.clone();
        let mut index = repo.draft_index(&[last_group(&repo)]);
        (index.version, index.prev) = (version, Some(Pin { version: version - 1, sha256: Digest::of(b"unknown") }));
        repo.publish_index(index, &BOTH);
        repo.next_head();
        repo
    };
    suite.refused(
        update("17-an-index-too-far-on", "an index is at most 2^32 above the accepted one", &far((1 << 32) + 3), &host),
        90,
        "limit",
    );
    suite.done(update("17-an-index-just-near-enough", "and a step of 2^32 is taken", &far((1 << 32) + 2), &host));

    // The highest head there is was accepted. Only a trust that drops its key ends the floor.
    let pushed = with(&host, |state| state.head.as_mut().unwrap().version = (1 << 53) - 1);
    let mut next = repo.clone();
    next.next_head();
    suite.refused(
        update("17-the-floor-of-a-stolen-key-holds", "a floor holds as long as its keys are in role head", &next, &pushed),
        84,
        "rollback",
    );
    let mut rotated = repo.clone();
    rotated.rotate(
        |trust| {
            trust.keys.remove("clock-1");
            trust.keys.insert(t("clock-2"), key("clock-2"));
            trust.roles.head = role(&[("clock", 1, &["clock-2"])]);
        },
        &["root-1"],
    );
    rotated.publish_head(|_| {}, &["clock-2"]);
    suite.done(update(
        "17-a-trust-that-drops-the-key-ends-its-floor",
        "a trust document that names another head key frees version and time",
        &rotated,
        &pushed,
    ));
    // The same key under another name is another key to a floor.
    let mut renamed = repo.clone();
    renamed.rotate(
        |trust| {
            let same = trust.keys.remove("clock-1").unwrap();
            trust.keys.insert(t("clock-2"), same);
            trust.roles.head = role(&[("clock", 1, &["clock-2"])]);
        },
        &["root-1"],
    );
    renamed.publish_head(|_| {}, &[]);
    let (path, name) = (format!("head/{}.head.json", renamed.head), format!("{}.head.json", renamed.head));
    let signature = sign::sign("clock-1", &renamed.comment(Kind::Head, Some(renamed.head), &name), renamed.read(&path));
    renamed.write(format!("{path}.clock-2.minisig"), &signature);
    suite.done(update("17-a-head-key-that-gets-another-name", "floors end with the name of a key", &renamed, &pushed));
    let late = with(&host, |state| state.head.as_mut().unwrap().issued = t("2026-03-05T00:00:00Z"));
    suite.refused(
        update("19-a-clock-before-the-floor", "a clock more than 600 s before an accepted head's time is wrong", &repo, &late),
        93,
        "clock",
    );
    suite.done(update("17-and-the-time-floor-with-it", "so does the time floor", &rotated, &late));
}

fn clocks(suite: &mut Suite) {
    let (repo, host) = (suite.standard.clone(), suite.staged.clone());
    let says = "the same head for ever ends when it expires";
    suite.refused(at(update("18-freeze", says, &repo, &host), "2026-03-03T09:00:01Z"), 85, "expired");
    let says = "a clock of 1970 activates nothing";
    suite.refused(at(update("19-1970", says, &repo, &host), "1970-01-01T00:00:00Z"), 93, "clock");
    let says = "a clock of 2099 activates nothing";
    suite.refused(at(update("19-2099", says, &repo, &host), "2099-01-01T00:00:00Z"), 85, "expired");
    let floor: Time = t("2026-03-02T09:00:00Z");
    let mut case = update("19-ten-minutes-before-the-floor", "600 s before the floor is not yet wrong", &repo, &host);
    case.now = floor.plus(-600);
    suite.done(case);
    let mut case = update("19-more-than-ten-minutes-before-the-floor", "601 s are", &repo, &host);
    case.now = floor.plus(-601);
    suite.refused(case, 93, "clock");
}
