//! Settling over real files: what is believed after each step of a renewal.
#![expect(clippy::disallowed_methods, reason = "these tests make the files that are looked at")]

mod interleavings;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::{Settling, Timing};
use crate::clock::{Moment, Timestamp};
use crate::host_root::{HostPath, HostRoot};
use crate::layout::{ExtraSource, Place, Wishes};
use crate::pki::Kind;
use crate::pki::renewal::{EtcdTopology, RenewedBy, Role};
use crate::pki::specimen::Specimen;
use crate::problem::Reason;
use crate::report::{Earliest, Report, Status};
use crate::scan::{Limits, Scanner};

const TIMING: Timing = Timing { settle: Duration::from_secs(10), grace: Duration::from_mins(10) };
const LIMITS: Limits = Limits { file_size: 1 << 20, files: 1_000 };
/// The leaves that a control plane with external etcd cannot work without.
const CONTROL_PLANE: [&str; 4] = [
    "apiserver.crt",
    "apiserver-kubelet-client.crt",
    "front-proxy-client.crt",
    "apiserver-etcd-client.crt",
];
const SOON: &str = "20270301000000Z";
const LATE: &str = "20280301000000Z";

/// A machine on disk, and one agent's memory of it.
struct Machine {
    directory: TempDir,
    scanner: Scanner,
    settling: Settling,
    seconds: u64,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Arc::new(HostRoot::open(directory.path()).unwrap());
        let machine = Self {
            scanner: Scanner::new(root, Wishes::default(), LIMITS),
            settling: Settling::new(TIMING),
            directory,
            seconds: 0,
        };
        machine.write("etc/os-release", "ID=ubuntu\n");
        for (path, end) in files {
            machine.leaf(path, end);
        }
        machine
    }

    fn etcd() -> Self {
        let machine =
            Self::new(&[("etc/etcd/pki/server.crt", SOON), ("etc/etcd/pki/peer.crt", LATE)]);
        machine.write("etc/etcd/pki/ca.crt", &Specimen::ca("20360101000000Z").pem());
        machine
    }

    /// A control plane with external etcd.
    fn control_plane() -> Self {
        let machine = Self::new(&[]);
        for file in CONTROL_PLANE {
            machine.leaf(&format!("etc/kubernetes/pki/{file}"), SOON);
        }
        for ca in ["ca.crt", "etcd/ca.crt"] {
            machine
                .write(&format!("etc/kubernetes/pki/{ca}"), &Specimen::ca("20360101000000Z").pem());
        }
        machine
    }

    /// Reads the configuration again: these files more.
    fn configure(&mut self, files: &[&str]) {
        let file = |path: &&str| ExtraSource {
            place: Place::File(HostPath::new(path).unwrap()),
            kind: Kind::File,
            renewed_by: RenewedBy::Operator,
        };
        let wishes = Wishes { sources: files.iter().map(file).collect(), ..Wishes::default() };
        self.settling.reconfigure(TIMING, |path| wishes.covers(path));
        let root = Arc::new(HostRoot::open(self.directory.path()).unwrap());
        self.scanner = Scanner::new(root, wishes, LIMITS);
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn leaf(&self, path: &str, end: &str) {
        self.write(path, &Specimen::leaf(end).pem());
    }

    /// A kubeconfig with a client certificate embedded.
    fn kubeconfig(&self, path: &str, end: &str) {
        let data = STANDARD.encode(Specimen::leaf(end).pem());
        let text = format!("users: [{{name: u, user: {{client-certificate-data: {data}}}}}]\n");
        self.write(path, &text);
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    /// Looks after `seconds` have gone by.
    fn after(&mut self, seconds: u64) -> Report {
        let wall = 1_790_000_000 + i64::try_from(self.seconds + seconds).unwrap();
        self.after_with_clock(seconds, wall)
    }

    /// Looks after `seconds` have gone by, when the clock says `wall`.
    fn after_with_clock(&mut self, seconds: u64, wall: i64) -> Report {
        self.seconds += seconds;
        let monotonic = Duration::from_secs(self.seconds);
        let at = Moment { monotonic, wall: Timestamp::from_unix(wall) };
        let scan = self.scanner.look(at.wall);
        Report::of(self.settling.take(scan, at), Vec::new(), at.wall)
    }

    fn next_deadline(&self) -> Option<u64> {
        let now = Duration::from_secs(self.seconds);
        self.settling.deadline(now).map(|d| d.saturating_sub(now).as_secs())
    }
}

fn earliest(report: &Report) -> Option<String> {
    let Earliest { not_after, path, index, .. } = report.earliest.as_ref()?;
    let place = if *index == 0 { String::new() } else { format!("#{index}") };
    Some(format!("{} {path}{place}", &not_after.to_string()[..4]))
}

fn reasons(report: &Report) -> Vec<Reason> {
    report.problems.iter().map(|lasting| lasting.problem.reason).collect()
}

fn stale(report: &Report) -> usize {
    report.certificates.iter().filter(|c| c.stale).count()
}

const SERVER: Option<&str> = Some("2027 /etc/etcd/pki/server.crt");

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
fn another_good_state_is_taken_at_once() {
    let mut machine = Machine::etcd();
    machine.after(0);
    machine.after(10);
    machine.leaf("etc/etcd/pki/server.crt", "20290101000000Z");
    let report = machine.after(1);
    assert_eq!(earliest(&report).as_deref(), Some("2028 /etc/etcd/pki/peer.crt"));
    assert!(report.settled);
}

#[test]
fn a_file_that_is_empty_or_torn_keeps_its_last_good_certificate_for_as_long_as_that_lasts() {
    let mut machine = Machine::etcd();
    machine.after(0);
    machine.after(10);
    for (text, reason) in [
        ("", Reason::NoCertificate),
        ("-----BEGIN CERTIFICATE-----\nMII", Reason::BadPem),
        ("\0\0\0\0", Reason::NoCertificate),
    ] {
        machine.write("etc/etcd/pki/server.crt", text);
        let report = machine.after(1);
        assert_eq!((earliest(&report).as_deref(), report.status), (SERVER, Status::Degraded));
        assert_eq!((reasons(&report), stale(&report)), (vec![reason], 1));
    }
    let much_later = machine.after(86_400);
    assert_eq!((earliest(&much_later).as_deref(), stale(&much_later)), (SERVER, 1));
}

#[test]
fn one_torn_certificate_in_a_file_that_was_whole_does_not_lose_the_others() {
    let mut machine = Machine::etcd();
    let whole = Specimen::leaf(SOON).pem() + &Specimen::leaf(LATE).pem();
    machine.write("etc/etcd/pki/server.crt", &whole);
    machine.after(0);
    // Cut within the first block: the second one is still whole.
    machine.write("etc/etcd/pki/server.crt", &whole[whole.len() / 3..]);
    let report = machine.after(1);
    assert_eq!((earliest(&report).as_deref(), stale(&report)), (SERVER, 2));
}

#[test]
fn a_file_that_vanishes_among_others_is_held_for_the_settle_time_and_then_gone() {
    let mut machine = Machine::etcd();
    machine.leaf("etc/etcd/pki/custom.crt", "20270101000000Z");
    machine.after(0);
    machine.after(10);
    machine.remove("etc/etcd/pki/custom.crt");
    let held = machine.after(1);
    assert_eq!(earliest(&held).as_deref(), Some("2027 /etc/etcd/pki/custom.crt"));
    assert_eq!((held.status, reasons(&held)), (Status::Degraded, vec![Reason::Vanished]));
    assert_eq!((stale(&held), machine.next_deadline()), (1, Some(10)));
    let gone = machine.after(10);
    assert_eq!(earliest(&gone).as_deref(), SERVER);
    assert_eq!((gone.status, stale(&gone)), (Status::Ok, 0));
}

#[test]
fn a_file_that_such_a_machine_cannot_work_without_is_held_for_as_long_as_it_is_gone() {
    let mut machine = Machine::etcd();
    machine.after(0);
    machine.after(10);
    machine.remove("etc/etcd/pki/server.crt");
    for seconds in [1, 60, 3_600, 86_400] {
        let held = machine.after(seconds);
        assert_eq!((earliest(&held).as_deref(), stale(&held)), (SERVER, 1));
        assert_eq!((held.status, reasons(&held)), (Status::Degraded, vec![Reason::Vanished]));
    }
    machine.leaf("etc/etcd/pki/server.crt", "20290101000000Z");
    let back = machine.after(1);
    assert_eq!((back.status, stale(&back)), (Status::Ok, 0));
}

#[test]
fn what_a_working_machine_always_has_is_missed_from_the_start() {
    for (files, missing) in [
        (&["etc/kubernetes/admin.conf", "etc/kubernetes/scheduler.conf"][..], 3),
        (&["etc/kubernetes/pki/apiserver.crt", "etc/kubernetes/pki/etcd/ca.crt"], 3),
        (&["etc/kubernetes/pki/apiserver.crt", "etc/kubernetes/pki/etcd/server.crt"], 5),
        (&["etc/etcd/pki/peer.crt"], 1),
    ] {
        let mut machine = Machine::new(&[]);
        for file in files {
            match *file {
                "etc/kubernetes/pki/etcd/ca.crt" => {
                    machine.write(file, &Specimen::ca("20360101000000Z").pem());
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
fn the_etcd_client_is_there_under_either_name() {
    for name in ["apiserver-etcd-client.crt", "server-etcd-client.crt"] {
        let mut machine = Machine::control_plane();
        machine.remove("etc/kubernetes/pki/apiserver-etcd-client.crt");
        machine.leaf(&format!("etc/kubernetes/pki/{name}"), SOON);
        assert_eq!(machine.after(0).status, Status::Ok, "{name}");
    }
    let mut machine = Machine::control_plane();
    machine.remove("etc/kubernetes/pki/apiserver-etcd-client.crt");
    let report = machine.after(0);
    assert_eq!(reasons(&report), [Reason::Missing]);
    let message = &report.problems[0].problem.message;
    assert!(message.contains("nor is /etc/kubernetes/pki/server-etcd-client.crt"), "{message}");
}

#[test]
fn a_bundle_that_is_written_in_two_parts_keeps_all_its_dates_until_that_is_sure() {
    let mut machine = Machine::etcd();
    let bundle = |first: &str, second: Option<&str>| {
        let second = second.map(|end| Specimen::leaf(end).pem()).unwrap_or_default();
        Specimen::leaf(first).pem() + &second
    };
    machine.write("etc/etcd/pki/server.crt", &bundle(LATE, Some(SOON)));
    machine.after(0);
    machine.after(10);
    // The first part, and a second later the whole.
    machine.write("etc/etcd/pki/server.crt", &bundle("20290101000000Z", None));
    let half = machine.after(1);
    assert_eq!(
        (earliest(&half), half.status),
        (Some("2027 /etc/etcd/pki/server.crt#1".into()), Status::Degraded)
    );
    assert_eq!((reasons(&half), machine.next_deadline()), (vec![Reason::Vanished], Some(10)));
    machine.write("etc/etcd/pki/server.crt", &bundle("20290101000000Z", Some("20280201000000Z")));
    let whole = machine.after(1);
    assert_eq!(
        (earliest(&whole), whole.status),
        (Some("2028 /etc/etcd/pki/server.crt#1".into()), Status::Ok)
    );
    // One that stays shorter is believed after the settle time.
    machine.write("etc/etcd/pki/server.crt", &bundle("20290101000000Z", None));
    machine.after(1);
    assert_eq!(machine.after(9).status, Status::Degraded);
    let shorter = machine.after(1);
    assert_eq!(
        (earliest(&shorter).as_deref(), shorter.status),
        (Some("2028 /etc/etcd/pki/peer.crt"), Status::Ok)
    );
}

#[test]
fn a_bundle_with_a_fault_that_stays_is_held_when_it_is_torn() {
    let mut machine = Machine::etcd();
    let damaged = Specimen::leaf(LATE).pem().replacen("MI", "!!", 1);
    let bundle = Specimen::leaf(LATE).pem() + &damaged + &Specimen::leaf(SOON).pem();
    machine.write("etc/etcd/pki/server.crt", &bundle);
    let before = machine.after(0);
    assert_eq!(reasons(&before), [Reason::BadPem]);
    machine.after(10);
    machine.write("etc/etcd/pki/server.crt", &bundle[..bundle.len() - 300]);
    for seconds in [1, 20, 3_600] {
        let torn = machine.after(seconds);
        assert_eq!(torn.earliest, before.earliest);
        assert_eq!(stale(&torn), 2);
    }
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
    machine.write("etc/kubernetes/pki/ca.crt", &Specimen::ca("20360101000000Z").pem());
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
fn a_source_that_the_configuration_no_longer_names_is_forgotten_and_no_problem() {
    let mut machine = Machine::etcd();
    machine.leaf("srv/early.crt", "20270101000000Z");
    machine.configure(&["/srv/early.crt"]);
    assert_eq!(earliest(&machine.after(0)).as_deref(), Some("2027 /srv/early.crt"));
    machine.after(10);
    machine.configure(&[]);
    let report = machine.after(1);
    assert_eq!((earliest(&report).as_deref(), report.status), (SERVER, Status::Ok));
    assert!(report.settled && report.problems.is_empty());
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
    machine.write("etc/etcd/pki/ca.crt", &Specimen::ca("20360101000000Z").pem());
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
    for file in CONTROL_PLANE.into_iter().chain(["etcd/ca.crt"]) {
        machine.remove(&format!("etc/kubernetes/pki/{file}"));
    }
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
    for file in CONTROL_PLANE {
        machine.remove(&format!("etc/kubernetes/pki/{file}"));
    }
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
    machine.write("etc/kubernetes/pki/etcd/ca.crt", &Specimen::ca("20360101000000Z").pem());
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
        |machine: &mut Machine, wall| machine.scanner.look(Timestamp::from_unix(wall)).parsed;
    assert_eq!(look(&mut machine, 0), 3);
    assert_eq!(look(&mut machine, 0), 0);
    machine.leaf("etc/etcd/pki/peer.crt", "20290101000000Z");
    assert_eq!(look(&mut machine, 0), 1);
}
