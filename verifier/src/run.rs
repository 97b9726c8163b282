//! `run GROUP`: from what the host has accepted to the payload's first instruction, without network (FORMAT.md section 7).
//!
//! Latched halts, documents, permit, manifest, private copy, seal, hash, last look at the state, exec. A refusal starts nothing, and never
//! something older. It never waits for an update, a log or a server.

use crate::chain::Reading;
use crate::config::User;
use crate::documents;
use crate::failure;
use crate::grants::Grants;
use crate::host::Host;
use crate::launch;
use crate::mounts;
use crate::report;
use crate::source::Source;
use crate::stage;
use crate::state::{self, Snapshot};
use crate::store::{Depth, Entry};
use crate::update;
use crate::user;
use proofmark_core::admission::{Permit, State};
use proofmark_core::group::Group;
use proofmark_core::name::GroupName;
use proofmark_core::{Reason, Refusal, Result, Verified};
use std::os::fd::AsFd;

/// Starts the group's payload in place of this process. Returns only with a refusal.
pub fn run(host: &Host, name: &GroupName) -> Refusal {
    match start(host, name) {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    }
}

fn start(host: &Host, name: &GroupName) -> Result<std::convert::Infallible> {
    let Judged { snapshot, group, permit } = judge(host, name)?;
    if let Permit::Grace(expired) = permit {
        report::say(format_args!(
            "WARNING: {name}: the head expired at {expired}; this is a restart within the signed grace of {} s. \
             Get a fresh head: proofmark-verifier update",
            group.freshness.restart_seconds
        ));
    }
    let entry = Entry::require(host, &group)?;
    let manifest = entry.manifest()?;
    entry.check(&manifest, Depth::Listing)?;
    let launch = &manifest.launch;
    let is_root = rustix::process::geteuid().is_root();
    launch::check(launch, is_root)?;
    let user = if is_root { user::lookup(host, launch)? } else { caller(name, launch.user.as_str()) };
    let grants = Grants::collect(host, name, launch, user.uid, user.gid)?;

    let point = host.layout.mount_point();
    host.disk.directories(&point).map_err(failure::io(&point, "a mount point"))?;
    let authority = mounts::enter()?;
    let root = stage::stage(&entry, &manifest, &snapshot.state.identity.host, &grants, mounts::directory(&point)?.as_fd())?;
    grants.mount(&root, authority)?;
    state::confirm(host, &snapshot, name, permit == Permit::Fresh)?;
    mounts::pivot(&root)?;
    Err(launch::exec(launch, authority, user, grants.variables()))
}

/// The outcome of the checks that need no file of the bundle.
pub struct Judged {
    /// The state that was judged.
    pub snapshot: Snapshot,
    /// The group file.
    pub group: Verified<Group>,
    /// On what word it may start.
    pub permit: Permit,
}

/// Steps 1 to 17 but for the bundle, from what is stored.
pub fn judge(host: &Host, name: &GroupName) -> Result<Judged> {
    // The latch before anything else: it holds whatever became of the documents.
    state::load(&host.layout)?.state.check_latched(name)?;
    let (snapshot, documents) = accepted(host)?;
    let reading = Reading::cached(&snapshot.state, crate::clock::now()?, &*documents);
    let chain = reading.accepted()?;
    check_followed(&snapshot.state, name, chain.index().groups.contains_key(name))?;
    let group = update::assign(&reading, &chain, &snapshot.state, name)?;
    update::assigned(&reading, &chain, &snapshot.state)?;
    let listed = chain.listed(|digest| reading.listed_halt(digest));
    let permit = chain.permit(name, &group, &listed)?;
    Ok(Judged { group, permit, snapshot: snapshot.clone() })
}

/// State and documents that belong together.
pub fn accepted(host: &Host) -> Result<(Snapshot, Box<dyn Source>)> {
    let _lock = state::lock(&host.layout, &host.disk, false)?;
    let snapshot = state::load(&host.layout)?;
    let documents = documents::open(&host.layout, &snapshot.state)?;
    Ok((snapshot, Box::new(documents)))
}

fn check_followed(state: &State, name: &GroupName, in_index: bool) -> Result<()> {
    let subject = format!("group {name} on {}", state.identity.host);
    match state.groups.get(name) {
        Some(followed) if followed.active.is_some() => Ok(()),
        Some(_) => Err(Refusal::new(Reason::NotStaged, subject, "a staged bundle", "nothing staged yet")),
        // The core refuses a group that the index does not have.
        None if !in_index => Ok(()),
        None => {
            let followed: Vec<String> = state.groups.keys().map(ToString::to_string).collect();
            Err(Refusal::new(Reason::HostNotInGroup, subject, format_args!("a group given at init: {}", followed.join(", ")), name))
        }
    }
}

fn caller(group: &GroupName, wanted: &str) -> User {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    report::say(format_args!(
        "note: {group}: not root, so the payload runs as uid {uid}, gid {gid} in a user namespace, with its groups, not as {wanted}"
    ));
    User { uid, gid }
}
