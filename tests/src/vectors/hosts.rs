//! Cases of groups, transitions and bundles: steps 10 to 14 of FORMAT.md section 7, its table 7.6, ATTACKS 20 and 21.

use super::case::{Before, Case, Command, Given};
use super::repo::{BOTH, Bundle, GROUP, Repo, bundle, group, manifest, members, pack};
use super::suite::{Suite, after, with};
use crate::world::t;
use proofmark_core::Digest;
use proofmark_core::group::{FlagState, Group, Host, Lease, LedgerEntry as Flag, Mode};
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
}

pub(super) fn update(name: &str, says: &str, repo: &Repo, before: &Before) -> Case {
    Case::new(name, says, repo, Command::Update, before)
}

pub(super) fn run(name: &str, says: &str, repo: &Repo, before: &Before) -> Case {
    Case::new(name, says, repo, Command::Run(t(GROUP)), before)
}

/// The standard repository with one more index, whose group file is this one.
pub(super) fn next(repo: &Repo, group: Group) -> Repo {
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
