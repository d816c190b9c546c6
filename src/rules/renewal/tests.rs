//! The table, row by row against EKS Anywhere's renewal procedures.

use super::{EtcdTopology, Origin, RenewedBy, Role, renewed_by};

const STACKED: Option<EtcdTopology> = Some(EtcdTopology::Stacked);
const EXTERNAL: Option<EtcdTopology> = Some(EtcdTopology::External);

fn of(origin: Origin, file: &str, etcd: Option<EtcdTopology>) -> RenewedBy {
    renewed_by(origin, file.as_bytes(), Role::ControlPlane, etcd)
}

#[test]
fn kubeadm_makes_the_control_planes_own_certificates_on_the_machine() {
    for file in ["apiserver.crt", "apiserver-kubelet-client.crt", "front-proxy-client.crt"] {
        for etcd in [STACKED, EXTERNAL, None] {
            assert_eq!(
                of(Origin::ControlPlanePki, file, etcd),
                RenewedBy::MachineRollout,
                "{file}"
            );
        }
    }
}

#[test]
fn the_etcd_client_certificate_is_made_on_the_machine_only_where_etcd_is() {
    let client = "apiserver-etcd-client.crt";
    assert_eq!(of(Origin::ControlPlanePki, client, STACKED), RenewedBy::MachineRollout);
    assert_eq!(of(Origin::ControlPlanePki, client, EXTERNAL), RenewedBy::EtcdRollout);
    assert_eq!(of(Origin::ControlPlanePki, client, None), RenewedBy::EtcdRollout);
    // On an etcd machine etcdadm makes it.
    assert_eq!(of(Origin::EtcdPki, client, None), RenewedBy::MachineRollout);
}

#[test]
fn bottlerockets_name_for_it_always_comes_from_the_secret() {
    for etcd in [STACKED, EXTERNAL, None] {
        let by = of(Origin::ControlPlanePki, "server-etcd-client.crt", etcd);
        assert_eq!(by, RenewedBy::EtcdRollout);
    }
}

#[test]
fn etcdadm_makes_an_etcd_machines_certificates() {
    for file in ["server.crt", "peer.crt", "etcdctl-etcd-client.crt"] {
        assert_eq!(of(Origin::EtcdPki, file, None), RenewedBy::MachineRollout, "{file}");
    }
    for file in ["etcd/server.crt", "etcd/peer.crt", "etcd/healthcheck-client.crt"] {
        assert_eq!(of(Origin::ControlPlanePki, file, STACKED), RenewedBy::MachineRollout, "{file}");
    }
}

#[test]
fn a_file_that_nobody_knows_never_drives_a_rollout() {
    for file in ["custom.crt", "etcd/apiserver.crt", "ca.crt", "kubelet-serving.crt"] {
        assert_eq!(of(Origin::ControlPlanePki, file, STACKED), RenewedBy::Operator, "{file}");
    }
    assert_eq!(of(Origin::EtcdPki, "etcd/server.crt", None), RenewedBy::Operator);
}

#[test]
fn the_kubelet_renews_its_own_and_a_configured_source_names_its_renewer() {
    assert_eq!(of(Origin::KubeletClient, "kubelet-client-current.pem", None), RenewedBy::Kubelet);
    assert_eq!(
        of(Origin::ControlPlaneKubeconfig, "admin.conf", EXTERNAL),
        RenewedBy::MachineRollout
    );
    assert_eq!(
        of(Origin::Configured(RenewedBy::EtcdRollout), "x.crt", None),
        RenewedBy::EtcdRollout
    );
}

#[test]
fn a_kubeconfig_that_was_copied_to_a_worker_is_the_operators() {
    let by = |role| renewed_by(Origin::ControlPlaneKubeconfig, b"admin.conf", role, None);
    assert_eq!(by(Role::ControlPlane), RenewedBy::MachineRollout);
    assert_eq!(by(Role::Worker), RenewedBy::Operator);
}
