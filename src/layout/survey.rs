//! Walks the places where certificates may be and notes what is there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::{Evidence, ExtraSource, Place, Source, Watched};
use crate::host_root::{HostPath, HostRoot, ReadError};
use crate::pki::renewal::{CONTROL_PLANE_KUBECONFIGS, Holds, Slot, holds};
use crate::problem::{Problem, Reason};

/// Directories beneath the fixed part of a `**` pattern that are looked into.
const GLOB_DEPTH: usize = 8;

/// Static pods of a control plane, where the kubelet of kubeadm looks for them.
const MANIFESTS: &[&str] = &[
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/manifests/kube-controller-manager.yaml",
    "/etc/kubernetes/manifests/kube-scheduler.yaml",
];

pub(super) struct Survey<'a> {
    root: &'a HostRoot,
    limit: usize,
    /// By path, so that a file which two sources name is looked at once. The first one wins.
    sources: BTreeMap<HostPath, Source>,
    problems: Vec<Problem>,
    unlisted: Vec<HostPath>,
    watched: Vec<Watched>,
}

impl<'a> Survey<'a> {
    pub(super) const fn new(root: &'a HostRoot, limit: usize) -> Self {
        Self {
            root,
            limit,
            sources: BTreeMap::new(),
            problems: Vec::new(),
            unlisted: Vec::new(),
            watched: Vec::new(),
        }
    }

    /// Every `*.crt` in a PKI directory and in its `etcd` directory. Keys, sa.pub and requests
    /// have other names, and backups are siblings of the directory (`pki.bak_*`).
    pub(super) fn pki(&mut self, directory: &HostPath, slot: Slot) {
        self.watch_named(directory, true);
        for directory_in_it in [directory.clone(), directory.join("etcd")] {
            let wanted = |name: &Path| has_suffix(name, &["crt"]);
            for path in self.list(&directory_in_it, 1, false, wanted) {
                let name = path.beneath(directory).map(|name| name.as_os_str().as_bytes().to_vec());
                self.add(Source { name: name.unwrap_or_default(), slot, kind: slot.kind(), path });
            }
            self.watch(directory_in_it, None, false);
            if slot == Slot::EtcdPki {
                break;
            }
        }
    }

    /// The control plane's kubeconfigs beside its PKI.
    pub(super) fn kubeconfigs(&mut self, pki: &HostPath) {
        let Some(directory) = pki.parent() else { return };
        for name in CONTROL_PLANE_KUBECONFIGS {
            self.named(directory.join(name), Slot::ControlPlaneKubeconfig, false);
        }
    }

    /// The kubelet's current client certificate. The dated files beside it are its past ones and
    /// are never removed.
    pub(super) fn kubelet(&mut self, directory: &HostPath) {
        self.named(directory.join("kubelet-client-current.pem"), Slot::KubeletClient, false);
    }

    /// A source that the configuration adds.
    pub(super) fn extra(&mut self, extra: &ExtraSource) {
        let slot = Slot::Configured(extra.renewed_by);
        let source = |path: HostPath| Source {
            name: path.file_name().to_vec(),
            kind: extra.kind,
            slot,
            path,
        };
        match &extra.place {
            Place::File(path) => {
                self.watch_named(path, true);
                if self.there(path) {
                    self.add(source(path.clone()));
                } else if !self.problems.iter().any(|p| Some(&p.path) == path.parent().as_ref()) {
                    self.problems.push(Problem::unreadable(path.clone(), &ReadError::NotFound));
                }
            }
            Place::Directory(path) => {
                self.watch_named(path, true);
                self.watch(path.clone(), None, false);
                let wanted = |name: &Path| has_suffix(name, &["crt", "pem"]);
                for path in self.list(path, 1, true, wanted) {
                    self.add(source(path));
                }
            }
            Place::Glob(pattern) => {
                let (base, depth) = fixed_part(pattern);
                self.watch(base.clone(), None, true);
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
        let has = |name: &str| self.sources.contains_key(&control_plane.join(name));
        let known = |source: &Source| match source.slot {
            Slot::ControlPlaneKubeconfig => true,
            Slot::ControlPlanePki => {
                holds(source.slot, &source.name) != Holds::Anything && source.name != b"ca.crt"
            }
            Slot::EtcdPki | Slot::KubeletClient | Slot::Configured(_) => false,
        };
        Evidence {
            etcd_pki: self.root.exists(etcd),
            control_plane: self.sources.values().any(known)
                || self.root.exists(&control_plane.join("sa.pub"))
                || MANIFESTS.iter().any(|path| self.root.exists(&HostPath::root().join(path))),
            joined: has("ca.crt"),
            etcd_ca: has("etcd/ca.crt"),
            etcd_server: has("etcd/server.crt"),
        }
    }

    pub(super) fn finish(mut self) -> (Vec<Source>, Vec<Problem>, Vec<HostPath>, Vec<Watched>) {
        if let Some((first_left_out, _)) = self.sources.iter().nth(self.limit) {
            let path = first_left_out.clone();
            self.too_many(path);
        }
        let sources = self.sources.into_values().take(self.limit).collect();
        (sources, self.problems, self.unlisted, self.watched)
    }

    fn named(&mut self, path: HostPath, slot: Slot, awaited: bool) {
        self.watch_named(&path, awaited);
        if self.there(&path) {
            let name = path.file_name().to_vec();
            self.add(Source { path, slot, kind: slot.kind(), name });
        }
    }

    /// Whether a name is there, be it a link that leads nowhere: that is for the scan to report.
    /// When its directory may not be searched nobody knows, and the directory is the problem.
    fn there(&mut self, path: &HostPath) -> bool {
        match (self.root.glance(path), path.parent()) {
            (Err(ReadError::NotFound), _) => false,
            (Err(error @ ReadError::PermissionDenied(_)), Some(parent)) => {
                if !self.unlisted.contains(&parent) {
                    self.unreadable(parent, &error);
                }
                false
            }
            _ => true,
        }
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
                    self.unreadable(path, &error);
                }
                listing.files
            }
            Err(ReadError::NotFound) if !required => Vec::new(),
            Err(error) => {
                self.unreadable(directory.clone(), &error);
                Vec::new()
            }
        }
    }

    fn unreadable(&mut self, path: HostPath, error: &ReadError) {
        if *error != ReadError::NotFound {
            self.unlisted.push(path.clone());
        }
        self.problems.push(Problem::unreadable(path, error));
    }

    fn too_many(&mut self, path: HostPath) {
        self.problems.push(Problem {
            path,
            index: None,
            reason: Reason::TooMany,
            message: format!(
                "more than {} files are to be read; this one and those after it are not; raise \
                 limits.files if they are wanted",
                self.limit
            ),
        });
    }

    fn watch(&mut self, directory: HostPath, name: Option<&[u8]>, awaited: bool) {
        let name = name.map(<[u8]>::to_vec);
        self.watched.push(Watched { directory, name, awaited });
    }

    /// Watches the directory that holds `path` for that name alone.
    fn watch_named(&mut self, path: &HostPath, awaited: bool) {
        if let Some(parent) = path.parent() {
            self.watch(parent, Some(path.file_name()), awaited);
        }
    }
}

fn has_suffix(name: &Path, suffixes: &[&str]) -> bool {
    let suffix = name.extension().and_then(OsStr::to_str).unwrap_or_default();
    suffixes.iter().any(|wanted| suffix.eq_ignore_ascii_case(wanted))
}

/// The directories of a pattern before its first wildcard, and how deep to look beneath them.
fn fixed_part(pattern: &Pattern) -> (HostPath, usize) {
    let path = Path::new(pattern.as_str());
    let wild = |c: &Component<'_>| c.as_os_str().as_bytes().iter().any(|b| b"*?[".contains(b));
    let base: PathBuf = path.components().take_while(|c| !wild(c)).collect();
    let rest = path.components().count() - base.components().count();
    let depth = if pattern.as_str().contains("**") { GLOB_DEPTH } else { rest };
    (HostPath::root().join(base), depth.max(1))
}
