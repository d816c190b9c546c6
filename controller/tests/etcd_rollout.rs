//! The writes of a rollout of etcd: each is made again until it is made, and none before the one that it rests on.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use testkit::authority::{Authority, Pair};
use testkit::cluster::{Cluster, assets};
use testkit::cluster_api::Management;
use testkit::dates::in_days;
use testkit::etcd_pki::client;
use testkit::faulty_proxy::{Fault, FaultyProxy};
use testkit::{wait_for, wait_up_to};

use crate::control_plane::{OPT_IN, annotate_cluster, condition, prod, run_as, with_etcd};
use crate::etcd::machine;

/// Longer than it takes until a cluster is looked at again after a write was refused a few times.
const LONG: Duration = Duration::from_mins(1);

/// `prod`, opted in and at rest, with an etcd of one machine and a client pair that ends tomorrow: who
/// is refused its writes then does not have to wait for its turn again.
fn due(assets: &std::path::Path) -> Arc<Cluster> {
    let cluster = Arc::new(Cluster::start(assets));
    prod(&cluster);
    with_etcd(&cluster, 1, &json!({ "ready": true }));
    let management = Management(&cluster);
    let generation =
        management.get("KubeadmControlPlane", "prod")["metadata"]["generation"].clone();
    let observed = json!({ "observedGeneration": generation });
    management.status("KubeadmControlPlane", "prod", &observed);
    let allowed =
        json!({ "metadata": { "annotations": { "expiryd.dev/allow-single-etcd": "true" } } });
    management.patch("EtcdadmCluster", "prod-etcd", &allowed);
    let owner = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "name": "etcd-1", "uid": "1",
    });
    let metadata = json!({
        "labels": { "cluster.x-k8s.io/cluster-name": "prod" },
        "ownerReferences": [owner],
    });
    let config = json!({ "metadata": metadata, "spec": {}, "status": {} });
    management.create("EtcdadmConfig", "etcd-1", config);
    let mut etcd = machine("192.0.2.1");
    etcd["status"] = json!({});
    management.create("Machine", "etcd-1", etcd);
    let authority = Authority::new("etcd-ca");
    management.secret("prod-etcd", &[("tls.crt", &authority.pem())]);
    let Pair { certificate, key } = client(&authority, "prod", in_days(1, 0));
    let pair = [("tls.crt", certificate.as_str()), ("tls.key", key.as_str())];
    management.secret("prod-apiserver-etcd-client", &pair);
    annotate_cluster(&cluster, OPT_IN, &"7d".into());
    cluster
}

fn annotation(cluster: &Cluster, key: &str) -> Value {
    let etcd = Management(cluster).get("EtcdadmCluster", "prod-etcd");
    etcd["metadata"]["annotations"][key].clone()
}

fn is_marked(cluster: &Cluster) -> bool {
    let config = Management(cluster).get("EtcdadmConfig", "etcd-1");
    config["spec"].to_string().contains(": expiryd ")
}

#[test]
fn an_intent_comes_before_the_marks_and_these_before_the_nudge_whatever_fails() {
    let Some(assets) = assets() else { return };
    for fault in [Fault::Refuse(403), Fault::Refuse(409), Fault::Refuse(500), Fault::HangUp] {
        let cluster = due(&assets);
        let folder = tempfile::tempdir().unwrap();
        let proxy = FaultyProxy::start(&cluster);
        let hit = || wait_up_to(LONG, "writes in trouble", || (proxy.hit() >= 2).then_some(()));
        proxy.break_requests("PATCH", "/etcdadmclusters/prod-etcd", fault);
        let flags = ["--listen", "127.0.0.1:0", "--no-leader-elect"];
        let program = run_as(&proxy.kubeconfig(), &folder, &flags);
        hit();
        assert!(!is_marked(&cluster), "{fault:?}: marked without an intent");
        assert!(annotation(&cluster, "expiryd.dev/intent").is_null());
        if fault == Fault::Refuse(403) {
            wait_up_to(LONG, "what people are told", || {
                condition(&cluster).filter(|one| one["reason"] == "WriteRefused")
            });
        }

        proxy.mend();
        proxy.break_requests("PATCH", "/etcdadmconfigs/etcd-1", fault);
        hit();
        assert!(annotation(&cluster, "expiryd.dev/intent").is_string());
        assert!(annotation(&cluster, "expiryd.dev/nudge").is_null(), "{fault:?}: nudged unmarked");
        assert!(!is_marked(&cluster));

        proxy.mend();
        wait_up_to(LONG, "the mark", || is_marked(&cluster).then_some(()));
        wait_for("the nudge", || annotation(&cluster, "expiryd.dev/nudge").as_str().map(|_| ()));
        assert!(!program.log().contains("panicked"));
    }
}
