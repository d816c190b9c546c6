//! The rights that packaging/kubernetes/controller grants are enough for the work, and for no more.

use serde_json::{Value, json};

use testkit::cluster::{As, Cluster, assets};
use testkit::cluster_api::{Management, NAMESPACE};
use testkit::dates::in_days;
use testkit::wait_for;

use crate::control_plane::{
    EXPIRY, OPT_IN, condition, has_days, machine_when, opted_in, program, run_as,
};

const FOLDER: &str = "packaging/kubernetes/controller";

/// Makes what both kustomizations name, save the Deployment, for which nobody is there.
fn install(cluster: &Cluster) {
    cluster.make_namespace("etcdadm-controller-system");
    for file in ["base/namespace", "base/rbac", "base/secrets", "base/policy"] {
        cluster.make_all(&format!("{FOLDER}/{file}.yaml"));
    }
    for file in ["rbac", "secrets", "policy"] {
        cluster.make_all(&format!("{FOLDER}/eks-anywhere/{file}.yaml"));
    }
}

#[test]
fn the_rights_that_are_granted_are_enough_and_no_more() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    let folder = tempfile::tempdir().unwrap();
    let (_host, _agent) = opted_in(&cluster, in_days(300, 0));
    install(&cluster);
    let (kubeconfig, token) = cluster.service_account("expiryd-system", "expiryd-controller");
    let _controller = run_as(&kubeconfig, &folder, &["--listen", "127.0.0.1:0"]);

    machine_when(&cluster, "the date", |a| a[EXPIRY].is_string());
    has_days(&cluster);
    let told = wait_for("the condition", || condition(&cluster));
    assert_eq!((&told["status"], &told["reason"]), (&json!("True"), &json!("NotDue")));
    let events = wait_for("the Events", || {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events");
        let (_, list) = cluster.ask("GET", &path, &Value::Null)?;
        let items = list["items"].as_array()?.clone();
        let of = |reason: &str| items.iter().any(|event| event["reason"] == reason);
        (of("Annotate") && of("SetDays")).then_some(items)
    });
    assert!(events.iter().all(|event| event["regarding"]["name"] == "prod"), "{events:?}");

    no_more(&cluster, &As::Token(token));
}

#[test]
fn before_cluster_api_1_11_a_right_of_its_own_lets_it_write_the_one_annotation() {
    let Some(assets) = assets() else { return };
    let mut cluster = Cluster::start(&assets);
    cluster.cluster_api = "v1beta1";
    let folder = tempfile::tempdir().unwrap();
    let (_host, _agent) = opted_in(&cluster, in_days(300, 0));
    install(&cluster);
    cluster.make_all(&format!("{FOLDER}/cluster-api-v1beta1.yaml"));
    let (kubeconfig, token) = cluster.service_account("expiryd-system", "expiryd-controller");
    let _controller = run_as(&kubeconfig, &folder, &["--listen", "127.0.0.1:0"]);
    wait_for("what people are told", || {
        let object = Management(&cluster).get("Cluster", "prod");
        object["metadata"]["annotations"]["expiryd.dev/certificates-renewed"]
            .is_string()
            .then_some(())
    });
    let token = As::Token(token);
    let path = format!("/apis/cluster.x-k8s.io/v1beta1/namespaces/{NAMESPACE}/clusters/prod");
    let merge = "application/merge-patch+json";
    let answer = |patch: &Value| {
        wait_for("an answer", || cluster.ask_as(&token, "PATCH", &path, merge, patch)).0
    };
    // A policy holds a moment after it was made; what was written until then is no change any more.
    let mut attempt = 0;
    wait_for("the policy to hold", || {
        attempt += 1;
        let label = json!({ "metadata": { "labels": { "attempt": attempt.to_string() } } });
        (answer(&label) == 422).then_some(())
    });
    for patch in [
        json!({ "spec": { "paused": true } }),
        json!({ "metadata": { "annotations": { OPT_IN: null } } }),
    ] {
        assert_eq!(answer(&patch), 422, "{patch}");
    }
}

#[test]
fn by_the_rights_that_rbac_prints_it_reads_the_secrets_of_its_clusters_and_no_other() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    let folder = tempfile::tempdir().unwrap();
    let (_host, _agent) = opted_in(&cluster, in_days(300, 0));
    cluster.make_namespace("etcdadm-controller-system");
    for file in ["namespace", "rbac", "secrets", "policy"] {
        cluster.make_all(&format!("{FOLDER}/base/{file}.yaml"));
    }
    let printed = program(&cluster, &folder).arg("rbac").output().unwrap();
    assert!(printed.status.success(), "{printed:?}");
    let rights = folder.path().join("rights.yaml");
    std::fs::write(&rights, printed.stdout).unwrap();
    cluster.make_all(rights.to_str().unwrap());
    let (kubeconfig, token) = cluster.service_account("expiryd-system", "expiryd-controller");
    let _controller = run_as(&kubeconfig, &folder, &["--listen", "127.0.0.1:0"]);

    machine_when(&cluster, "the date", |a| a[EXPIRY].is_string());
    let token = As::Token(token);
    let read = |name: &str| {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}");
        wait_for("an answer", || {
            cluster.ask_as(&token, "GET", &path, "application/json", &Value::Null)
        })
        .0
    };
    assert_eq!(read("prod-kubeconfig"), 200);
    // Its etcd is on its control plane.
    for other in ["prod-etcd", "prod-managed-etcd", "another"] {
        assert_eq!(read(other), 403, "{other}");
    }
}

/// What a stolen token is refused.
fn no_more(cluster: &Cluster, token: &As) {
    let management = Management(cluster);
    let config = json!({ "metadata": {}, "spec": { "postEtcdadmCommands": ["echo mine"] } });
    management.create("EtcdadmConfig", "etcd-1", config);
    let etcd = json!({ "metadata": {}, "spec": { "replicas": 3 }, "status": {} });
    management.create("EtcdadmCluster", "prod-etcd", etcd);
    let patch = |path: &str, patch: &Value| {
        let path = format!("/apis/{path}");
        let merge = "application/merge-patch+json";
        wait_for("an answer", || cluster.ask_as(token, "PATCH", &path, merge, patch)).0
    };
    let annotation = |key: &str| json!({ "metadata": { "annotations": { key: "x" } } });
    let machine = format!("cluster.x-k8s.io/v1beta2/namespaces/{NAMESPACE}/machines/cp-1");
    assert_eq!(patch(&machine, &annotation("expiryd.dev/first-seen")), 200);
    assert_eq!(patch(&machine, &annotation("cluster.x-k8s.io/delete-machine")), 422);
    assert_eq!(patch(&machine, &json!({ "metadata": { "labels": { "a": "b" } } })), 422);
    assert_eq!(patch(&machine, &json!({ "spec": { "providerID": "other" } })), 422);

    let kcp = "controlplane.cluster.x-k8s.io/v1beta2";
    let kcp = format!("{kcp}/namespaces/{NAMESPACE}/kubeadmcontrolplanes/prod");
    let rollout = |rollout: Value| json!({ "spec": { "rollout": rollout } });
    assert_eq!(patch(&kcp, &rollout(json!({ "before": { "certificatesExpiryDays": 9 } }))), 200);
    assert_eq!(patch(&kcp, &rollout(json!({ "after": "2027-01-01T00:00:00Z" }))), 422);
    assert_eq!(patch(&kcp, &json!({ "spec": { "replicas": 0 } })), 422);
    assert_eq!(patch(&kcp, &annotation("cluster.x-k8s.io/paused")), 422);

    let config = "bootstrap.cluster.x-k8s.io/v1beta1";
    let config = format!("{config}/namespaces/{NAMESPACE}/etcdadmconfigs/etcd-1");
    let commands = |commands: &[&str]| json!({ "spec": { "postEtcdadmCommands": commands } });
    assert_eq!(patch(&config, &commands(&["echo mine", ": expiryd 6b49d200"])), 200);
    assert_eq!(patch(&config, &commands(&["echo mine"])), 200);
    for evil in [": expiryd 6b49d200; reboot", ": expiryd 1\nreboot", "reboot"] {
        assert_eq!(patch(&config, &commands(&["echo mine", evil])), 422, "{evil}");
    }
    assert_eq!(patch(&config, &commands(&[])), 422);
    assert_eq!(patch(&config, &json!({ "spec": { "users": [{ "name": "me" }] } })), 422);

    let etcd = "etcdcluster.cluster.x-k8s.io/v1beta1";
    let etcd = format!("{etcd}/namespaces/{NAMESPACE}/etcdadmclusters/prod-etcd");
    assert_eq!(patch(&etcd, &annotation("expiryd.dev/intent")), 200);
    assert_eq!(patch(&etcd, &annotation("cluster.x-k8s.io/paused")), 422);
    assert_eq!(patch(&etcd, &json!({ "spec": { "replicas": 1 } })), 422);
    let says = |kind: &str, reason: &str, more: Value| {
        let condition =
            json!({ "type": kind, "status": "False", "severity": "Info", "reason": reason });
        let mut status = json!({ "status": { "conditions": [condition] } });
        status["status"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        status
    };
    let certificates = "EtcdCertificatesAvailable";
    let made =
        says(certificates, "", json!({ "ready": true, "endpoints": "https://192.0.2.1:2379" }));
    management.status("EtcdadmCluster", "prod-etcd", &made["status"]);
    let status = format!("{etcd}/status");
    assert_eq!(patch(&status, &says(certificates, "RefreshAskedFor", json!({}))), 200);
    assert_eq!(patch(&status, &says(certificates, "Other", json!({}))), 422);
    assert_eq!(patch(&status, &says("Other", "RefreshAskedFor", json!({}))), 422);
    let removed = json!({ "conditions": [] });
    for evil in [
        removed.clone(),
        json!({ "ready": false }),
        json!({ "endpoints": "https://198.51.100.1:2379" }),
    ] {
        assert_eq!(patch(&status, &json!({ "status": evil })), 422, "{evil}");
    }
    // After a move it is not there, and can be written.
    management.status("EtcdadmCluster", "prod-etcd", &removed);
    assert_eq!(patch(&status, &says(certificates, "Other", json!({}))), 422);
    assert_eq!(patch(&status, &says(certificates, "RefreshAskedFor", json!({}))), 200);

    let told = format!("cluster.x-k8s.io/v1beta2/namespaces/{NAMESPACE}/clusters/prod/status");
    assert_eq!(patch(&told, &json!({ "status": { "phase": "Failed" } })), 422);
    assert_eq!(
        patch(
            &told,
            &json!({ "status": { "conditions": [{
        "type": "Available", "status": "False", "reason": "x", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }] } })
        ),
        422
    );

    let read = |path: &str| {
        let json = "application/json";
        wait_for("an answer", || cluster.ask_as(token, "GET", path, json, &Value::Null)).0
    };
    assert_eq!(read("/api/v1/namespaces/kube-system/secrets"), 403);
    assert_eq!(read(&format!("/api/v1/namespaces/{NAMESPACE}/secrets")), 403);
    assert_eq!(read("/api/v1/nodes"), 403);
}
