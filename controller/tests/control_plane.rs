//! From a certificate on a disk to the Machine that Cluster API reads.

use std::process::Command;

use serde_json::{Value, json};

use time::OffsetDateTime;

use testkit::cluster::{Cluster, assets};
use testkit::cluster_api::{Management, NAMESPACE};
use testkit::dates::{in_days, rfc3339};
use testkit::kubeadm::{APISERVER, certificates, leaf};
use testkit::kubelet::AT_ONCE;
use testkit::{Agent, Host, Server, wait_for};

pub(crate) const EXPIRY: &str = "machine.cluster.x-k8s.io/certificates-expiry";
pub(crate) const OPT_IN: &str = "expiryd.dev/rollout-before-expiry";

pub(crate) fn program(cluster: &Cluster, folder: &tempfile::TempDir) -> Command {
    program_as(&cluster.admin_kubeconfig(), folder)
}

/// The program with this kubeconfig.
fn program_as(kubeconfig: &str, folder: &tempfile::TempDir) -> Command {
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_expiryd-controller"));
    command.env_remove("KUBECONFIG").env("HOSTNAME", "controller-1");
    command.env("KUBECONFIG", file);
    command
}

fn run(cluster: &Cluster, folder: &tempfile::TempDir) -> Server {
    run_as(
        &cluster.admin_kubeconfig(),
        folder,
        &["--listen", "127.0.0.1:0", "--leader-elect-namespace", NAMESPACE],
    )
}

/// The program at work with this kubeconfig.
pub(crate) fn run_as(kubeconfig: &str, folder: &tempfile::TempDir, flags: &[&str]) -> Server {
    let mut command = program_as(kubeconfig, folder);
    command.args(["run", "--sync-period", "1s"]).args(flags);
    Server::start("expiryd-controller", command, folder.path())
}

/// A cluster `prod` with one control-plane Machine, whose Node is `cp-1` of the same API server.
pub(crate) fn prod(cluster: &Cluster) {
    let management = Management(cluster);
    management.install();
    cluster.make_node("cp-1");
    let node = json!({
        "metadata": { "labels": { "node-role.kubernetes.io/control-plane": "" } },
        "spec": { "providerID": "test://cp-1" },
    });
    management.merge("/api/v1/nodes/cp-1", &node);
    let label = json!({ "labels": { "cluster.x-k8s.io/cluster-name": "prod" } });
    let spec = json!({ "controlPlaneRef": { "kind": "KubeadmControlPlane", "name": "prod" } });
    management.create(
        "Cluster",
        "prod",
        json!({ "metadata": {}, "spec": spec, "status": { "phase": "Provisioned" } }),
    );
    management.create(
        "KubeadmControlPlane",
        "prod",
        json!({
            "metadata": label,
            "spec": { "replicas": 1 },
            "status": { "observedGeneration": 1, "readyReplicas": 1, "upToDateReplicas": 1 },
        }),
    );
    management.create(
        "KubeadmConfig",
        "cp-1",
        json!({ "metadata": label, "spec": {}, "status": {} }),
    );
    management.create(
        "Machine",
        "cp-1",
        json!({
            "metadata": {
                "labels": {
                    "cluster.x-k8s.io/cluster-name": "prod",
                    "cluster.x-k8s.io/control-plane": "",
                },
                "ownerReferences": [{
                    "apiVersion": "controlplane.cluster.x-k8s.io/v1beta2",
                    "kind": "KubeadmControlPlane", "name": "prod", "uid": "1",
                }],
            },
            "spec": {
                "providerID": "test://cp-1",
                "bootstrap": { "configRef": { "kind": "KubeadmConfig", "name": "cp-1" } },
            },
            "status": { "nodeRef": { "name": "cp-1" } },
        }),
    );
    management.secret("prod-kubeconfig", &[("value", &cluster.admin_kubeconfig())]);
}

/// The machine `cp-1`, all of whose certificates end then.
pub(crate) fn machine(cluster: &Cluster, end: OffsetDateTime) -> Host {
    let host = cluster.host("cp-1");
    certificates(&host, false, end);
    host.write("etc/kubernetes/pki/apiserver-etcd-client.crt", leaf(end));
    host
}

pub(crate) fn annotate_cluster(cluster: &Cluster, key: &str, value: &Value) {
    let patch = json!({ "metadata": { "annotations": { key: value } } });
    Management(cluster).patch("Cluster", "prod", &patch);
}

/// `prod`, opted in, with an agent on its machine, all of whose certificates end then.
pub(crate) fn opted_in(cluster: &Cluster, end: OffsetDateTime) -> (Host, Agent) {
    prod(cluster);
    annotate_cluster(cluster, OPT_IN, &"7d".into());
    let host = machine(cluster, end);
    let agent = Agent::start(&host, AT_ONCE);
    (host, agent)
}

/// Has the etcd of `prod` on machines of its own; its EtcdadmCluster wants so many and has this status.
pub(crate) fn with_etcd(cluster: &Cluster, replicas: usize, status: &Value) {
    let management = Management(cluster);
    let external = json!({ "etcd": { "external": { "endpoints": [] } } });
    let external = json!({ "kubeadmConfigSpec": { "clusterConfiguration": external } });
    management.patch("KubeadmControlPlane", "prod", &json!({ "spec": external }));
    let etcd = json!({ "kind": "EtcdadmCluster", "name": "prod-etcd" });
    let named = json!({ "spec": { "managedExternalEtcdRef": etcd } });
    management.patch("Cluster", "prod", &named);
    let object = json!({ "metadata": {}, "spec": { "replicas": replicas }, "status": status });
    management.create("EtcdadmCluster", "prod-etcd", object);
}

/// What people are told of it.
pub(crate) fn condition(cluster: &Cluster) -> Option<Value> {
    let object = Management(cluster).get("Cluster", "prod");
    let conditions = object["status"]["conditions"].as_array()?.iter();
    conditions.clone().find(|one| one["type"] == "CertificatesRenewed").cloned()
}

/// Waits until its control plane has our days; as it is then.
pub(crate) fn has_days(cluster: &Cluster) -> Value {
    wait_for("the days", || {
        let control_plane = Management(cluster).get("KubeadmControlPlane", "prod");
        let days = &control_plane["spec"]["rollout"]["before"]["certificatesExpiryDays"];
        (*days == 7).then_some(control_plane)
    })
}

/// Waits until the Machine's annotations are so.
pub(crate) fn machine_when(cluster: &Cluster, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || Some(Management(cluster).annotations("cp-1")).filter(|a| is(a)))
}

#[test]
fn a_date_goes_from_the_disk_to_the_machine_and_is_taken_back_when_nobody_wants_it() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    let folder = tempfile::tempdir().unwrap();
    prod(&cluster);
    let host = machine(&cluster, in_days(300, 0));
    let first = in_days(200, 0);
    host.write(APISERVER, leaf(first));
    let _agent = Agent::start(&host, AT_ONCE);
    let _controller = run(&cluster, &folder);

    // Nobody opted in: the program has looked, and written nothing.
    wait_for("the lease", || {
        let path = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/expiryd-controller"
        );
        let (status, lease) = cluster.ask("GET", &path, &Value::Null)?;
        let holder = lease["spec"]["holderIdentity"].as_str()?;
        (status == 200 && holder.starts_with("controller-1_")).then_some(())
    });
    assert_eq!(Management(&cluster).annotations("cp-1"), Value::Null);

    annotate_cluster(&cluster, OPT_IN, &"7d".into());
    let carried = machine_when(&cluster, "the date", |a| a[EXPIRY] == rfc3339(first));
    assert_eq!(carried["expiryd.dev/published"], format!("{};ok", rfc3339(first)));
    let control_plane = has_days(&cluster);
    assert_eq!(control_plane["metadata"]["annotations"]["expiryd.dev/kcp-days"], "7");

    // Renewed in place.
    let second = in_days(250, 0);
    host.replace(APISERVER, leaf(second));
    machine_when(&cluster, "the later date", |a| a[EXPIRY] == rfc3339(second));

    // KCP has seen its spec by then; nobody wants it any more.
    let generation =
        Management(&cluster).get("KubeadmControlPlane", "prod")["metadata"]["generation"].clone();
    Management(&cluster).status(
        "KubeadmControlPlane",
        "prod",
        &json!({ "observedGeneration": generation }),
    );
    annotate_cluster(&cluster, OPT_IN, &Value::Null);
    machine_when(&cluster, "nothing of ours", |a| {
        a[EXPIRY].is_null() && a["expiryd.dev/published"].is_null()
    });
    wait_for("no days", || {
        let control_plane = Management(&cluster).get("KubeadmControlPlane", "prod");
        control_plane["spec"]["rollout"]["before"].is_null().then_some(())
    });
}

/// As Cluster API serves its kinds before 1.11.
#[test]
fn the_older_version_of_cluster_api_has_the_days_elsewhere_and_the_condition_in_an_annotation() {
    let Some(assets) = assets() else { return };
    let mut cluster = Cluster::start(&assets);
    cluster.cluster_api = "v1beta1";
    let folder = tempfile::tempdir().unwrap();
    prod(&cluster);
    let management = Management(&cluster);
    // What v1beta1 has in other places (`api/controlplane/kubeadm/v1beta1`).
    management.status("KubeadmControlPlane", "prod", &json!({ "updatedReplicas": 1 }));
    annotate_cluster(&cluster, OPT_IN, &"7d".into());
    let end = in_days(300, 0);
    let host = machine(&cluster, end);
    let _agent = Agent::start(&host, AT_ONCE);
    let _controller = run(&cluster, &folder);
    machine_when(&cluster, "the date", |a| a[EXPIRY] == rfc3339(end));
    let days = |control_plane: &Value| {
        control_plane["spec"]["rolloutBefore"]["certificatesExpiryDays"].clone()
    };
    let control_plane = wait_for("the days", || {
        let control_plane = management.get("KubeadmControlPlane", "prod");
        (days(&control_plane) == 7).then_some(control_plane)
    });
    assert!(control_plane["spec"]["rollout"].is_null());
    let told = wait_for("what people are told", || {
        let object = management.get("Cluster", "prod");
        let text = object["metadata"]["annotations"]["expiryd.dev/certificates-renewed"].clone();
        serde_json::from_str::<Value>(text.as_str()?).ok()
    });
    assert_eq!((&told["status"], &told["reason"]), (&json!("True"), &json!("NotDue")));
    // KCP has seen its spec; what is ours is taken back.
    let generation = control_plane["metadata"]["generation"].clone();
    management.status("KubeadmControlPlane", "prod", &json!({ "observedGeneration": generation }));
    annotate_cluster(&cluster, OPT_IN, &Value::Null);
    machine_when(&cluster, "nothing of ours", |a| a[EXPIRY].is_null());
    wait_for("no days", || {
        let control_plane = management.get("KubeadmControlPlane", "prod");
        days(&control_plane).is_null().then_some(())
    });
}

#[test]
fn the_plan_says_what_would_be_done_and_writes_nothing() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    let folder = tempfile::tempdir().unwrap();
    let end = in_days(300, 0);
    let (_host, _agent) = opted_in(&cluster, end);
    wait_for("the Node's date", || {
        let node = cluster.node("cp-1");
        node["metadata"]["annotations"][EXPIRY].is_string().then_some(())
    });
    let before = Management(&cluster).get("Machine", "cp-1");
    let table = program(&cluster, &folder).arg("plan").output().unwrap();
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(text.starts_with("eksa-system/prod, opted in 7 days before an expiry\n"), "{text}");
    let write = format!("would: write {} on the Machine cp-1", rfc3339(end));
    assert!(text.contains(&write), "{text}");
    let json = program(&cluster, &folder).args(["plan", "-o", "json"]).output().unwrap();
    let plan: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(plan["clusters"][0]["earliest"]["notAfter"], rfc3339(end));
    assert_eq!(Management(&cluster).get("Machine", "cp-1"), before);
}

/// Where EtcdadmConfig is served, it is not in the version that its group prefers: that is KubeadmConfig's.
#[test]
fn an_etcd_of_its_own_is_found_beside_newer_kinds_of_its_groups() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    let folder = tempfile::tempdir().unwrap();
    prod(&cluster);
    with_etcd(&cluster, 3, &json!({ "ready": true }));
    annotate_cluster(&cluster, OPT_IN, &"7d".into());
    let plan = program(&cluster, &folder).args(["plan", "-o", "json"]).output().unwrap();
    let text = String::from_utf8(plan.stdout).unwrap();
    assert!(text.contains("eksa-system"), "{text}");
    assert!(!text.contains("etcd-unmanaged"), "{text}");
}

#[test]
fn a_cluster_without_cluster_api_is_named_as_what_it_is() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    let folder = tempfile::tempdir().unwrap();
    let plan = program(&cluster, &folder).arg("plan").output().unwrap();
    let message = String::from_utf8(plan.stderr).unwrap();
    assert_eq!(plan.status.code(), Some(69));
    assert!(message.contains("serves no Cluster API"), "{message}");
}
