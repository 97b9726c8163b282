//! Cases of groups, transitions and starts: steps 10 to 18 of FORMAT.md section 7, its table 7.6, ATTACKS 18, 20 and 21.

use super::case::{Before, Case, Command, Given};
use super::repo::{BOTH, Bundle, GROUP, HOST, Repo, bundle, group, manifest, members, pack};
use super::suite::{Suite, after, with};
use crate::world::t;
use proofmark_core::Digest;
use proofmark_core::group::{FlagState, Gate, Group, Host, Lease, LedgerEntry as Flag, Mode};
use proofmark_core::manifest;
use proofmark_core::name::GroupName;
use std::collections::BTreeMap;

/// All of them.
pub fn cases(suite: &mut Suite) {
    assignment(suite);
    transitions(suite);
    only_grows(suite);
    flags(suite);
    bundles_of_others(suite);
    starts(suite);
    checks(suite);
}

fn update(name: &str, says: &str, repo: &Repo, before: &Before) -> Case {
    Case::new(name, says, repo, Command::Update, before)
}

fn run(name: &str, says: &str, repo: &Repo, before: &Before) -> Case {
    Case::new(name, says, repo, Command::Run(t(GROUP)), before)
}

/// The standard repository with one more index, whose group file is this one.
fn next(repo: &Repo, group: Group) -> Repo {
    let mut repo = repo.clone();
    repo.publish_groups(&[group]);
    repo.next_head();
    repo
}

fn assignment(suite: &mut Suite) {
    let empty = suite.empty.clone();
    let listed = |hosts: &[&str]| hosts.iter().map(|host| (t(host), Host { record_key: None })).collect::<BTreeMap<_, _>>();
    let others = Repo::assigning(|group| group.hosts = listed(&["rtr-2", "rtr-3"]));
    suite.refused(
        update("21-host-in-no-group", "a host that its group does not list is refused", &others, &empty),
        89,
        "host-not-in-group",
    );

    let two = with(&empty, |state| drop(state.groups.insert(t("prod/quoter"), Default::default())));
    let mut both = Repo::new();
    let router = both.publish_bundle(&bundle("1.0"), &["ci-1"]);
    let mut quoter = router.clone();
    quoter.role = t("quoter");
    both.publish_groups(&[router.clone(), quoter.clone()]);
    both.publish_head(|_| {}, &["clock-1"]);
    suite.refused(update("21-host-in-two-groups", "a host that two of its groups list is refused", &both, &two), 86, "host-in-two-groups");
    let of_one = after(&both, Command::Update, &empty);
    let of_both = with(&of_one, |state| drop(state.groups.insert(t("prod/quoter"), Default::default())));
    suite.refused(run("21-run-in-two-groups", "nor does a start", &both, &of_both), 86, "host-in-two-groups");
    suite.refused(
        update("21-the-first-followed-group-speaks", "where no group lists the host, the first that it follows is judged", &others, &two),
        82,
        "not-in-index",
    );
    let mut one = Repo::new();
    one.publish_bundle(&bundle("1.0"), &["ci-1"]);
    quoter.hosts = listed(&["qtr-1"]);
    one.publish_groups(&[router.clone(), quoter]);
    one.publish_head(|_| {}, &["clock-1"]);
    suite.done(update("21-host-in-one-of-two-groups", "a host that follows two groups stages the one that lists it", &one, &two));

    let mut gone = suite.standard.clone();
    gone.publish_groups(&[]);
    gone.next_head();
    suite.refused(
        update("21-group-not-in-the-index", "a group that the index no longer has is refused", &gone, &suite.staged.clone()),
        82,
        "not-in-index",
    );
    let removed = next(&suite.standard, {
        let mut group = group(&bundle("1.0"));
        group.hosts = listed(&["rtr-2"]);
        group
    });
    suite.refused(
        update("21-host-no-longer-in-the-group", "a host that was taken out of its group is refused", &removed, &suite.staged.clone()),
        89,
        "host-not-in-group",
    );

    // The index names a group file that is another group's.
    let swapped = |edit: fn(&mut Group)| {
        let mut repo = Repo::new();
        let mut group = repo.publish_bundle(&bundle("1.0"), &["ci-1"]);
        edit(&mut group);
        let mut index = repo.draft_index(&[group]);
        let pin = *index.groups.values().next().unwrap();
        index.groups = BTreeMap::from([(t::<GroupName>(GROUP), pin)]);
        repo.publish_index(index, &BOTH);
        repo.publish_head(|_| {}, &["clock-1"]);
        repo
    };
    let role = swapped(|group| group.role = t("quoter"));
    suite.refused(
        update("21-group-file-of-another-role", "a group file is of the role that the index calls it", &role, &empty),
        96,
        "wrong-role",
    );
    let uat = swapped(|group| {
        group.environment = t("uat");
        group.bundle.sha256sum = group.bundle.sha256sum.replace("-prod+", "-uat+");
    });
    suite.refused(update("21-group-file-of-another-environment", "and of its environment", &uat, &empty), 96, "wrong-environment");

    let elsewhere = with(&empty, |state| {
        state.identity.environment = t("uat");
    });
    suite.refused(
        update(
            "21-host-of-another-environment",
            "a host stages nothing of another environment than its own",
            &suite.standard.clone(),
            &elsewhere,
        ),
        96,
        "wrong-environment",
    );
    let mut case = update("21-another-architecture", "a bundle for another architecture is refused", &suite.standard.clone(), &empty);
    case.architecture = "aarch64";
    suite.refused(case, 96, "wrong-target");
    let strict = Repo::assigning(|group| group.freshness.lease = Lease::Strict);
    suite.refused(
        update("21-strict-lease", "a level 2 verifier refuses a lease that it cannot enforce", &strict, &empty),
        91,
        "verifier-too-old",
    );
    let silent = Repo::assigning(|group| group.silence.stop_seconds = Some(60));
    suite.refused(update("21-stop-on-silence", "and a stop on silence", &silent, &empty), 91, "verifier-too-old");
    let mut newer = Repo::new();
    let router = newer.publish_bundle(&bundle("1.0"), &["ci-1"]);
    let mut index = newer.draft_index(&[router]);
    index.min_verifier = 1000;
    newer.publish_index(index, &BOTH);
    newer.publish_head(|_| {}, &["clock-1"]);
    suite.refused(
        update("21-min-verifier", "an index that asks for more than this verifier can is refused", &newer, &empty),
        91,
        "verifier-too-old",
    );
}

fn transitions(suite: &mut Suite) {
    let (standard, staged, started) = (suite.standard.clone(), suite.staged.clone(), suite.started.clone());
    let old = bundle("1.0").digest();
    suite.done(update("00-update-the-same-group-file", "what was started stays started under the same group file", &standard, &started));
    let mut same = group(&bundle("1.0"));
    same.silence.alert_seconds = 61;
    suite.done(update(
        "00-another-group-file-the-same-bundle",
        "another group file with the same bundle is staged anew",
        &next(&standard, same),
        &started,
    ));

    // Release 1.1 with some mode and `from`.
    let release = |edit: &dyn Fn(&mut Group)| {
        let mut repo = standard.clone();
        let mut group = repo.publish_bundle(&bundle("1.1"), &["ci-1"]);
        edit(&mut group);
        next(&repo, group)
    };
    let install = release(&|_| {});
    suite.refused(update("20-install-over-another-bundle", "install replaces nothing", &install, &started), 84, "transition");
    suite.done(update("20-install-on-an-empty-host", "an empty host takes any mode", &install, &suite.empty.clone()));
    let wrong = release(&|group| (group.mode, group.from) = (Mode::Upgrade, vec![Digest::of(b"another")]));
    suite.refused(
        update("20-upgrade-from-another-bundle", "an upgrade replaces only the bundles it names", &wrong, &staged),
        84,
        "transition",
    );
    suite.done(update("20-upgrade-on-an-empty-host", "an empty host takes an upgrade", &wrong, &suite.empty.clone()));

    let upgraded = suite.upgraded.clone();
    let back = |edit: &dyn Fn(&mut Group)| {
        let mut group = group(&bundle("1.0"));
        group.mode = Mode::Rollback;
        group.from = vec![bundle("1.1").digest()];
        group.rollback_targets = vec![old];
        edit(&mut group);
        next(&upgraded, group)
    };
    let host = suite.upgraded_host.clone();
    suite.done(update("20-rollback", "software goes back by a new, higher index that says rollback", &back(&|_| {}), &host));
    let untold = back(&|group| (group.mode, group.from) = (Mode::Install, vec![]));
    suite.refused(
        update("20-rollback-that-is-called-install", "without the word rollback nothing goes back", &untold, &host),
        84,
        "transition",
    );
    let target = back(&|group| group.rollback_targets = vec![]);
    suite.refused(
        update("20-rollback-to-what-is-no-target", "a rollback goes to a bundle that is named for it", &target, &host),
        84,
        "transition",
    );
    let from = back(&|group| group.from = vec![old]);
    suite.refused(
        update("20-rollback-from-another-bundle", "a rollback replaces only the bundles it names", &from, &host),
        84,
        "transition",
    );
    let revoked = back(&|group| group.revoked = vec![old]);
    suite.refused(update("20-rollback-to-a-revoked-bundle", "a revoked bundle is never assigned again", &revoked, &host), 83, "revoked");

    let mut other = standard.clone();
    let mut product = manifest("1.1");
    product.product = t("quoter");
    let quoter = pack(product, members("1.1"));
    let mut group = other.publish_bundle(&quoter, &["ci-1"]);
    (group.mode, group.from) = (Mode::Upgrade, vec![old]);
    suite.refused(update("21-another-product", "a group never changes its product", &next(&other, group), &staged), 96, "wrong-product");
}

fn flag(id: u64, state: FlagState) -> Flag {
    Flag { id, name: t(if id == 7 { "power_peg" } else { "rlp" }), meaning: Digest::of(&id.to_le_bytes()), state }
}

fn only_grows(suite: &mut Suite) {
    let mut group = group(&bundle("1.0"));
    group.revoked = vec![Digest::of(b"bad release")];
    group.ledger = vec![flag(7, FlagState::Retired), flag(9, FlagState::Active)];
    let first = Repo::assigning(|standard| *standard = group.clone());
    let empty = after(&first, Command::Init(Given::of(&first)), &Before::Blank);
    let host = after(&first, Command::Update, &empty);
    let mut case = |name: &str, says: &str, code: u8, word: &str, edit: &dyn Fn(&mut Group)| {
        let mut changed = group.clone();
        edit(&mut changed);
        let case = update(name, says, &next(&first, changed), &host);
        if code == 0 { drop(suite.done(case)) } else { suite.refused(case, code, word) }
    };
    case("20-a-revocation-disappears", "revocations only grow", 83, "revoked-shrunk", &|group| group.revoked.clear());
    case("20-a-ledger-entry-disappears", "a ledger only grows", 79, "ledger-shrunk", &|group| drop(group.ledger.remove(0)));
    case("20-a-retired-flag-comes-back", "an id may be retired and nothing else", 79, "ledger-shrunk", &|group| {
        group.ledger[0].state = FlagState::Active
    });
    case("20-a-flag-changes-its-meaning", "an id never changes its meaning", 79, "ledger-shrunk", &|group| {
        group.ledger[1].meaning = Digest::of(b"new")
    });
    case("20-a-flag-changes-its-name", "an id never changes its name", 79, "ledger-shrunk", &|group| group.ledger[1].name = t("peg"));
    case("20-a-flag-is-retired", "an active flag may be retired", 0, "", &|group| group.ledger[1].state = FlagState::Retired);
    case("20-more-is-revoked", "more may be revoked", 0, "", &|group| {
        group.revoked.push(Digest::of(b"worse release"));
        group.revoked.sort();
    });
    // Both: revocations are looked at first.
    case("20-both-shrink", "revocations are looked at before the ledger", 83, "revoked-shrunk", &|group| {
        group.revoked.clear();
        group.ledger.clear();
    });
}

fn flags(suite: &mut Suite) {
    let force = |flags: Vec<manifest::Flag>| {
        let mut manifest = manifest("1.0");
        manifest.flags = flags;
        pack(manifest, members("1.0"))
    };
    let in_force =
        |id: u64, meaning: &[u8]| manifest::Flag { id, name: t(if id == 7 { "power_peg" } else { "rlp" }), meaning: Digest::of(meaning) };
    let nine = 9u64.to_le_bytes();
    let seven = 7u64.to_le_bytes();
    let mut renamed = in_force(9, &nine);
    renamed.name = t("peg");
    let cases = [
        ("20-flag-in-no-ledger", "a flag that the ledger has not is refused", in_force(8, &nine), false),
        ("20-flag-retired", "a retired flag is never in force again", in_force(7, &seven), false),
        ("20-flag-of-another-meaning", "a flag has the meaning of the ledger", in_force(9, &seven), false),
        ("20-flag-of-another-name", "a flag has the name of the ledger", renamed, false),
        ("20-flag-active", "an active flag of the ledger is in force", in_force(9, &nine), true),
    ];
    for (name, says, flag_in_force, good) in cases {
        let mut repo = Repo::new();
        let mut group = repo.publish_bundle(&force(vec![flag_in_force]), &["ci-1"]);
        group.ledger = vec![flag(7, FlagState::Retired), flag(9, FlagState::Active)];
        repo.publish_groups(&[group]);
        repo.publish_head(|_| {}, &["clock-1"]);
        let case = update(name, says, &repo, &suite.empty.clone());
        if good { drop(suite.done(case)) } else { suite.refused(case, 79, "flag-ledger") }
    }
}

/// Group files whose entry is not what the manifest says.
fn bundles_of_others(suite: &mut Suite) {
    let of = |bundle: &Bundle, edit: &dyn Fn(&mut Group)| {
        let mut repo = Repo::new();
        let mut group = repo.publish_bundle(bundle, &["ci-1"]);
        let before = bundle.file();
        edit(&mut group);
        let file = group.bundle_file();
        if file != before {
            // The same bytes under the name that the group file asks for.
            let digest = bundle.digest();
            repo.write_signed(&format!("bundles/{digest}"), &file, proofmark_core::Kind::Bundle, None, &bundle.bytes, &["ci-1"]);
            group.bundle.sha256sum = proofmark_core::group::Entry::line(digest, &file);
        }
        repo.publish_groups(&[group]);
        repo.publish_head(|_| {}, &["clock-1"]);
        repo
    };
    let standard = bundle("1.0");
    let mut uat = manifest("1.0");
    uat.environment = t("uat");
    let uat = pack(uat, members("1.0"));
    let empty = suite.empty.clone();
    let mut refuse =
        |name: &str, says: &str, repo: Repo, code: u8, word: &str| suite.refused(update(name, says, &repo, &empty), code, word);
    refuse(
        "21-bundle-of-another-environment",
        "a bundle of another environment is refused",
        of(&uat, &|group| group.environment = t("prod")),
        96,
        "wrong-environment",
    );
    refuse(
        "21-bundle-of-another-target",
        "the manifest's target is the group file's",
        of(&standard, &|group| group.bundle.target = t("x86_64-unknown-linux-musl")),
        96,
        "wrong-target",
    );
    refuse(
        "21-bundle-of-another-release",
        "the manifest's release is the group file's",
        of(&standard, &|group| group.bundle.release = t("1.1")),
        96,
        "wrong-product",
    );
    refuse(
        "21-bundle-of-another-product",
        "the manifest's product is the group file's",
        of(&standard, &|group| group.bundle.product = t("quoter")),
        96,
        "wrong-product",
    );
    refuse(
        "21-bundle-of-another-epoch",
        "the manifest's wire epoch is the group file's",
        of(&standard, &|group| group.bundle.wire_epoch = 3),
        96,
        "wrong-product",
    );
    refuse(
        "21-bundle-of-another-commit",
        "the manifest's commit is the group file's",
        of(&standard, &|group| group.bundle.source_commit = t(&"e".repeat(40))),
        96,
        "wrong-product",
    );
    refuse(
        "01-manifest",
        "a manifest of another digest than the group file pins is refused",
        of(&standard, &|group| group.bundle.manifest_sha256 = Digest::of(b"another")),
        81,
        "digest",
    );
    refuse(
        "28-unpacked-size",
        "the frame holds as many bytes as the group file says",
        of(&standard, &|group| group.bundle.unpacked_size += 512),
        90,
        "malformed",
    );
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
