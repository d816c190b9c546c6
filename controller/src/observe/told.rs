//! What people have been told already, on Cluster API's Cluster.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject};
use serde_json::Value;

use crate::condition::{CONDITION, Condition};
use crate::memory::CERTIFICATES_RENEWED;

/// What the Cluster says already, and where it can be told something else.
#[derive(Debug, Clone)]
pub struct Told {
    /// Cluster API's Cluster.
    pub object: ObjectReference,
    /// What its resourceVersion was.
    pub resource_version: String,
    /// The condition that it carries.
    pub condition: Option<Condition>,
    /// Since when its status is what it is.
    pub since: Option<String>,
}

impl Told {
    /// What a Cluster of this kind says.
    pub fn read(object: &DynamicObject, kind: &ApiResource) -> Self {
        let reference = ObjectReference {
            api_version: Some(kind.api_version.clone()),
            kind: Some(kind.kind.clone()),
            name: object.metadata.name.clone(),
            namespace: object.metadata.namespace.clone(),
            uid: object.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        let text = object.annotations().get(CERTIFICATES_RENEWED);
        let annotated = || serde_json::from_str(text?).ok();
        let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
        let ours = conditions.into_iter().flatten().find(|one| one["type"] == CONDITION);
        let since = ours.and_then(|one| one["lastTransitionTime"].as_str()).map(str::to_owned);
        let condition = ours.and_then(|one| serde_json::from_value(one.clone()).ok());
        Self {
            object: reference,
            resource_version: object.resource_version().unwrap_or_default(),
            condition: condition.or_else(annotated),
            since,
        }
    }
}
