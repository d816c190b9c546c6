//! Cluster API's objects in a real API server: the kinds without their controllers, so that a test plays
//! those.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::{As, Cluster};
use crate::wait::wait_for;

/// The namespace of all of it, as EKS Anywhere has it.
pub const NAMESPACE: &str = "eksa-system";

/// Where the kinds are served, with the version that is.
const KINDS: &[(&str, &str, &str, &str)] = &[
    ("cluster.x-k8s.io", "v1beta2", "Cluster", "clusters"),
    ("cluster.x-k8s.io", "v1beta2", "Machine", "machines"),
    ("controlplane.cluster.x-k8s.io", "v1beta2", "KubeadmControlPlane", "kubeadmcontrolplanes"),
    ("bootstrap.cluster.x-k8s.io", "v1beta2", "KubeadmConfig", "kubeadmconfigs"),
    ("bootstrap.cluster.x-k8s.io", "v1beta1", "EtcdadmConfig", "etcdadmconfigs"),
    ("etcdcluster.cluster.x-k8s.io", "v1beta1", "EtcdadmCluster", "etcdadmclusters"),
];

const MERGE: &str = "application/merge-patch+json";

/// A management cluster that is only its API server.
pub struct Management<'a>(pub &'a Cluster);

impl Management<'_> {
    /// Serves the kinds, and makes the namespace.
    pub fn install(&self) {
        // Each condition has its own owner (Cluster API's types: listType map, listMapKey type).
        let conditions = json!({
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
            "items": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "required": ["type"], "properties": { "type": { "type": "string" } },
            },
        });
        for (group, version, kind, plural) in KINDS {
            let definition = json!({
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": { "name": format!("{plural}.{group}") },
                "spec": {
                    "group": group,
                    "scope": "Namespaced",
                    "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase() },
                    "versions": [{
                        "name": version, "served": true, "storage": true,
                        "subresources": { "status": {} },
                        "schema": { "openAPIV3Schema": {
                            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                            "properties": { "status": {
                                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                                "properties": { "conditions": conditions },
                            } },
                        } },
                    }],
                },
            });
            let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
            self.0.create(path, &definition);
        }
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
        self.0.create("/api/v1/namespaces", &namespace);
        for (group, version, _, plural) in KINDS {
            let path = format!("/apis/{group}/{version}/namespaces/{NAMESPACE}/{plural}");
            wait_for("the kind", || {
                let (status, _) = self.0.ask("GET", &path, &Value::Null)?;
                (status == 200).then_some(())
            });
        }
    }

    fn path(kind: &str) -> String {
        let (group, version, _, plural) = KINDS.iter().find(|(_, _, k, _)| *k == kind).unwrap();
        format!("/apis/{group}/{version}/namespaces/{NAMESPACE}/{plural}")
    }

    /// Makes an object with its status.
    pub fn create(&self, kind: &str, name: &str, mut object: Value) -> Value {
        let (group, version, ..) = KINDS.iter().find(|(_, _, k, _)| *k == kind).unwrap();
        object["apiVersion"] = format!("{group}/{version}").into();
        object["kind"] = kind.into();
        object["metadata"]["name"] = name.into();
        let status = object["status"].clone();
        self.0.create(&Self::path(kind), &object);
        self.status(kind, name, &status)
    }

    /// An object as it is now.
    pub fn get(&self, kind: &str, name: &str) -> Value {
        let path = format!("{}/{name}", Self::path(kind));
        wait_for(kind, || self.0.ask("GET", &path, &Value::Null)).1
    }

    /// Merges this into an object.
    pub fn patch(&self, kind: &str, name: &str, patch: &Value) -> Value {
        self.merge(&format!("{}/{name}", Self::path(kind)), patch)
    }

    /// Merges this into its status.
    pub fn status(&self, kind: &str, name: &str, status: &Value) -> Value {
        let path = format!("{}/{name}/status", Self::path(kind));
        self.merge(&path, &json!({ "status": status }))
    }

    /// Merges this into whatever is there.
    pub fn merge(&self, path: &str, patch: &Value) -> Value {
        let (status, object) =
            wait_for(path, || self.0.ask_as(&As::Admin, "PATCH", path, MERGE, patch));
        assert_eq!(status, 200, "{object}");
        object
    }

    /// A Secret with these fields.
    pub fn secret(&self, name: &str, fields: &[(&str, &str)]) {
        let data: serde_json::Map<_, _> = fields
            .iter()
            .map(|(key, text)| ((*key).to_owned(), STANDARD.encode(text).into()))
            .collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "data": data,
        });
        self.0.create(&format!("/api/v1/namespaces/{NAMESPACE}/secrets"), &secret);
    }

    /// The annotations of a Machine.
    pub fn annotations(&self, machine: &str) -> Value {
        self.get("Machine", machine)["metadata"]["annotations"].clone()
    }
}
