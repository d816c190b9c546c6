//! The objects of a fleet whose clusters are all alike, and at rest.

use serde_json::{Value, json};

/// Machines of each kind in a cluster; a seventh is a worker, which is not asked for.
pub const MACHINES: usize = 3;

/// Where every etcd machine is: one server answers for all of them.
pub const ETCD: &str = "127.77.0.1";

pub fn machine_name(cluster: &str, n: usize, of_etcd: bool) -> String {
    format!("{cluster}-{}-{n}", if of_etcd { "etcd" } else { "cp" })
}

pub fn machine(cluster: &str, n: usize, of_etcd: bool) -> Value {
    let name = machine_name(cluster, n, of_etcd);
    let (kind, owner) = if of_etcd {
        ("EtcdadmCluster", format!("{cluster}-etcd"))
    } else {
        ("KubeadmControlPlane", cluster.to_owned())
    };
    json!({
        "metadata": {
            "name": name, "uid": name, "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": { "cluster.x-k8s.io/cluster-name": cluster },
            "ownerReferences": [{ "kind": kind, "name": owner, "apiVersion": "x", "uid": "1" }],
        },
        "spec": {
            "providerID": format!("test:///{name}"),
            "bootstrap": { "configRef": { "kind": "KubeadmConfig", "name": name } },
        },
        "status": {
            "nodeRef": { "name": name },
            "addresses": [{ "type": "InternalIP", "address": ETCD }],
        },
    })
}

pub fn cluster(number: usize) -> Value {
    json!({
        "metadata": {
            "name": format!("c{number}"), "namespace": "fleet", "uid": format!("u{number}"), "resourceVersion": "1",
            "annotations": { "expiryd.dev/rollout-before-expiry": "7d" },
        },
        "spec": {
            "controlPlaneRef": { "kind": "KubeadmControlPlane", "name": format!("c{number}") },
            "managedExternalEtcdRef": { "kind": "EtcdadmCluster", "name": format!("c{number}-etcd") },
        },
        "status": { "phase": "Provisioned" },
    })
}

pub fn control_plane(name: &str) -> Value {
    let external = json!({ "external": { "endpoints": [format!("https://{ETCD}:2379")] } });
    json!({
        "metadata": { "name": name, "resourceVersion": "1", "generation": 1 },
        "spec": {
            "replicas": MACHINES,
            "kubeadmConfigSpec": { "clusterConfiguration": { "etcd": external } },
        },
        "status": { "observedGeneration": 1, "readyReplicas": MACHINES, "upToDateReplicas": MACHINES },
    })
}

pub fn etcd_cluster(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "resourceVersion": "1", "generation": 1 },
        "spec": { "replicas": MACHINES },
        "status": {
            "ready": true, "readyReplicas": MACHINES, "observedGeneration": 1,
            "endpoints": format!("https://{ETCD}:2379"),
        },
    })
}

pub fn namespace(uid: &str) -> Value {
    json!({ "metadata": { "name": "kube-system", "uid": uid } })
}

pub fn list(items: impl Iterator<Item = Value>) -> Value {
    json!({ "metadata": { "resourceVersion": "1" }, "items": items.collect::<Vec<_>>() })
}

/// A version of a group, with the kinds that it has.
type Version = (&'static str, &'static [(&'static str, &'static str)]);

/// What is served, with the version that each group prefers first.
const SERVED: &[(&str, &[Version])] = &[
    ("cluster.x-k8s.io", &[("v1beta2", &[("Cluster", "clusters"), ("Machine", "machines")])]),
    (
        "controlplane.cluster.x-k8s.io",
        &[("v1beta2", &[("KubeadmControlPlane", "kubeadmcontrolplanes")])],
    ),
    (
        "bootstrap.cluster.x-k8s.io",
        &[
            ("v1beta2", &[("KubeadmConfig", "kubeadmconfigs")]),
            ("v1beta1", &[("EtcdadmConfig", "etcdadmconfigs")]),
        ],
    ),
    ("etcdcluster.cluster.x-k8s.io", &[("v1beta1", &[("EtcdadmCluster", "etcdadmclusters")])]),
];

pub fn groups() -> Value {
    let groups: Vec<_> = SERVED
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<_> = versions
                .iter()
                .map(|(version, _)| {
                    json!({ "groupVersion": format!("{group}/{version}"), "version": version })
                })
                .collect();
            json!({ "name": group, "versions": versions, "preferredVersion": versions[0] })
        })
        .collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

pub fn resources(group: &str, version: &str) -> Value {
    let versions = SERVED.iter().find(|(name, _)| *name == group).map_or(&[][..], |(_, v)| v);
    let kinds = versions.iter().find(|(name, _)| *name == version).map_or(&[][..], |(_, k)| k);
    let resources: Vec<_> = kinds
        .iter()
        .map(|(kind, plural)| {
            json!({
                "name": plural, "singularName": "", "namespaced": true, "kind": kind,
                "verbs": ["get", "list", "patch"],
            })
        })
        .collect();
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/{version}"),
        "resources": resources,
    })
}
