//! Cluster API's objects in a real API server: the kinds without their controllers, so that a test plays
//! those.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::{AWAY, As, CLUSTER_API, Cluster};
use crate::wait::{wait_for, wait_up_to};

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

/// Kinds of infrastructure, which are served where their providers are.
const INFRASTRUCTURE: &[(&str, &str, &str, &str)] = &[
    ("infrastructure.cluster.x-k8s.io", "v1beta2", "DevCluster", "devclusters"),
    ("infrastructure.cluster.x-k8s.io", "v1beta2", "DevMachineTemplate", "devmachinetemplates"),
    ("infrastructure.cluster.x-k8s.io", "v1beta1", "EtcdHostMachine", "etcdhostmachines"),
    (
        "infrastructure.cluster.x-k8s.io",
        "v1beta1",
        "EtcdHostMachineTemplate",
        "etcdhostmachinetemplates",
    ),
];

const MERGE: &str = "application/merge-patch+json";

/// A management cluster that is only its API server.
#[derive(Clone, Copy)]
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
                        "name": self.version(version), "served": true, "storage": true,
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
        self.0.make_namespace(NAMESPACE);
        for (group, version, _, plural) in KINDS {
            let version = self.version(version);
            let path = format!("/apis/{group}/{version}/namespaces/{NAMESPACE}/{plural}");
            wait_for("the kind", || {
                let (status, _) = self.0.ask("GET", &path, &Value::Null)?;
                (status == 200).then_some(())
            });
        }
    }

    /// The group, the version and the plural of a kind.
    fn served(self, kind: &str) -> (&'static str, &'static str, &'static str) {
        let mut kinds = KINDS.iter().chain(INFRASTRUCTURE);
        let (group, version, _, plural) = kinds.find(|(_, _, name, _)| *name == kind).unwrap();
        (group, self.version(version), plural)
    }

    /// Cluster API's kinds are served in the version that the cluster is to have.
    fn version(self, usual: &'static str) -> &'static str {
        if usual == CLUSTER_API { self.0.cluster_api } else { usual }
    }

    fn path(self, kind: &str) -> String {
        let (group, version, plural) = self.served(kind);
        format!("/apis/{group}/{version}/namespaces/{NAMESPACE}/{plural}")
    }

    /// Makes an object with its status.
    pub fn create(&self, kind: &str, name: &str, mut object: Value) -> Value {
        let (group, version, _) = self.served(kind);
        object["apiVersion"] = format!("{group}/{version}").into();
        object["kind"] = kind.into();
        object["metadata"]["name"] = name.into();
        let status = object["status"].clone();
        let made = self.0.create(&self.path(kind), &object);
        if status.is_null() { made } else { self.status(kind, name, &status) }
    }

    /// Applies an object by force, as this field manager.
    pub fn apply(&self, kind: &str, name: &str, mut object: Value, manager: &str) -> Value {
        let (group, version, _) = self.served(kind);
        object["apiVersion"] = format!("{group}/{version}").into();
        object["kind"] = kind.into();
        let path = format!("{}/{name}?fieldManager={manager}&force=true", self.path(kind));
        let kind = "application/apply-patch+yaml";
        let (status, applied) =
            wait_for(&path, || self.0.ask_as(&As::Admin, "PATCH", &path, kind, &object));
        assert_eq!(status, 200, "{applied}");
        applied
    }

    /// All of a kind as they are now.
    pub fn list(&self, kind: &str) -> Vec<Value> {
        let path = self.path(kind);
        let (_, list) = wait_up_to(AWAY, kind, || {
            self.0.ask("GET", &path, &Value::Null).filter(|(status, _)| *status == 200)
        });
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// An object as it is now.
    pub fn get(&self, kind: &str, name: &str) -> Value {
        let path = format!("{}/{name}", self.path(kind));
        wait_up_to(AWAY, kind, || self.0.ask("GET", &path, &Value::Null).filter(is_answer)).1
    }

    /// Merges this into an object.
    pub fn patch(&self, kind: &str, name: &str, patch: &Value) -> Value {
        self.merge(&format!("{}/{name}", self.path(kind)), patch)
    }

    /// The same with one that may be gone by then.
    pub fn try_patch(&self, kind: &str, name: &str, patch: &Value) -> bool {
        let path = format!("{}/{name}", self.path(kind));
        let answer = self.0.ask_as(&As::Admin, "PATCH", &path, MERGE, patch);
        answer.is_some_and(|(status, _)| status == 200)
    }

    /// Merges this into its status.
    pub fn status(&self, kind: &str, name: &str, status: &Value) -> Value {
        let path = format!("{}/{name}/status", self.path(kind));
        self.merge(&path, &json!({ "status": status }))
    }

    /// Merges this into whatever is there.
    pub fn merge(&self, path: &str, patch: &Value) -> Value {
        let (status, object) = wait_up_to(AWAY, path, || {
            self.0.ask_as(&As::Admin, "PATCH", path, MERGE, patch).filter(is_answer)
        });
        assert_eq!(status, 200, "{object}");
        object
    }

    /// A Secret with these fields.
    pub fn secret(&self, name: &str, fields: &[(&str, &str)]) {
        self.typed_secret(name, "Opaque", &json!({}), fields);
    }

    /// A Secret of a type, with labels.
    pub fn typed_secret(&self, name: &str, kind: &str, labels: &Value, fields: &[(&str, &str)]) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": { "name": name, "labels": labels }, "data": data(fields),
        });
        self.0.create(&format!("/api/v1/namespaces/{NAMESPACE}/secrets"), &secret);
    }

    /// Gives a Secret to the object that controls it.
    pub fn own_secret(&self, name: &str, controller: &Value) {
        let owner = json!({
            "apiVersion": controller["apiVersion"], "kind": controller["kind"], "controller": true,
            "name": controller["metadata"]["name"], "uid": controller["metadata"]["uid"],
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}");
        self.merge(&path, &json!({ "metadata": { "ownerReferences": [owner] } }));
    }

    /// Writes these fields over those that a Secret has.
    pub fn replace_secret(&self, name: &str, fields: &[(&str, &str)]) {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}");
        self.merge(&path, &json!({ "data": data(fields) }));
    }

    /// A field of a Secret; `None` while it is not there.
    pub fn secret_field(&self, name: &str, field: &str) -> Option<String> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}");
        let (_, secret) = self.0.ask("GET", &path, &Value::Null)?;
        let bytes = STANDARD.decode(secret["data"][field].as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    }

    /// The annotations of a Machine.
    pub fn annotations(&self, machine: &str) -> Value {
        self.get("Machine", machine)["metadata"]["annotations"].clone()
    }
}

/// One that has just been started refuses until it knows what it serves.
const fn is_answer((status, _): &(u16, Value)) -> bool {
    *status < 500
}

/// As a Secret has its fields.
pub fn data(fields: &[(&str, &str)]) -> Value {
    let encoded = |(key, text): &(&str, &str)| ((*key).to_owned(), STANDARD.encode(text).into());
    Value::Object(fields.iter().map(encoded).collect())
}
