//! What a report says in a word, and of which Node it is.

use std::sync::Arc;

use expiryd_api::Reason;
use testkit::certificate::CertificateBuilder;

use super::*;
use crate::host_root::HostPath;
use crate::pki::read;
use crate::problem::Problem;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

fn entry(source: SourceKind, index: usize, subject: &str) -> CertificateEntry {
    let pem = CertificateBuilder::leaf("20270301000000Z").named(subject).pem();
    let contents = read(&HostPath::root(), source, pem.as_bytes());
    CertificateEntry {
        path: HostPath::root().join("a.crt"),
        index,
        source,
        certificate: Arc::clone(&contents.certificates[0].1),
        is_ca: false,
        counted: source == SourceKind::File,
        renewed_by: Some(RenewedBy::MachineRollout),
        stale: false,
        warnings: Vec::new(),
    }
}

fn report(role: Role, certificates: Vec<CertificateEntry>, problems: &[Reason]) -> Report {
    let problem = |reason: &Reason| Problem::new(&HostPath::root(), *reason, "it is so");
    let inventory = Inventory {
        os: "ubuntu".to_owned(),
        hostname: Some("host".to_owned()),
        role,
        etcd_topology: None,
        settled: true,
        servers: Vec::new(),
        certificates,
        problems: ActiveProblem::date(problems.iter().map(problem).collect(), &[], NOW),
        forgotten: 0,
    };
    build(inventory, Besides::default(), NOW)
}

#[test]
fn the_line_is_the_date_and_says_what_it_is_worth() {
    let leaf = || vec![entry(SourceKind::File, 0, "leaf")];
    let line =
        |role, certificates, problems: &[Reason]| report(role, certificates, problems).line();
    assert_eq!(line(Role::Etcd, leaf(), &[]), "2027-03-01T00:00:00Z");
    assert_eq!(line(Role::Etcd, leaf(), &[Reason::BadPem]), "2027-03-01T00:00:00Z degraded");
    assert_eq!(line(Role::Etcd, leaf(), &[Reason::WatchUnavailable]), "2027-03-01T00:00:00Z");
    assert_eq!(line(Role::Etcd, Vec::new(), &[]), "waiting");
    assert_eq!(line(Role::Worker, Vec::new(), &[]), "none");
    assert_eq!(line(Role::Worker, Vec::new(), &[Reason::BadPem]), "none degraded");
}

#[test]
fn the_node_is_that_of_the_first_certificate_in_the_kubelets_file() {
    let node = |source, index, subject| {
        let report = report(Role::ControlPlane, vec![entry(source, index, subject)], &[]);
        (kubelet_node(&report.certificates).map(str::to_owned), report.node.name)
    };
    let named = |name: &str| Some(name.to_owned());
    let cp = "system:node:cp-1";
    assert_eq!(node(SourceKind::Kubelet, 0, cp), (named("cp-1"), named("cp-1")));
    assert_eq!(node(SourceKind::Kubelet, 1, cp), (None, named("host")));
    assert_eq!(node(SourceKind::File, 0, cp), (None, named("host")));
    assert_eq!(node(SourceKind::Kubelet, 0, "admin"), (None, named("host")));
}
