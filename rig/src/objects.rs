//! A cluster's objects with every default written out, since no webhook is there to do it.

use serde_json::{Value, json};

/// An object: its kind, its name, and the rest.
pub(crate) type Object = (&'static str, String, Value);

/// What the in-memory provider takes for each step of a machine's start.
const STEP: &str = "1s";

/// A cluster whose control plane is three machines with etcd on them.
pub(crate) fn stacked(name: &str) -> Vec<Object> {
    let configuration = json!({ "apiServer": { "certSANs": ["127.0.0.1"] } });
    let mut objects = vec![("Cluster", name.to_owned(), cluster(name, None))];
    objects.extend(control_plane(name, &configuration));
    objects
}

/// A cluster whose control plane is three machines, and its etcd so many others, as EKS Anywhere makes it
/// (`pkg/providers/*/config/template-cp.yaml`).
pub(crate) fn external(name: &str, members: usize) -> Vec<Object> {
    let etcd = format!("{name}-etcd");
    let named = json!({
        "apiGroup": "etcdcluster.cluster.x-k8s.io", "kind": "EtcdadmCluster", "name": etcd,
    });
    let template = json!({ "metadata": {}, "spec": { "template": { "spec": {} } } });
    let spec = json!({
        "replicas": members,
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
    let mut objects = vec![
        ("Cluster", name.to_owned(), cluster(name, Some(&named))),
        ("EtcdHostMachineTemplate", etcd.clone(), template),
        ("EtcdadmCluster", etcd, json!({ "metadata": {}, "spec": spec })),
    ];
    // KCP writes EC's endpoints over the placeholder.
    let pki = "/etc/kubernetes/pki";
    let etcd = json!({ "external": {
        "endpoints": ["https://placeholder:2379"],
        "caFile": format!("{pki}/etcd/ca.crt"),
        "certFile": format!("{pki}/apiserver-etcd-client.crt"),
        "keyFile": format!("{pki}/apiserver-etcd-client.key"),
    } });
    objects.extend(control_plane(name, &json!({ "etcd": etcd })));
    objects
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

fn control_plane(name: &str, configuration: &Value) -> [Object; 3] {
    let backend = json!({ "backend": { "inMemory": {} } });
    // The provider writes an annotation into the map that it finds here.
    let metadata = json!({ "annotations": { "expiryd.dev/rig": "true" } });
    let infrastructure = json!({ "metadata": metadata, "spec": backend });
    let step = json!({ "provisioning": { "startupDuration": STEP } });
    let machine = json!({ "vm": step, "node": step, "apiServer": step, "etcd": step });
    let template = json!({ "template": { "spec": { "backend": { "inMemory": machine } } } });
    let template = json!({ "metadata": {}, "spec": template });
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
    let object = json!({ "metadata": metadata, "spec": spec });
    [
        ("DevCluster", name.to_owned(), infrastructure),
        ("DevMachineTemplate", name.to_owned(), template),
        ("KubeadmControlPlane", name.to_owned(), object),
    ]
}
