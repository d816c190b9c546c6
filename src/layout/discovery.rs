//! Walks the places where certificates may be and notes what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::evidence::Evidence;
use super::known_files::{CONTROL_PLANE_KUBECONFIGS, Origin, known_names};
use super::{Source, Watched};
use crate::config::{ConfiguredSource, Place};
use crate::host_root::{HostPath, HostRoot, ReadError, ends_like};
use crate::problem::{Problem, Reason};

/// Directories beneath the fixed part of a `**` pattern that are searched.
const GLOB_DEPTH: usize = 8;

/// Links whose targets' directories are watched, too; beyond them the tick finds what changes.
const LINKS: usize = 100;

/// What was discovered.
pub(super) struct Discovered {
    pub(super) sources: Vec<Source>,
    pub(super) problems: Vec<Problem>,
    /// See [`super::Layout::unlisted`].
    pub(super) unlisted: Vec<HostPath>,
    /// See [`super::Layout::absent`].
    pub(super) absent: BTreeSet<HostPath>,
    /// See [`super::Layout::wanted`].
    pub(super) wanted: BTreeSet<HostPath>,
    pub(super) watched: Vec<Watched>,
}

/// See the module.
pub(super) struct Discovery<'a> {
    root: &'a HostRoot,
    limit: usize,
    /// By path, so that a file which two sources name is read once. The first one wins.
    sources: BTreeMap<HostPath, Source>,
    problems: Vec<Problem>,
    unlisted: Vec<HostPath>,
    absent: BTreeSet<HostPath>,
    wanted: BTreeSet<HostPath>,
    watched: Vec<Watched>,
    /// How many names of links are watched.
    links: usize,
}

impl<'a> Discovery<'a> {
    pub(super) const fn new(root: &'a HostRoot, limit: usize) -> Self {
        Self {
            root,
            limit,
            sources: BTreeMap::new(),
            problems: Vec::new(),
            unlisted: Vec::new(),
            absent: BTreeSet::new(),
            wanted: BTreeSet::new(),
            watched: Vec::new(),
            links: 0,
        }
    }

    /// Every `*.crt` in a PKI directory and in its `etcd` directory. Keys, sa.pub and requests
    /// have other names, and backups are siblings of the directory (`pki.bak_*`).
    pub(super) fn pki(&mut self, directory: &HostPath, origin: Origin) {
        self.watch_named(directory, true);
        for directory_in_it in [directory.clone(), directory.join("etcd")] {
            let wanted = |name: &Path| has_suffix(name, &[b".crt"]);
            for path in self.list(&directory_in_it, 1, false, wanted) {
                self.add_beneath(directory, origin, path);
            }
            // A directory of ten thousand other files must not hide the ones that matter.
            if self.unlisted.contains(&directory_in_it) {
                for path in known_names(origin).map(|name| directory.join(name)) {
                    match self.there(&path) {
                        Some(true) => self.add_beneath(directory, origin, path),
                        Some(false) => _ = self.absent.insert(path),
                        None => {}
                    }
                }
            }
            self.watch(directory_in_it, false);
            if origin == Origin::EtcdPki {
                break;
            }
        }
    }

    fn add_beneath(&mut self, directory: &HostPath, origin: Origin, path: HostPath) {
        let name = path.beneath(directory).map(|name| name.as_os_str().as_bytes().to_vec());
        self.add(Source { name: name.unwrap_or_default(), origin, kind: origin.kind(), path });
    }

    /// The control plane's kubeconfigs beside its PKI.
    pub(super) fn kubeconfigs(&mut self, pki: &HostPath) {
        let Some(directory) = pki.parent() else { return };
        for name in CONTROL_PLANE_KUBECONFIGS {
            self.named(directory.join(name), Origin::ControlPlaneKubeconfig, false);
        }
    }

    /// The kubelet's current client certificate. The dated files beside it are its past ones and
    /// are never removed.
    pub(super) fn kubelet(&mut self, directory: &HostPath) {
        self.named(directory.join("kubelet-client-current.pem"), Origin::KubeletClient, false);
    }

    /// A source that the configuration adds.
    pub(super) fn extra(&mut self, extra: &ConfiguredSource) {
        let origin = Origin::Configured(extra.renewed_by);
        let source = |path: HostPath| Source {
            name: path.file_name().to_vec(),
            kind: extra.kind,
            origin,
            path,
        };
        match &extra.place {
            Place::File(path) => {
                self.watch_named(path, true);
                match self.there(path) {
                    Some(true) => self.add(source(path.clone())),
                    Some(false) => {
                        self.wanted.insert(path.clone());
                        self.problems.push(Problem::unreadable(path, &ReadError::NotFound));
                    }
                    None => {}
                }
            }
            Place::Directory(path) => {
                self.watch_named(path, true);
                self.watch(path.clone(), false);
                let wanted = |name: &Path| has_suffix(name, &[b".crt", b".pem"]);
                for path in self.list(path, 1, true, wanted) {
                    self.add(source(path));
                }
            }
            Place::Glob(pattern) => {
                let (base, depth) = fixed_part(pattern);
                self.watch(base.clone(), true);
                let options = MatchOptions {
                    require_literal_separator: true,
                    require_literal_leading_dot: true,
                    ..MatchOptions::new()
                };
                let wanted =
                    |name: &Path| pattern.matches_path_with(base.join(name).as_path(), options);
                for path in self.list(&base, depth, false, wanted) {
                    self.add(source(path));
                }
            }
        }
    }

    /// What tells which machine this is.
    pub(super) fn evidence(&self, control_plane: &HostPath, etcd: &HostPath) -> Evidence {
        Evidence::find(self.root, &self.sources, control_plane, etcd)
    }

    /// What was found. Of more files than the limit those that mean something come first, and the
    /// directories of the rest count as not listed: what was in them is not known to be gone.
    pub(super) fn finish(mut self) -> Discovered {
        let mut sources: Vec<_> = std::mem::take(&mut self.sources).into_values().collect();
        if sources.len() > self.limit {
            sources.sort_by_key(Source::rank);
            let cut_off = sources.split_off(self.limit);
            if let Some(first) = cut_off.first() {
                self.too_many(&first.path);
            }
            for directory in cut_off.iter().filter_map(|source| source.path.parent()) {
                self.not_listed(directory);
            }
            sources.sort_by(|a, b| a.path.cmp(&b.path));
        }
        let Self { problems, unlisted, absent, wanted, watched, .. } = self;
        Discovered { sources, problems, unlisted, absent, wanted, watched }
    }

    fn named(&mut self, path: HostPath, origin: Origin, awaited: bool) {
        self.watch_named(&path, awaited);
        if self.there(&path) == Some(true) {
            let name = path.file_name().to_vec();
            self.add(Source { path, origin, kind: origin.kind(), name });
        }
    }

    /// Whether a name is there, be it a link that leads nowhere: that is for the scan to report. `None` when
    /// nobody knows, because its directory may not be searched, or the kernel fails: then the directory is
    /// the problem, and what is in it is no evidence of anything.
    fn there(&mut self, path: &HostPath) -> Option<bool> {
        let error = match self.root.stat(path) {
            Ok(_) | Err(ReadError::DanglingLink(_)) => return Some(true),
            Err(ReadError::NotFound) => return Some(false),
            Err(error) => error,
        };
        let parent = path.parent().unwrap_or_else(HostPath::root);
        // A link that leads in a circle is there, in a directory that can be opened.
        if error == ReadError::LinkLoop && self.root.stat(&parent).is_ok() {
            return Some(true);
        }
        if !self.unlisted.contains(&parent) {
            self.unreadable(&parent, &error);
        }
        None
    }

    fn add(&mut self, source: Source) {
        self.sources.entry(source.path.clone()).or_insert(source);
    }

    fn list(
        &mut self,
        directory: &HostPath,
        depth: usize,
        required: bool,
        wanted: impl Fn(&Path) -> bool,
    ) -> Vec<HostPath> {
        match self.root.list(directory, depth, self.limit.saturating_add(1), wanted) {
            Ok(listing) => {
                for (path, error) in listing.errors {
                    self.unreadable(&path, &error);
                }
                if listing.truncated {
                    self.not_listed(directory.clone());
                }
                for link in &listing.links {
                    self.watch_links(link);
                }
                listing.files
            }
            Err(ReadError::NotFound) if !required => Vec::new(),
            Err(error) => {
                if error == ReadError::NotFound {
                    self.wanted.insert(directory.clone());
                }
                self.unreadable(directory, &error);
                Vec::new()
            }
        }
    }

    fn unreadable(&mut self, path: &HostPath, error: &ReadError) {
        if *error != ReadError::NotFound {
            self.not_listed(path.clone());
        }
        self.problems.push(Problem::unreadable(path, error));
    }

    fn not_listed(&mut self, directory: HostPath) {
        if !self.unlisted.contains(&directory) {
            self.unlisted.push(directory);
        }
    }

    fn too_many(&mut self, path: &HostPath) {
        let message = format!(
            "more than {} files are to be read; this one and those after it are not; raise \
             limits.files if they are wanted",
            self.limit
        );
        self.problems.push(Problem::new(path, Reason::TooMany, message));
    }

    /// Watches a directory for every name in it.
    fn watch(&mut self, directory: HostPath, awaited: bool) {
        self.watched.push(Watched { directory, name: None, awaited });
    }

    /// Watches for a change of what a link leads to, and of the links on the way.
    fn watch_links(&mut self, path: &HostPath) {
        for name in self.root.links(path) {
            if self.links < LINKS {
                self.links += 1;
                self.watched.extend(Watched::named(&name, false));
            }
        }
    }

    /// Watches the directory that holds `path` for that name alone, and what the name leads to.
    fn watch_named(&mut self, path: &HostPath, awaited: bool) {
        self.watched.extend(Watched::named(path, awaited));
        self.watch_links(path);
    }
}

/// Whether a name ends so; `.crt` alone does.
fn has_suffix(name: &Path, suffixes: &[&[u8]]) -> bool {
    suffixes.iter().any(|suffix| ends_like(name.as_os_str().as_bytes(), suffix))
}

/// The directories of a pattern before its first wildcard, and how deep to search beneath them.
pub(super) fn fixed_part(pattern: &Pattern) -> (HostPath, usize) {
    let path = Path::new(pattern.as_str());
    let wild = |c: &Component<'_>| c.as_os_str().as_bytes().iter().any(|b| b"*?[".contains(b));
    let base: PathBuf = path.components().take_while(|c| !wild(c)).collect();
    let rest = path.components().count() - base.components().count();
    let depth = if pattern.as_str().contains("**") { GLOB_DEPTH } else { rest };
    (HostPath::root().join(base), depth.max(1))
}
