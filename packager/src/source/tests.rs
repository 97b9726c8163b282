//! Tests on real, small git repositories.

use super::*;

fn git(dir: &Path, arguments: &[&str]) {
    let status = command(dir)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .env("GIT_COMMITTER_DATE", "1700000000 +0100")
        .env("GIT_AUTHOR_DATE", "1700000000 +0100")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "git {arguments:?}");
}

/// A repository with the workspace in `product/`, and something beside it.
fn repository() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("product");
    std::fs::create_dir_all(workspace.join("src")).unwrap();
    std::fs::write(workspace.join("src/main.rs"), "fn main() {}").unwrap();
    std::fs::write(workspace.join("run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(workspace.join("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::write(workspace.join(".gitattributes"), "src/main.rs export-ignore\n").unwrap();
    std::os::unix::fs::symlink("../run.sh", workspace.join("src/link")).unwrap();
    std::fs::write(dir.path().join("outside"), "x").unwrap();
    git(dir.path(), &["init", "-q"]);
    git(dir.path(), &["add", "-A"]);
    git(dir.path(), &["commit", "-qm", "first"]);
    (dir, workspace)
}

#[test]
fn the_subtree_of_the_commit_is_written_with_fixed_modes_and_times() {
    use std::os::unix::fs::MetadataExt;
    let (dir, workspace) = repository();
    let source = inspect(&workspace).unwrap();
    assert_eq!(source.time, 1_700_000_000);
    let to = dir.path().join("out");
    export(&workspace, &source, &to).unwrap();
    let found: Vec<String> = files::regular_below(&to).unwrap().iter().map(|path| path.display().to_string()).collect();
    assert_eq!(
        found,
        [".gitattributes", "run.sh", "src/main.rs"],
        "export-ignore must have no effect, and nothing beside the workspace is taken"
    );
    for (name, mode) in [("run.sh", 0o100755), ("src/main.rs", 0o100644), ("src", 0o40755)] {
        let meta = std::fs::metadata(to.join(name)).unwrap();
        assert_eq!((meta.mode(), meta.mtime()), (mode, 1_700_000_000), "{name}");
    }
    assert_eq!(std::fs::read_link(to.join("src/link")).unwrap(), Path::new("../run.sh"));
    assert_eq!(std::fs::symlink_metadata(to.join("src/link")).unwrap().mtime(), 1_700_000_000);
}

#[test]
fn a_dirty_tree_is_refused_with_the_names() {
    let (dir, workspace) = repository();
    std::fs::write(dir.path().join("outside"), "changed, but not in the workspace").unwrap();
    inspect(&workspace).unwrap();
    std::fs::write(workspace.join("src/main.rs"), "changed").unwrap();
    std::fs::write(workspace.join("new.rs"), "untracked").unwrap();
    let refusal = inspect(&workspace).unwrap_err().refusal();
    assert_eq!((refusal.code, refusal.reason), (Exit::Usage, "dirty"));
    let have = refusal.have.unwrap();
    assert!(have.contains("product/src/main.rs") && have.contains("?? product/new.rs") && !have.contains("outside"), "{have}");
}

#[test]
fn an_untracked_environment_lock_is_not_dirt_and_a_tracked_one_is_committed_as_it_is() {
    let (dir, workspace) = repository();
    let before = inspect(&workspace).unwrap();
    let lock = workspace.join(environment::FILE);
    std::fs::write(&lock, "untracked").unwrap();
    assert_eq!(inspect(&workspace).unwrap(), before);
    std::fs::write(dir.path().join("product/src").join(environment::FILE), "elsewhere").unwrap();
    assert!(matches!(inspect(&workspace), Err(SourceError::Dirty { .. })));
    git(dir.path(), &["add", "-A"]);
    assert!(matches!(inspect(&workspace), Err(SourceError::Dirty { .. })), "added, and not committed");
    git(dir.path(), &["commit", "-qm", "lock"]);
    inspect(&workspace).unwrap();
    std::fs::write(&lock, "changed").unwrap();
    assert!(matches!(inspect(&workspace), Err(SourceError::Dirty { .. })));
}

#[test]
fn no_repository_no_commit_and_an_uncommitted_workspace_are_told_apart_from_faults() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(inspect(dir.path()), Err(SourceError::NotACheckout { .. })));
    git(dir.path(), &["init", "-q"]);
    assert!(matches!(inspect(dir.path()), Err(SourceError::NotACheckout { .. })));
    let (dir, _) = repository();
    std::fs::create_dir(dir.path().join("other")).unwrap();
    assert!(matches!(inspect(&dir.path().join("other")), Err(SourceError::NotACheckout { .. })));
}

#[test]
fn a_link_that_leaves_the_workspace_is_refused() {
    for (path, target, inside) in [
        ("a", "b", true),
        ("d/a", "../b/c", true),
        ("a", "../b", false),
        ("d/a", "../../b", false),
        ("a", "/etc/passwd", false),
        ("a", "b/../../c", false),
        ("d/a", "../b/..", false),
    ] {
        assert_eq!(stays_inside(path, target), inside, "{path} -> {target}");
    }
    let (dir, workspace) = repository();
    std::os::unix::fs::symlink("../outside", workspace.join("leak")).unwrap();
    git(dir.path(), &["add", "-A"]);
    git(dir.path(), &["commit", "-qm", "leak"]);
    let source = inspect(&workspace).unwrap();
    assert!(matches!(export(&workspace, &source, &dir.path().join("out")), Err(SourceError::Unsupported { .. })));
}

#[test]
fn a_submodule_is_refused() {
    let listing = b"160000 commit 0123456789012345678901234567890123456789\tlib/x\0";
    assert!(matches!(entries(listing), Err(SourceError::Unsupported { .. })));
}
