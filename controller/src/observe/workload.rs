//! The Nodes of a workload cluster, through the kubeconfig that Cluster API keeps for it.

use std::collections::BTreeMap;
use std::time::Duration;

use expiryd_api::annotation::{
    ETCD_EXPIRY, MACHINE_CERTIFICATE, MACHINE_EXPIRY, OBSERVED_AT, STATUS,
};
use expiryd_api::{Status, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bounded::{AskError, get};
use super::certificate::first_end;
use super::{ClusterSecret, Gathered, Reading, in_time, path, timestamp};
use crate::facts::{Expiry, NodeReport, Report};
use crate::objects::why;

/// How long a workload cluster may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of its answers; nine Nodes of a control plane, each with fifty images, have a third of that.
const LIMIT: usize = 1 << 20;

/// The Nodes of its control plane.
const NODES: &str = "/api/v1/nodes?labelSelector=node-role.kubernetes.io%2Fcontrol-plane";

/// What is known of a workload cluster.
#[derive(Debug, Default)]
pub(super) struct Workload {
    /// When the first of its CAs ends, as its kubeconfig has them.
    pub(super) ca_not_after: Option<Timestamp>,
    /// What it says; `None` when it was not heard.
    said: Option<Said>,
}

/// See [`Workload`].
#[derive(Debug)]
struct Said {
    /// The UID of its namespace `kube-system`, which is taken for that of a cluster.
    uid: Option<String>,
    /// The control plane's Nodes, by name.
    nodes: BTreeMap<String, Object>,
}

impl Reading<'_> {
    /// Reads the Nodes; the client is made for this and dropped with it.
    pub(super) async fn workload(&self, gathered: &mut Gathered) -> Workload {
        let secret = ClusterSecret::Kubeconfig.of(&self.key.name);
        let who = format!("the workload cluster of the Secret {secret}");
        let config = gathered.said(who.clone(), self.workload_config().await);
        let Some(config) = config else { return Workload::default() };
        let ca_not_after = config.root_cert.as_deref().and_then(first_end);
        let said = gathered.said(who, in_time(TIMEOUT, read(config)).await);
        Workload { ca_not_after, said }
    }

    async fn workload_config(&self) -> Result<Config, String> {
        let text = self.secret(ClusterSecret::Kubeconfig).await?.take("value")?;
        // Why something of it cannot be used, in a library's words, would quote the credentials beside it.
        let kubeconfig =
            Kubeconfig::from_yaml(&text).map_err(|_| "its kubeconfig is none".to_owned())?;
        // It must not have us run a program, nor read a file of ours.
        let foreign =
            kubeconfig.auth_infos.iter().filter_map(|user| user.auth_info.as_ref()).any(|user| {
                user.exec.is_some()
                    || user.auth_provider.is_some()
                    || user.token_file.is_some()
                    || user.client_certificate.is_some()
                    || user.client_key.is_some()
            });
        let names_a_file =
            |cluster: &kube::config::Cluster| cluster.certificate_authority.is_some();
        let clusters = kubeconfig.clusters.iter().filter_map(|cluster| cluster.cluster.as_ref());
        if foreign || clusters.clone().any(names_a_file) {
            return Err("its kubeconfig names a file or a program, and neither is used".to_owned());
        }
        let options = KubeConfigOptions::default();
        let mut config =
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|_| {
                "its kubeconfig names no server, user or context that can be used".to_owned()
            })?;
        config.default_retry = false;
        config.connect_timeout = Some(TIMEOUT);
        config.read_timeout = Some(TIMEOUT);
        Ok(config)
    }
}

async fn read(config: Config) -> Result<Said, String> {
    let client = Client::try_from(config).map_err(|_| {
        "the CA, certificate, key or token in its kubeconfig cannot be used".to_owned()
    })?;
    let nodes: NodeList = get_json(client.clone(), NODES).await?;
    let nodes = nodes.items.into_iter().map(|node| (node.metadata.name.clone(), node)).collect();
    Ok(Said { uid: cluster_uid(client).await.ok().flatten(), nodes })
}

/// What tells a cluster from all others, also behind another address: the UID of its `kube-system`.
///
/// # Errors
/// It does not say.
pub async fn cluster_uid(client: Client) -> Result<Option<String>, String> {
    let namespace: Object = get_json(client, "/api/v1/namespaces/kube-system").await?;
    Ok(namespace.metadata.uid)
}

async fn get_json<T: DeserializeOwned>(client: Client, path: &str) -> Result<T, String> {
    let (status, body) = get(client, path, LIMIT).await.map_err(|error| match error {
        AskError::Request(error) => why(&error),
        AskError::Answer(why) => why,
    })?;
    if !status.is_success() {
        let said: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        return Err(format!("{status} {}", said.message));
    }
    serde_json::from_slice(&body)
        .map_err(|error| format!("its answer is none of Kubernetes: {error}"))
}

/// What Kubernetes says when it refuses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    message: String,
}

#[derive(Debug, Deserialize)]
struct NodeList {
    items: Vec<Object>,
}

/// What of a Node, or of a namespace, is of use here.
#[derive(Debug, Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    uid: Option<String>,
    creation_timestamp: Option<Time>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
struct Spec {
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

impl Workload {
    /// Whether it is the cluster of this UID.
    pub(super) fn is(&self, uid: Option<&str>) -> bool {
        let said = self.said.as_ref().and_then(|said| said.uid.as_deref());
        said.is_some() && said == uid
    }

    /// What the Node of a Machine says, and when it was made. One with another providerID is another
    /// machine's (C1).
    pub(super) fn report(
        &self,
        name: &str,
        provider_id: Option<&str>,
    ) -> (NodeReport, Option<Timestamp>) {
        let Some(Said { nodes, .. }) = &self.said else { return (NodeReport::Unreachable, None) };
        let Some(node) = nodes.get(name) else { return (NodeReport::NoNode, None) };
        let same = node.spec.provider_id.as_deref() == provider_id;
        if !same || provider_id.is_none() {
            return (NodeReport::NoNode, None);
        }
        let created = node.metadata.creation_timestamp.as_ref().map(timestamp);
        (report(node).map_or(NodeReport::NoAgent, NodeReport::Of), created)
    }
}

/// What an agent says on its Node. It writes nothing there before its report has settled.
fn report(node: &Object) -> Option<Report> {
    let says = |key: &str| node.metadata.annotations.get(key).map(String::as_str);
    let date = |key: &str| Timestamp::parse(says(key)?).ok();
    Some(Report {
        observed_at: date(OBSERVED_AT)?,
        status: says(STATUS)?.parse::<Status>().ok()?,
        settled: true,
        machine_rollout: date(MACHINE_EXPIRY)
            .map(|not_after| Expiry { not_after, path: says(MACHINE_CERTIFICATE).and_then(path) }),
        etcd_rollout: date(ETCD_EXPIRY),
    })
}
