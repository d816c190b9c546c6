//! Renewals as EKS Anywhere, kubeadm and the kubelet do them, step by step under a running agent:
//! until the last byte of the earliest certificate is written, the old date is what is served.

use std::fs;

use serde_json::Value;

use testkit::certificate::CertificateBuilder;
use testkit::{Agent, Host, earliest, wait_for};

const NEW: &str = "20281201000000Z";

/// Scans as often as it can, logs each scan, and settles on nothing while a test runs.
const EAGER: &str = "debounce = \"0s\"\nsettle = \"10m\"\nlog-level = \"debug\"\n";

struct Replay {
    host: Host,
    agent: Agent,
    /// What is served as long as the renewal is not over.
    old: String,
}

impl Replay {
    fn of(node: &str) -> Self {
        let host = Host::like(node);
        let agent = Agent::start(&host, EAGER);
        let old = earliest(&agent.report());
        Self { host, agent, old }
    }

    /// Does one step, lets the agent scan, and makes sure that the old date is still there.
    fn step(&self, what: &str, step: impl FnOnce(&Host)) {
        let scans = || self.agent.scans();
        let before = scans();
        step(&self.host);
        wait_for("a scan", || (scans() > before).then_some(()));
        let answer = self.agent.get("/expiry");
        assert_eq!(answer.status, 200, "{what}");
        let report: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(earliest(&report), self.old, "{what}");
    }

    /// Go's os.WriteFile: the file is emptied, and filled again.
    fn rewrite(&self, path: &str, content: &str) {
        self.empty_and_fill_half(path, content);
        self.step(&format!("{path} is written"), |host| host.write(path, content));
    }

    fn empty_and_fill_half(&self, path: &str, content: &str) {
        self.step(&format!("{path} is emptied"), |host| host.write(path, ""));
        let half = &content[..content.len() / 2];
        self.step(&format!("half of {path} is written"), |host| host.write(path, half));
    }

    /// Ends the renewal with the file that held the earliest date.
    fn finish(self, path: &str, content: &str) {
        self.host.write(path, content);
        let report = self.agent.report_when("the new date", |r| {
            r["earliest"]["notAfter"] == "2028-12-01T00:00:00Z" && r["status"] == "ok"
        });
        let certificates = report["certificates"].as_array().unwrap();
        assert!(certificates.iter().all(|c| c["stale"] == false));
    }
}

fn leaf() -> String {
    CertificateBuilder::leaf(NEW).pem()
}

/// A kubeconfig with a new certificate.
fn kubeconfig() -> String {
    use base64::Engine;
    let data = base64::engine::general_purpose::STANDARD.encode(leaf());
    format!(
        "apiVersion: v1\nkind: Config\nusers:\n- name: x\n  user:\n    client-certificate-data: {data}\n"
    )
}

/// `kubeadm certs renew`, with the file that ends first as the last one.
fn kubeadm_renews(node: &str, directory: &str, certificates: &[&str], last: &str) {
    let replay = Replay::of(node);
    for conf in ["admin.conf", "controller-manager.conf", "scheduler.conf", "super-admin.conf"] {
        replay.rewrite(&format!("{directory}/{conf}"), &kubeconfig());
    }
    for certificate in certificates {
        replay.rewrite(&format!("{directory}/pki/{certificate}"), &leaf());
    }
    let last = format!("{directory}/pki/{last}");
    replay.empty_and_fill_half(&last, &leaf());
    replay.finish(&last, &leaf());
}

#[test]
fn kubeadm_certs_renew_all_on_a_stacked_control_plane() {
    let certificates = [
        "apiserver.crt",
        "apiserver-kubelet-client.crt",
        "front-proxy-client.crt",
        "etcd/server.crt",
        "etcd/peer.crt",
        "etcd/healthcheck-client.crt",
    ];
    let node = "ubuntu-control-plane-stacked-etcd";
    kubeadm_renews(node, "/etc/kubernetes", &certificates, "apiserver-etcd-client.crt");
}

#[test]
fn kubeadm_certs_renew_with_external_etcd_leaves_the_earliest_to_the_etcd_rollout() {
    let certificates = ["apiserver.crt", "apiserver-kubelet-client.crt", "front-proxy-client.crt"];
    let node = "rhel-control-plane-external-etcd";
    kubeadm_renews(node, "/etc/kubernetes", &certificates, "apiserver-etcd-client.crt");
}

#[test]
fn the_bootstrap_container_renews_a_bottlerocket_control_plane() {
    let certificates = ["apiserver.crt", "apiserver-kubelet-client.crt", "front-proxy-client.crt"];
    let node = "bottlerocket-control-plane-external-etcd";
    kubeadm_renews(node, "/var/lib/kubeadm", &certificates, "server-etcd-client.crt");
}

/// EKS Anywhere's renewal of etcd: back up, empty the directory, bring back the CA, make the rest.
fn etcd_is_renewed(node: &str, directory: &str) {
    let replay = Replay::of(node);
    let pki = format!("{directory}/pki");
    let ca = fs::read_to_string(replay.host.path(&format!("{pki}/ca.crt"))).unwrap();
    for file in ["ca.crt", "server.crt"] {
        let content = fs::read(replay.host.path(&format!("{pki}/{file}"))).unwrap();
        replay.host.write(&format!("{directory}/pki.bak_20261123/{file}"), content);
    }
    let leaves = ["apiserver-etcd-client.crt", "etcdctl-etcd-client.crt", "peer.crt", "server.crt"];
    for file in leaves.iter().chain(&["ca.crt"]) {
        replay.step(&format!("{file} is removed"), |host| host.remove(&format!("{pki}/{file}")));
    }
    replay.step("the CA is back", |host| host.write(&format!("{pki}/ca.crt"), &ca));
    for file in &leaves[..3] {
        replay.rewrite(&format!("{pki}/{file}"), &leaf());
    }
    let last = format!("{pki}/server.crt");
    replay.empty_and_fill_half(&last, &leaf());
    replay.finish(&last, &leaf());
}

#[test]
fn an_etcd_machine_on_ubuntu_is_renewed_through_an_empty_directory() {
    etcd_is_renewed("ubuntu-etcd", "/etc/etcd");
}

#[test]
fn an_etcd_machine_on_bottlerocket_is_renewed_through_an_empty_directory() {
    etcd_is_renewed("bottlerocket-etcd", "/var/lib/etcd");
}

#[test]
fn the_kubelet_swaps_its_link_with_a_gap() {
    let replay = Replay::of("ubuntu-control-plane-stacked-etcd");
    let current = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    let new = "/var/lib/kubelet/pki/kubelet-client-2026-12-01-00-00-00.pem";
    let of_kubelet = |report: &Value| {
        let certificates = report["certificates"].as_array().unwrap();
        certificates.iter().find(|c| c["source"] == "kubelet").map(|c| c["notAfter"].clone())
    };
    let before = of_kubelet(&replay.agent.report());
    replay.step("the link is removed", |host| host.remove(current));
    assert!(before.is_some());
    assert_eq!(of_kubelet(&replay.agent.report()), before, "it is kept for the settle time");
    replay.host.write(new, leaf());
    replay.host.link(current, new);
    replay.agent.report_when("the new certificate", |r| {
        of_kubelet(r) == Some("2028-12-01T00:00:00Z".into())
    });
    assert_eq!(earliest(&replay.agent.report()), replay.old);
}
