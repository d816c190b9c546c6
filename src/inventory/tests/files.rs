//! One file that changes: what is believed of it, and for how long.

use super::*;

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
    let whole = CertificateBuilder::leaf(SOON).pem() + &CertificateBuilder::leaf(LATE).pem();
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
        let second = second.map(|end| CertificateBuilder::leaf(end).pem()).unwrap_or_default();
        CertificateBuilder::leaf(first).pem() + &second
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
    let damaged = CertificateBuilder::leaf(LATE).pem().replacen("MI", "!!", 1);
    let bundle =
        CertificateBuilder::leaf(LATE).pem() + &damaged + &CertificateBuilder::leaf(SOON).pem();
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
fn a_reload_keeps_the_last_good_state_of_a_file_that_was_not_configured() {
    let mut machine = Machine::etcd();
    let before = machine.after(0);
    machine.write("etc/etcd/pki/server.crt", "");
    machine.after(1);
    machine.configure(&[]);
    let after = machine.after(1);
    assert_eq!((earliest(&after), stale(&after)), (earliest(&before), 1));
}

#[test]
fn a_renewal_of_a_settled_machine_leaves_nothing_to_wait_for() {
    let mut machine = Machine::etcd();
    machine.after(0);
    machine.after(10);
    machine.leaf("etc/etcd/pki/server.crt", LATE);
    machine.after(1);
    assert_eq!(machine.next_deadline(), None);
}

#[test]
fn a_renewal_beside_a_fault_that_stays_is_taken_at_once() {
    const FAULT: &str = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let mut machine = Machine::etcd();
    let with_fault = |end| format!("{}{FAULT}", CertificateBuilder::leaf(end).pem());
    machine.write("etc/etcd/pki/server.crt", &with_fault(SOON));
    assert_eq!(earliest(&machine.after(0)).as_deref(), SERVER);
    machine.write("etc/etcd/pki/server.crt", &with_fault("20290101000000Z"));
    let renewed = machine.after(1);
    assert_eq!(earliest(&renewed).as_deref(), Some("2028 /etc/etcd/pki/peer.crt"));
    assert_eq!((reasons(&renewed), stale(&renewed)), (vec![Reason::BadPem], 0));
}

#[test]
fn a_file_that_the_configuration_or_a_kubeconfig_names_is_held_for_as_long_as_it_is_gone() {
    let named = |machine: &mut Machine, path: &str| {
        let mut early = machine.after(0);
        early = if early.settled { early } else { machine.after(10) };
        assert_eq!(earliest(&early), Some(format!("2027 {path}")));
        machine.remove(path.trim_start_matches('/'));
        for seconds in [1, 60, 3_600] {
            let held = machine.after(seconds);
            assert_eq!(earliest(&held), Some(format!("2027 {path}")), "{seconds} seconds");
            assert_eq!(held.status, Status::Degraded);
        }
    };
    let whole = || {
        let mut machine = Machine::control_plane();
        for file in CONTROL_PLANE {
            machine.leaf(&format!("etc/kubernetes/pki/{file}"), LATE);
        }
        for name in ["controller-manager.conf", "scheduler.conf"] {
            machine.kubeconfig(&format!("etc/kubernetes/{name}"), LATE);
        }
        machine.after(0);
        machine
    };
    let mut configured = whole();
    configured.leaf("etc/haproxy/site.pem", SOON);
    configured.configure(&["/etc/haproxy/site.pem"]);
    named(&mut configured, "/etc/haproxy/site.pem");

    let mut referenced = whole();
    referenced.leaf("etc/kubernetes/scheduler.pem", SOON);
    let user = "{name: u, user: {client-certificate: scheduler.pem}}";
    referenced.write("etc/kubernetes/scheduler.conf", &format!("users: [{user}]\n"));
    named(&mut referenced, "/etc/kubernetes/scheduler.pem");
}
