//! The table, row by row against EKS Anywhere's renewal procedures.

use super::{EtcdTopology, Holds, RenewedBy, Role, Slot, expected, holds, known_names, renewed_by};

const STACKED: Option<EtcdTopology> = Some(EtcdTopology::Stacked);
const EXTERNAL: Option<EtcdTopology> = Some(EtcdTopology::External);

fn of(slot: Slot, file: &str, etcd: Option<EtcdTopology>) -> RenewedBy {
    renewed_by(slot, file.as_bytes(), Role::ControlPlane, etcd)
}

#[test]
fn kubeadm_makes_the_control_planes_own_certificates_on_the_machine() {
    for file in ["apiserver.crt", "apiserver-kubelet-client.crt", "front-proxy-client.crt"] {
        for etcd in [STACKED, EXTERNAL, None] {
            assert_eq!(of(Slot::ControlPlanePki, file, etcd), RenewedBy::MachineRollout, "{file}");
        }
    }
}

#[test]
fn the_etcd_client_certificate_is_made_on_the_machine_only_where_etcd_is() {
    let client = "apiserver-etcd-client.crt";
    assert_eq!(of(Slot::ControlPlanePki, client, STACKED), RenewedBy::MachineRollout);
    assert_eq!(of(Slot::ControlPlanePki, client, EXTERNAL), RenewedBy::EtcdRollout);
    assert_eq!(of(Slot::ControlPlanePki, client, None), RenewedBy::EtcdRollout);
    // On an etcd machine etcdadm makes it.
    assert_eq!(of(Slot::EtcdPki, client, None), RenewedBy::MachineRollout);
}

#[test]
fn bottlerockets_name_for_it_always_comes_from_the_secret() {
    for etcd in [STACKED, EXTERNAL, None] {
        let by = of(Slot::ControlPlanePki, "server-etcd-client.crt", etcd);
        assert_eq!(by, RenewedBy::EtcdRollout);
    }
}

#[test]
fn etcdadm_makes_an_etcd_machines_certificates() {
    for file in ["server.crt", "peer.crt", "etcdctl-etcd-client.crt"] {
        assert_eq!(of(Slot::EtcdPki, file, None), RenewedBy::MachineRollout, "{file}");
    }
    for file in ["etcd/server.crt", "etcd/peer.crt", "etcd/healthcheck-client.crt"] {
        assert_eq!(of(Slot::ControlPlanePki, file, STACKED), RenewedBy::MachineRollout, "{file}");
    }
}

#[test]
fn a_file_that_nobody_knows_never_drives_a_roll_out() {
    for file in ["custom.crt", "etcd/apiserver.crt", "ca.crt", "kubelet-serving.crt"] {
        assert_eq!(of(Slot::ControlPlanePki, file, STACKED), RenewedBy::Operator, "{file}");
    }
    assert_eq!(of(Slot::EtcdPki, "etcd/server.crt", None), RenewedBy::Operator);
}

#[test]
fn the_kubelet_renews_its_own_and_a_configured_source_names_its_renewer() {
    assert_eq!(of(Slot::KubeletClient, "kubelet-client-current.pem", None), RenewedBy::Kubelet);
    assert_eq!(of(Slot::ControlPlaneKubeconfig, "admin.conf", EXTERNAL), RenewedBy::MachineRollout);
    assert_eq!(of(Slot::Configured(RenewedBy::EtcdRollout), "x.crt", None), RenewedBy::EtcdRollout);
}

#[test]
fn files_that_hold_cas_are_known_by_their_place() {
    assert_eq!(holds(Slot::ControlPlanePki, b"etcd/ca.crt"), Holds::Ca);
    assert_eq!(holds(Slot::ControlPlanePki, b"apiserver.crt"), Holds::Leaf);
    assert_eq!(holds(Slot::EtcdPki, b"etcd/ca.crt"), Holds::Anything);
    assert_eq!(holds(Slot::Configured(RenewedBy::Operator), b"ca.crt"), Holds::Anything);
}

#[test]
fn a_kubeconfig_that_was_copied_to_a_worker_is_the_operators() {
    let by = |role| renewed_by(Slot::ControlPlaneKubeconfig, b"admin.conf", role, None);
    assert_eq!(by(Role::ControlPlane), RenewedBy::MachineRollout);
    assert_eq!(by(Role::Worker), RenewedBy::Operator);
}

#[test]
fn what_is_expected_of_a_machine_is_a_known_leaf_of_its_pki() {
    let count = |role, etcd| {
        let all: Vec<_> = expected(role, etcd).collect();
        for name in all.iter().flat_map(|e| e.names) {
            assert_eq!(holds(all[0].slot, name.as_bytes()), Holds::Leaf, "{name}");
            assert!(known_names(all[0].slot).any(|known| known == *name), "{name}");
        }
        all.len()
    };
    assert_eq!(count(Role::ControlPlane, STACKED), 7);
    assert_eq!(count(Role::ControlPlane, EXTERNAL), 4);
    assert_eq!(count(Role::ControlPlane, None), 3);
    assert_eq!(count(Role::Etcd, None), 2);
    assert_eq!((count(Role::Worker, None), count(Role::Unknown, None)), (0, 0));
}
