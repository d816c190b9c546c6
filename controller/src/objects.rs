//! The objects of Cluster API and etcdadm, as far as they are read: thin views of what any served version
//! says.
//!
//! Versions are found by discovery. Both v1beta1 and v1beta2 of Cluster API are read (`api/core/v1beta1`,
//! `api/core/v1beta2`, `api/controlplane/kubeadm`); where they differ, a view takes both places.

mod control_plane;
mod etcd;

use kube::api::{ApiResource, DynamicObject};
use kube::discovery::{self, ApiGroup};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use self::control_plane::{Condition, ControlPlaneStatus, ControlPlaneView};
pub use self::etcd::{EtcdClusterView, EtcdConfigView};

/// Label of everything that belongs to a cluster.
pub const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
/// Label of a control plane's Machines.
pub const CONTROL_PLANE: &str = "cluster.x-k8s.io/control-plane";
/// Label of etcd's Machines.
pub const ETCD_CLUSTER: &str = "cluster.x-k8s.io/etcd-cluster";
/// Annotation that stops a controller.
pub const PAUSED: &str = "cluster.x-k8s.io/paused";

/// Where each kind is served, in which version.
#[derive(Debug, Clone, PartialEq)]
pub struct Kinds {
    /// Cluster API's Cluster.
    pub cluster: ApiResource,
    /// Machine.
    pub machine: ApiResource,
    /// KubeadmControlPlane; `None` where that provider is not installed.
    pub control_plane: Option<ApiResource>,
    /// KubeadmConfig.
    pub kubeadm_config: Option<ApiResource>,
    /// EtcdadmCluster and EtcdadmConfig, where EKS Anywhere's providers are installed.
    pub etcd: Option<EtcdKinds>,
    /// EKS Anywhere's own Cluster.
    pub eks_anywhere: Option<ApiResource>,
}

/// Those of etcdadm.
#[derive(Debug, Clone, PartialEq)]
pub struct EtcdKinds {
    /// EtcdadmCluster.
    pub cluster: ApiResource,
    /// EtcdadmConfig.
    pub config: ApiResource,
}

impl Kinds {
    /// Asks the API server what it serves.
    ///
    /// # Errors
    /// It was not heard, or serves no Cluster API.
    pub async fn discover(client: &Client) -> kube::Result<Option<Self>> {
        let groups = client.list_api_groups().await?;
        let served = |name: &str| groups.groups.iter().any(|group| group.name == name);
        let of = async |group: &str| -> kube::Result<Option<ApiGroup>> {
            if !served(group) {
                return Ok(None);
            }
            discovery::group(client, group).await.map(Some)
        };
        let kind = |group: &Option<ApiGroup>, kind: &str| served_kind(group.as_ref()?, kind);
        let core = of("cluster.x-k8s.io").await?;
        let control_plane = of("controlplane.cluster.x-k8s.io").await?;
        let bootstrap = of("bootstrap.cluster.x-k8s.io").await?;
        let etcd = of("etcdcluster.cluster.x-k8s.io").await?;
        let eks_anywhere = of("anywhere.eks.amazonaws.com").await?;
        let etcd_kinds = kind(&etcd, "EtcdadmCluster").zip(kind(&bootstrap, "EtcdadmConfig"));
        let Some((cluster, machine)) = kind(&core, "Cluster").zip(kind(&core, "Machine")) else {
            return Ok(None);
        };
        Ok(Some(Self {
            cluster,
            machine,
            control_plane: kind(&control_plane, "KubeadmControlPlane"),
            kubeadm_config: kind(&bootstrap, "KubeadmConfig"),
            etcd: etcd_kinds.map(|(cluster, config)| EtcdKinds { cluster, config }),
            eks_anywhere: kind(&eks_anywhere, "Cluster"),
        }))
    }
}

/// Where a group serves a kind. That need not be in the version which the group prefers: EtcdadmConfig is
/// served as v1beta1 beside KubeadmConfig as v1beta2 (etcdadm-bootstrap-provider `config/crd/bases`).
fn served_kind(group: &ApiGroup, kind: &str) -> Option<ApiResource> {
    let recommended = group.recommended_kind(kind);
    let stable =
        || group.resources_by_stability().into_iter().find(|(found, _)| found.kind == kind);
    Some(recommended.or_else(stable)?.0)
}

/// Why a request failed, in words: the API server's own, where it said any.
pub fn why(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => {
            let mut text = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(error) = cause {
                let said = error.to_string();
                if !text.contains(&said) {
                    text = format!("{text}: {said}");
                }
                cause = error.source();
            }
            text
        }
    }
}

/// An object with the view of its content.
///
/// # Errors
/// A field is of another type than it should be.
pub fn view<T: DeserializeOwned>(object: &DynamicObject) -> Result<T, String> {
    serde_json::from_value(object.data.clone()).map_err(|error| {
        let kind = object.types.as_ref().map_or("object", |types| types.kind.as_str());
        format!("the {kind} {} cannot be understood: {error}", object.name_any())
    })
}

/// An annotation of an object.
pub fn annotation<'a>(object: &'a DynamicObject, key: &str) -> Option<&'a str> {
    object.annotations().get(key).map(String::as_str)
}

/// Whether an object is being deleted.
pub fn is_deleting(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

/// Whether an object has an owner of this kind and name that manages it.
pub fn is_owned_by(object: &DynamicObject, kind: &str, name: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.kind == kind && owner.name == name)
}

/// A reference to another object in the same namespace.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Cluster API's Cluster.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterView {
    /// What is wanted.
    pub spec: ClusterSpec,
}

/// See [`ClusterView`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSpec {
    /// Nothing is to be changed.
    pub paused: bool,
    /// The control plane.
    pub control_plane_ref: Option<Reference>,
    /// The EtcdadmCluster (EKS Anywhere's patch of Cluster API).
    pub managed_external_etcd_ref: Option<Reference>,
}

/// A Machine.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineView {
    /// What is wanted.
    pub spec: MachineSpec,
    /// What is.
    pub status: MachineStatus,
}

/// See [`MachineView`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineSpec {
    /// The machine, as its infrastructure names it.
    #[serde(rename = "providerID")]
    pub provider_id: Option<String>,
    /// What it is made from.
    pub bootstrap: Bootstrap,
}

/// See [`MachineSpec`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bootstrap {
    /// The KubeadmConfig or EtcdadmConfig.
    pub config_ref: Option<Reference>,
}

/// See [`MachineView`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineStatus {
    /// The Node.
    pub node_ref: Option<Reference>,
    /// Where it can be reached.
    pub addresses: Vec<Address>,
}

/// See [`MachineStatus`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Address {
    /// Such as `InternalIP`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address or name.
    pub address: String,
}
