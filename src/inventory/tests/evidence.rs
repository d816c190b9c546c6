//! What tells what a machine is, and what such a machine is missed for.

use super::*;

#[test]
fn what_a_working_machine_always_has_is_missed_from_the_start() {
    for (files, missing) in [
        (&["etc/kubernetes/admin.conf", "etc/kubernetes/scheduler.conf"][..], 8),
        (&["etc/kubernetes/pki/apiserver.crt", "etc/kubernetes/pki/etcd/ca.crt"], 7),
        (&["etc/kubernetes/pki/apiserver.crt", "etc/kubernetes/pki/etcd/server.crt"], 10),
        (&["etc/etcd/pki/peer.crt"], 2),
    ] {
        let mut machine = Machine::new(&[]);
        for file in files {
            match *file {
                "etc/kubernetes/pki/etcd/ca.crt" => {
                    machine.write(file, &CertificateBuilder::ca("20360101000000Z").pem());
                }
                conf if !conf.contains("/pki/") => machine.kubeconfig(conf, LATE),
                leaf => machine.leaf(leaf, LATE),
            }
        }
        machine.after(0);
        let report = machine.after(10);
        assert_eq!(reasons(&report), vec![Reason::Missing; missing], "{files:?}");
        assert_eq!((report.status, report.settled), (Status::Degraded, true));
    }
}

#[test]
fn whatever_is_gone_before_the_start_is_missed() {
    for missing in [
        "pki/ca.crt",
        "pki/front-proxy-ca.crt",
        "pki/etcd/ca.crt",
        "pki/etcd/server.crt",
        "pki/etcd/peer.crt",
        "pki/etcd/healthcheck-client.crt",
        "pki/apiserver-etcd-client.crt",
        "pki/apiserver.crt",
        "controller-manager.conf",
        "scheduler.conf",
    ] {
        let mut machine = Machine::stacked();
        machine.remove(&format!("etc/kubernetes/{missing}"));
        let report = machine.after(0);
        assert_eq!(report.node.etcd_topology, Some(EtcdTopology::Stacked), "{missing}");
        let problems: Vec<_> = report.problems.iter().map(|p| p.problem.path.to_string()).collect();
        assert_eq!(problems, [format!("/etc/kubernetes/{missing}")]);
        assert_eq!(reasons(&report), [Reason::Missing]);
    }
}

#[test]
fn a_stacked_etcd_is_known_by_its_static_pod_alone() {
    let mut machine = Machine::stacked();
    fs::remove_dir_all(machine.path("etc/kubernetes/pki/etcd")).unwrap();
    assert_eq!(machine.after(0).node.etcd_topology, Some(EtcdTopology::External));
    machine.write("etc/kubernetes/manifests/etcd.yaml", "");
    let report = machine.after(1);
    assert_eq!(report.node.etcd_topology, Some(EtcdTopology::Stacked));
    assert_eq!(reasons(&report), [Reason::Missing; 4]);
}

#[test]
fn what_cannot_be_looked_up_is_no_evidence() {
    // etcd/ is a link to itself: nobody knows what would be in it.
    let mut machine = Machine::control_plane();
    fs::remove_dir_all(machine.path("etc/kubernetes/pki/etcd")).unwrap();
    std::os::unix::fs::symlink("etcd", machine.path("etc/kubernetes/pki/etcd")).unwrap();
    let report = machine.after(0);
    assert_eq!(report.node.etcd_topology, Some(EtcdTopology::External));
    assert_eq!((report.status, reasons(&report)), (Status::Degraded, vec![Reason::LinkLoop]));

    // A running agent keeps to what it knows.
    let mut machine = Machine::stacked();
    machine.after(0);
    let before = machine.after(10);
    fs::rename(machine.path("etc/kubernetes/pki/etcd"), machine.path("etc/away")).unwrap();
    std::os::unix::fs::symlink("etcd", machine.path("etc/kubernetes/pki/etcd")).unwrap();
    let report = machine.after(1);
    assert_eq!(report.node.etcd_topology, Some(EtcdTopology::Stacked));
    assert_eq!(
        (report.earliest, report.machine_rollout),
        (before.earliest, before.machine_rollout)
    );
}

#[test]
fn the_same_layout_read_again_forgets_neither_the_role_nor_the_topology() {
    let mut machine = Machine::stacked();
    machine.after(0);
    machine.after(10);
    for file in ["server", "peer", "healthcheck-client"] {
        machine.remove(&format!("etc/kubernetes/pki/etcd/{file}.crt"));
    }
    machine.after(1);
    machine.configure(&[]);
    let report = machine.after(1);
    assert_eq!(report.node.etcd_topology, Some(EtcdTopology::Stacked));
    assert_eq!((report.status, stale(&report)), (Status::Degraded, 3));
    assert!(report.settled);
}

#[test]
fn a_control_plane_of_which_nothing_tells_where_its_etcd_is_misses_its_client() {
    let mut machine = Machine::control_plane();
    fs::remove_dir_all(machine.path("etc/kubernetes/pki/etcd")).unwrap();
    machine.remove("etc/kubernetes/pki/apiserver-etcd-client.crt");
    let report = machine.after(0);
    assert_eq!(report.node.etcd_topology, None);
    assert_eq!(reasons(&report), [Reason::Missing; 2]);
}

#[test]
fn a_bottlerocket_machine_whose_pki_is_not_mounted_is_known_by_its_static_pods() {
    let mut machine = Machine::new(&[]);
    machine.write("etc/os-release", "ID=bottlerocket\n");
    machine.write("etc/kubernetes/kubelet/kubeconfig", "");
    machine.write("etc/kubernetes/static-pods/kube-apiserver.yaml", "");
    let report = machine.after(0);
    assert_eq!((report.node.role, report.status), (Role::ControlPlane, Status::Waiting));
}

#[test]
fn a_machine_that_is_said_to_be_a_worker_reports_nothing_of_a_control_plane() {
    let mut machine = Machine::stacked();
    machine.leaf("etc/etcd/pki/server.crt", SOON);
    let overrides = LayoutOverrides { role: Some(Role::Worker), ..LayoutOverrides::default() };
    machine.configure_with(overrides, false);
    let report = machine.after(0);
    assert_eq!((report.node.role, report.status), (Role::Worker, Status::None));
    assert_eq!((report.certificates.len(), report.problems.len()), (0, 0));
}

#[test]
fn one_kubeconfig_makes_no_control_plane_and_leaves_nothing_behind() {
    let mut machine = Machine::new(&[]);
    machine.write("etc/kubernetes/pki/ca.crt", &CertificateBuilder::ca("20360101000000Z").pem());
    machine.after(0);
    machine.kubeconfig("etc/kubernetes/admin.conf", SOON);
    let copied = machine.after(10);
    assert_eq!((copied.node.role, copied.status), (Role::Worker, Status::Ok));
    assert_eq!(copied.earliest.unwrap().renewed_by, Some(RenewedBy::Operator));
    assert_eq!(copied.machine_rollout, None);
    machine.remove("etc/kubernetes/admin.conf");
    machine.after(1);
    machine.after(600);
    assert_eq!(machine.after(1).status, Status::None);
}

#[test]
fn a_missing_etcd_server_certificate_does_not_make_a_stacked_etcd_external() {
    let mut machine = Machine::new(&[
        ("etc/kubernetes/pki/apiserver.crt", LATE),
        ("etc/kubernetes/pki/apiserver-etcd-client.crt", SOON),
        ("etc/kubernetes/pki/etcd/server.crt", LATE),
    ]);
    machine
        .write("etc/kubernetes/pki/etcd/ca.crt", &CertificateBuilder::ca("20360101000000Z").pem());
    assert_eq!(machine.after(0).node.etcd_topology, Some(EtcdTopology::Stacked));
    machine.remove("etc/kubernetes/pki/etcd/server.crt");
    let report = machine.after(1);
    assert_eq!(report.node.etcd_topology, Some(EtcdTopology::Stacked));
    assert_eq!(report.earliest.unwrap().renewed_by, Some(RenewedBy::MachineRollout));
}
