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

/// kube-apiserver's client certificate for etcd: kubeadm's name, and Bottlerocket's for the one out of the
/// Secret (EKS Anywhere `pkg/clusterapi/etcd.go`).
pub const ETCD_CLIENT: &[&str] = &["apiserver-etcd-client.crt", "server-etcd-client.crt"];

/// A file that a working machine always has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedFile {
    /// Where it belongs.
    pub origin: Origin,
    /// The names that it may have in the directory of its origin; one of them is there.
    pub names: &'static [&'static str],
}

const fn expected(origin: Origin, names: &'static [&'static str]) -> ExpectedFile {
    ExpectedFile { origin, names }
}

/// admin.conf is not among them: people remove it.
const EXPECTED_OF_CONTROL_PLANE: &[ExpectedFile] = &[
    expected(Origin::ControlPlanePki, &["ca.crt"]),
    expected(Origin::ControlPlanePki, &["front-proxy-ca.crt"]),
    expected(Origin::ControlPlanePki, &["etcd/ca.crt"]),
    expected(Origin::ControlPlanePki, &["apiserver.crt"]),
    expected(Origin::ControlPlanePki, &["apiserver-kubelet-client.crt"]),
    expected(Origin::ControlPlanePki, &["front-proxy-client.crt"]),
    expected(Origin::ControlPlanePki, ETCD_CLIENT),
    expected(Origin::ControlPlaneKubeconfig, &["controller-manager.conf"]),
    expected(Origin::ControlPlaneKubeconfig, &["scheduler.conf"]),
];

const EXPECTED_OF_STACKED_ETCD: &[ExpectedFile] = &[
    expected(Origin::ControlPlanePki, &["etcd/server.crt"]),
    expected(Origin::ControlPlanePki, &["etcd/peer.crt"]),
    expected(Origin::ControlPlanePki, &["etcd/healthcheck-client.crt"]),
];

const EXPECTED_OF_ETCD: &[ExpectedFile] = &[
    expected(Origin::EtcdPki, &["ca.crt"]),
    expected(Origin::EtcdPki, &["server.crt"]),
    expected(Origin::EtcdPki, &["peer.crt"]),
];

/// The leaves of a control plane's own etcd, by their names beneath the control plane's PKI directory.
pub fn etcd_member_leaves() -> impl Iterator<Item = &'static str> {
    EXPECTED_OF_STACKED_ETCD.iter().flat_map(|file| file.names).copied()
}

/// The files that a machine of this kind cannot work without (kubeadm `phases/certs/certlist.go` and
/// `phases/kubeconfig`, etcdadm `certs/certs.go`).
pub fn expected_files(
    role: Role,
    etcd: Option<EtcdTopology>,
) -> impl Iterator<Item = ExpectedFile> {
    let (always, besides) = match (role, etcd) {
        (Role::ControlPlane, Some(EtcdTopology::Stacked)) => {
            (EXPECTED_OF_CONTROL_PLANE, EXPECTED_OF_STACKED_ETCD)
        }
        (Role::ControlPlane, Some(EtcdTopology::External) | None) => {
            (EXPECTED_OF_CONTROL_PLANE, &[][..])
        }
        (Role::Etcd, _) => (EXPECTED_OF_ETCD, &[][..]),
        (Role::Worker | Role::Unknown, _) => (&[][..], &[][..]),
    };
    always.iter().chain(besides).copied()
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
    fn what_is_expected_of_a_machine_is_known() {
        let count = |role, etcd| {
            let all: Vec<_> = expected_files(role, etcd).collect();
            for (origin, name) in
                all.iter().flat_map(|e| e.names.iter().map(|name| (e.origin, name)))
            {
                let kubeconfig = CONTROL_PLANE_KUBECONFIGS.contains(name);
                let known = known_names(origin).any(|known| known == *name);
                assert_eq!(
                    (known, kubeconfig),
                    match origin {
                        Origin::ControlPlaneKubeconfig => (false, true),
                        _ => (true, false),
                    },
                    "{name}"
                );
            }
            all.len()
        };
        assert_eq!(count(Role::ControlPlane, Some(EtcdTopology::Stacked)), 12);
        assert_eq!(count(Role::ControlPlane, Some(EtcdTopology::External)), 9);
        assert_eq!(count(Role::ControlPlane, None), 9);
        assert_eq!(count(Role::Etcd, None), 3);
        assert_eq!((count(Role::Worker, None), count(Role::Unknown, None)), (0, 0));
    }
}
