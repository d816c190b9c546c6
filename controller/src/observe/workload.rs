//! The Nodes of a workload cluster, through the kubeconfig that Cluster API keeps for it.

use std::collections::BTreeMap;
use std::time::Duration;

use expiryd_api::annotation::{
    ETCD_EXPIRY, MACHINE_CERTIFICATE, MACHINE_EXPIRY, OBSERVED_AT, STATUS,
};
use expiryd_api::{Status, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};

use super::{Reading, heard, timestamp};
use crate::facts::{Expiry, NodeReport, Report};

/// How long a workload cluster may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The control plane's Nodes of one cluster.
#[derive(Debug)]
pub(super) enum Nodes {
    /// It was not heard.
    Unreachable,
    /// These, by name.
    Of(BTreeMap<String, Node>),
}

impl Reading<'_> {
    /// Reads the Nodes; the client is made for this and dropped with it.
    pub(super) async fn nodes(&self) -> Nodes {
        let heard = heard(self.key, "the workload cluster", TIMEOUT, self.read_nodes()).await;
        heard.map_or(Nodes::Unreachable, Nodes::Of)
    }

    async fn read_nodes(&self) -> Result<BTreeMap<String, Node>, String> {
        let text = self.secret("kubeconfig").await?.take("value")?;
        let kubeconfig = Kubeconfig::from_yaml(&text).map_err(|error| error.to_string())?;
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
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| error.to_string())?;
        config.connect_timeout = Some(TIMEOUT);
        config.read_timeout = Some(TIMEOUT);
        let client = Client::try_from(config).map_err(|error| error.to_string())?;
        let nodes: Api<Node> = Api::all(client);
        let label = "node-role.kubernetes.io/control-plane";
        let list = nodes.list(&ListParams::default().labels(label)).await;
        let list = list.map_err(|error| error.to_string())?;
        Ok(list.items.into_iter().map(|node| (node.name_any(), node)).collect())
    }

    /// One of the Secrets that Cluster API and etcdadm-controller keep for a cluster, read once: its fields
    /// belong together.
    pub(super) async fn secret(&self, suffix: &str) -> Result<Fields, String> {
        let name = format!("{}-{suffix}", self.key.name);
        let secrets: Api<Secret> =
            Api::namespaced(self.observer.client.clone(), &self.key.namespace);
        let secret = secrets.get(&name).await.map_err(|error| error.to_string())?;
        Ok(Fields { name, data: secret.data.unwrap_or_default() })
    }
}

/// The fields of a Secret.
pub(super) struct Fields {
    name: String,
    data: BTreeMap<String, ByteString>,
}

impl Fields {
    /// One of them, which has to be text.
    pub(super) fn take(&mut self, field: &str) -> Result<String, String> {
        let Self { name, data } = self;
        let data = data.remove(field);
        let data = data.ok_or_else(|| format!("the Secret {name} has no field {field}"))?;
        String::from_utf8(data.0).map_err(|_| format!("{field} of the Secret {name} is no text"))
    }
}

impl Nodes {
    /// What the Node of a Machine says, and when it was made. One with another providerID is another
    /// machine's (C1).
    pub(super) fn report(
        &self,
        name: &str,
        provider_id: Option<&str>,
    ) -> (NodeReport, Option<Timestamp>) {
        let nodes = match self {
            Self::Unreachable => return (NodeReport::Unreachable, None),
            Self::Of(nodes) => nodes,
        };
        let Some(node) = nodes.get(name) else { return (NodeReport::NoNode, None) };
        let spec = node.spec.as_ref();
        let same = spec.and_then(|spec| spec.provider_id.as_deref()) == provider_id;
        if !same || provider_id.is_none() {
            return (NodeReport::NoNode, None);
        }
        let created = node.metadata.creation_timestamp.as_ref().map(timestamp);
        (report(node).map_or(NodeReport::NoAgent, NodeReport::Of), created)
    }
}

/// What an agent says on its Node. It writes nothing there before its report has settled.
fn report(node: &Node) -> Option<Report> {
    let says = |key: &str| node.annotations().get(key).map(String::as_str);
    let date = |key: &str| Timestamp::parse(says(key)?).ok();
    Some(Report {
        observed_at: date(OBSERVED_AT)?,
        status: says(STATUS)?.parse::<Status>().ok()?,
        settled: true,
        machine_rollout: date(MACHINE_EXPIRY).map(|not_after| Expiry {
            not_after,
            path: says(MACHINE_CERTIFICATE).map(str::to_owned),
        }),
        etcd_rollout: date(ETCD_EXPIRY),
    })
}
