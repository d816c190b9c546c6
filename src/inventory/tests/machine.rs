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
