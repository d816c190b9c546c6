//! A node on disk, and the program to run on it.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A time at which none of the certificates in tests/nodes has ended.
pub const NOW: &str = "2026-11-23T18:00:00Z";

/// Says that a test cannot run on this machine; a failure where `EXPIRYD_NO_SKIP` is set, as `.ci/run`
/// does.
pub fn skip(why: &str) {
    assert!(env::var_os("EXPIRYD_NO_SKIP").is_none(), "this test cannot run here: {why}");
    eprintln!("skipped: {why}");
}

/// strace(1), to follow what a command does; `None` where there is none.
pub fn strace() -> Option<Command> {
    if Command::new("strace").arg("--version").output().is_err() {
        skip("strace is not installed");
        return None;
    }
    Some(Command::new("strace"))
}

/// Whether these tests run as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A file of the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The nodes in tests/nodes.
pub fn nodes() -> PathBuf {
    project("tests/nodes")
}

/// A program of the workspace, built in the folder that this test or benchmark was built in.
pub fn program(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    // A test is one folder further down than a program.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder };
    let binary = folder.join(name);
    assert!(binary.exists(), "{} is not built; cargo build builds it", binary.display());
    binary
}

/// expiryd, with nothing of this process's environment that it would heed.
pub fn expiryd() -> Command {
    let mut command = Command::new(program("expiryd"));
    let own = env::vars_os().map(|(name, _)| name);
    for name in own.filter(|name| name.as_encoded_bytes().starts_with(b"EXPIRYD_")) {
        command.env_remove(name);
    }
    command
}

/// A node that a test may change.
pub struct Host {
    root: PathBuf,
    /// Of the agent: it is not the node's.
    configuration: PathBuf,
    _directory: TempDir,
}

impl Host {
    /// A copy of a node in tests/nodes.
    pub fn like(node: &str) -> Self {
        let host = Self::empty();
        copy(&nodes().join(node), host.root());
        host
    }

    /// A node with nothing but an os-release.
    pub fn bare(os: &str) -> Self {
        let host = Self::empty();
        host.write("etc/os-release", format!("ID={os}\n"));
        host
    }

    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [root, agent] = ["root", "agent"].map(|name| directory.path().join(name));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&agent).unwrap();
        Self { root, configuration: agent.join("expiryd.toml"), _directory: directory }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a test keeps the agent's configuration.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Where a path of the node is on this machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Replaces a file as careful writers do.
    pub fn replace(&self, path: &str, content: impl AsRef<[u8]>) {
        let new = format!("{path}.new");
        self.write(&new, content);
        fs::rename(self.path(&new), self.path(path)).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Puts a link in the place of another in one step: nobody sees the place empty.
    pub fn replace_link(&self, path: &str, target: &str) {
        let new = format!("{path}.new");
        self.link(&new, target);
        fs::rename(self.path(&new), self.path(path)).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    /// `expiryd check` on it.
    pub fn check(&self, arguments: &[&str]) -> Output {
        let root = self.root();
        expiryd().arg("check").arg("--host-root").arg(root).args(arguments).output().unwrap()
    }

    /// The report of `expiryd check`.
    pub fn report(&self, arguments: &[&str]) -> Value {
        let output = self.check(&[&["-o", "json", "--at", NOW], arguments].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&from, &to);
        } else if kind.is_symlink() {
            symlink(fs::read_link(from).unwrap(), to).unwrap();
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

/// The earliest expiry of a report, as `DATE PATH`; empty when there is none.
pub fn earliest(report: &Value) -> String {
    let earliest = &report["earliest"];
    let text = |field: &str| earliest[field].as_str().map(str::to_owned);
    match (text("notAfter"), text("path")) {
        (Some(date), Some(path)) => format!("{date} {path}"),
        _ => String::new(),
    }
}

/// `PATH REASON` of each problem.
pub fn problems(report: &Value) -> Vec<String> {
    let problems = report["problems"].as_array().unwrap();
    let text = |p: &Value, field: &str| p[field].as_str().unwrap().to_owned();
    problems.iter().map(|p| format!("{} {}", text(p, "path"), text(p, "reason"))).collect()
}
