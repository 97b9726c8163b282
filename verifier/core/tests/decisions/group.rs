//! Sections 5.3 and 7.1, steps 10 to 12: group files, who is listed, what only grows, what may follow what.

use crate::world::*;
use proofmark_core::admission::Chain;
use proofmark_core::group::{FlagState, Gate, Group, Lease, LedgerEntry, Mode};
use proofmark_core::name::GroupName;
use proofmark_core::{Digest, Reason, json, limits};

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn sorted(mut list: Vec<Digest>) -> Vec<Digest> {
    list.sort();
    list
}

#[track_caller]
fn load(expected: Result<(), Reason>, edit: impl FnOnce(&mut Group)) {
    let mut group = group("bundle 1");
    edit(&mut group);
    let parsed = json::parse::<Group>(&json::print(&group), "group");
    assert_eq!(parsed.as_ref().map(drop).map_err(|e| e.reason()), expected, "{parsed:?}");
}

#[test]
fn a_group_files_own_rules() {
    load(Ok(()), |_| {});
    load(Err(Reason::Malformed), |group| group.hosts.clear());
    load(Err(Reason::Malformed), |group| group.bundle.sha256sum.push(' '));
    load(Err(Reason::Malformed), |group| group.bundle.release = t("1.3"));
    load(Err(Reason::Malformed), |group| group.bundle.sha256sum = "short".into());
    load(Ok(()), |group| (group.bundle.size, group.bundle.unpacked_size) = (limits::BUNDLE, limits::UNPACKED));
    load(Err(Reason::Limit), |group| group.bundle.size = limits::BUNDLE + 1);
    load(Err(Reason::Limit), |group| group.bundle.unpacked_size = limits::UNPACKED + 1);
    load(Err(Reason::Malformed), |group| group.from = vec![digest("x")]);
    load(Err(Reason::Malformed), |group| group.mode = Mode::Upgrade);
    load(Ok(()), |group| (group.mode, group.from) = (Mode::Upgrade, vec![digest("x")]));
    load(Err(Reason::Transition), |group| (group.mode, group.from) = (Mode::Rollback, vec![digest("x")]));
    load(Ok(()), |group| (group.mode, group.from, group.rollback_targets) = (Mode::Rollback, vec![digest("x")], vec![digest("bundle 1")]));
    load(Err(Reason::Revoked), |group| group.revoked = vec![digest("bundle 1")]);
    load(Ok(()), |group| group.revoked = vec![digest("bundle 0")]);
    let twice = |name: &str| vec![digest(name), digest(name)];
    load(Err(Reason::Malformed), |group| (group.mode, group.from) = (Mode::Upgrade, twice("x")));
    load(Err(Reason::Malformed), |group| group.rollback_targets = twice("x"));
    load(Err(Reason::Malformed), |group| group.revoked = twice("x"));
    let many = |count: usize| sorted((0..count).map(|n| digest(&format!("many {n}"))).collect());
    load(Ok(()), |group| group.rollback_targets = many(64));
    load(Err(Reason::Limit), |group| group.rollback_targets = many(65));
    let entry = |id| LedgerEntry { id, name: t("flag"), meaning: digest("m"), state: FlagState::Active };
    load(Ok(()), |group| group.ledger = vec![entry(1), entry(2)]);
    load(Err(Reason::Malformed), |group| group.ledger = vec![entry(2), entry(1)]);
    load(Err(Reason::Malformed), |group| group.ledger = vec![entry(1), entry(1)]);
    let host = group("x").hosts.values().next().unwrap().clone();
    let hosts = |count: usize| (0..count).map(|n| (t(&format!("h{n}")), host.clone())).collect();
    load(Ok(()), |group| group.hosts = hosts(limits::HOSTS));
    load(Err(Reason::Limit), |group| group.hosts = hosts(limits::HOSTS + 1));
}

#[test]
fn attack_15_the_index_pins_the_group_file_by_size_and_digest() {
    let scene = Scene::new();
    let chain = scene.chain().unwrap();
    let name = scene.name();
    let good = json::print(&scene.groups[&name]);
    let assign = |bytes: &[u8]| chain.assign(&name, bytes, None, "x86_64");
    assert!(assign(&good).is_ok());
    refused(assign(&[&good[..], b" "].concat()), Reason::Size);
    let mut other = good.clone();
    *other.last_mut().unwrap() = b' ';
    refused(assign(&other), Reason::Digest);
    refused(chain.assign(&t::<GroupName>("prod/quoter"), &good, None, "x86_64"), Reason::NotInIndex);
}

/// One group file under the name `prod/router`, whatever it says.
fn under_the_name(edit: impl FnOnce(&mut Group)) -> proofmark_core::Result<proofmark_core::Verified<Group>> {
    let mut scene = Scene::new();
    let group = scene.groups.values_mut().next().unwrap();
    edit(group);
    name_bundle(group, "bundle 1");
    scene.publish(1, 1);
    scene.assign(None)
}

#[test]
fn attack_21_wrong_environment_role_host_and_architecture_are_refused_each_with_its_own_word() {
    assert!(under_the_name(|_| {}).is_ok());
    refused(under_the_name(|group| group.environment = t("uat")), Reason::Environment);
    refused(under_the_name(|group| group.role = t("quoter")), Reason::Role);
    refused(under_the_name(|group| group.repository = t(&"f".repeat(32))), Reason::WrongDocument);
    refused(
        under_the_name(|group| {
            let host = group.hosts.pop_first().unwrap().1;
            group.hosts.insert(t("rtr-2"), host);
        }),
        Reason::HostNotInGroup,
    );
    refused(under_the_name(|group| group.bundle.target = t("aarch64-unknown-linux-gnu")), Reason::Target);
    refused(under_the_name(|group| group.bundle.target = t("x86_64h-apple-darwin")), Reason::Target);
    refused(under_the_name(|group| group.freshness.lease = Lease::Strict), Reason::VerifierTooOld);
    refused(under_the_name(|group| group.silence.stop_seconds = Some(60)), Reason::VerifierTooOld);
    assert!(under_the_name(|group| group.gate = Gate::All).is_ok());
    // A host of another environment.
    let mut scene = Scene::new();
    scene.state.identity.environment = t("uat");
    refused(scene.assign(None), Reason::Environment);
}

#[test]
fn attack_21_a_host_is_in_one_group() {
    let names: Vec<GroupName> = ["prod/router", "prod/quoter"].map(t).into();
    assert!(Chain::check_one_group(&[], &t("rtr-1")).is_ok());
    assert!(Chain::check_one_group(&names[..1], &t("rtr-1")).is_ok());
    refused(Chain::check_one_group(&names, &t("rtr-1")), Reason::HostInTwoGroups);
}

#[test]
fn attack_20_a_bundle_replaces_another_only_as_the_group_file_says() {
    let next = |edit: &dyn Fn(&mut Group)| {
        let mut scene = Scene::new();
        scene.accept();
        let group = scene.groups.values_mut().next().unwrap();
        name_bundle(group, "bundle 2");
        edit(group);
        scene.publish(2, 2);
        scene.assign(None).map(|_| scene)
    };
    refused(next(&|_| {}), Reason::Transition);
    refused(next(&|group| (group.mode, group.from) = (Mode::Upgrade, vec![digest("bundle 0")])), Reason::Transition);
    let from = sorted(vec![digest("bundle 0"), digest("bundle 1")]);
    let mut scene = next(&|group| (group.mode, group.from) = (Mode::Upgrade, from.clone())).unwrap();
    scene.accept();
    let followed = &scene.state.groups[&scene.name()];
    assert_eq!(followed.active.as_ref().unwrap().bundle, digest("bundle 2"));
    assert_eq!(followed.previous.as_ref().unwrap().bundle, digest("bundle 1"));
    let back = |group: &mut Group| {
        (group.mode, group.from, group.rollback_targets) = (Mode::Rollback, vec![digest("bundle 1")], vec![digest("bundle 2")]);
    };
    assert!(next(&back).is_ok());
    refused(
        next(&|group| {
            (group.mode, group.from) = (Mode::Upgrade, from.clone());
            group.bundle.product = t("quoter");
            name_bundle(group, "bundle 2");
        }),
        Reason::Product,
    );
    // The same bundle under any mode.
    let mut same = Scene::new();
    same.accept();
    let group = same.groups.values_mut().next().unwrap();
    (group.mode, group.from) = (Mode::Upgrade, vec![digest("bundle 0")]);
    same.publish(2, 2);
    assert!(same.assign(None).is_ok());
}

#[test]
fn attack_20_revocations_and_ledger_only_grow() {
    let entry = |id, name: &str, meaning: &str, state| LedgerEntry { id, name: t(name), meaning: digest(meaning), state };
    use FlagState::{Active, Retired};
    let mut before = group("bundle 1");
    before.revoked = vec![digest("bundle 0")];
    before.ledger = vec![entry(7, "power_peg", "old", Retired), entry(9, "rlp", "new", Active)];
    let follows = |edit: &dyn Fn(&mut Group)| {
        let mut after = before.clone();
        edit(&mut after);
        let mut scene = Scene::of([after]);
        scene.publish(2, 2);
        scene.assign(Some(&before)).map(drop)
    };
    assert!(follows(&|_| {}).is_ok());
    assert!(follows(&|group| group.revoked = sorted(vec![digest("bundle 0"), digest("bundle 2")])).is_ok());
    refused(follows(&|group| group.revoked.clear()), Reason::RevokedShrunk);
    refused(follows(&|group| group.revoked = vec![digest("bundle 2")]), Reason::RevokedShrunk);
    assert!(follows(&|group| group.ledger[1].state = Retired).is_ok());
    assert!(follows(&|group| group.ledger.push(entry(12, "x", "y", Active))).is_ok());
    refused(follows(&|group| drop(group.ledger.remove(0))), Reason::LedgerShrunk);
    refused(follows(&|group| group.ledger[0].state = Active), Reason::LedgerShrunk);
    refused(follows(&|group| group.ledger[0].name = t("rlp")), Reason::LedgerShrunk);
    refused(follows(&|group| group.ledger[0].meaning = digest("new")), Reason::LedgerShrunk);
}
