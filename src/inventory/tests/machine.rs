//! The machine as a whole: when it has settled, what it is, and what stands when a directory is emptied.

use super::*;

#[test]
fn the_first_look_is_served_and_settles_once_the_machine_was_quiet() {
    let mut machine = Machine::etcd();
    let first = machine.after(0);
    assert_eq!((earliest(&first).as_deref(), first.settled), (SERVER, false));
    assert_eq!(machine.next_deadline(), Some(10));
    assert!(!machine.after(9).settled);
    assert!(machine.after(1).settled);
    assert_eq!(machine.next_deadline(), None);
}

#[test]
fn a_change_while_settling_starts_the_quiet_time_anew() {
    let mut machine = Machine::etcd();
    machine.after(0);
    machine.leaf("etc/etcd/pki/peer.crt", "20290101000000Z");
    assert!(!machine.after(5).settled);
    assert!(!machine.after(9).settled);
    assert!(machine.after(1).settled);
}

#[test]
fn a_clock_that_is_set_years_back_and_forth_changes_no_date_and_unsettles_nothing() {
    let mut machine = Machine::etcd();
    let first = machine.after(0);
    machine.after(10);
    fs::remove_file(machine.path("etc/etcd/pki/peer.crt")).unwrap();
    let year = 365 * 86_400;
    for wall in [1_790_000_000 - 20 * year, 0, 1_790_000_000 + 20 * year, 1_790_000_000] {
        let report = machine.after_with_clock(2, wall);
        assert_eq!(report.earliest, first.earliest);
        assert_eq!((report.settled, stale(&report)), (true, 1), "the grace goes by another clock");
        assert!(machine.next_deadline().is_some_and(|seconds| seconds <= 10));
    }
}

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
fn what_is_given_up_after_the_grace_is_counted() {
    let mut machine = Machine::stacked();
    machine.write("etc/kubernetes/manifests/kube-apiserver.yaml", "");
    machine.leaf("etc/kubernetes/pki/extra.crt", LATE);
    machine.after(0);
    assert_eq!(machine.after(10).forgotten, 0);
    // What nobody needs is gone, and that is all.
    machine.remove("etc/kubernetes/pki/extra.crt");
    machine.after(1);
    assert_eq!(machine.after(10).forgotten, 0);
    fs::remove_dir_all(machine.path("etc/kubernetes/pki")).unwrap();
    assert_eq!(machine.after(1).forgotten, 0);
    assert!(machine.after(600).forgotten > 0);
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
fn a_file_that_never_stops_changing_leaves_the_rest_unsettled_for_the_grace_and_no_longer() {
    let mut machine = Machine::etcd();
    machine.after(0);
    for second in 0..599 {
        machine
            .leaf("etc/etcd/pki/flaps.crt", if second % 2 == 0 { LATE } else { "20290101000000Z" });
        assert!(!machine.after(1).settled, "after {second} seconds");
    }
    machine.leaf("etc/etcd/pki/flaps.crt", "20300101000000Z");
    assert!(machine.after(1).settled);
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
fn an_emptied_directory_stands_for_the_grace_and_is_waited_for_after_it() {
    let mut machine = Machine::etcd();
    machine.after(0);
    machine.after(10);
    machine.remove("etc/etcd/pki/server.crt");
    machine.remove("etc/etcd/pki/peer.crt");
    for seconds in [1, 60, 538] {
        let report = machine.after(seconds);
        assert_eq!((earliest(&report).as_deref(), report.status), (SERVER, Status::Degraded));
        assert_eq!((stale(&report), report.settled), (2, true));
    }
    let over = machine.after(600);
    assert_eq!((earliest(&over), over.status, over.settled), (None, Status::Waiting, false));
}

#[test]
fn a_grace_is_ended_by_the_new_certificates() {
    let mut machine = Machine::etcd();
    machine.after(0);
    machine.after(10);
    machine.remove("etc/etcd/pki/server.crt");
    machine.remove("etc/etcd/pki/peer.crt");
    machine.after(1);
    machine.leaf("etc/etcd/pki/peer.crt", "20290101000000Z");
    // The other one has still to come: its last good date holds.
    assert_eq!(earliest(&machine.after(1)).as_deref(), SERVER);
    machine.leaf("etc/etcd/pki/server.crt", "20290101000000Z");
    let report = machine.after(1);
    assert_eq!(earliest(&report).as_deref(), Some("2029 /etc/etcd/pki/peer.crt"));
    assert_eq!((report.status, stale(&report)), (Status::Ok, 0));
}

#[test]
fn a_restart_in_an_emptied_directory_waits_and_does_not_guess() {
    let mut machine = Machine::new(&[]);
    machine.write("etc/etcd/pki/ca.crt", &CertificateBuilder::ca("20360101000000Z").pem());
    let report = machine.after(0);
    assert_eq!((earliest(&report), report.status), (None, Status::Waiting));
    assert!(report.earliest_ca.is_some());
    assert!(!machine.after(3_600).settled);
}

#[test]
fn a_pki_that_appears_an_hour_after_boot_is_taken_and_settles_then() {
    let mut machine = Machine::new(&[]);
    assert_eq!(machine.after(0).node.role, Role::Unknown);
    machine.leaf("etc/etcd/pki/server.crt", SOON);
    let report = machine.after(3_600);
    assert_eq!((earliest(&report).as_deref(), report.settled), (SERVER, false));
    assert!(machine.after(10).settled);
}

#[test]
fn an_emptied_control_plane_does_not_become_a_worker_before_the_grace_is_over() {
    let mut machine = Machine::control_plane();
    machine.after(0);
    machine.remove_leaves();
    machine.remove("etc/kubernetes/pki/etcd/ca.crt");
    machine.remove("etc/kubernetes/pki/front-proxy-ca.crt");
    for seconds in [1, 598] {
        let report = machine.after(seconds);
        assert_eq!((report.node.role, report.status), (Role::ControlPlane, Status::Degraded));
        assert!(machine.next_deadline().is_some());
    }
    assert_eq!(machine.after(600).node.role, Role::Worker);
}

#[test]
fn an_emptied_control_plane_whose_static_pods_are_there_stays_one_and_waits() {
    let mut machine = Machine::control_plane();
    machine.write("etc/kubernetes/manifests/kube-apiserver.yaml", "");
    machine.after(0);
    machine.remove_leaves();
    machine.after(1);
    for seconds in [600, 86_400] {
        let report = machine.after(seconds);
        assert_eq!((report.node.role, report.status), (Role::ControlPlane, Status::Waiting));
    }
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

#[test]
fn one_emptied_pki_of_two_stands_for_the_grace() {
    let mut machine = Machine::etcd();
    machine.leaf("etc/kubernetes/pki/apiserver.crt", LATE);
    machine.after(0);
    machine.after(10);
    machine.remove("etc/etcd/pki/server.crt");
    machine.remove("etc/etcd/pki/peer.crt");
    machine.after(1);
    assert_eq!(earliest(&machine.after(60)).as_deref(), SERVER);
    assert_eq!(
        earliest(&machine.after(600)).as_deref(),
        Some("2028 /etc/kubernetes/pki/apiserver.crt")
    );
}

#[test]
fn a_directory_that_may_not_be_listed_keeps_what_was_in_it() {
    let mut machine = Machine::etcd();
    machine.after(0);
    machine.after(10);
    // A file in its place: nobody can list it, whoever they are.
    fs::rename(machine.path("etc/etcd/pki"), machine.path("etc/etcd/away")).unwrap();
    machine.write("etc/etcd/pki", "no directory");
    let report = machine.after(1);
    assert_eq!((earliest(&report).as_deref(), report.status), (SERVER, Status::Degraded));
}

#[test]
fn a_problem_keeps_the_time_at_which_it_began() {
    let mut machine = Machine::etcd();
    machine.write("etc/etcd/pki/server.crt", "");
    let began = machine.after(0).problems[0].since;
    assert_eq!(machine.after(60).problems[0].since, began);
    machine.leaf("etc/etcd/pki/server.crt", SOON);
    assert!(machine.after(1).problems.is_empty());
    machine.write("etc/etcd/pki/server.crt", "");
    assert!(machine.after(1).problems[0].since > began);
}

#[test]
fn an_unchanged_machine_is_not_parsed_again() {
    let mut machine = Machine::etcd();
    let look =
        |machine: &mut Machine, wall| machine.scanner.scan(Timestamp::from_unix(wall)).parsed;
    assert_eq!(look(&mut machine, 0), 3);
    assert_eq!(look(&mut machine, 0), 0);
    machine.leaf("etc/etcd/pki/peer.crt", "20290101000000Z");
    assert_eq!(look(&mut machine, 0), 1);
}

#[test]
fn a_machine_that_becomes_more_than_it_was_is_that_at_once() {
    let mut machine = Machine::new(&[]);
    assert_eq!(machine.after(0).node.role, Role::Unknown);
    machine.leaf("etc/etcd/pki/server.crt", SOON);
    assert_eq!(machine.after(1).node.role, Role::Etcd);
    machine.leaf("etc/kubernetes/pki/apiserver.crt", SOON);
    assert_eq!(machine.after(1).node.role, Role::ControlPlane);
}

#[test]
fn a_role_of_which_nothing_is_left_ends_with_the_grace_to_the_second() {
    let mut machine = Machine::etcd();
    machine.after(0);
    fs::remove_dir_all(machine.path("etc/etcd")).unwrap();
    machine.after(1);
    assert_eq!(machine.after(599).node.role, Role::Etcd);
    assert_eq!(machine.after(1).node.role, Role::Unknown);
}

#[test]
fn an_etcd_that_moves_onto_the_control_plane_is_followed() {
    let mut machine = Machine::control_plane();
    assert_eq!(machine.after(0).node.etcd_topology, Some(EtcdTopology::External));
    machine.leaf("etc/kubernetes/pki/etcd/server.crt", SOON);
    assert_eq!(machine.after(1).node.etcd_topology, Some(EtcdTopology::Stacked));
}

#[test]
fn a_certificate_whose_time_is_still_to_come_is_remarked() {
    let mut machine = Machine::etcd();
    let begins = Timestamp::parse("2025-01-01T00:00:00Z").unwrap().unix();
    let warnings = |report: Report| report.certificates[0].warnings.clone();
    assert_eq!(warnings(machine.after_with_clock(0, begins - 1)), [Warning::NotYetValid]);
    assert_eq!(warnings(machine.after_with_clock(1, begins)), []);
}

#[test]
fn more_problems_than_a_report_lists_are_counted() {
    let mut machine = Machine::etcd();
    for n in 0..1_000 {
        machine.write(&format!("etc/etcd/pki/broken-{n:04}.crt"), "");
    }
    let listed = |report: Report| (report.problems.len(), report.problems[0].problem.reason);
    assert_eq!(listed(machine.after(0)), (1_000, Reason::NoCertificate));
    machine.write("etc/etcd/pki/broken-1000.crt", "");
    assert_eq!(listed(machine.after(1)), (1_001, Reason::TooMany));
}
