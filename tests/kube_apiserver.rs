//! The Node publisher against a real kube-apiserver.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use testkit::certificate::CertificateBuilder;
use testkit::cluster::{As, Cluster, assets};
use testkit::kubelet::{AT_ONCE, publication_when, rotate};
use testkit::{Agent, Host, expiryd, is_root, skip, wait_for};

#[test]
fn a_real_api_server_takes_the_annotations_the_condition_and_the_event() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    cluster.make_node("cp-1");
    let host = cluster.host("cp-1");
    host.write(
        "etc/kubernetes/pki/apiserver.crt",
        CertificateBuilder::leaf("20200101000000Z").pem(),
    );
    let agent =
        Agent::start(&host, &format!("{AT_ONCE}condition-window = \"30d\"\nevent = true\n"));
    agent.report_when("three accepted publications", |report| {
        let publications = report["publications"].as_array().unwrap();
        publications.len() == 3 && publications.iter().all(|p| p["state"] == "accepted")
    });
    let node = cluster.node("cp-1");
    let annotations = &node["metadata"]["annotations"];
    assert_eq!(annotations["machine.cluster.x-k8s.io/certificates-expiry"], "2020-01-01T00:00:00Z");
    let conditions = node["status"]["conditions"].as_array().unwrap();
    let ours = conditions.iter().find(|c| c["type"] == "CertificatesExpiring").unwrap();
    assert_eq!(ours["status"], "True");
    let events = cluster.ask("GET", "/api/v1/namespaces/default/events", &Value::Null).unwrap().1;
    let events = events["items"].as_array().unwrap();
    assert!(events.iter().any(|event| event["reason"] == "CertificatesExpiring"));
}

#[test]
fn a_real_api_server_refuses_an_unknown_identity_and_knows_no_such_node() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    let host = cluster.host("cp-2");
    let agent = Agent::start(&host, AT_ONCE);
    let missing = publication_when(&agent, "failing");
    assert!(missing["message"].as_str().unwrap().contains("has no Node cp-2 (404"), "{missing}");
    cluster.make_node("cp-2");
    publication_when(&agent, "accepted");
}

#[test]
fn a_real_api_server_sees_the_rotated_certificate() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    cluster.make_node("cp-1");
    let host = cluster.host("cp-1");
    rotate(&host, &cluster.authority.client("system:node:cp-1", 2001), "2");
    let agent = Agent::start(&host, AT_ONCE);
    publication_when(&agent, "failing");
    rotate(&host, &cluster.authority.client("system:node:cp-1", 2100), "3");
    publication_when(&agent, "accepted");
}

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const NODE: &str = "/api/v1/nodes/cp-1";
const STATUS: &str = "/api/v1/nodes/cp-1/status";
const EVENTS: &str = "/api/v1/namespaces/default/events";

fn annotation(key: &str) -> Value {
    json!({ "metadata": { "annotations": { key: "x" } } })
}

fn condition(kind: &str) -> Value {
    json!({ "status": { "conditions": [
        { "type": kind, "status": "True", "reason": "x", "message": "x" }] } })
}

/// What the policy refuses.
fn forbidden() -> Vec<(&'static str, &'static str, Value)> {
    let metadata = |field: &str, value: Value| json!({ "metadata": { field: value } });
    let owner = json!([{ "apiVersion": "v1", "kind": "Node", "name": "cp-2", "uid": "x" }]);
    vec![
        ("/api/v1/nodes/cp-2", MERGE, annotation("expiryd.dev/status")),
        ("/api/v1/nodes/cp-2/status", STRATEGIC, condition("CertificatesExpiring")),
        (NODE, MERGE, annotation("cluster.x-k8s.io/machine")),
        (NODE, MERGE, annotation("expiryd.dev/other")),
        (NODE, MERGE, json!({ "metadata": { "annotations": { "somebody.else/key": null } } })),
        (NODE, MERGE, json!({ "metadata": { "annotations": { "somebody.else/key": "y" } } })),
        (NODE, MERGE, json!({ "metadata": { "annotations": null } })),
        (NODE, MERGE, metadata("labels", json!({ "x": "y" }))),
        (NODE, MERGE, metadata("finalizers", json!(["example.com/stay"]))),
        (NODE, MERGE, metadata("ownerReferences", owner)),
        (NODE, MERGE, json!({ "spec": { "unschedulable": true } })),
        (NODE, MERGE, json!({ "spec": { "taints": [{ "key": "x", "effect": "NoExecute" }] } })),
        (STATUS, STRATEGIC, condition("Ready")),
        (STATUS, STRATEGIC, condition("DiskPressure")),
        (STATUS, MERGE, json!({ "status": { "conditions": null } })),
        (STATUS, MERGE, json!({ "status": { "capacity": { "cpu": "3" } } })),
        (STATUS, MERGE, json!({ "status": { "capacity": null } })),
        (STATUS, MERGE, json!({ "status": { "allocatable": { "example.com/x": "3" } } })),
        (
            STATUS,
            MERGE,
            json!({ "status": { "addresses": [
            { "type": "InternalIP", "address": "192.0.2.1" }] } }),
        ),
        (STATUS, MERGE, json!({ "status": { "phase": "Terminated" } })),
        (STATUS, MERGE, annotation("cluster.x-k8s.io/machine")),
    ]
}

#[test]
fn the_token_of_the_daemonset_changes_expiryds_keys_of_its_own_node_and_nothing_else() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    cluster.make_node("cp-1");
    cluster.make_node("cp-2");
    let others = json!({ "metadata": { "annotations": { "somebody.else/key": "x" } },
        "status": { "capacity": { "cpu": "2" },
            "conditions": [{ "type": "Ready", "status": "True" }] } });
    for path in [NODE, STATUS] {
        assert_eq!(cluster.ask_as(&As::Admin, "PATCH", path, MERGE, &others).unwrap().0, 200);
    }
    cluster.apply_rbac();
    let token = cluster.token("cp-1");
    let patch = |path: &str, content_type: &str, body: &Value| {
        cluster.ask_as(&token, "PATCH", path, content_type, body).unwrap()
    };
    let annotation = |key: &str| json!({ "metadata": { "annotations": { key: "x" } } });
    let condition = |kind: &str| {
        json!({ "status": { "conditions": [{ "type": kind,
        "status": "True", "reason": "x", "message": "x" }] } })
    };
    let event = |node: &str, reason: &str| {
        json!({ "apiVersion": "v1", "kind": "Event",
        "metadata": { "name": "x", "namespace": "default" }, "reason": reason, "type": "Warning",
        "involvedObject": { "apiVersion": "v1", "kind": "Node", "name": node, "uid": node } })
    };
    let removal = json!({ "status": { "conditions": [
        { "type": "CertificatesExpiring", "$patch": "delete" }] } });

    // The policy is in force a moment after it is there.
    wait_for("the policy", || {
        // What came before it is there, and no change any more.
        let key = format!("foreign/{}", fastrand::u64(..));
        (patch(NODE, MERGE, &annotation(&key)).0 == 422).then_some(())
    });
    for (path, content_type, body) in [
        (NODE, MERGE, json!({})),
        (NODE, MERGE, annotation("machine.cluster.x-k8s.io/certificates-expiry")),
        (NODE, MERGE, json!({ "metadata": { "annotations": { "expiryd.dev/held": null } } })),
        (STATUS, STRATEGIC, condition("CertificatesExpiring")),
        (STATUS, STRATEGIC, removal),
    ] {
        let (status, said) = patch(path, content_type, &body);
        assert_eq!(status, 200, "{path} {body}: {said}");
    }
    let allowed = event("cp-1", "CertificatesExpiring");
    let create = |path: &str, body: &Value| {
        cluster.ask_as(&token, "POST", path, "application/json", body).unwrap()
    };
    assert_eq!(create(EVENTS, &allowed).0, 201);

    let before = cluster.node("cp-1");
    for (path, content_type, body) in forbidden() {
        let (status, said) = patch(path, content_type, &body);
        assert_eq!(status, 422, "{path} {body}: {said}");
        let message = said["message"].as_str().unwrap();
        assert!(message.contains("expiryd may"), "{path} {body}: {message}");
    }
    let stays = |part: &str| assert_eq!(cluster.node("cp-1")[part], before[part]);
    stays("spec");
    stays("status");
    stays("metadata");
    for (path, body, refused) in [
        (EVENTS, event("cp-2", "CertificatesExpiring"), 422),
        (EVENTS, event("cp-1", "Rebooted"), 422),
        ("/api/v1/namespaces/kube-system/events", allowed, 403),
    ] {
        let (status, said) = create(path, &body);
        assert_eq!(status, refused, "{path} {body}: {said}");
    }
    for (method, path) in [("GET", NODE), ("GET", "/api/v1/nodes"), ("DELETE", NODE)] {
        let refused = cluster.ask_as(&token, method, path, "application/json", &Value::Null);
        assert_eq!(refused.unwrap().0, 403, "{method} {path}");
    }
    // What the type checker warns of is an expression that may not say what it seems to.
    let path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/expiryd";
    let policy = cluster.ask("GET", path, &Value::Null).unwrap().1;
    assert_eq!(policy["status"]["typeChecking"]["expressionWarnings"], Value::Null);
}

#[test]
fn as_a_pod_of_the_daemonset_it_annotates_withdraws_and_removes() {
    let Some(assets) = assets() else { return };
    if !is_root() {
        return skip("mounting a ServiceAccount into a namespace of its own needs root");
    }
    let cluster = Cluster::start(&assets);
    cluster.make_node("cp-ext-1");
    cluster.apply_rbac();
    let As::Token(token) = cluster.token("cp-ext-1") else { unreachable!() };
    let account = tempfile::tempdir().unwrap();
    fs::write(account.path().join("token"), token).unwrap();
    fs::write(account.path().join("ca.crt"), cluster.authority.pem()).unwrap();
    let start = |host: &Host, configuration: &str| {
        let file = host.configuration();
        fs::write(file, configuration).unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--", "sh", "-ec"])
            .arg(
                "mount -t tmpfs tmpfs /run; into=/var/run/secrets/kubernetes.io/serviceaccount; \
                 mkdir -p $into; cp \"$0\"/* $into; exec \"$@\"",
            )
            .arg(account.path())
            .arg(expiryd().get_program())
            .arg("run")
            .arg("--host-root")
            .arg(host.root())
            .arg("--config")
            .arg(file)
            .env("EXPIRYD_NODE_NAME", "cp-ext-1")
            .env("KUBERNETES_SERVICE_HOST", "localhost")
            .env("KUBERNETES_SERVICE_PORT", cluster.port.to_string());
        Agent::spawn(command)
    };
    let date = |node: &Value| {
        let annotations = &node["metadata"]["annotations"];
        annotations["machine.cluster.x-k8s.io/certificates-expiry"].clone()
    };
    let conditions = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
        conditions.filter(|c| c["type"] == "CertificatesExpiring").count()
    };
    let until = |what: &str, is: &dyn Fn(&Value) -> bool| {
        wait_for(what, || is(&cluster.node("cp-ext-1")).then_some(()));
    };
    let host = Host::like("rhel-control-plane-external-etcd");
    let option = "condition-window = \"30d\"\n";
    let agent = start(&host, &format!("{AT_ONCE}{option}"));
    until("date and condition", &|node| date(node).is_string() && conditions(node) == 1);
    drop(agent);
    let agent = start(&host, AT_ONCE);
    until("no condition", &|node| date(node).is_string() && conditions(node) == 0);
    drop(agent);
    let worker = Host::like("ubuntu-worker");
    rotate(&worker, &cluster.authority.client("system:node:cp-ext-1", 2100), "1");
    let role = "[layout]\nrole = \"worker\"\n";
    let _agent = start(&worker, &format!("{AT_ONCE}{role}"));
    until("no date", &|node| date(node).is_null());
}
