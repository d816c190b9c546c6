//! The definitions of the kinds that the controllers serve, as their own projects make them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::wait_for;

/// On every kind of a provider that clusterctl has installed (`cmd/clusterctl/api/v1alpha3/labels.go`).
const CLUSTERCTL: &str = "clusterctl.cluster.x-k8s.io";

const PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Serves every kind of this folder.
pub(crate) fn install(cluster: &Cluster, folder: &Path) {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut definition: Value = serde_saphyr::from_str(&text).unwrap();
        complete(&mut definition);
        cluster.create(PATH, &definition);
    }
    for kind in ["EtcdHostMachine", "EtcdHostMachineTemplate"] {
        cluster.create(PATH, &etcd_host(kind));
    }
    wait_for("every kind to be served", || {
        let (_, list) = cluster.ask("GET", PATH, &Value::Null)?;
        let items = list["items"].as_array()?;
        let served = |item: &Value| {
            let conditions = item["status"]["conditions"].as_array();
            let is = |c: &Value| c["type"] == "Established" && c["status"] == "True";
            conditions.is_some_and(|conditions| conditions.iter().any(is))
        };
        (!items.is_empty() && items.iter().all(served)).then_some(())
    });
}

/// Adds what kustomize would: which versions keep which contract (`config/crd/kustomization.yaml` of each
/// project). No version is converted: nobody writes an old one here.
fn complete(definition: &mut Value) {
    let group = definition["spec"]["group"].as_str().unwrap().to_owned();
    let kind = definition["spec"]["names"]["kind"].as_str().unwrap().to_owned();
    definition["spec"]["conversion"] = json!({ "strategy": "None" });
    let mut labels = if kind.starts_with("Etcdadm") {
        json!({ "cluster.x-k8s.io/v1beta1": "v1alpha3_v1beta1" })
    } else if group == "cluster.x-k8s.io" {
        json!({})
    } else {
        json!({ "cluster.x-k8s.io/v1beta1": "v1beta1", "cluster.x-k8s.io/v1beta2": "v1beta2" })
    };
    // Objects of such kinds are moved with their cluster.
    labels[CLUSTERCTL] = "".into();
    definition["metadata"]["labels"] = labels;
}

/// Of our own infrastructure for etcd, see `etcd_hosts`: whatever is written stays.
fn etcd_host(kind: &str) -> Value {
    let lower = kind.to_lowercase();
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{lower}s.infrastructure.cluster.x-k8s.io"),
            "labels": { "cluster.x-k8s.io/v1beta1": "v1beta1", CLUSTERCTL: "" },
        },
        "spec": {
            "group": "infrastructure.cluster.x-k8s.io",
            "scope": "Namespaced",
            "names": { "kind": kind, "plural": format!("{lower}s"), "singular": lower },
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": {
                    "type": "object", "properties": { "spec": open, "status": open },
                } },
            }],
        },
    })
}
