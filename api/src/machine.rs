//! The machine that a report is about.

use serde::Serialize;

use crate::closed_list;

closed_list! {
    /// What a machine is in its cluster.
    Role {
        /// Runs kube-apiserver and the controllers.
        ControlPlane = "control-plane",
        /// Runs a member of an external etcd cluster.
        Etcd = "etcd",
        /// Joined as a node only: it has nothing that a rollout would renew.
        Worker = "worker",
        /// Nothing on the machine tells.
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

/// A machine, as its report names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The Node's name, from the kubelet's certificate; without one the host's name.
    pub name: Option<String>,
    /// `ID` of os-release(5).
    pub os: String,
    /// What the machine is.
    pub role: Role,
    /// Where its etcd runs; `None` on other machines than a control plane, and while nothing tells.
    pub etcd_topology: Option<EtcdTopology>,
}
