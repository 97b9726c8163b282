//! The second half of the demo: what is refused. Each case spoils one thing and shows the real message and exit code.

use super::stage::Stage;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

pub(super) fn show(stage: &mut Stage) -> Result<()> {
    stage.step(
        "And now what is refused",
        "One thing is spoiled at a time. The number in brackets is the exit code, the word is for machines.",
    );
    flipped_bit(stage)?;
    changed_config(stage)?;
    missing_reviewer(stage)?;
    older_index(stage)?;
    wrong_environment(stage)
}

/// The file of the staged bundle at `path`, on the host.
fn staged(stage: &Stage, path: &str) -> Result<std::path::PathBuf> {
    let store = stage.dir().join("host/var/lib/proofmark/store");
    let bundle = fs::read_dir(&store)?.next().context("a staged bundle")??;
    Ok(bundle.path().join("files").join(path))
}

fn flipped_bit(stage: &mut Stage) -> Result<()> {
    stage.case("one bit of the staged binary is flipped");
    let path = staged(stage, "root/bin/router")?;
    let good = fs::read(&path)?;
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(&path, bad)?;
    stage.verifier_refuses("host", &["run", "prod/router"], 81)?;
    fs::write(&path, good)?;
    Ok(())
}

fn changed_config(stage: &mut Stage) -> Result<()> {
    stage.case("somebody edits the router's configuration on the host");
    let path = staged(stage, "root/etc/router.toml")?;
    let good = fs::read_to_string(&path)?;
    fs::write(&path, format!("{good}\n# a quick fix at 9:25\n"))?;
    stage.verifier_refuses("host", &["run", "prod/router"], 81)?;
    fs::write(&path, good)?;
    Ok(())
}

fn missing_reviewer(stage: &mut Stage) -> Result<()> {
    stage.case("a mirror without the reviewer's signature, for a new host");
    let mirror = stage.copy_repository("mirror-unreviewed")?;
    fs::remove_file(mirror.join("index/1.index.json.bob-1.minisig"))?;
    stage.init_refuses("host-unreviewed", "rtr-2", "prod", &mirror, 80)
}

fn older_index(stage: &mut Stage) -> Result<()> {
    stage.case("a mirror still shows yesterday's index to a host that has seen today's");
    let yesterday = stage.copy_repository("mirror-yesterday")?;
    stage.say("(index 2 adds the uat hosts: the same programs, another configuration)");
    stage.release(&["--environment", "uat"])?;
    super::approve_and_publish(stage)?;
    stage.verifier("host", &["update"])?;
    point_at(stage, "host", &yesterday)?;
    stage.verifier_refuses("host", &["update"], 84)
}

fn wrong_environment(stage: &mut Stage) -> Result<()> {
    stage.case("a uat machine is pointed at the production group");
    let repository = stage.dir().join("repository");
    stage.init_refuses("host-uat", "rtr-1", "uat", &repository, 96)
}

/// Rewrites a host's list of mirrors.
fn point_at(stage: &Stage, host: &str, repository: &Path) -> Result<()> {
    let path = stage.dir().join(host).join("etc/proofmark/host.toml");
    let text = fs::read_to_string(&path)?;
    let old = stage.path("repository");
    fs::write(&path, text.replace(&old, &repository.display().to_string()))?;
    Ok(())
}
