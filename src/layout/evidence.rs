//! What tells which machine this is: its role, and where its etcd runs.

use expiryd_api::{EtcdTopology, Role};

/// What was found on the machine, as far as role and topology go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// etcdadm's directory is there.
    pub(super) etcd_pki: bool,
    /// Something is there that only a control plane has.
    pub(super) control_plane: bool,
    /// The machine has joined a cluster.
    pub(super) joined: bool,
    /// etcd/ca.crt in the control plane's PKI.
    pub(super) etcd_ca: bool,
    /// etcd/server.crt in the control plane's PKI.
    pub(super) etcd_server: bool,
}

impl Evidence {
    pub(super) fn role(self) -> Role {
        match self {
            Self { control_plane: true, .. } => Role::ControlPlane,
            Self { etcd_pki: true, .. } => Role::Etcd,
            Self { joined: true, .. } => Role::Worker,
            _ => Role::Unknown,
        }
    }

    /// kubeadm makes etcd/server.crt only where it runs etcd; with external etcd the CA alone is
    /// delivered, so that kube-apiserver can verify the members.
    pub(super) fn etcd_topology(self) -> Option<EtcdTopology> {
        match self {
            Self { etcd_server: true, .. } => Some(EtcdTopology::Stacked),
            Self { etcd_ca: true, .. } => Some(EtcdTopology::External),
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
    fn etcd_is_external_where_its_ca_is_and_its_server_certificate_is_not() {
        let ca = Evidence { etcd_ca: true, ..Evidence::default() };
        assert_eq!(ca.etcd_topology(), Some(EtcdTopology::External));
        let both = Evidence { etcd_server: true, ..ca };
        assert_eq!(both.etcd_topology(), Some(EtcdTopology::Stacked));
        assert_eq!(Evidence::default().etcd_topology(), None);
    }
}
