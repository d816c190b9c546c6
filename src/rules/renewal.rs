//! Who renews a certificate: one table, by role, etcd topology, file and origin.
//!
//! Machine rollout is a positive list of files that the node itself makes anew when its Machine
//! is replaced. Everything else is renewed by somebody else, and a rollout driven by its date
//! would bring back the same certificate and start again.

use expiryd_api::{EtcdTopology, RenewedBy, Role};

use crate::layout::known_files::{IssuedBy, Origin, known_leaf};

/// Who renews the leaf in a file of a machine with this role.
pub fn renewed_by(
    origin: Origin,
    name: &[u8],
    role: Role,
    etcd: Option<EtcdTopology>,
) -> RenewedBy {
    use RenewedBy::{EtcdRollout, Kubelet, MachineRollout, Operator};
    match origin {
        Origin::Configured(by) => by,
        Origin::KubeletClient => Kubelet,
        // Somebody copied it there.
        Origin::ControlPlaneKubeconfig if matches!(role, Role::Etcd | Role::Worker) => Operator,
        Origin::ControlPlaneKubeconfig => MachineRollout,
        Origin::ControlPlanePki | Origin::EtcdPki => match (known_leaf(origin, name), etcd) {
            (Some(IssuedBy::Node), _)
            | (Some(IssuedBy::NodeIfStacked), Some(EtcdTopology::Stacked)) => MachineRollout,
            (Some(IssuedBy::EtcdClientSecret), _)
            | (Some(IssuedBy::NodeIfStacked), Some(EtcdTopology::External) | None) => EtcdRollout,
            (Some(IssuedBy::User) | None, _) => Operator,
        },
    }
}

#[cfg(test)]
mod tests;
