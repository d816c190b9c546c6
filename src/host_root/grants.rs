//! What may be read once reading is confined: directories and files, opened by name alone.
//!
//! A file is granted by its directory, because whoever renews it may put another file in its place; by
//! itself where the directory is one that others share.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};

use super::{HostPath, HostRoot, descriptor_path};

/// Directories that hold others' secrets, too; those directly beneath `/`, and `/` itself, do so as well.
const SHARED: &[&str] = &["var/lib", "var/run", "var/tmp", "usr/local"];

/// By device and inode.
#[derive(Debug, Default)]
pub struct Grants(BTreeMap<(u64, u64), Grant>);

#[derive(Debug)]
struct Grant {
    opened: OwnedFd,
    /// Where it is in this process's own file system, without links.
    path: PathBuf,
}

/// What was granted, without keeping it open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted(Vec<(u64, u64)>);

impl Grants {
    /// Grants a directory and what is beneath it; nothing where there is none.
    pub fn directory(&mut self, root: &HostRoot, path: &HostPath) {
        if let Ok((opened, _)) = root.directory(path) {
            self.add(opened);
        }
    }

    /// Grants files, and the directories that have their names, each once: another link may be put there.
    pub fn files(&mut self, root: &HostRoot, files: impl IntoIterator<Item = HostPath>) {
        let files: Vec<_> = files.into_iter().collect();
        let parents: BTreeSet<_> = files.iter().filter_map(HostPath::parent).collect();
        for parent in parents.iter().filter(|parent| !is_shared(parent.as_path())) {
            self.directory(root, parent);
        }
        for file in &files {
            self.file(root, file);
        }
    }

    fn file(&mut self, root: &HostRoot, path: &HostPath) {
        let Ok(opened) = root.open_beneath(path.as_path(), OFlag::O_PATH) else { return };
        let Some(resolved) = resolved(&opened) else { return };
        if self.cover(&resolved) {
            return;
        }
        let on_host =
            root.resolved().and_then(|root| resolved.strip_prefix(root).ok().map(Path::to_owned));
        let parent = resolved.parent().zip(on_host.as_deref().and_then(Path::parent));
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match parent.filter(|(_, on_host)| !is_shared(on_host)) {
            Some((parent, _)) => {
                if let Ok(parent) = open(parent, flags, Mode::empty()) {
                    self.add(parent);
                }
            }
            None => self.add(opened),
        }
    }

    /// Whether what has this name is granted already.
    fn cover(&self, path: &Path) -> bool {
        self.0.values().any(|grant| path.starts_with(&grant.path))
    }

    fn add(&mut self, opened: OwnedFd) {
        if let (Ok(stat), Some(path)) = (fstat(&opened), resolved(&opened))
            && !self.cover(&path)
        {
            self.0.insert((stat.st_dev, stat.st_ino), Grant { opened, path });
        }
    }

    /// The descriptors of all of them.
    pub fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        self.0.values().map(|grant| &grant.opened)
    }

    /// Them, without keeping them open. A ruleset of Landlock keeps their inodes, so that no other file
    /// gets the number of one.
    pub fn granted(&self) -> Granted {
        Granted(self.0.keys().copied().collect())
    }

    /// The first of these that was not granted.
    pub fn beyond(&self, granted: &Granted) -> Option<&Path> {
        let beyond = self.0.iter().find(|(inode, _)| !granted.0.contains(inode));
        beyond.map(|(_, grant)| grant.path.as_path())
    }
}

/// Whether a directory of the host holds others' secrets, too.
fn is_shared(directory: &Path) -> bool {
    let relative = directory.strip_prefix("/").unwrap_or(directory);
    relative.components().count() < 2 || SHARED.iter().any(|shared| relative == Path::new(shared))
}

/// The name that an open file has now, without links.
fn resolved(opened: &OwnedFd) -> Option<PathBuf> {
    fs::read_link(descriptor_path(opened)).ok()
}

impl HostRoot {
    fn resolved(&self) -> Option<PathBuf> {
        resolved(&self.dir)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test makes the host that it reads")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn host(files: &[&str]) -> (tempfile::TempDir, HostRoot) {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let root = HostRoot::open(directory.path()).unwrap();
        (directory, root)
    }

    fn path(path: &str) -> HostPath {
        HostPath::new(path).unwrap()
    }

    /// What is granted, beneath the host root.
    fn names(grants: &Grants, root: &HostRoot) -> Vec<String> {
        let base = root.resolved().unwrap();
        let name = |grant: &Grant| grant.path.strip_prefix(&base).unwrap().display().to_string();
        let mut names: Vec<_> = grants.0.values().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_granted_by_its_directory_and_by_itself_where_others_share_that() {
        let files = ["etc/kubernetes/admin.conf", "etc/hostname", "var/lib/x.pem", "opt/tls/a.crt"];
        let (_directory, root) = host(&files);
        let mut grants = Grants::default();
        grants.files(&root, files.map(|file| path(&format!("/{file}"))));
        assert_eq!(
            names(&grants, &root),
            ["etc/hostname", "etc/kubernetes", "opt/tls", "var/lib/x.pem"]
        );
    }

    #[test]
    fn a_link_grants_what_it_leads_to() {
        let (directory, root) = host(&["opt/tls/real.crt", "etc/kubernetes/pki/ca.crt"]);
        let link = directory.path().join("etc/kubernetes/pki/apiserver.crt");
        symlink("/opt/tls/real.crt", link).unwrap();
        let mut grants = Grants::default();
        grants.directory(&root, &path("/etc/kubernetes"));
        grants.files(&root, [path("/etc/kubernetes/pki/ca.crt")]);
        grants.files(&root, [path("/etc/kubernetes/pki/apiserver.crt")]);
        assert_eq!(names(&grants, &root), ["etc/kubernetes", "opt/tls"]);
    }

    #[test]
    fn a_link_may_be_turned_within_its_own_directory() {
        let (directory, root) = host(&["opt/tls/..1/a.crt", "opt/tls/..2/a.crt"]);
        let at = |name: &str| directory.path().join("opt/tls").join(name);
        symlink("..data/a.crt", at("a.crt")).unwrap();
        symlink("..1", at("..data")).unwrap();
        let grants = || {
            let mut grants = Grants::default();
            grants.files(&root, [path("/opt/tls/a.crt")]);
            grants
        };
        let before = grants();
        symlink("..2", at("new")).unwrap();
        fs::rename(at("new"), at("..data")).unwrap();
        assert_eq!(grants().beyond(&before.granted()), None);
        assert_eq!(names(&before, &root), ["opt/tls"]);
    }

    #[test]
    fn what_is_not_there_grants_its_directory_if_that_is_its_own() {
        let (_directory, root) = host(&["etc/etcd/pki/ca.crt"]);
        let mut grants = Grants::default();
        grants.files(&root, [path("/etc/etcd/pki/server.crt")]);
        grants.files(&root, [path("/etc/absent")]);
        grants.directory(&root, &path("/etc/absent"));
        assert_eq!(names(&grants, &root), ["etc/etcd/pki"]);
    }

    #[test]
    fn a_directory_that_came_later_or_was_replaced_is_beyond_what_was_granted() {
        let (directory, root) = host(&["etc/kubernetes/pki/ca.crt"]);
        let grants = |root: &HostRoot| {
            let mut grants = Grants::default();
            grants.directory(root, &path("/etc/kubernetes"));
            grants.directory(root, &path("/etc/etcd"));
            grants
        };
        // Kept open, as Landlock keeps the inode.
        let first = grants(&root);
        assert_eq!(grants(&root).beyond(&first.granted()), None);
        fs::create_dir(directory.path().join("etc/etcd")).unwrap();
        assert!(grants(&root).beyond(&first.granted()).unwrap().ends_with("etc/etcd"));
        fs::remove_dir(directory.path().join("etc/etcd")).unwrap();
        fs::remove_dir_all(directory.path().join("etc/kubernetes")).unwrap();
        fs::create_dir(directory.path().join("etc/kubernetes")).unwrap();
        assert!(grants(&root).beyond(&first.granted()).is_some());
    }
}
