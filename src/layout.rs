//! What kind of machine this is, and which of its files to read: detected from what is there.
//!
//! Paths are those of EKS Anywhere: kubeadm's and etcdadm's defaults on Ubuntu and RHEL, and
//! `/var/lib/kubeadm/pki` and `/var/lib/etcd/pki` on Bottlerocket (`pkg/clusterapi/bottlerocket.go`
//! and the etcdadm bootstrap provider's `bottlerocket/prepare.go`). On Bottlerocket
//! `/etc/kubernetes/pki` exists as well, but holds only the kubelet's own CA.

mod discovery;
mod evidence;
pub mod known_files;
mod operating_system;
mod servers;

use std::collections::BTreeSet;

use expiryd_api::{EtcdTopology, Role, SourceKind};

use crate::config::{ConfiguredSource, LayoutOverrides, Place};
use crate::host_root::{HostPath, HostRoot};
use crate::problem::Problem;
use discovery::{Discovered, Discovery};
use known_files::{ExpectedContent, Origin, expected_content};
pub use operating_system::parse_os_id;
use operating_system::{BOTTLEROCKET, Paths, host, hostname, os_id};
pub use servers::Server;

/// Where the kubelet keeps its certificates.
const KUBELET_PKI: &str = "/var/lib/kubelet/pki";

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is on the host.
    pub path: HostPath,
    /// Where it comes from.
    pub origin: Origin,
    /// How it is read.
    pub kind: SourceKind,
    /// Its name beneath the directory of its origin, such as `etcd/peer.crt`.
    pub name: Vec<u8>,
}

impl Source {
    /// What is read first where not everything can be: the files that such a machine has, then those
    /// that the configuration adds, then whatever else is in a PKI directory.
    fn rank(&self) -> u8 {
        match self.origin {
            Origin::ControlPlaneKubeconfig | Origin::KubeletClient => 0,
            Origin::ControlPlanePki | Origin::EtcdPki => {
                if expected_content(self.origin, &self.name) == ExpectedContent::Anything {
                    2
                } else {
                    0
                }
            }
            Origin::Configured(_) => 1,
        }
    }
}

/// A directory whose changes may change the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The directory.
    pub directory: HostPath,
    /// The one name in it that matters; `None` when every name does.
    pub name: Option<Vec<u8>>,
    /// Whether to watch for it while it is missing.
    pub awaited: bool,
}

/// The machine as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// `ID` of os-release, such as `ubuntu`; `unknown` without one.
    pub os: String,
    /// What the machine is in its cluster.
    pub role: Role,
    /// Where the control plane's etcd runs; `None` on other machines, and while nothing tells.
    pub etcd_topology: Option<EtcdTopology>,
    /// The name in etc/hostname, for machines whose kubelet has none for them.
    pub hostname: Option<String>,
    /// Every file to read, by path, each once.
    pub sources: Vec<Source>,
    /// What could not be listed.
    pub problems: Vec<Problem>,
    /// Directories that could not be listed: what is in them is not known to be gone.
    pub unlisted: Vec<HostPath>,
    /// Files that were looked up by their names and are not there, although their directory could not be
    /// listed.
    pub absent: BTreeSet<HostPath>,
    /// Files and directories that the configuration or a kubeconfig names and that are not there.
    pub wanted: BTreeSet<HostPath>,
    /// Where the control plane's PKI is, there or not.
    pub control_plane_pki: HostPath,
    /// Where etcd's PKI is, there or not.
    pub etcd_pki: HostPath,
    /// Where kube-apiserver listens, if its static pod says so.
    pub api_server_port: Option<u16>,
    /// What to watch.
    pub watched: Vec<Watched>,
    /// Directories that hold certificates and little else, there or not.
    pub places: Vec<HostPath>,
}

impl Watched {
    /// The directory that holds `path`, for that name alone; `None` for `/`.
    pub fn named(path: &HostPath, awaited: bool) -> Option<Self> {
        let name = Some(path.file_name().to_vec());
        path.parent().map(|directory| Self { directory, name, awaited })
    }
}

impl Layout {
    /// The directory in which files of this origin have the names that are known of them; `/` for what the
    /// configuration adds.
    pub fn directory(&self, origin: Origin) -> HostPath {
        match origin {
            Origin::ControlPlanePki => self.control_plane_pki.clone(),
            Origin::EtcdPki => self.etcd_pki.clone(),
            // See `Discovery::kubeconfigs`.
            Origin::ControlPlaneKubeconfig => {
                self.control_plane_pki.parent().unwrap_or_else(HostPath::root)
            }
            Origin::KubeletClient => host(KUBELET_PKI),
            Origin::Configured(_) => HostPath::root(),
        }
    }

    /// Whether a file is in a directory that could not be listed: it may be there, whatever was found.
    pub fn is_unlisted(&self, path: &HostPath) -> bool {
        !self.absent.contains(path)
            && self.unlisted.iter().any(|directory| path.beneath(directory).is_some())
    }

    /// Whether a file that is not there is named by the configuration or a kubeconfig, by itself or with
    /// its directory.
    pub fn is_wanted(&self, path: &HostPath) -> bool {
        self.wanted.iter().any(|wanted| path == wanted || path.beneath(wanted).is_some())
    }
}

/// Detects what the machine is and which files to read. At most `limit` files become sources; more are a
/// problem.
pub fn detect(root: &HostRoot, overrides: &LayoutOverrides, limit: usize) -> Layout {
    let os = os_id(root);
    let usual = Paths::of(root, &os);
    let control_plane =
        overrides.control_plane_pki.clone().unwrap_or_else(|| host(usual.control_plane_pki));
    let etcd = overrides.etcd_pki.clone().unwrap_or_else(|| host(usual.etcd_pki));
    let kubelet_kubeconfig = host(usual.kubelet_kubeconfig);

    let mut discovery = Discovery::new(root, limit);
    // What lies about on a machine that is said to be a worker is not for it to report.
    if overrides.role != Some(Role::Worker) {
        discovery.pki(&control_plane, Origin::ControlPlanePki);
        discovery.pki(&etcd, Origin::EtcdPki);
        discovery.kubeconfigs(&control_plane);
    }
    discovery.kubelet(&host(KUBELET_PKI));
    for extra in &overrides.sources {
        discovery.extra(extra);
    }
    let mut found = discovery.evidence(&control_plane, &etcd);
    // On Bottlerocket a worker has no kubeadm PKI at all, only what the kubelet needs.
    found.joined |= usual == BOTTLEROCKET && root.exists(&kubelet_kubeconfig);

    let role = overrides.role.unwrap_or_else(|| found.role());
    let etcd_topology = match role {
        Role::ControlPlane => overrides.etcd_topology.or_else(|| found.etcd_topology()),
        Role::Etcd | Role::Worker | Role::Unknown => None,
    };
    let mut places: Vec<_> = usual.places.iter().map(|place| host(place)).collect();
    places
        .extend([&overrides.control_plane_pki, &overrides.etcd_pki].into_iter().flatten().cloned());
    places.extend(overrides.sources.iter().filter_map(directory));
    let Discovered { sources, problems, unlisted, absent, wanted, mut watched } =
        discovery.finish();
    // Once the machine is known, directories that its role never has are not waited for: their
    // nearest parent would be /etc or /var/lib, where every file that is opened is an event.
    if matches!(role, Role::ControlPlane | Role::Etcd) {
        for directory in &mut watched {
            directory.awaited = false;
        }
    }
    Layout {
        os,
        role,
        etcd_topology,
        hostname: hostname(root),
        sources,
        problems,
        unlisted,
        absent,
        wanted,
        control_plane_pki: control_plane,
        etcd_pki: etcd,
        api_server_port: servers::api_server_port(root),
        watched,
        places,
    }
}

/// The directory in which the files of a configured source may come and go; `None` for a single file.
fn directory(source: &ConfiguredSource) -> Option<HostPath> {
    match &source.place {
        Place::File(_) => None,
        Place::Directory(directory) => Some(directory.clone()),
        Place::Glob(pattern) => Some(discovery::fixed_part(pattern).0),
    }
}

/// Single files that a scan reads besides the sources.
pub fn small_files() -> impl Iterator<Item = HostPath> {
    operating_system::small_files().chain(servers::manifests())
}

/// Where the kubelet's kubeconfig is, there or not.
pub fn kubelet_kubeconfig(root: &HostRoot) -> HostPath {
    host(Paths::of(root, &os_id(root)).kubelet_kubeconfig)
}

#[cfg(test)]
mod tests;
