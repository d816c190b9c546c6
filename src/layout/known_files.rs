//! The files that kubeadm, etcdadm and EKS Anywhere are known to make: what is in them, and who
//! issues it.

use expiryd_api::{EtcdTopology, RenewedBy, Role, SourceKind};

/// Where a source comes from; the file names mean different things in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Beneath the control plane's PKI directory (kubeadm's `certificatesDir`).
    ControlPlanePki,
    /// Beneath an etcd machine's PKI directory (etcdadm's).
    EtcdPki,
    /// A kubeconfig that kubeadm writes beside the control plane's PKI.
    ControlPlaneKubeconfig,
    /// The kubelet's current client certificate.
    KubeletClient,
    /// A source that the configuration added, with the renewer it names.
    Configured(RenewedBy),
}

impl Origin {
    /// How files of this origin are read, unless the configuration says otherwise.
    pub const fn kind(self) -> SourceKind {
        match self {
            Self::ControlPlanePki | Self::EtcdPki | Self::Configured(_) => SourceKind::File,
            Self::ControlPlaneKubeconfig => SourceKind::Kubeconfig,
            Self::KubeletClient => SourceKind::Kubelet,
        }
    }
}

/// The kubeconfigs of the control plane (kubeadm `phases/kubeconfig`; super-admin.conf since
/// 1.29, on the first machine only). kubelet.conf is left out: the kubelet renews what it names.
pub const CONTROL_PLANE_KUBECONFIGS: &[&str] =
    &["admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf"];

/// What a file is expected to contain, by its path beneath the directory of its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedContent {
    /// A leaf, possibly with its chain behind it.
    Leaf,
    /// CA certificates.
    Ca,
    /// Nothing known.
    Anything,
}

/// Who issues the certificate in a known leaf file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuedBy {
    /// kubeadm or etcdadm, on this node.
    Node,
    /// kubeadm when etcd is stacked, else the etcd client Secret.
    NodeIfStacked,
    /// The etcd client Secret of the management cluster.
    EtcdClientSecret,
    /// The user, through the machine's `files`.
    User,
}

/// What a file contains, as far as its origin and name tell.
pub fn expected_content(origin: Origin, name: &[u8]) -> ExpectedContent {
    match (origin, known_file(origin, name)) {
        (Origin::ControlPlaneKubeconfig | Origin::KubeletClient, _)
        | (_, Some(KnownFile::Leaf(_))) => ExpectedContent::Leaf,
        (_, Some(KnownFile::Ca)) => ExpectedContent::Ca,
        (_, None) => ExpectedContent::Anything,
    }
}

/// Who issues the leaf in a file of a PKI directory; `None` for a file that is not known to hold one.
pub fn known_leaf(origin: Origin, name: &[u8]) -> Option<IssuedBy> {
    match known_file(origin, name)? {
        KnownFile::Leaf(issued_by) => Some(issued_by),
        KnownFile::Ca => None,
    }
}

/// Every name that means something in a PKI directory.
pub fn known_names(origin: Origin) -> impl Iterator<Item = &'static str> {
    known_files(origin).iter().map(|(name, _)| *name)
}

/// A leaf file that a working machine always has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedLeaf {
    /// The PKI that it belongs to.
    pub origin: Origin,
    /// The names that it may have beneath the PKI's directory; one of them is there.
    pub names: &'static [&'static str],
}

/// The leaf files that a machine of this kind cannot work without (kubeadm `phases/certs/certlist.go`,
/// etcdadm `certs/certs.go`). While nothing tells the topology, nothing of etcd is expected.
pub fn expected_leaves(
    role: Role,
    etcd: Option<EtcdTopology>,
) -> impl Iterator<Item = ExpectedLeaf> {
    const ETCD_CLIENT: &[&str] = &["apiserver-etcd-client.crt", "server-etcd-client.crt"];
    const CONTROL_PLANE: &[&[&str]] =
        &[&["apiserver.crt"], &["apiserver-kubelet-client.crt"], &["front-proxy-client.crt"]];
    const STACKED: &[&[&str]] =
        &[ETCD_CLIENT, &["etcd/server.crt"], &["etcd/peer.crt"], &["etcd/healthcheck-client.crt"]];
    const ETCD: &[&[&str]] = &[&["server.crt"], &["peer.crt"]];
    let (origin, always, with_etcd): (_, &[&[&str]], &[&[&str]]) = match (role, etcd) {
        (Role::ControlPlane, None) => (Origin::ControlPlanePki, CONTROL_PLANE, &[]),
        (Role::ControlPlane, Some(EtcdTopology::External)) => {
            (Origin::ControlPlanePki, CONTROL_PLANE, &[ETCD_CLIENT])
        }
        (Role::ControlPlane, Some(EtcdTopology::Stacked)) => {
            (Origin::ControlPlanePki, CONTROL_PLANE, STACKED)
        }
        (Role::Etcd, _) => (Origin::EtcdPki, ETCD, &[]),
        (Role::Worker | Role::Unknown, _) => (Origin::EtcdPki, &[], &[]),
    };
    always.iter().chain(with_etcd).map(move |names| ExpectedLeaf { origin, names })
}

/// What is known of a file by its name.
#[derive(Clone, Copy)]
enum KnownFile {
    /// It holds CA certificates.
    Ca,
    /// It holds a leaf.
    Leaf(IssuedBy),
}

/// The files of a control plane's PKI.
///
/// Sources: kubeadm `phases/certs/certlist.go`; EKS Anywhere `pkg/clusterapi/etcd.go` for
/// `server-etcd-client.crt`, Bottlerocket's name for the certificate out of the Secret; the
/// Bottlerocket bootstrap's `kubeadm/utils.go` for `kubelet-serving.crt`.
const CONTROL_PLANE_FILES: &[(&str, KnownFile)] = &[
    ("ca.crt", KnownFile::Ca),
    ("front-proxy-ca.crt", KnownFile::Ca),
    ("etcd/ca.crt", KnownFile::Ca),
    ("apiserver.crt", KnownFile::Leaf(IssuedBy::Node)),
    ("apiserver-kubelet-client.crt", KnownFile::Leaf(IssuedBy::Node)),
    ("front-proxy-client.crt", KnownFile::Leaf(IssuedBy::Node)),
    ("apiserver-etcd-client.crt", KnownFile::Leaf(IssuedBy::NodeIfStacked)),
    ("server-etcd-client.crt", KnownFile::Leaf(IssuedBy::EtcdClientSecret)),
    ("etcd/server.crt", KnownFile::Leaf(IssuedBy::Node)),
    ("etcd/peer.crt", KnownFile::Leaf(IssuedBy::Node)),
    ("etcd/healthcheck-client.crt", KnownFile::Leaf(IssuedBy::Node)),
    ("kubelet-serving.crt", KnownFile::Leaf(IssuedBy::User)),
];

/// The files of an etcd machine's PKI (etcdadm `certs/certs.go`).
const ETCD_FILES: &[(&str, KnownFile)] = &[
    ("ca.crt", KnownFile::Ca),
    ("server.crt", KnownFile::Leaf(IssuedBy::Node)),
    ("peer.crt", KnownFile::Leaf(IssuedBy::Node)),
    ("etcdctl-etcd-client.crt", KnownFile::Leaf(IssuedBy::Node)),
    ("apiserver-etcd-client.crt", KnownFile::Leaf(IssuedBy::Node)),
];

const fn known_files(origin: Origin) -> &'static [(&'static str, KnownFile)] {
    match origin {
        Origin::ControlPlanePki => CONTROL_PLANE_FILES,
        Origin::EtcdPki => ETCD_FILES,
        Origin::ControlPlaneKubeconfig | Origin::KubeletClient | Origin::Configured(_) => &[],
    }
}

fn known_file(origin: Origin, name: &[u8]) -> Option<KnownFile> {
    let same = |(known, _): &&(&str, KnownFile)| known.as_bytes() == name;
    known_files(origin).iter().find(same).map(|(_, file)| *file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_hold_cas_are_known_by_their_place() {
        assert_eq!(expected_content(Origin::ControlPlanePki, b"etcd/ca.crt"), ExpectedContent::Ca);
        assert_eq!(
            expected_content(Origin::ControlPlanePki, b"apiserver.crt"),
            ExpectedContent::Leaf
        );
        assert_eq!(expected_content(Origin::EtcdPki, b"etcd/ca.crt"), ExpectedContent::Anything);
        let configured = Origin::Configured(RenewedBy::Operator);
        assert_eq!(expected_content(configured, b"ca.crt"), ExpectedContent::Anything);
    }

    #[test]
    fn what_is_expected_of_a_machine_is_a_known_leaf_of_its_pki() {
        let count = |role, etcd| {
            let all: Vec<_> = expected_leaves(role, etcd).collect();
            for name in all.iter().flat_map(|e| e.names) {
                assert!(known_leaf(all[0].origin, name.as_bytes()).is_some(), "{name}");
                assert!(known_names(all[0].origin).any(|known| known == *name), "{name}");
            }
            all.len()
        };
        assert_eq!(count(Role::ControlPlane, Some(EtcdTopology::Stacked)), 7);
        assert_eq!(count(Role::ControlPlane, Some(EtcdTopology::External)), 4);
        assert_eq!(count(Role::ControlPlane, None), 3);
        assert_eq!(count(Role::Etcd, None), 2);
        assert_eq!((count(Role::Worker, None), count(Role::Unknown, None)), (0, 0));
    }
}
