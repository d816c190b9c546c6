//! A KubeadmControlPlane, as far as it is read (`api/controlplane/kubeadm`, v1beta1 and v1beta2).

use std::collections::BTreeMap;

use serde::Deserialize;

/// A KubeadmControlPlane.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ControlPlaneView {
    /// What is wanted.
    pub spec: ControlPlaneSpec,
    /// What is.
    pub status: ControlPlaneStatus,
}

/// See [`ControlPlaneView`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ControlPlaneSpec {
    /// How many Machines.
    pub replicas: Option<usize>,
    /// v1beta1.
    pub rollout_before: Option<RolloutBefore>,
    /// v1beta1.
    pub rollout_strategy: Option<Strategy>,
    /// v1beta2.
    pub rollout: Rollout,
    /// What the Machines get.
    pub machine_template: MachineTemplate,
    /// How the machines are made.
    pub kubeadm_config_spec: KubeadmConfigSpec,
}

/// v1beta2's `spec.rollout`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Rollout {
    /// When.
    pub before: Option<RolloutBefore>,
    /// How.
    pub strategy: Option<Strategy>,
}

/// When to roll.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutBefore {
    /// So many days before an expiry; 0 is none.
    pub certificates_expiry_days: Option<i64>,
}

/// How to roll.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Strategy {
    /// `RollingUpdate`, or EKS Anywhere's `InPlace`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// See [`ControlPlaneSpec`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MachineTemplate {
    /// What it is labelled and annotated with.
    pub metadata: TemplateMetadata,
}

/// See [`MachineTemplate`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TemplateMetadata {
    /// Annotations of every Machine.
    pub annotations: BTreeMap<String, String>,
}

/// See [`ControlPlaneSpec`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeadmConfigSpec {
    /// kubeadm's own configuration.
    pub cluster_configuration: Option<ClusterConfiguration>,
}

/// See [`KubeadmConfigSpec`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterConfiguration {
    /// Where etcd is.
    pub etcd: EtcdView,
    /// How many days a leaf lives, where that is not kubeadm's year; v1beta2.
    pub certificate_validity_period_days: Option<i64>,
}

/// See [`ClusterConfiguration`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EtcdView {
    /// Elsewhere.
    pub external: Option<ExternalEtcd>,
}

/// See [`EtcdView`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ExternalEtcd {
    /// Its client URLs.
    pub endpoints: Vec<String>,
}

/// See [`ControlPlaneView`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ControlPlaneStatus {
    /// Of which generation it is.
    pub observed_generation: Option<i64>,
    /// How many are ready.
    pub ready_replicas: Option<usize>,
    /// How many are as they should be; v1beta1.
    pub updated_replicas: Option<usize>,
    /// How many are as they should be; v1beta2.
    pub up_to_date_replicas: Option<usize>,
    /// Conditions of the version that was read.
    pub conditions: Vec<Condition>,
    /// In v1beta1: those of v1beta2.
    pub v1beta2: Option<OtherConditions>,
    /// In v1beta2: those of v1beta1.
    pub deprecated: Option<Deprecated>,
}

/// See [`ControlPlaneStatus`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Deprecated {
    /// Those of v1beta1.
    pub v1beta1: Option<OtherConditions>,
}

/// See [`ControlPlaneStatus`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OtherConditions {
    /// The conditions.
    pub conditions: Vec<Condition>,
}

/// A condition, of either version.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in a word.
    pub reason: String,
}

impl ControlPlaneStatus {
    /// The status of a condition, wherever it is.
    pub fn condition(&self, kind: &str) -> Option<&str> {
        let v1beta2 = self.v1beta2.iter().flat_map(|other| &other.conditions);
        let v1beta1 = self.deprecated.iter().filter_map(|other| other.v1beta1.as_ref());
        let all = self.conditions.iter().chain(v1beta2);
        let mut all = all.chain(v1beta1.flat_map(|other| &other.conditions));
        all.find(|condition| condition.kind == kind).map(|condition| condition.status.as_str())
    }
}
