//! What people have been told already, on Cluster API's Cluster.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject};
use serde_json::Value;

use crate::condition::{CONDITION, Condition};
use crate::memory::CERTIFICATES_RENEWED;

/// Whether a Cluster of this kind has conditions as Kubernetes has them, with a reason and a list by type.
pub fn has_conditions(kind: &ApiResource) -> bool {
    kind.version != "v1beta1"
}

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
        let annotated = || -> Option<Condition> { serde_json::from_str(text?).ok() };
        let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
        let ours = conditions.into_iter().flatten().find(|one| one["type"] == CONDITION);
        let since = ours.and_then(|one| one["lastTransitionTime"].as_str()).map(str::to_owned);
        let condition = ours.and_then(|one| serde_json::from_value(one.clone()).ok());
        Self {
            object: reference,
            resource_version: object.resource_version().unwrap_or_default(),
            // Where there are conditions, what a version without them left behind tells nothing.
            condition: condition.or_else(|| annotated().filter(|_| !has_conditions(kind))),
            since,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::api::GroupVersionKind;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_version_without_conditions_left_behind_is_not_taken_for_the_condition() {
        let object: DynamicObject = serde_json::from_value(json!({
            "metadata": {
                "name": "one",
                "annotations": {
                    CERTIFICATES_RENEWED: r#"{"status": "True", "reason": "Renewed", "message": "all is well"}"#,
                },
            },
        }))
        .unwrap();
        let told = |version| {
            let kind = GroupVersionKind::gvk("cluster.x-k8s.io", version, "Cluster");
            Told::read(&object, &ApiResource::from_gvk(&kind)).condition
        };
        assert!(told("v1beta1").is_some_and(|condition| condition.status == "True"));
        assert_eq!(told("v1beta2"), None);
    }
}
