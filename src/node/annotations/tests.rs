//! What a Node is told, and what its own dates hold against a degraded report.

use std::sync::Arc;

use expiryd_api::{Reason, RenewedBy, Role, SourceKind};
use testkit::certificate::CertificateBuilder;

use super::*;
use crate::host_root::HostPath;
use crate::inventory::{CertificateEntry, Inventory};
use crate::pki;
use crate::problem::{ActiveProblem, Problem};
use crate::report::{self, Besides};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const EARLY: &str = "2027-02-01T06:00:00Z";
const LATE: &str = "2027-03-01T06:00:00Z";
const A: &str = "/pki/a.crt";
const B: &str = "/pki/b.crt";

/// A certificate that a machine's rollout renews.
fn entry(path: &str, not_after: &str) -> CertificateEntry {
    let end = not_after.replace(['-', ':', 'T'], "");
    let pem = CertificateBuilder::leaf(&end).pem();
    let contents = pki::read(&HostPath::root(), SourceKind::File, pem.as_bytes());
    CertificateEntry {
        path: HostPath::new(path).unwrap(),
        index: 0,
        source: SourceKind::File,
        certificate: Arc::clone(&contents.certificates[0].1),
        is_ca: false,
        counted: true,
        renewed_by: Some(RenewedBy::MachineRollout),
        stale: false,
        warnings: Vec::new(),
    }
}

/// The last good state of one that cannot be read now.
fn stale(path: &str, not_after: &str) -> CertificateEntry {
    CertificateEntry { stale: true, ..entry(path, not_after) }
}

/// A control plane's report on these certificates with these problems.
fn report(certificates: Vec<CertificateEntry>, problems: &[(&str, Reason)]) -> Report {
    let problem = |(path, reason): &(&str, Reason)| {
        Problem::new(&HostPath::new(path).unwrap(), *reason, "it is so")
    };
    let problems = problems.iter().map(problem).collect();
    let inventory = Inventory {
        os: "ubuntu".to_owned(),
        hostname: None,
        role: Role::ControlPlane,
        etcd_topology: None,
        settled: true,
        servers: Vec::new(),
        certificates,
        problems: ActiveProblem::date(problems, &[], NOW),
        forgotten: 0,
    };
    report::build(inventory, Besides::default(), NOW)
}

fn annotations(report: &Report) -> Annotations {
    Annotations::new(report, report.earliest.as_ref().unwrap())
}

fn node(annotations: &Value) -> Value {
    json!({ "metadata": { "annotations": annotations } })
}

/// A Node that was told of this report.
fn told(report: &Report) -> Value {
    annotations(report).patch(NOW)
}

/// What a Node says after this report of an agent that has just started.
fn after(report: &Report, node: &Value) -> Annotations {
    annotations(report).held_against(node, &mut Memory::none())
}

fn date(date: &str) -> Timestamp {
    Timestamp::parse(date).unwrap()
}

/// The dates of the machine's rollout and of the earliest expiry, and whether one is held.
fn dates(annotations: &Annotations) -> (Option<String>, String, bool) {
    let machine = annotations.machine.as_ref().map(|machine| machine.not_after.to_string());
    (machine, annotations.earliest.not_after.to_string(), annotations.held)
}

fn both(date: &str, held: bool) -> (Option<String>, String, bool) {
    (Some(date.to_owned()), date.to_owned(), held)
}

#[test]
fn the_patch_carries_the_annotations_and_the_time_and_nothing_else() {
    let mut of_etcd = entry(B, LATE);
    of_etcd.renewed_by = Some(RenewedBy::EtcdRollout);
    let report = report(vec![entry(A, EARLY), of_etcd], &[]);
    assert_eq!(
        annotations(&report).patch(Timestamp::from_unix(0)),
        node(&json!({
            "machine.cluster.x-k8s.io/certificates-expiry": EARLY,
            "expiryd.dev/machine-rollout-certificate": A,
            "expiryd.dev/etcd-rollout-expiry": LATE,
            "expiryd.dev/earliest-expiry": EARLY,
            "expiryd.dev/earliest-certificate": A,
            "expiryd.dev/status": "ok",
            "expiryd.dev/unread": null,
            "expiryd.dev/held": null,
            "expiryd.dev/observed-at": "1970-01-01T00:00:00Z",
        }))
    );
}

#[test]
fn a_report_that_sees_less_than_the_node_was_told_of_moves_no_date_later() {
    let good = report(vec![entry(A, EARLY), entry(B, LATE)], &[]);
    for (place, reason) in [
        (A, Reason::BadPem),
        (A, Reason::Missing),
        (B, Reason::DanglingLink),
        ("/pki", Reason::PermissionDenied),
        ("/", Reason::TooMany),
    ] {
        let degraded = report(vec![entry(B, LATE)], &[(place, reason)]);
        let held = after(&degraded, &told(&good));
        assert_eq!(dates(&held), both(EARLY, true), "{place}: {reason}");
        assert_eq!(held.earliest.path, A);
        assert!(held.holds().unwrap().contains("2027-02-01T06:00:00Z (/pki/a.crt)"));
        // A second restart does not forget, whatever the Node was told in between.
        assert_eq!(after(&degraded, &held.patch(NOW)), held);
    }
}

#[test]
fn a_date_that_a_degraded_report_still_knew_is_held_as_well() {
    let remembered = report(vec![stale(A, EARLY), entry(B, LATE)], &[(A, Reason::BadPem)]);
    let forgotten = report(vec![entry(B, LATE)], &[(A, Reason::BadPem)]);
    for node in [report(vec![entry(A, EARLY)], &[]), remembered] {
        assert_eq!(dates(&after(&forgotten, &told(&node))), both(EARLY, true));
    }
    let directory = report(vec![stale(A, EARLY)], &[("/pki", Reason::PermissionDenied)]);
    let forgotten = report(vec![entry("/b.crt", LATE)], &[("/pki", Reason::PermissionDenied)]);
    assert_eq!(dates(&after(&forgotten, &told(&directory))), both(EARLY, true));
}

#[test]
fn what_hides_a_second_date_holds_the_first() {
    // A was renewed, and B, which ended soon after it, cannot be read.
    let good = report(vec![entry(A, EARLY), entry(B, "2027-02-02T00:00:00Z")], &[]);
    let degraded = report(vec![entry(A, LATE)], &[(B, Reason::BadPem)]);
    assert_eq!(dates(&after(&degraded, &told(&good))), both(EARLY, true));
    // Also when something else has brought the date forward in between.
    let forward = "2027-01-01T00:00:00Z";
    let brought =
        after(&report(vec![entry("/pki/c.crt", forward)], &[(B, Reason::BadPem)]), &told(&good));
    assert_eq!(dates(&brought), both(forward, false));
    assert_eq!(dates(&after(&degraded, &brought.patch(NOW))), both(forward, true));
}

#[test]
fn a_degraded_report_removes_no_date() {
    let mut other = entry(B, LATE);
    other.renewed_by = Some(RenewedBy::Operator);
    let degraded = report(vec![other], &[(A, Reason::BadPem)]);
    let held = after(&degraded, &told(&report(vec![entry(A, EARLY)], &[])));
    assert_eq!(held.machine.map(|machine| machine.not_after), Some(date(EARLY)));
}

#[test]
fn what_only_an_etcd_rollout_renews_is_held_too() {
    let mut of_etcd = entry(A, EARLY);
    of_etcd.renewed_by = Some(RenewedBy::EtcdRollout);
    let good = report(vec![of_etcd, entry(B, LATE)], &[]);
    let held = after(&report(vec![entry(B, LATE)], &[(A, Reason::BadPem)]), &told(&good));
    assert_eq!(held.patch(NOW)["metadata"]["annotations"][ETCD_EXPIRY], EARLY);
    assert!(held.held);
}

#[test]
fn a_degraded_report_brings_a_date_forward() {
    let degraded = report(vec![entry(A, EARLY)], &[(B, Reason::BadPem)]);
    let forward = after(&degraded, &told(&report(vec![entry(A, LATE), entry(B, LATE)], &[])));
    assert_eq!(dates(&forward), both(EARLY, false));
}

#[test]
fn an_agent_that_can_never_read_everything_follows_a_renewal() {
    let problems = [("/pki/broken.crt", Reason::BadPem), ("/var/lib", Reason::PermissionDenied)];
    let before = report(vec![entry(A, EARLY)], &problems);
    for problems in [&problems[..], &problems[..1]] {
        let renewed = report(vec![entry(A, LATE)], problems);
        assert_eq!(after(&renewed, &told(&before)), annotations(&renewed));
    }
    assert_eq!(text(&told(&before), annotation::UNREAD), Some("/pki/broken.crt,/var/lib"));
}

#[test]
fn an_agent_that_saw_everything_follows_whatever_becomes_unreadable() {
    let mut memory = Memory { complete: Some(0) };
    let good = report(vec![entry(A, EARLY), entry(B, LATE)], &[]);
    let later = report(vec![entry(A, LATE), stale(B, LATE)], &[(B, Reason::BadPem)]);
    let new = annotations(&later).held_against(&told(&good), &mut memory);
    assert_eq!((dates(&new), memory.complete), (both(LATE, false), Some(0)));
    // What such a machine always has and what is not remembered is missed all the same.
    let emptied = report(vec![entry(B, LATE)], &[(A, Reason::Missing)]);
    let held = annotations(&emptied).held_against(&told(&good), &mut memory);
    assert_eq!((dates(&held), memory.complete), (both(EARLY, true), None));
}

#[test]
fn a_node_that_says_nothing_holds_nothing() {
    let degraded = report(vec![entry(A, LATE)], &[(B, Reason::Missing)]);
    let mut memory = Memory::none();
    let first = annotations(&degraded).held_against(&json!({}), &mut memory);
    assert_eq!((first, memory.complete), (annotations(&degraded), Some(0)));
}

#[test]
fn a_long_list_of_what_is_unread_is_known_again_by_its_digest() {
    let problems_of =
        |count| -> Vec<_> { (0..count).map(|n| format!("/pki/broken-{n}.crt")).collect() };
    let paths: Vec<String> = problems_of(100);
    let problems: Vec<_> = paths.iter().map(|path| (path.as_str(), Reason::BadPem)).collect();
    let before = told(&report(vec![entry(A, EARLY)], &problems));
    let list = text(&before, annotation::UNREAD).unwrap();
    assert!(list.starts_with("100 places, sha256:") && list.len() < 64, "{list}");
    let renewed = report(vec![entry(A, LATE)], &problems);
    assert_eq!(dates(&after(&renewed, &before)), both(LATE, false));
    // One more is another list.
    let more = [&problems[..], &[(B, Reason::BadPem)]].concat();
    let hidden = report(vec![entry(A, LATE)], &more);
    assert_eq!(dates(&after(&hidden, &before)), both(EARLY, true));
}

#[test]
fn a_path_with_a_comma_is_one_and_vouches_for_no_other() {
    let odd = "/opt/x,/pki/b.crt";
    let before = told(&report(vec![entry(A, EARLY)], &[(odd, Reason::BadPem)]));
    let renewed = report(vec![entry(A, LATE)], &[(odd, Reason::BadPem)]);
    assert_eq!(dates(&after(&renewed, &before)), both(LATE, false));
    let hidden = report(vec![entry(A, LATE)], &[(B, Reason::BadPem)]);
    assert_eq!(dates(&after(&hidden, &before)), both(EARLY, true));
}

#[test]
fn a_broken_certificate_of_a_file_does_not_vouch_for_the_others_in_it() {
    let broken = |index| {
        let mut report = report(vec![entry(B, LATE)], &[(A, Reason::BadPem)]);
        report.problems[0].problem.index = Some(index);
        report
    };
    let mut before = report(vec![entry(A, EARLY), entry(B, LATE)], &[(A, Reason::BadPem)]);
    before.problems[0].problem.index = Some(1);
    assert_eq!(dates(&after(&broken(0), &told(&before))), both(EARLY, true));
}

#[test]
fn a_problem_that_left_a_certificate_does_not_vouch_for_the_loss_of_that_one() {
    let broken = |certificates, index| {
        let mut report = report(certificates, &[(A, Reason::BadPem)]);
        report.problems[0].problem.index = index;
        report
    };
    for index in [None, Some(0)] {
        // The file has a broken block, or a user whose file is gone, and a good certificate.
        let before = told(&broken(vec![entry(A, EARLY), entry(B, LATE)], index));
        let lost = broken(vec![entry(B, LATE)], index);
        let held = after(&lost, &before);
        assert_eq!(dates(&held), both(EARLY, true));
        assert_eq!(after(&lost, &held.patch(NOW)), held);
        let renewed = broken(vec![entry(A, LATE), entry(B, LATE)], index);
        assert_eq!(dates(&after(&renewed, &before)), both(LATE, false));
    }
}

#[test]
fn what_could_not_be_read_for_a_day_while_nothing_was_held_belongs_to_the_machine() {
    let good = told(&report(vec![entry(A, EARLY)], &[]));
    let mut broken = report(vec![entry(A, EARLY)], &[("/pki/junk.crt", Reason::BadPem)]);
    let since = broken.problems[0].since.unix();
    for (ago, unread) in [(86_399, None), (86_400, Some("/pki/junk.crt"))] {
        broken.observed_at = Timestamp::from_unix(since + ago);
        let node = after(&broken, &good).patch(NOW);
        assert_eq!(text(&node, annotation::UNREAD), unread);
        // A renewal is followed from then on.
        let renewed = report(vec![entry(A, LATE)], &[("/pki/junk.crt", Reason::BadPem)]);
        assert_eq!(after(&renewed, &node).held, unread.is_none());
    }
    // What hides a date is no part of the machine, however long.
    let mut hidden = report(vec![entry(B, LATE)], &[(A, Reason::BadPem)]);
    hidden.observed_at = Timestamp::from_unix(since + 900 * 86_400);
    assert_eq!(dates(&after(&hidden, &good)), both(EARLY, true));
}

#[test]
fn a_date_that_somebody_took_off_the_node_does_not_come_back_later() {
    let good = told(&report(vec![entry(A, EARLY), entry(B, LATE)], &[]));
    let torn = report(vec![entry(B, LATE)], &[(A, Reason::BadPem)]);
    let without = |key: &str| {
        let mut node = good.clone();
        node["metadata"]["annotations"][key].take();
        node
    };
    let machine = after(&torn, &without(MACHINE_EXPIRY));
    assert_eq!(dates(&machine), (None, EARLY.to_owned(), true));
    // The earliest is never later than one of the others.
    assert_eq!(dates(&after(&torn, &without(EARLIEST_EXPIRY))), both(EARLY, true));
}

#[test]
fn an_agent_that_gave_up_a_file_does_not_know_everything_any_more() {
    let good = report(vec![entry(A, EARLY), entry(B, LATE)], &[]);
    let mut memory = Memory::none();
    memory.told(&annotations(&good));
    let mut torn = report(vec![entry(B, LATE)], &[(A, Reason::BadPem)]);
    torn.forgotten = 1;
    let held = annotations(&torn).held_against(&told(&good), &mut memory);
    assert_eq!((dates(&held), memory.complete), (both(EARLY, true), None));
}

#[test]
fn what_is_held_is_said_without_a_path_where_the_node_says_none() {
    let said = node(&json!({ EARLIEST_EXPIRY: EARLY }));
    let held = after(&report(vec![entry(B, LATE)], &[(A, Reason::BadPem)]), &said);
    assert!(
        held.holds().unwrap().contains("keeps 2027-02-01T06:00:00Z from"),
        "{:?}",
        held.holds()
    );
}

#[test]
fn a_value_that_is_no_date_holds_nothing() {
    let node = node(&json!({ MACHINE_EXPIRY: "soon", EARLIEST_EXPIRY: "", STATUS: "ok" }));
    let degraded = report(vec![entry(B, LATE)], &[(A, Reason::BadPem)]);
    assert_eq!(after(&degraded, &node), annotations(&degraded));
}

#[test]
fn a_date_that_the_node_has_already_is_not_held_against_it() {
    let degraded = report(vec![entry(B, EARLY)], &[(A, Reason::BadPem)]);
    let same = after(&degraded, &told(&report(vec![entry(A, EARLY)], &[])));
    assert_eq!((dates(&same), same.holds()), (both(EARLY, false), None));
}

#[test]
fn a_problem_that_does_not_degrade_hides_nothing() {
    let report = report(vec![entry(A, EARLY)], &[("/", Reason::WatchUnavailable)]);
    assert!(!annotations(&report).is_degraded());
    assert_eq!(annotations(&report).unread, Unread::default());
}

#[test]
fn what_a_node_holds_is_read_back_with_its_path() {
    let held = node(&json!({ HELD: "true", EARLIEST_EXPIRY: EARLY, EARLIEST_CERTIFICATE: A }));
    let earliest = held_earliest(&held).unwrap();
    assert_eq!((earliest.not_after, earliest.path.as_str()), (date(EARLY), A));
    assert_eq!(held_earliest(&told(&report(vec![entry(A, EARLY)], &[]))), None);
}

#[test]
fn what_is_no_node_of_that_name_is_known_as_such() {
    let named = |metadata: Value| is_node(&json!({ "metadata": metadata }), "cp-1");
    assert!(named(json!({ "name": "cp-1" })));
    assert!(named(json!({ "name": "cp-1", "annotations": { "a": "b" }, "labels": null })));
    assert!(!named(json!({ "name": "cp-2" })));
    assert!(!named(json!({ "name": "cp-1", "annotations": [1, 2] })));
    assert!(!named(json!({ "name": "cp-1", "annotations": { "a": 1 } })));
    assert!(!named(json!({ "name": "cp-1", "labels": "none" })));
    assert!(!is_node(&json!([]), "cp-1"));
}

#[test]
fn the_node_of_a_control_plane_is_known_by_its_date_or_its_label() {
    for label in ["control-plane", "master"] {
        let label = format!("node-role.kubernetes.io/{label}");
        assert!(is_of_a_control_plane(&json!({ "metadata": { "labels": { label: "" } } })));
    }
    assert!(is_of_a_control_plane(&node(&json!({ MACHINE_EXPIRY: EARLY }))));
    assert!(!is_of_a_control_plane(&node(&json!({ STATUS: "ok" }))));
}

#[test]
fn the_removal_names_every_annotation_with_null() {
    let patch = removal_patch();
    let annotations = patch.pointer("/metadata/annotations").and_then(Value::as_object);
    let annotations = annotations.unwrap();
    assert_eq!(annotations.len(), ALL.len());
    assert!(annotations.values().all(Value::is_null));
}

#[test]
fn a_node_carries_them_when_it_has_one() {
    let node = |key: &str| json!({ "metadata": { "annotations": { key: "x" } } });
    assert!(are_on(&node("expiryd.dev/status")));
    assert!(!are_on(&node("node.alpha.kubernetes.io/ttl")));
    assert!(!are_on(&json!({ "metadata": {} })));
}

#[test]
fn a_node_says_what_it_was_told_whenever_it_was_observed() {
    let late = report(vec![entry(A, LATE)], &[]);
    let told = Annotations::new(&late, late.earliest.as_ref().unwrap()).patch(NOW);
    let keys = told["metadata"]["annotations"].as_object().unwrap();
    let on_node: Map<_, _> =
        keys.clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
    let is_as_told = |key: &str, value: Option<&str>| {
        let mut annotations = on_node.clone();
        annotations.insert("somebody.else/key".to_owned(), "x".into());
        match value {
            Some(value) => drop(annotations.insert(key.to_owned(), value.into())),
            None => drop(annotations.remove(key)),
        }
        are_as_told(&json!({ "metadata": { "annotations": annotations } }), &told)
    };
    assert!(is_as_told("another.of/theirs", Some("x")));
    assert!(is_as_told(OBSERVED_AT, Some("2027-01-15T20:00:00Z")));
    for other in ["now", "2026-12-15T08:00:00Z", "2099-01-01T00:00:00Z"] {
        assert!(!is_as_told(OBSERVED_AT, Some(other)), "{other}");
    }
    for key in keys.keys() {
        assert!(!is_as_told(key, Some("x")), "{key} was changed");
        assert_eq!(is_as_told(key, None), !on_node.contains_key(key), "{key} was removed");
    }
    assert!(!are_as_told(&json!({}), &told) && !are_as_told(&json!({}), &Value::Null));
}
