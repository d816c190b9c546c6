//! The Secrets that are read of a cluster: three, and no other.

use std::collections::BTreeMap;

use expiryd_api::closed_list;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::Api;

use super::Reading;
use crate::objects::{CLUSTER_NAME, why};

closed_list! {
    /// What a Secret's name has after the cluster's (Cluster API `util/secret/consts.go`, etcdadm-controller
    /// `controllers/certs.go`).
    ClusterSecret {
        /// An admin's way to the workload cluster, which Cluster API keeps.
        Kubeconfig = "kubeconfig",
        /// The client pair for an etcd on machines of its own.
        EtcdClient = "apiserver-etcd-client",
        /// The certificate of that etcd's CA; etcdadm-controller writes it without the key.
        EtcdAuthority = "etcd",
    }
}

/// With this at the end of a cluster's name its `CLUSTER-etcd` is what another cluster calls
/// `CLUSTER-managed-etcd`: the Secret with the key of that one's etcd CA.
const AMBIGUOUS: &str = "-managed";

impl ClusterSecret {
    /// Its name, for a cluster.
    pub fn of(self, cluster: &str) -> String {
        format!("{cluster}-{self}")
    }

    /// Those of a cluster, whose etcd may run on machines of its own, that can be told by their names.
    pub fn all_of(cluster: &str, has_external_etcd: bool) -> Vec<String> {
        let all = Self::ALL.iter().filter(|one| has_external_etcd || **one == Self::Kubeconfig);
        all.filter(|one| !one.is_ambiguous(cluster)).map(|one| one.of(cluster)).collect()
    }

    /// Whether another cluster may have the key of a CA under this name.
    fn is_ambiguous(self, cluster: &str) -> bool {
        self == Self::EtcdAuthority && cluster.ends_with(AMBIGUOUS)
    }
}

impl Reading<'_> {
    /// One of them, read once: its fields belong together.
    pub(super) async fn secret(&self, secret: ClusterSecret) -> Result<Fields, String> {
        let name = secret.of(&self.key.name);
        let secrets: Api<Secret> =
            Api::namespaced(self.observer.client.clone(), &self.key.namespace);
        if secret.is_ambiguous(&self.key.name) {
            // Its metadata alone: the key is not even sent.
            let metadata = secrets.get_metadata(&name).await.map_err(|error| why(&error))?;
            let of = metadata.labels().get(CLUSTER_NAME);
            if of != Some(&self.key.name) {
                let of = of.map_or("no cluster", String::as_str);
                return Err(format!(
                    "the Secret {name} is labelled as of {of}, not of {}; it may hold the key of a CA and is not read",
                    self.key.name
                ));
            }
        }
        let secret = secrets.get(&name).await.map_err(|error| why(&error))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_etcd_ca_is_none_of_them() {
        for name in ClusterSecret::all_of("prod", true) {
            assert!(!name.contains("managed"), "{name}");
        }
        assert_eq!(ClusterSecret::all_of("prod", false), ["prod-kubeconfig"]);
    }

    #[test]
    fn a_name_that_another_clusters_ca_may_have_is_looked_at_first() {
        assert!(ClusterSecret::EtcdAuthority.is_ambiguous("prod-managed"));
        assert!(!ClusterSecret::EtcdAuthority.is_ambiguous("prod"));
        assert!(!ClusterSecret::Kubeconfig.is_ambiguous("prod-managed"));
        // Nor is the right to read it handed out by name.
        assert!(!ClusterSecret::all_of("prod-managed", true).contains(&"prod-managed-etcd".into()));
    }
}
