//! What tells which machine this is: its role, and where its etcd runs.

use std::collections::BTreeMap;

use expiryd_api::{EtcdTopology, Role};

use super::Source;
use super::known_files::{
    ETCD_CLIENT, ExpectedContent, Origin, etcd_member_leaves, expected_content,
};
use crate::host_root::{HostPath, HostRoot};

/// Where the kubelet looks for static pods: kubeadm's folder, and Bottlerocket's
/// (`sources/api/static-pods`, `STATIC_POD_DIR`).
pub(super) const MANIFESTS: &[&str] = &["/etc/kubernetes/manifests", "/etc/kubernetes/static-pods"];

/// Static pods of a control plane.
const CONTROL_PLANE_PODS: &[&str] =
    &["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// What was found on the machine, as far as role and topology go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// etcdadm's directory is there.
    pub(super) etcd_pki: bool,
    /// Something is there that only a control plane has.
    pub(super) control_plane: bool,
    /// The machine has joined a cluster.
    pub(super) joined: bool,
    /// Something of a control plane's own etcd is there: one of its certificates, or its static pod.
    pub(super) etcd_member: bool,
    /// What a client of etcd needs is there, or a part of it: the CA, or a certificate.
    pub(super) etcd_client: bool,
}

impl Evidence {
    /// What these sources and the static pods say. `control_plane` and `etcd` are where kubeadm and etcdadm keep
    /// their PKI.
    pub(super) fn find(
        root: &HostRoot,
        sources: &BTreeMap<HostPath, Source>,
        control_plane: &HostPath,
        etcd: &HostPath,
    ) -> Self {
        let has = |name: &str| sources.contains_key(&control_plane.join(name));
        let known = |source: &Source| {
            source.origin == Origin::ControlPlanePki
                && expected_content(source.origin, &source.name) != ExpectedContent::Anything
                && source.name != b"ca.crt"
        };
        let kubeconfigs =
            sources.values().filter(|source| source.origin == Origin::ControlPlaneKubeconfig);
        let runs = |pod: &&str| {
            let manifest = |directory: &&str| format!("{directory}/{pod}.yaml");
            let mut manifests = MANIFESTS.iter().map(manifest);
            manifests.any(|path| root.exists(&HostPath::root().join(path)))
        };
        Self {
            etcd_pki: root.exists(etcd),
            // People copy admin.conf to other machines; a control plane has more than one of them.
            control_plane: sources.values().any(known)
                || kubeconfigs.count() > 1
                || root.exists(&control_plane.join("sa.pub"))
                || CONTROL_PLANE_PODS.iter().any(runs),
            joined: has("ca.crt"),
            etcd_member: etcd_member_leaves().any(has) || runs(&"etcd"),
            etcd_client: has("etcd/ca.crt") || ETCD_CLIENT.iter().any(|name| has(name)),
        }
    }

    pub(super) fn role(self) -> Role {
        match self {
            Self { control_plane: true, .. } => Role::ControlPlane,
            Self { etcd_pki: true, .. } => Role::Etcd,
            Self { joined: true, .. } => Role::Worker,
            _ => Role::Unknown,
        }
    }

    /// kubeadm makes certificates and a static pod of etcd only where it runs etcd; with external etcd the
    /// CA and a client certificate alone are delivered, for kube-apiserver.
    pub(super) fn etcd_topology(self) -> Option<EtcdTopology> {
        match self {
            Self { etcd_member: true, .. } => Some(EtcdTopology::Stacked),
            Self { etcd_client: true, .. } => Some(EtcdTopology::External),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn etcd_is_external_where_its_client_is_and_nothing_of_a_member() {
        let client = Evidence { etcd_client: true, ..Evidence::default() };
        assert_eq!(client.etcd_topology(), Some(EtcdTopology::External));
        let both = Evidence { etcd_member: true, ..client };
        assert_eq!(both.etcd_topology(), Some(EtcdTopology::Stacked));
        assert_eq!(Evidence::default().etcd_topology(), None);
    }
}
