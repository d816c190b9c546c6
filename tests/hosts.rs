//! Every node in tests/nodes gives the answer of its expected.json, in full.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use testkit::{Agent, Host, nodes};

fn expected() -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(nodes().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What of a report expected.json speaks of, in its form.
fn digest(report: &Value) -> Value {
    let earliest = |name: &str| {
        let earliest = &report[name];
        if earliest.is_null() {
            return Value::Null;
        }
        json!({ "path": earliest["path"], "notAfter": earliest["notAfter"] })
    };
    let certificates = report["certificates"].as_array().unwrap().iter().map(|c| {
        json!({ "path": c["path"], "index": c["index"], "notAfter": c["notAfter"], "isCA": c["isCA"],
            "renewedBy": c["renewedBy"] })
    });
    json!({
        "os": report["node"]["os"],
        "role": report["node"]["role"],
        "etcdTopology": report["node"]["etcdTopology"],
        "earliest": earliest("earliest"),
        "machineRollout": earliest("machineRollout"),
        "certificates": sorted(certificates.collect()),
    })
}

fn sorted(mut certificates: Vec<Value>) -> Vec<Value> {
    certificates.sort_by_key(|c| (c["path"].to_string(), c["index"].as_u64()));
    certificates
}

fn compare(name: &str, report: &Value, mut expected: Value) {
    let certificates = expected["certificates"].as_array().unwrap().clone();
    expected["certificates"] = sorted(certificates).into();
    assert_eq!(digest(report), expected, "{name}");
    assert_eq!(report["problems"], json!([]), "{name}");
    let status = if name == "ubuntu-worker" { "none" } else { "ok" };
    assert_eq!(report["status"], status, "{name}");
}

#[test]
fn check_reports_what_is_expected_of_each_node() {
    let expected = expected();
    assert_eq!(expected.len(), 6);
    for (name, expected) in expected {
        compare(&name, &Host::like(&name).report(&[]), expected);
    }
}

#[test]
fn run_serves_what_is_expected_of_each_node() {
    for (name, expected) in expected() {
        let host = Host::like(&name);
        let agent = Agent::start(&host, "");
        compare(&name, &agent.report(), expected);
    }
}

#[test]
fn the_node_is_named_by_the_kubelets_certificate() {
    let report = Host::like("rhel-control-plane-external-etcd").report(&[]);
    assert!(report["node"]["name"].as_str().is_some_and(|name| !name.is_empty()));
    let etcd = Host::like("ubuntu-etcd");
    assert_eq!(etcd.report(&[])["node"]["name"], Value::Null);
    etcd.write("etc/hostname", "# the host\netcd-1\n");
    assert_eq!(etcd.report(&[])["node"]["name"], "etcd-1");
}

#[test]
fn the_kubelets_certificate_is_listed_and_not_counted() {
    let report = Host::like("ubuntu-control-plane-stacked-etcd").report(&[]);
    let kubelet = |c: &&Value| c["source"] == "kubelet";
    let certificates = report["certificates"].as_array().unwrap();
    let kubelets: Vec<_> = certificates.iter().filter(kubelet).collect();
    assert_eq!(kubelets.len(), 1);
    assert_eq!(
        (&kubelets[0]["counted"], &kubelets[0]["renewedBy"]),
        (&json!(false), &json!("kubelet"))
    );
}

#[test]
fn an_etcd_pki_beside_a_control_planes_is_read_too() {
    let host = Host::like("ubuntu-control-plane-stacked-etcd");
    host.write(
        "etc/etcd/pki/server.crt",
        std::fs::read(nodes().join("ubuntu-etcd/etc/etcd/pki/server.crt")).unwrap(),
    );
    let report = host.report(&[]);
    assert_eq!(report["node"]["role"], "control-plane");
    assert_eq!(report["earliest"]["path"], "/etc/etcd/pki/server.crt");
}

#[test]
fn one_pki_under_two_names_is_counted_under_both_and_read_once_each() {
    let host = Host::like("ubuntu-etcd");
    host.link("etc/kubernetes/pki", "/etc/etcd/pki");
    let report = host.report(&["--role", "etcd"]);
    assert_eq!(report["earliest"]["path"], "/etc/etcd/pki/server.crt");
    let certificates = report["certificates"].as_array().unwrap().iter();
    let paths: Vec<_> = certificates.map(|c| c["path"].as_str().unwrap()).collect();
    let beneath = |directory: &str| -> Vec<_> {
        paths.iter().filter_map(|path| path.strip_prefix(directory)).collect()
    };
    let etcd = beneath("/etc/etcd/pki/");
    assert_eq!(etcd, beneath("/etc/kubernetes/pki/"));
    assert_eq!(etcd.len() * 2, paths.len());
    assert!(etcd.is_sorted_by(|a, b| a < b), "each once: {etcd:?}");
}

#[test]
fn role_and_topology_can_be_said_instead_of_found() {
    let host = Host::like("ubuntu-control-plane-stacked-etcd");
    let report = host.report(&["--etcd-topology", "external"]);
    let client = "/etc/kubernetes/pki/apiserver-etcd-client.crt";
    assert_eq!(report["earliest"]["path"], client);
    assert_eq!(report["earliest"]["renewedBy"], "etcd-rollout");
    assert_ne!(report["machineRollout"]["path"], client);
    assert_eq!(host.report(&["--role", "etcd"])["node"]["role"], "etcd");
}
