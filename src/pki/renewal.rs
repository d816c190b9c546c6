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
    match (slot, file) {
        (Slot::ControlPlaneKubeconfig | Slot::KubeletClient, _) => Holds::Leaf,
        (Slot::ControlPlanePki, b"ca.crt" | b"front-proxy-ca.crt" | b"etcd/ca.crt")
        | (Slot::EtcdPki, b"ca.crt") => Holds::Ca,
        (Slot::ControlPlanePki | Slot::EtcdPki, _) if listed(slot, file).is_some() => Holds::Leaf,
        _ => Holds::Anything,
    }
}

/// Who renews the leaf in a file.
pub fn renewed_by(slot: Slot, file: &[u8], etcd: Option<EtcdTopology>) -> RenewedBy {
    use RenewedBy::{EtcdRollout, Kubelet, MachineRollout, Operator};
    match slot {
        Slot::Configured(by) => by,
        Slot::KubeletClient => Kubelet,
        Slot::ControlPlaneKubeconfig => MachineRollout,
        Slot::ControlPlanePki | Slot::EtcdPki => match (listed(slot, file), etcd) {
            (Some(MadeBy::Node), _)
            | (Some(MadeBy::NodeIfStacked), Some(EtcdTopology::Stacked)) => MachineRollout,
            (Some(MadeBy::EtcdClientSecret), _)
            | (Some(MadeBy::NodeIfStacked), Some(EtcdTopology::External) | None) => EtcdRollout,
            (Some(MadeBy::User) | None, _) => Operator,
        },
    }
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

/// The known leaf files.
///
/// Sources: kubeadm `phases/certs/certlist.go`; etcdadm `certs/certs.go`; EKS Anywhere
/// `pkg/clusterapi/etcd.go` for `server-etcd-client.crt`; the Bottlerocket bootstrap's
/// `kubeadm/utils.go` for `kubelet-serving.crt`.
fn listed(slot: Slot, file: &[u8]) -> Option<MadeBy> {
    match (slot, file) {
        (
            Slot::ControlPlanePki,
            b"apiserver.crt"
            | b"apiserver-kubelet-client.crt"
            | b"front-proxy-client.crt"
            | b"etcd/server.crt"
            | b"etcd/peer.crt"
            | b"etcd/healthcheck-client.crt",
        )
        | (
            Slot::EtcdPki,
            b"server.crt" | b"peer.crt" | b"etcdctl-etcd-client.crt" | b"apiserver-etcd-client.crt",
        ) => Some(MadeBy::Node),
        (Slot::ControlPlanePki, b"apiserver-etcd-client.crt") => Some(MadeBy::NodeIfStacked),
        // Bottlerocket's name for the certificate out of the Secret.
        (Slot::ControlPlanePki, b"server-etcd-client.crt") => Some(MadeBy::EtcdClientSecret),
        (Slot::ControlPlanePki, b"kubelet-serving.crt") => Some(MadeBy::User),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
