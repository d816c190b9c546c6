//! Tells people in the management cluster: the condition on Cluster API's Cluster, and Events when something
//! is done or the condition changes.

use expiryd_api::Timestamp;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tracing::warn;

use crate::act::{FIELD_MANAGER, parameters};
use crate::condition::{CONDITION, Condition, camel};
use crate::decide::Planned;
use crate::memory::CERTIFICATES_RENEWED;
use crate::objects::why;
use crate::observe::{ClusterKey, Told, has_conditions};

/// Bytes of an Event's note that the API server takes (`events.k8s.io/v1`, Event.note).
const NOTE: usize = 1_024;

/// Writes the condition, and Events.
#[derive(Clone)]
pub struct Teller {
    client: Client,
    cluster: ApiResource,
    identity: String,
}

impl Teller {
    /// Tells of Clusters of this kind, as this instance.
    pub const fn new(client: Client, cluster: ApiResource, identity: String) -> Self {
        Self { client, cluster, identity }
    }

    /// Has the Cluster carry this condition, or none; says of what changed. What cannot be told is logged:
    /// nothing rests on it.
    pub async fn condition(
        &self,
        key: &ClusterKey,
        told: &Told,
        condition: Option<Condition>,
        now: Timestamp,
    ) {
        if told.condition == condition {
            return;
        }
        let written = if has_conditions(&self.cluster) {
            self.write_condition(key, told, condition.as_ref(), now).await
        } else {
            self.write_annotation(key, told, condition.as_ref()).await
        };
        if let Err(error) = written {
            let why = why(&error);
            warn!(cluster = %key, "the condition cannot be written, and is tried again: {why}{}", self.rights());
            return;
        }
        let word = |condition: &Condition| (condition.status.clone(), condition.reason.clone());
        let Some(condition) = condition else { return };
        if told.condition.as_ref().map(word) != Some(word(&condition)) {
            let kind = if condition.status == "True" { "Normal" } else { "Warning" };
            self.event(key, told, kind, &condition.reason, &condition.message).await;
        }
    }

    /// Says what was done, where people want to know.
    pub async fn done(&self, key: &ClusterKey, told: &Told, planned: &Planned) {
        let action = &planned.action;
        if action.is_event() {
            let note = format!("{action} ({})", planned.reason);
            self.event(key, told, "Normal", &camel(action.name().as_str()), &note).await;
        }
    }

    /// What has to be granted beside what is granted for all.
    fn rights(&self) -> &'static str {
        if has_conditions(&self.cluster) {
            ""
        } else {
            "; before Cluster API 1.11 apply packaging/kubernetes/controller/cluster-api-v1beta1.yaml"
        }
    }

    fn clusters(&self, key: &ClusterKey) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &key.namespace, &self.cluster)
    }

    /// By server-side apply: the list is a map by type, and Cluster API's own conditions stay its own. Without
    /// the resourceVersion: Cluster API writes this status all the time, and nobody else this condition.
    async fn write_condition(
        &self,
        key: &ClusterKey,
        told: &Told,
        condition: Option<&Condition>,
        now: Timestamp,
    ) -> kube::Result<()> {
        let same = |condition: &&Condition| {
            told.condition.as_ref().is_some_and(|told| told.status == condition.status)
        };
        let since = condition.filter(same).and(told.since.clone());
        let conditions: Vec<Value> = condition
            .map(|condition| {
                json!({
                    "type": CONDITION,
                    "status": condition.status,
                    "reason": condition.reason,
                    "message": condition.message,
                    "lastTransitionTime": since.unwrap_or_else(|| now.to_string()),
                })
            })
            .into_iter()
            .collect();
        let apply = json!({
            "apiVersion": self.cluster.api_version,
            "kind": self.cluster.kind,
            "metadata": { "name": key.name },
            "status": { "conditions": conditions },
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.clusters(key).patch_status(&key.name, &parameters, &Patch::Apply(&apply)).await?;
        Ok(())
    }

    async fn write_annotation(
        &self,
        key: &ClusterKey,
        told: &Told,
        condition: Option<&Condition>,
    ) -> kube::Result<()> {
        let text = condition.and_then(|condition| serde_json::to_string(condition).ok());
        let patch = json!({ "metadata": {
            "resourceVersion": told.resource_version,
            "annotations": { CERTIFICATES_RENEWED: text },
        } });
        self.clusters(key).patch(&key.name, &parameters(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    async fn event(&self, key: &ClusterKey, told: &Told, kind: &str, reason: &str, note: &str) {
        let note = note.get(..note.floor_char_boundary(NOTE)).unwrap_or_default();
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-", key.name)),
                namespace: Some(key.namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some("Renew".to_owned()),
            event_time: Some(MicroTime(k8s_openapi::jiff::Timestamp::now())),
            note: Some(note.to_owned()),
            reason: Some(reason.to_owned()),
            regarding: Some(told.object.clone()),
            reporting_controller: Some("expiryd.dev/controller".to_owned()),
            reporting_instance: Some(self.identity.clone()),
            type_: Some(kind.to_owned()),
            ..Event::default()
        };
        let events: Api<Event> = Api::namespaced(self.client.clone(), &key.namespace);
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            warn!(cluster = %key, "the Event cannot be written: {}", why(&error));
        }
    }
}
