//! The source tree of one commit, written out by us: from git's objects, in a fixed order, with fixed modes and times.
//!
//! Only the workspace's own subtree is taken. Not `git archive`: `.gitattributes` (export-ignore, export-subst) changes what it writes.
//! Nothing is read from the working tree, which only has to be clean, so that nobody releases something else than what they see.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::environment;
use crate::exit::{Exit, IoContext, IoError, Refusal, Refuse};
use crate::files;

/// Which source a build is made of.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Source {
    /// Commit id.
    pub commit: String,
    /// Id of the workspace's tree in that commit.
    pub tree: String,
    /// Committer time, seconds since 1970.
    pub time: u64,
}

/// The source cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The git program is missing.
    #[error("git is not installed")]
    NoGit,
    /// No git checkout here, or nothing committed.
    #[error("{}: {says}", .path.display())]
    NotACheckout {
        /// Workspace.
        path: PathBuf,
        /// What git says.
        says: String,
    },
    /// Git does not trust a checkout of another user.
    #[error("{} belongs to another user", .path.display())]
    OtherOwner {
        /// Workspace.
        path: PathBuf,
    },
    /// The working tree differs from the commit.
    #[error("{}: {} uncommitted changes", .path.display(), .changes.len())]
    Dirty {
        /// Workspace.
        path: PathBuf,
        /// Lines of `git status --porcelain`.
        changes: Vec<String>,
    },
    /// The tree holds something that cannot be in a release.
    #[error("{path}: {why}")]
    Unsupported {
        /// Path in the tree.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// Git failed in a way not foreseen here.
    #[error("git {command} in {}: {says}", .path.display())]
    Git {
        /// Workspace.
        path: PathBuf,
        /// Sub-command.
        command: String,
        /// What git says.
        says: String,
    },
}

impl Refuse for SourceError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io(error) => error.refusal(),
            Self::NoGit => Refusal::new(Exit::Platform, "no-git", "something needed is missing", "git")
                .next("install git, for example: apt-get install git"),
            Self::NotACheckout { path, says } => {
                Refusal::new(Exit::Usage, "not-committed", "a release is made from a commit, and there is none", path.display())
                    .have(says)
                    .next("git init (where there is no repository yet), git add -A, git commit")
            }
            Self::OtherOwner { path } => {
                Refusal::new(Exit::Usage, "other-owner", "git does not read a checkout of another user", path.display())
                    .want("a checkout that belongs to the user who builds")
                    .next(format!(
                        "clone it as this user, or, if you trust it: git config --global --add safe.directory '{}'",
                        path.display()
                    ))
            }
            Self::Dirty { path, changes } => {
                let mut have = changes.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
                if changes.len() > 10 {
                    have += &format!("\n... and {} more", changes.len() - 10);
                }
                Refusal::new(Exit::Usage, "dirty", "the working tree is not what is committed", path.display())
                    .want("no modified and no untracked file")
                    .have(have)
                    .next("git add and git commit them, git stash -u, or list build products in .gitignore")
            }
            Self::Unsupported { path, why } => {
                Refusal::new(Exit::Usage, "source-entry", "the commit holds something a release cannot", path)
                    .have(why)
                    .next("take it out of the directory that holds proofmark.toml, and commit")
            }
            Self::Git { path, command, says } => Refusal::new(Exit::Io, "git", format!("git {command} failed"), path.display()).have(says),
        }
    }
}

/// Checks that the working tree is clean and names the commit. Exports nothing yet.
pub fn inspect(workspace: &Path) -> Result<Source, SourceError> {
    let source = at(workspace, "HEAD")?;
    let status = run(
        workspace,
        &["status", "--porcelain=v1", "-z", "--untracked-files=all", "--ignore-submodules=none", "--no-renames", "--", "."],
    )?;
    // An environment lock that is not committed is no part of the source: buildinfo names it by its digest.
    let lock = format!("?? {}{}", text(workspace, &["rev-parse", "--show-prefix"])?, environment::FILE);
    let changes: Vec<String> = status
        .split(|&b| b == 0)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .filter(|line| !line.is_empty() && *line != lock)
        .collect();
    if !changes.is_empty() {
        return Err(SourceError::Dirty { path: workspace.into(), changes });
    }
    Ok(source)
}

/// The source of a commit as a checkout has it, whatever is checked out.
pub fn at(workspace: &Path, commit: &str) -> Result<Source, SourceError> {
    let commit = text(workspace, &["rev-parse", "--verify", &format!("{commit}^{{commit}}")])?;
    let prefix = text(workspace, &["rev-parse", "--show-prefix"])?;
    let spec = format!("{commit}:{}", prefix.trim_end_matches('/'));
    let spec = if prefix.is_empty() { format!("{commit}^{{tree}}") } else { spec };
    let tree = text(workspace, &["rev-parse", "--verify", &spec]).map_err(|error| match error {
        SourceError::Git { says, path, .. } => SourceError::NotACheckout { path, says },
        other => other,
    })?;
    let time = text(workspace, &["log", "-1", "--no-show-signature", "--format=%ct", &commit])?;
    let time = time.parse().map_err(|_| SourceError::Unsupported { path: commit.clone(), why: "the commit's time is before 1970" })?;
    Ok(Source { commit, tree, time })
}

/// Writes the tree of `source` into `to`, which is created and must not exist.
pub fn export(workspace: &Path, source: &Source, to: &Path) -> Result<(), SourceError> {
    let entries = entries(&run(workspace, &["ls-tree", "-r", "-z", "--full-tree", &source.tree])?)?;
    files::create(to)?;
    let mut objects = command(workspace)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .at("run", "git")?;
    let (Some(mut input), Some(output)) = (objects.stdin.take(), objects.stdout.take()) else { unreachable!("both are piped") };
    let result = std::thread::scope(|scope| {
        let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        // A thread of its own, so that neither pipe can fill up and block the other. If it fails, the reader sees the end.
        scope.spawn(move || ids.iter().try_for_each(|id| writeln!(input, "{id}")));
        let mut output = BufReader::new(output);
        entries.iter().try_for_each(|entry| {
            let bytes = blob(&mut output, &entry.id).map_err(|says| SourceError::Git {
                path: workspace.into(),
                command: "cat-file".into(),
                says,
            })?;
            entry.write(to, &bytes, source.time)
        })
        // `output` ends here: git, and with it the writing thread, cannot wait for a reader that has gone.
    });
    let _ = objects.wait();
    result?;
    Ok(files::settle(to, source.time)?)
}

/// One entry of the tree.
struct Entry {
    mode: String,
    id: String,
    path: String,
}

fn entries(listing: &[u8]) -> Result<Vec<Entry>, SourceError> {
    let mut entries = Vec::new();
    for line in listing.split(|&b| b == 0).filter(|line| !line.is_empty()) {
        let unsupported = |why| SourceError::Unsupported { path: String::from_utf8_lossy(line).into_owned(), why };
        let line = std::str::from_utf8(line).map_err(|_| unsupported("file names must be UTF-8"))?;
        let (head, path) = line.split_once('\t').ok_or_else(|| unsupported("not a line of git ls-tree"))?;
        let fields: Vec<&str> = head.split(' ').collect();
        let [mode, kind, id] = fields[..] else { return Err(unsupported("not a line of git ls-tree")) };
        if kind == "commit" {
            return Err(SourceError::Unsupported {
                path: path.into(),
                why: "a submodule: not supported; put its files into this repository, or depend on it as a crate",
            });
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case(".git")) {
            return Err(SourceError::Unsupported { path: path.into(), why: "a path that leaves the tree" });
        }
        entries.push(Entry { mode: mode.into(), id: id.into(), path: path.into() });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

impl Entry {
    fn write(&self, root: &Path, bytes: &[u8], time: u64) -> Result<(), SourceError> {
        let path = root.join(&self.path);
        if let Some((parent, _)) = self.path.rsplit_once('/') {
            files::directory(root, Path::new(parent))?;
        }
        match self.mode.as_str() {
            "100644" | "100664" => files::write(&path, bytes, false, time)?,
            "100755" => files::write(&path, bytes, true, time)?,
            "120000" => {
                let unsupported = |why| SourceError::Unsupported { path: self.path.clone(), why };
                let target = std::str::from_utf8(bytes).map_err(|_| unsupported("a symbolic link to a name that is not UTF-8"))?;
                if !stays_inside(&self.path, target) {
                    return Err(unsupported("a symbolic link that leaves the workspace, or may"));
                }
                files::symlink(target, &path, time)?;
            }
            _ => return Err(SourceError::Unsupported { path: self.path.clone(), why: "neither file nor symbolic link" }),
        }
        Ok(())
    }
}

/// Whether a link at `path` with this target stays in the tree. `..` is taken only at the front: there it counts from a real
/// directory; behind another component, that component may be a link itself, and the lexical answer would be wrong.
pub(crate) fn stays_inside(path: &str, target: &str) -> bool {
    let depth = path.matches('/').count();
    let parts: Vec<&str> = target.split('/').collect();
    let ups = parts.iter().take_while(|part| **part == "..").count();
    !target.is_empty() && !target.starts_with('/') && ups <= depth && !parts[ups..].contains(&"..")
}

/// Reads one answer of `git cat-file --batch`.
fn blob(output: &mut impl BufRead, id: &str) -> Result<Vec<u8>, String> {
    let mut head = String::new();
    output.read_line(&mut head).map_err(|error| error.to_string())?;
    let size = head.trim_end().strip_prefix(id).and_then(|rest| rest.strip_prefix(" blob ")).and_then(|size| size.parse::<u64>().ok());
    let Some(size) = size else { return Err(format!("object {id}: {}", head.trim_end())) };
    let mut bytes = Vec::new();
    output.take(size + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 != size + 1 || bytes.pop() != Some(b'\n') {
        return Err(format!("object {id}: the answer ends early"));
    }
    Ok(bytes)
}

fn text(workspace: &Path, arguments: &[&str]) -> Result<String, SourceError> {
    Ok(String::from_utf8_lossy(&run(workspace, arguments)?).trim_end_matches('\n').to_owned())
}

fn run(workspace: &Path, arguments: &[&str]) -> Result<Vec<u8>, SourceError> {
    let Output { status, stdout, stderr } = match command(workspace).args(arguments).stdin(Stdio::null()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && workspace.is_dir() => return Err(SourceError::NoGit),
        other => other.at("run git in", workspace)?,
    };
    if status.success() {
        return Ok(stdout);
    }
    let (path, says) = (workspace.to_path_buf(), String::from_utf8_lossy(&stderr).trim().to_owned());
    Err(if says.contains("dubious ownership") {
        SourceError::OtherOwner { path }
    } else if says.contains("not a git repository") || arguments.contains(&"HEAD^{commit}") {
        SourceError::NotACheckout { path, says }
    } else {
        SourceError::Git { path, command: arguments[0].into(), says }
    })
}

/// Git without what its caller's environment or the checkout's own configuration could make it do. The user's and the system's
/// configuration stay: only they can declare a safe.directory.
#[allow(clippy::disallowed_methods, reason = "to take GIT_ variables away")]
fn command(workspace: &Path) -> Command {
    let mut git = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            git.env_remove(name);
        }
    }
    git.current_dir(workspace)
        .env("LC_ALL", "C")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        // A replace ref would show another content under the same commit id.
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false"]);
    git
}

#[cfg(test)]
mod tests;
