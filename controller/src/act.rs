//! Carries a decision out: each action is one patch, guarded by the resourceVersion that it rests on.

use expiryd_api::Timestamp;
use expiryd_api::annotation::MACHINE_EXPIRY;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, EvictParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use thiserror::Error;

use crate::decide::Action;
use crate::memory::{
    ETCD_CLIENT_PAIRS, FIRST_SEEN, INTENT, KCP_DAYS, NUDGE, Nudge, PUBLISHED, ROLLED_FOR,
    SKIPPED_HEALTH_CHECKS,
};
use crate::objects::{Kinds, annotation, why};
use crate::observe::etcd::{
    CERTIFICATES, CONTROLLER_LABEL, MARK, NAMESPACE, REFRESH_ASKED, UPGRADE_COMPLETE, UPGRADING,
};
use crate::observe::{ClusterKey, Target, Targets};

/// Who we are to the API server's field management.
pub(crate) const FIELD_MANAGER: &str = "expiryd-controller";

/// How often etcdadm-controller tries a health check; `0` makes it skip them.
const RETRIES: &str = "etcdcluster.cluster.x-k8s.io/healthcheck-retries";

/// Why an action was not carried out.
#[derive(Debug, Error)]
pub enum ActError {
    /// Too little of the lease is left, or another instance has it.
    #[error("the lease is not ours for long enough; another instance goes on")]
    NotLeader,
    /// It took longer than what it rests on is good for; whether it was made is not known.
    #[error("it took too long, so everything is read again first")]
    TooLate,
    /// Something else has changed the object since it was read.
    #[error("{0} has changed since it was read; it is read again")]
    Conflict(String),
    /// It is not there, or was not read.
    #[error("{0} is not there")]
    Gone(String),
    /// The API server refused.
    #[error("{what} cannot be changed: {}", why(source))]
    Api {
        /// What.
        what: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// What is merged into an object (RFC 7396): null removes.
struct Change {
    annotations: Value,
    spec: Option<Value>,
}

impl Change {
    /// Of annotations alone.
    const fn of(annotations: Value) -> Self {
        Self { annotations, spec: None }
    }
}

/// Writes.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    kinds: Kinds,
}

impl Writer {
    /// Writes through this client.
    pub const fn new(client: Client, kinds: Kinds) -> Self {
        Self { client, kinds }
    }

    /// Carries out one action, and takes note of what it wrote to has become.
    ///
    /// # Errors
    /// It was not carried out: nothing that rests on it may be.
    pub async fn act(
        &self,
        key: &ClusterKey,
        action: &Action,
        targets: &mut Targets,
        now: Timestamp,
    ) -> Result<(), ActError> {
        match action {
            Action::Annotate { machine, record } => {
                let born = targets.born.get(machine).map(Timestamp::to_string);
                let annotations = json!({
                    MACHINE_EXPIRY: record.date,
                    PUBLISHED: record.write(),
                    FIRST_SEEN: born,
                });
                self.annotate_machine(key, machine, annotations, targets).await
            }
            Action::Unannotate { machine } => {
                let annotations =
                    json!({ MACHINE_EXPIRY: null, PUBLISHED: null, FIRST_SEEN: null });
                self.annotate_machine(key, machine, annotations, targets).await
            }
            Action::SetDays(days) => self.control_plane(key, self.days(*days), targets).await,
            Action::RecordRolledFor(entries) => {
                let annotations = json!({ ROLLED_FOR: text(entries) });
                self.control_plane(key, Change::of(annotations), targets).await
            }
            Action::RecordPairs(pairs) => {
                self.annotate_etcd(key, json!({ ETCD_CLIENT_PAIRS: text(pairs) }), targets).await
            }
            Action::RecordIntent(intent) => {
                self.annotate_etcd(key, json!({ INTENT: text(intent) }), targets).await
            }
            Action::Nudge { id } => {
                let nudge = Nudge { id: id.clone(), at: now };
                let annotations = json!({ NUDGE: nudge.write(), UPGRADING: "true" });
                self.annotate_etcd(key, annotations, targets).await
            }
            Action::TakeBackNudge => {
                self.annotate_etcd(key, json!({ NUDGE: null, UPGRADING: null }), targets).await
            }
            Action::FinishUpgrade => {
                self.annotate_etcd(key, json!({ UPGRADE_COMPLETE: "true" }), targets).await
            }
            Action::SkipHealthChecks(skip) => self.health_checks(key, *skip, targets).await,
            Action::Mark { machine, id } => self.mark(key, machine, Some(id), targets).await,
            Action::Unmark { machine } => self.mark(key, machine, None, targets).await,
            Action::RefreshSecret => self.refresh_secret(key, targets, now).await,
            Action::RestartEtcdController => self.restart_etcd_controller().await,
        }
    }

    /// Objects of a kind in the cluster's namespace.
    fn api(&self, key: &ClusterKey, kind: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &key.namespace, kind)
    }

    async fn annotate_machine(
        &self,
        key: &ClusterKey,
        machine: &str,
        annotations: Value,
        targets: &mut Targets,
    ) -> Result<(), ActError> {
        let target = targets.machines.get_mut(machine);
        let target = target.ok_or_else(|| gone(format!("the Machine {machine}")))?;
        self.patch(key, &self.kinds.machine, target, Change::of(annotations)).await
    }

    async fn control_plane(
        &self,
        key: &ClusterKey,
        change: Change,
        targets: &mut Targets,
    ) -> Result<(), ActError> {
        let found = self.kinds.control_plane.as_ref().zip(targets.control_plane.as_mut());
        let (kind, target) = found.ok_or_else(|| gone("the KubeadmControlPlane"))?;
        self.patch(key, kind, target, change).await
    }

    async fn annotate_etcd(
        &self,
        key: &ClusterKey,
        annotations: Value,
        targets: &mut Targets,
    ) -> Result<(), ActError> {
        let (kind, target) = self.etcd(targets)?;
        self.patch(key, kind, target, Change::of(annotations)).await
    }

    fn etcd<'a>(
        &self,
        targets: &'a mut Targets,
    ) -> Result<(&ApiResource, &'a mut Target), ActError> {
        let found = self.kinds.etcd.as_ref().zip(targets.etcd.as_mut());
        let (kinds, target) = found.ok_or_else(|| gone("the EtcdadmCluster"))?;
        Ok((&kinds.cluster, target))
    }

    /// The days, in the field of the served version.
    fn days(&self, days: Option<i64>) -> Change {
        let days_field = json!({ "certificatesExpiryDays": days });
        let v1beta1 =
            self.kinds.control_plane.as_ref().is_some_and(|kind| kind.version == "v1beta1");
        let before = days.map(|_| days_field);
        let spec = if v1beta1 {
            json!({ "rolloutBefore": before })
        } else {
            json!({ "rollout": { "before": before } })
        };
        let days = days.map(|days| days.to_string());
        Change { annotations: json!({ KCP_DAYS: days }), spec: Some(spec) }
    }

    /// Has the health checks of etcdadm-controller skipped, or puts back what was there.
    async fn health_checks(
        &self,
        key: &ClusterKey,
        skip: bool,
        targets: &mut Targets,
    ) -> Result<(), ActError> {
        let (kind, target) = self.etcd(targets)?;
        let object = self.read(key, kind, target).await?;
        let annotations = if skip {
            let before = annotation(&object, RETRIES).unwrap_or_default();
            json!({ RETRIES: "0", SKIPPED_HEALTH_CHECKS: before })
        } else {
            let before = annotation(&object, SKIPPED_HEALTH_CHECKS).filter(|b| !b.is_empty());
            json!({ RETRIES: before, SKIPPED_HEALTH_CHECKS: null })
        };
        self.patch(key, kind, target, Change::of(annotations)).await
    }

    /// Has a Machine's EtcdadmConfig carry the mark of this intent and no other.
    async fn mark(
        &self,
        key: &ClusterKey,
        machine: &str,
        id: Option<&String>,
        targets: &mut Targets,
    ) -> Result<(), ActError> {
        let found = self.kinds.etcd.as_ref().zip(targets.etcd_configs.get_mut(machine));
        let (kinds, (target, commands)) =
            found.ok_or_else(|| gone(format!("the EtcdadmConfig of {machine}")))?;
        commands.retain(|command| !command.starts_with(MARK));
        commands.extend(id.map(|id| format!("{MARK}{id}")));
        let spec = Some(json!({ "postEtcdadmCommands": commands }));
        let change = Change { annotations: json!({}), spec };
        self.patch(key, &kinds.config, target, change).await
    }

    /// Makes etcdadm-controller write the Secret anew: it does so where its condition says that the
    /// certificates are not there.
    async fn refresh_secret(
        &self,
        key: &ClusterKey,
        targets: &mut Targets,
        now: Timestamp,
    ) -> Result<(), ActError> {
        let (kind, target) = self.etcd(targets)?;
        let object = self.read(key, kind, target).await?;
        let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
        let mut conditions = conditions.cloned().unwrap_or_default();
        // It is not there after a move: etcdadm-controller writes it only where it makes members.
        if !conditions.iter().any(|condition| condition["type"] == CERTIFICATES) {
            conditions.push(json!({ "type": CERTIFICATES, "lastTransitionTime": now }));
        }
        for condition in &mut conditions {
            if condition["type"] == CERTIFICATES {
                condition["status"] = "False".into();
                condition["severity"] = "Info".into();
                condition["reason"] = REFRESH_ASKED.into();
            }
        }
        let metadata = json!({ "resourceVersion": target.resource_version });
        let patch = json!({ "metadata": metadata, "status": { "conditions": conditions } });
        let api = self.api(key, kind);
        let patched = api.patch_status(&target.name, &parameters(), &Patch::Merge(&patch)).await;
        target.resource_version = patched
            .map_err(|error| refused(describe(kind, &target.name), error))?
            .resource_version()
            .unwrap_or_default();
        Ok(())
    }

    async fn restart_etcd_controller(&self) -> Result<(), ActError> {
        let what = || "etcdadm-controller's pods".to_owned();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let list = pods.list(&ListParams::default().labels(CONTROLLER_LABEL)).await;
        let list = list.map_err(|error| refused(what(), error))?;
        for pod in &list.items {
            let evicted = pods.evict(&pod.name_any(), &EvictParams::default()).await;
            evicted.map_err(|error| refused(what(), error))?;
        }
        Ok(())
    }

    /// Reads an object that a decision rests on, which must not have changed.
    async fn read(
        &self,
        key: &ClusterKey,
        kind: &ApiResource,
        target: &Target,
    ) -> Result<DynamicObject, ActError> {
        let what = describe(kind, &target.name);
        let object = self.api(key, kind).get(&target.name).await;
        let object = object.map_err(|error| refused(what.clone(), error))?;
        if object.resource_version().as_ref() == Some(&target.resource_version) {
            Ok(object)
        } else {
            Err(ActError::Conflict(what))
        }
    }

    async fn patch(
        &self,
        key: &ClusterKey,
        kind: &ApiResource,
        target: &mut Target,
        change: Change,
    ) -> Result<(), ActError> {
        let Change { annotations, spec } = change;
        let version = &target.resource_version;
        let metadata = json!({ "resourceVersion": version, "annotations": annotations });
        // A null would take the spec away.
        let patch = match spec {
            Some(spec) => json!({ "metadata": metadata, "spec": spec }),
            None => json!({ "metadata": metadata }),
        };
        let patched =
            self.api(key, kind).patch(&target.name, &parameters(), &Patch::Merge(&patch)).await;
        let object = patched.map_err(|error| refused(describe(kind, &target.name), error))?;
        target.resource_version = object.resource_version().unwrap_or_default();
        Ok(())
    }
}

/// Of a merge in our name.
pub(crate) fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

fn describe(kind: &ApiResource, name: &str) -> String {
    format!("the {} {name}", kind.kind)
}

fn gone(what: impl Into<String>) -> ActError {
    ActError::Gone(what.into())
}

fn refused(what: String, error: kube::Error) -> ActError {
    match &error {
        kube::Error::Api(status) if status.code == 409 => ActError::Conflict(what),
        kube::Error::Api(status) if status.code == 404 => ActError::Gone(what),
        _ => ActError::Api { what, source: Box::new(error) },
    }
}

/// As an annotation's text. Plain data of ours always is JSON.
fn text(value: &impl serde::Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}
