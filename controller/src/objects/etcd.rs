//! EtcdadmCluster and EtcdadmConfig, as far as they are read.

use serde::Deserialize;

use super::control_plane::Condition;

/// An EtcdadmCluster (etcdadm-controller `api/v1beta1/etcdadmcluster_types.go`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EtcdClusterView {
    /// What is wanted.
    pub spec: EtcdClusterSpec,
    /// What is.
    pub status: EtcdClusterStatus,
}

/// See [`EtcdClusterView`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EtcdClusterSpec {
    /// How many machines.
    pub replicas: Option<usize>,
}

/// See [`EtcdClusterView`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EtcdClusterStatus {
    /// Of which generation it is.
    pub observed_generation: Option<i64>,
    /// How many are ready.
    pub ready_replicas: Option<usize>,
    /// Whether etcd can be used.
    pub ready: bool,
    /// Client URLs, with commas between them.
    pub endpoints: String,
    /// What etcdadm-controller says of its own work.
    pub conditions: Vec<Condition>,
}

/// An EtcdadmConfig (etcdadm-bootstrap-provider `api/v1beta1/etcdadmconfig_types.go`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EtcdConfigView {
    /// What is wanted.
    pub spec: EtcdConfigSpec,
}

/// See [`EtcdConfigView`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EtcdConfigSpec {
    /// Run once etcdadm is through.
    pub post_etcdadm_commands: Vec<String>,
}
