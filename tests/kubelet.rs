//! The real kubelet gets its client certificate and rotates it under a running agent, which goes by the one that it
//! has at the time.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;

use testkit::certificate::CertificateBuilder;
use testkit::cluster::{Cluster, assets};
use testkit::dates::{in_days, rfc3339};
use testkit::kubelet::{AT_ONCE, CURRENT, publication};
use testkit::{Agent, Host, is_root, kubelet_program, skip, wait_up_to};

/// Longer than the pauses between attempts that failed while there was no certificate yet.
const A_WHILE: Duration = Duration::from_mins(1);

fn publication_when(agent: &Agent, state: &str) {
    wait_up_to(A_WHILE, state, || (publication(agent)["state"] == state).then_some(()));
}

/// Has the machine rollout's date become this day of January 2020.
fn begin_day(host: &Host, day: u8) {
    let end = format!("202001{day:02}000000Z");
    host.write("etc/kubernetes/pki/apiserver.crt", CertificateBuilder::leaf(&end).pem());
}

/// Waits until the Node has this day.
fn node_has_day(cluster: &Cluster, day: u8) {
    let date = format!("2020-01-{day:02}T00:00:00Z");
    wait_up_to(A_WHILE, "the Node's date", || {
        let annotations = &cluster.node("cp-1")["metadata"]["annotations"];
        (annotations["machine.cluster.x-k8s.io/certificates-expiry"] == date).then_some(())
    });
}

/// Waits until the agent shows a certificate of the kubelet that ends then.
fn kubelets_ends(agent: &Agent, end: OffsetDateTime) {
    let end = rfc3339(end);
    let report = wait_up_to(A_WHILE, "the kubelet's certificate", || {
        let report = agent.report();
        let all = report["certificates"].as_array()?;
        let shown = all.iter().find(|c| c["path"] == CURRENT)?;
        (shown["notAfter"] == *end).then(|| (shown.clone(), report.clone()))
    });
    let (shown, report) = report;
    assert_eq!((&shown["counted"], &shown["renewedBy"]), (&false.into(), &"kubelet".into()));
    assert_eq!(shown["subject"], "O=system:nodes, CN=system:node:cp-1");
    assert_eq!(report["node"]["name"], "cp-1");
}

/// Every certificate that the kubelet had, oldest first (client-go, `certificate_store.go`).
fn dated(host: &Host) -> Vec<String> {
    let folder = host.path(CURRENT);
    let files = fs::read_dir(folder.parent().unwrap()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("kubelet-client-2")).collect();
    names.sort();
    names
}

#[test]
fn the_agent_annotates_its_node_with_the_certificate_that_the_kubelet_has_by_now() {
    let Some(assets) = assets() else { return };
    if !is_root() {
        return skip("mounting the host's folders over this machine's needs root");
    }
    let cluster = Cluster::start(&assets);
    cluster.make_node("cp-1");
    let host = Host::like("rhel-control-plane-external-etcd");
    host.remove("etc/kubernetes/kubelet.conf");
    fs::remove_dir_all(host.path("var/lib/kubelet")).unwrap();
    begin_day(&host, 3);
    // Its year is almost over, so the kubelet asks for the next one at once.
    let _kubelet = kubelet_program::start(&assets, &host, &cluster, "cp-1");
    let first = in_days(1, 0);
    kubelet_program::grant(&cluster, in_days(-364, 0), first);
    wait_up_to(A_WHILE, "its file", || fs::symlink_metadata(host.path(CURRENT)).ok());
    let agent = Agent::start(&host, AT_ONCE);
    kubelets_ends(&agent, first);
    node_has_day(&cluster, 3);

    // With one that has ended nothing can be written, which only an agent notices that took it.
    let ended = in_days(0, -60);
    kubelet_program::grant(&cluster, in_days(-365, 0), ended);
    kubelets_ends(&agent, ended);
    begin_day(&host, 2);
    publication_when(&agent, "failing");

    let last = in_days(365, 0);
    kubelet_program::grant(&cluster, in_days(0, -300), last);
    kubelets_ends(&agent, last);
    node_has_day(&cluster, 2);
    publication_when(&agent, "accepted");

    let had = dated(&host);
    assert_eq!(had.len(), 3, "{had:?}");
    let link = fs::read_link(host.path(CURRENT)).unwrap();
    assert_eq!(link, Path::new(CURRENT).with_file_name(&had[2]));
    assert_eq!(agent.report()["problems"], Value::Array(Vec::new()));
}
