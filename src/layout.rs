//! What kind of machine this is, and which of its files to look at: found by looking.
//!
//! Paths are those of EKS Anywhere: kubeadm's and etcdadm's defaults on Ubuntu and RHEL, and
//! `/var/lib/kubeadm/pki` and `/var/lib/etcd/pki` on Bottlerocket (`pkg/clusterapi/bottlerocket.go`
//! and the etcdadm bootstrap provider's `bottlerocket/prepare.go`). On Bottlerocket
//! `/etc/kubernetes/pki` exists as well, but holds only the kubelet's own CA.

mod survey;

use glob::Pattern;

use crate::host_root::{HostPath, HostRoot};
use crate::pki::Kind;
use crate::pki::renewal::{EtcdTopology, Holds, RenewedBy, Role, Slot, holds};
use crate::problem::Problem;
use survey::Survey;

/// What the configuration says of the layout; nothing, on an ordinary machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The role, instead of the one that is found.
    pub role: Option<Role>,
    /// The etcd topology, instead of the one that is found.
    pub etcd_topology: Option<EtcdTopology>,
    /// kubeadm's `certificatesDir`, instead of the operating system's usual one.
    pub control_plane_pki: Option<HostPath>,
    /// etcdadm's certificates directory, instead of the usual one.
    pub etcd_pki: Option<HostPath>,
    /// More sources.
    pub sources: Vec<ExtraSource>,
}

/// A source that the configuration adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraSource {
    /// Where it is.
    pub place: Place,
    /// How its files are read.
    pub kind: Kind,
    /// Who renews its certificates.
    pub renewed_by: RenewedBy,
}

/// Where the files of a configured source are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// One file, which ought to be there.
    File(HostPath),
    /// Every `*.crt` and `*.pem` in a directory, which ought to be there.
    Directory(HostPath),
    /// Every file that matches a shell pattern; none is fine.
    Glob(Pattern),
}

impl ExtraSource {
    /// The directory in which its files may come and go; `None` for a single file.
    fn directory(&self) -> Option<HostPath> {
        match &self.place {
            Place::File(_) => None,
            Place::Directory(directory) => Some(directory.clone()),
            Place::Glob(pattern) => Some(survey::fixed_part(pattern).0),
        }
    }

    /// Whether a file of this path could be one of its own.
    fn covers(&self, path: &HostPath) -> bool {
        match &self.place {
            Place::File(file) => file == path,
            Place::Directory(directory) => path.parent().as_ref() == Some(directory),
            Place::Glob(pattern) => pattern.matches_path(path.as_path()),
        }
    }
}

impl Wishes {
    /// Whether the configuration adds a source that a file of this path could belong to.
    pub fn covers(&self, path: &HostPath) -> bool {
        self.sources.iter().any(|source| source.covers(path))
    }
}

/// A file to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is on the host.
    pub path: HostPath,
    /// Which PKI it belongs to.
    pub slot: Slot,
    /// How it is read.
    pub kind: Kind,
    /// Its name within its slot, such as `etcd/peer.crt`.
    pub name: Vec<u8>,
}

impl Source {
    /// What is read first where not everything can be: the files that such a machine has, then those
    /// that the configuration adds, then whatever else is in a PKI directory.
    fn rank(&self) -> u8 {
        match self.slot {
            Slot::ControlPlaneKubeconfig | Slot::KubeletClient => 0,
            Slot::ControlPlanePki | Slot::EtcdPki => {
                if holds(self.slot, &self.name) == Holds::Anything { 2 } else { 0 }
            }
            Slot::Configured(_) => 1,
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

/// The machine as it looks now.
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
    /// Every file to look at, by path, each once.
    pub sources: Vec<Source>,
    /// What could not be listed.
    pub problems: Vec<Problem>,
    /// Directories that could not be listed: what is in them is not known to be gone.
    pub unlisted: Vec<HostPath>,
    /// Where the control plane's PKI is, there or not.
    pub control_plane_pki: HostPath,
    /// Where etcd's PKI is, there or not.
    pub etcd_pki: HostPath,
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
    /// Whether a file is in a directory that could not be listed: it may be there, whatever was found.
    pub fn is_unlisted(&self, path: &HostPath) -> bool {
        self.unlisted.iter().any(|directory| path.beneath(directory).is_some())
    }
}

/// Looks at the machine. At most `limit` files become sources; more are a problem.
pub fn look(root: &HostRoot, wishes: &Wishes, limit: usize) -> Layout {
    let os = os_id(root);
    let usual = Paths::of(root, &os);
    let control_plane =
        wishes.control_plane_pki.clone().unwrap_or_else(|| host(usual.control_plane_pki));
    let etcd = usual.etcd_pki(wishes);
    let kubelet_kubeconfig = host(usual.kubelet_kubeconfig);

    let mut survey = Survey::new(root, limit);
    survey.pki(&control_plane, Slot::ControlPlanePki);
    survey.pki(&etcd, Slot::EtcdPki);
    survey.kubeconfigs(&control_plane);
    survey.kubelet(&host("/var/lib/kubelet/pki"));
    for extra in &wishes.sources {
        survey.extra(extra);
    }
    let mut found = survey.evidence(&control_plane, &etcd);
    // On Bottlerocket a worker has no kubeadm PKI at all, only what the kubelet needs.
    found.joined |= usual == BOTTLEROCKET && root.exists(&kubelet_kubeconfig);

    let role = wishes.role.unwrap_or_else(|| found.role());
    let etcd_topology = match role {
        Role::ControlPlane => wishes.etcd_topology.or_else(|| found.etcd_topology()),
        Role::Etcd | Role::Worker | Role::Unknown => None,
    };
    let mut places: Vec<_> = usual.places.iter().map(|place| host(place)).collect();
    places.extend([&wishes.control_plane_pki, &wishes.etcd_pki].into_iter().flatten().cloned());
    places.extend(wishes.sources.iter().filter_map(ExtraSource::directory));
    let (sources, problems, unlisted, mut watched) = survey.finish();
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
        control_plane_pki: control_plane,
        etcd_pki: etcd,
        watched,
        places,
    }
}

/// Single files that a look reads besides the sources.
pub fn small_files() -> impl Iterator<Item = HostPath> {
    OS_RELEASE.iter().chain([&HOSTNAME]).map(|path| host(path))
}

/// Where an etcd machine keeps its PKI, there or not.
pub fn etcd_pki(root: &HostRoot, wishes: &Wishes) -> HostPath {
    Paths::of(root, &os_id(root)).etcd_pki(wishes)
}

/// Where the kubelet's kubeconfig is, there or not.
pub fn kubelet_kubeconfig(root: &HostRoot) -> HostPath {
    host(Paths::of(root, &os_id(root)).kubelet_kubeconfig)
}

/// What was found on the machine, as far as role and topology go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Evidence {
    /// etcdadm's directory is there.
    etcd_pki: bool,
    /// Something is there that only a control plane has.
    control_plane: bool,
    /// The machine has joined a cluster.
    joined: bool,
    /// etcd/ca.crt in the control plane's PKI.
    etcd_ca: bool,
    /// etcd/server.crt in the control plane's PKI.
    etcd_server: bool,
}

impl Evidence {
    fn role(self) -> Role {
        match self {
            Self { control_plane: true, .. } => Role::ControlPlane,
            Self { etcd_pki: true, .. } => Role::Etcd,
            Self { joined: true, .. } => Role::Worker,
            _ => Role::Unknown,
        }
    }

    /// kubeadm makes etcd/server.crt only where it runs etcd; with external etcd the CA alone is
    /// delivered, so that kube-apiserver can verify the members.
    fn etcd_topology(self) -> Option<EtcdTopology> {
        match self {
            Self { etcd_server: true, .. } => Some(EtcdTopology::Stacked),
            Self { etcd_ca: true, .. } => Some(EtcdTopology::External),
            _ => None,
        }
    }
}

/// Where an operating system keeps things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Paths {
    control_plane_pki: &'static str,
    etcd_pki: &'static str,
    kubelet_kubeconfig: &'static str,
    /// See [`Layout::places`]. `/var/lib/etcd` holds the data of a cluster as well.
    places: &'static [&'static str],
}

const BOTTLEROCKET: Paths = Paths {
    control_plane_pki: "/var/lib/kubeadm/pki",
    etcd_pki: "/var/lib/etcd/pki",
    kubelet_kubeconfig: "/etc/kubernetes/kubelet/kubeconfig",
    places: &["/etc/kubernetes", "/var/lib/kubeadm", "/var/lib/etcd/pki", "/var/lib/kubelet/pki"],
};

const UBUNTU_AND_RHEL: Paths = Paths {
    control_plane_pki: "/etc/kubernetes/pki",
    etcd_pki: "/etc/etcd/pki",
    kubelet_kubeconfig: "/etc/kubernetes/kubelet.conf",
    places: &["/etc/kubernetes", "/etc/etcd", "/var/lib/kubelet/pki"],
};

impl Paths {
    /// By os-release; where there is none (a pod that mounts the PKI alone), by what exists.
    fn of(root: &HostRoot, os: &str) -> Self {
        let pki = [BOTTLEROCKET.control_plane_pki, BOTTLEROCKET.etcd_pki];
        match os {
            "bottlerocket" => BOTTLEROCKET,
            UNKNOWN_OS if pki.iter().any(|path| root.exists(&host(path))) => BOTTLEROCKET,
            _ => UBUNTU_AND_RHEL,
        }
    }

    fn etcd_pki(&self, wishes: &Wishes) -> HostPath {
        wishes.etcd_pki.clone().unwrap_or_else(|| host(self.etcd_pki))
    }
}

const UNKNOWN_OS: &str = "unknown";

/// Of os-release(5), which looks in /etc first.
const OS_RELEASE: &[&str] = &["/etc/os-release", "/usr/lib/os-release"];

const HOSTNAME: &str = "/etc/hostname";

/// `ID` of os-release(5).
fn os_id(root: &HostRoot) -> String {
    OS_RELEASE
        .iter()
        .find_map(|path| small_text(root, path))
        .and_then(|text| parse_os_id(&text))
        .unwrap_or_else(|| UNKNOWN_OS.to_owned())
}

/// `ID` in the text of os-release(5), in lower case; `None` unless it is a plain word.
pub fn parse_os_id(text: &str) -> Option<String> {
    let value = text.lines().rev().find_map(|line| line.trim().strip_prefix("ID="))?;
    let value = value.trim().trim_matches(|c| matches!(c, '"' | '\''));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!value.is_empty() && value.chars().all(plain)).then(|| value.to_ascii_lowercase())
}

/// hostname(5): the first line that is no comment.
fn hostname(root: &HostRoot) -> Option<String> {
    let text = small_text(root, HOSTNAME)?;
    let name = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.chars().all(plain).then(|| name.to_owned())
}

fn small_text(root: &HostRoot, path: &str) -> Option<String> {
    let path = host(path);
    let glance = root.glance(&path).ok()?;
    let (_, bytes) = glance.read(64 * 1024).ok()?;
    String::from_utf8(bytes.to_vec()).ok()
}

/// One of this module's own paths, all of which are absolute.
fn host(path: &str) -> HostPath {
    HostPath::root().join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_os_is_the_id_of_os_release_quoted_or_not() {
        assert_eq!(parse_os_id("NAME=x\nID=ubuntu\nID_LIKE=debian\n").as_deref(), Some("ubuntu"));
        assert_eq!(parse_os_id("ID=\"rhel\"\r\n").as_deref(), Some("rhel"));
        assert_eq!(parse_os_id("ID='Bottlerocket'").as_deref(), Some("bottlerocket"));
        assert_eq!(parse_os_id("VERSION_ID=1\n"), None);
        assert_eq!(parse_os_id("ID=\"a\u{1b}[31m\"\n"), None);
    }

    #[test]
    fn control_plane_files_outweigh_an_etcd_pki_beside_them() {
        let both = Evidence { etcd_pki: true, control_plane: true, ..Evidence::default() };
        assert_eq!(both.role(), Role::ControlPlane);
        let etcd = Evidence { etcd_pki: true, joined: true, ..Evidence::default() };
        assert_eq!(etcd.role(), Role::Etcd);
        let worker = Evidence { joined: true, ..Evidence::default() };
        assert_eq!(worker.role(), Role::Worker);
        assert_eq!(Evidence::default().role(), Role::Unknown);
    }

    #[test]
    fn etcd_is_external_where_its_ca_is_and_its_server_certificate_is_not() {
        let ca = Evidence { etcd_ca: true, ..Evidence::default() };
        assert_eq!(ca.etcd_topology(), Some(EtcdTopology::External));
        let both = Evidence { etcd_server: true, ..ca };
        assert_eq!(both.etcd_topology(), Some(EtcdTopology::Stacked));
        assert_eq!(Evidence::default().etcd_topology(), None);
    }
}
