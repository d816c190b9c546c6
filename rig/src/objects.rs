//! A cluster's objects with every default written out, since no webhook is there to do it.

use serde_json::{Value, json};
use testkit::cluster_api::Management;

/// What the in-memory provider takes for each step of a machine's start.
const STEP: &str = "1s";

/// A cluster whose control plane is three machines with etcd on them.
pub(crate) fn stacked(management: Management<'_>, name: &str) {
    management.create("Cluster", name, cluster(name, None));
    control_plane(management, name, &json!({ "apiServer": { "certSANs": ["127.0.0.1"] } }));
}

/// A cluster whose control plane is three machines, and its etcd three others, as EKS Anywhere makes it
/// (`pkg/providers/*/config/template-cp.yaml`).
pub(crate) fn external(management: Management<'_>, name: &str) {
    let etcd = format!("{name}-etcd");
    let named = json!({
        "apiGroup": "etcdcluster.cluster.x-k8s.io", "kind": "EtcdadmCluster", "name": etcd,
    });
    management.create("Cluster", name, cluster(name, Some(&named)));
    let template = json!({ "metadata": {}, "spec": { "template": { "spec": {} } } });
    management.create("EtcdHostMachineTemplate", &etcd, template);
    let spec = json!({
        "replicas": 3,
        "etcdadmConfigSpec": {
            "etcdadmBuiltin": true,
            "format": "cloud-config",
            "cloudInitConfig": { "version": "3.5.0" },
        },
        "infrastructureTemplate": {
            "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1",
            "kind": "EtcdHostMachineTemplate",
            "name": etcd,
            "namespace": testkit::cluster_api::NAMESPACE,
        },
    });
    management.create("EtcdadmCluster", &etcd, json!({ "metadata": {}, "spec": spec }));
    // KCP writes EC's endpoints over the placeholder.
    let pki = "/etc/kubernetes/pki";
    let etcd = json!({ "external": {
        "endpoints": ["https://placeholder:2379"],
        "caFile": format!("{pki}/etcd/ca.crt"),
        "certFile": format!("{pki}/apiserver-etcd-client.crt"),
        "keyFile": format!("{pki}/apiserver-etcd-client.key"),
    } });
    control_plane(management, name, &json!({ "etcd": etcd }));
}

fn cluster(name: &str, etcd: Option<&Value>) -> Value {
    let mut spec = json!({
        "clusterNetwork": {
            "pods": { "cidrBlocks": ["10.244.0.0/16"] },
            "services": { "cidrBlocks": ["10.96.0.0/12"] },
        },
        "controlPlaneRef": {
            "apiGroup": "controlplane.cluster.x-k8s.io", "kind": "KubeadmControlPlane", "name": name,
        },
        "infrastructureRef": {
            "apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "DevCluster", "name": name,
        },
    });
    if let Some(etcd) = etcd {
        spec["managedExternalEtcdRef"] = etcd.clone();
    }
    json!({ "metadata": {}, "spec": spec })
}

fn control_plane(management: Management<'_>, name: &str, configuration: &Value) {
    let backend = json!({ "backend": { "inMemory": {} } });
    // The provider writes an annotation into the map that it finds here.
    let metadata = json!({ "annotations": { "expiryd.dev/rig": "true" } });
    management.create("DevCluster", name, json!({ "metadata": metadata, "spec": backend }));
    let step = json!({ "provisioning": { "startupDuration": STEP } });
    let machine = json!({ "vm": step, "node": step, "apiServer": step, "etcd": step });
    let template = json!({ "template": { "spec": { "backend": { "inMemory": machine } } } });
    management.create("DevMachineTemplate", name, json!({ "metadata": {}, "spec": template }));
    let registration = json!({ "nodeRegistration": { "kubeletExtraArgs": [
        { "name": "eviction-hard", "value": "nodefs.available<0%" },
    ] } });
    let spec = json!({
        "replicas": 3,
        "version": "v1.34.0",
        "machineTemplate": { "spec": { "infrastructureRef": {
            "apiGroup": "infrastructure.cluster.x-k8s.io",
            "kind": "DevMachineTemplate",
            "name": name,
        } } },
        "rollout": { "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1 } } },
        "kubeadmConfigSpec": {
            "clusterConfiguration": configuration,
            "initConfiguration": registration,
            "joinConfiguration": registration,
        },
    });
    // EKS Anywhere sets it; without it core would pause and unpause KCP with etcd.
    let annotations = json!({ "cluster.x-k8s.io/skip-pause-cp-managed-etcd": "true" });
    let metadata = json!({ "annotations": annotations });
    management.create("KubeadmControlPlane", name, json!({ "metadata": metadata, "spec": spec }));
}
