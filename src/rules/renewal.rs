//! Who renews a certificate: one table, by role, etcd topology, file and kind of source.
//!
//! Machine roll-out is a positive list of files that the node itself makes anew when its Machine
//! is replaced. Everything else is renewed by somebody else, and a roll-out driven by its date
//! would bring back the same certificate and start again.

use super::Kind;
use crate::closed_list::closed_list;

closed_list! {
    /// Who renews a certificate.
    RenewedBy {
        /// Made anew on the node when this Machine is replaced.
        MachineRollout = "machine-rollout",
        /// Delivered from the etcd client Secret, which only a roll-out of etcd refreshes.
        EtcdRollout = "etcd-rollout",
        /// The kubelet rotates it by itself.
        Kubelet = "kubelet",
        /// Somebody put the file there, and has to put the next one there too.
        Operator = "operator",
    }
}

closed_list! {
    /// What this machine is in its cluster.
    Role {
        /// Runs kube-apiserver and the controllers.
        ControlPlane = "control-plane",
        /// Runs a member of an external etcd cluster.
        Etcd = "etcd",
        /// Joined as a node only: it has nothing that a roll-out would renew.
        Worker = "worker",
        /// Nothing there tells.
        Unknown = "unknown",
    }
}

closed_list! {
    /// Where the etcd of a control plane runs.
    EtcdTopology {
        /// On the control-plane machines themselves.
        Stacked = "stacked",
        /// On machines of their own.
        External = "external",
    }
}

/// Which PKI a source belongs to; the file names mean different things in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
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

impl Slot {
    /// How files in this slot are read, unless the configuration says otherwise.
    pub const fn kind(self) -> Kind {
        match self {
            Self::ControlPlanePki | Self::EtcdPki | Self::Configured(_) => Kind::File,
            Self::ControlPlaneKubeconfig => Kind::Kubeconfig,
            Self::KubeletClient => Kind::Kubelet,
        }
    }
}

/// The kubeconfigs of the control plane (kubeadm `phases/kubeconfig`; super-admin.conf since
/// 1.29, on the first machine only). kubelet.conf is left out: the kubelet renews what it names.
pub const CONTROL_PLANE_KUBECONFIGS: &[&str] =
    &["admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf"];

/// What a file is known to hold, by its path beneath the directory of its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A leaf, possibly with its chain behind it.
    Leaf,
    /// CA certificates.
    Ca,
    /// Nothing known.
    Anything,
}

/// What a file holds, as far as its name tells.
pub fn holds(slot: Slot, file: &[u8]) -> Holds {
    match (slot, known(slot, file)) {
        (Slot::ControlPlaneKubeconfig | Slot::KubeletClient, _) | (_, Some(Known::Leaf(_))) => {
            Holds::Leaf
        }
        (_, Some(Known::Ca)) => Holds::Ca,
        (_, None) => Holds::Anything,
    }
}

/// Who renews the leaf in a file of a machine with this role.
pub fn renewed_by(slot: Slot, file: &[u8], role: Role, etcd: Option<EtcdTopology>) -> RenewedBy {
    use RenewedBy::{EtcdRollout, Kubelet, MachineRollout, Operator};
    match slot {
        Slot::Configured(by) => by,
        Slot::KubeletClient => Kubelet,
        // Somebody copied it there.
        Slot::ControlPlaneKubeconfig if matches!(role, Role::Etcd | Role::Worker) => Operator,
        Slot::ControlPlaneKubeconfig => MachineRollout,
        Slot::ControlPlanePki | Slot::EtcdPki => match (known(slot, file), etcd) {
            (Some(Known::Leaf(MadeBy::Node)), _)
            | (Some(Known::Leaf(MadeBy::NodeIfStacked)), Some(EtcdTopology::Stacked)) => {
                MachineRollout
            }
            (Some(Known::Leaf(MadeBy::EtcdClientSecret)), _)
            | (Some(Known::Leaf(MadeBy::NodeIfStacked)), Some(EtcdTopology::External) | None) => {
                EtcdRollout
            }
            (Some(Known::Leaf(MadeBy::User) | Known::Ca) | None, _) => Operator,
        },
    }
}

/// What is known of a file by its name.
#[derive(Clone, Copy)]
enum Known {
    /// It holds CA certificates.
    Ca,
    /// It holds a leaf.
    Leaf(MadeBy),
}

/// Who makes a known leaf file.
#[derive(Clone, Copy)]
enum MadeBy {
    /// kubeadm or etcdadm, on this node.
    Node,
    /// kubeadm when etcd is stacked, else the etcd client Secret.
    NodeIfStacked,
    /// The etcd client Secret of the management cluster.
    EtcdClientSecret,
    /// The user, through the machine's `files`.
    User,
}

/// The files of a control plane's PKI.
///
/// Sources: kubeadm `phases/certs/certlist.go`; EKS Anywhere `pkg/clusterapi/etcd.go` for
/// `server-etcd-client.crt`, Bottlerocket's name for the certificate out of the Secret; the
/// Bottlerocket bootstrap's `kubeadm/utils.go` for `kubelet-serving.crt`.
const CONTROL_PLANE_FILES: &[(&str, Known)] = &[
    ("ca.crt", Known::Ca),
    ("front-proxy-ca.crt", Known::Ca),
    ("etcd/ca.crt", Known::Ca),
    ("apiserver.crt", Known::Leaf(MadeBy::Node)),
    ("apiserver-kubelet-client.crt", Known::Leaf(MadeBy::Node)),
    ("front-proxy-client.crt", Known::Leaf(MadeBy::Node)),
    ("apiserver-etcd-client.crt", Known::Leaf(MadeBy::NodeIfStacked)),
    ("server-etcd-client.crt", Known::Leaf(MadeBy::EtcdClientSecret)),
    ("etcd/server.crt", Known::Leaf(MadeBy::Node)),
    ("etcd/peer.crt", Known::Leaf(MadeBy::Node)),
    ("etcd/healthcheck-client.crt", Known::Leaf(MadeBy::Node)),
    ("kubelet-serving.crt", Known::Leaf(MadeBy::User)),
];

/// The files of an etcd machine's PKI (etcdadm `certs/certs.go`).
const ETCD_FILES: &[(&str, Known)] = &[
    ("ca.crt", Known::Ca),
    ("server.crt", Known::Leaf(MadeBy::Node)),
    ("peer.crt", Known::Leaf(MadeBy::Node)),
    ("etcdctl-etcd-client.crt", Known::Leaf(MadeBy::Node)),
    ("apiserver-etcd-client.crt", Known::Leaf(MadeBy::Node)),
];

const fn known_files(slot: Slot) -> &'static [(&'static str, Known)] {
    match slot {
        Slot::ControlPlanePki => CONTROL_PLANE_FILES,
        Slot::EtcdPki => ETCD_FILES,
        Slot::ControlPlaneKubeconfig | Slot::KubeletClient | Slot::Configured(_) => &[],
    }
}

fn known(slot: Slot, file: &[u8]) -> Option<Known> {
    let same = |(name, _): &&(&str, Known)| name.as_bytes() == file;
    known_files(slot).iter().find(same).map(|(_, known)| *known)
}

/// Every name that means something in a PKI directory.
pub fn known_names(slot: Slot) -> impl Iterator<Item = &'static str> {
    known_files(slot).iter().map(|(name, _)| *name)
}

/// A leaf file that a working machine always has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The PKI that it belongs to.
    pub slot: Slot,
    /// The names that it may have beneath the PKI's directory; one of them is there.
    pub names: &'static [&'static str],
}

/// The leaf files that a machine of this kind cannot work without (kubeadm `phases/certs/certlist.go`,
/// etcdadm `certs/certs.go`). While nothing tells the topology, nothing of etcd is expected.
pub fn expected(role: Role, etcd: Option<EtcdTopology>) -> impl Iterator<Item = Expected> {
    const ETCD_CLIENT: &[&str] = &["apiserver-etcd-client.crt", "server-etcd-client.crt"];
    const CONTROL_PLANE: &[&[&str]] =
        &[&["apiserver.crt"], &["apiserver-kubelet-client.crt"], &["front-proxy-client.crt"]];
    const STACKED: &[&[&str]] =
        &[ETCD_CLIENT, &["etcd/server.crt"], &["etcd/peer.crt"], &["etcd/healthcheck-client.crt"]];
    const ETCD: &[&[&str]] = &[&["server.crt"], &["peer.crt"]];
    let (slot, always, with_etcd): (_, &[&[&str]], &[&[&str]]) = match (role, etcd) {
        (Role::ControlPlane, None) => (Slot::ControlPlanePki, CONTROL_PLANE, &[]),
        (Role::ControlPlane, Some(EtcdTopology::External)) => {
            (Slot::ControlPlanePki, CONTROL_PLANE, &[ETCD_CLIENT])
        }
        (Role::ControlPlane, Some(EtcdTopology::Stacked)) => {
            (Slot::ControlPlanePki, CONTROL_PLANE, STACKED)
        }
        (Role::Etcd, _) => (Slot::EtcdPki, ETCD, &[]),
        (Role::Worker | Role::Unknown, _) => (Slot::EtcdPki, &[], &[]),
    };
    always.iter().chain(with_etcd).map(move |names| Expected { slot, names })
}

#[cfg(test)]
mod tests;
