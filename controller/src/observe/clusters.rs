//! Which clusters there are.

use std::collections::BTreeMap;
use std::fmt;

use kube::api::{Api, DynamicObject, ListParams};
use kube::{Client, ResourceExt};

use super::ClusterSecret;
use crate::objects::{ClusterView, Kinds, view};

/// A cluster's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterKey {
    /// Where all of it is.
    pub namespace: String,
    /// Cluster API's Cluster.
    pub name: String,
}

impl ClusterKey {
    /// The namespace and the name.
    pub fn names(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which clusters are ours.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// In these namespaces; in all when there is none.
    pub namespaces: Vec<String>,
    /// With this value of `cluster.x-k8s.io/watch-filter` (Cluster API `api/core/v1beta2/common_types.go`,
    /// `WatchLabel`).
    pub watch_filter: Option<String>,
}

impl Scope {
    /// Every cluster there is in it.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn clusters(&self, client: &Client, kinds: &Kinds) -> kube::Result<Vec<ClusterKey>> {
        let mut keys = Vec::new();
        for api in self.apis(client, kinds) {
            let list = api.list_metadata(&self.parameters()).await?;
            keys.extend(list.items.iter().map(|cluster| ClusterKey {
                namespace: cluster.namespace().unwrap_or_default(),
                name: cluster.name_any(),
            }));
        }
        keys.sort();
        Ok(keys)
    }

    /// The names of all Secrets that are read of them, by namespace.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn secrets(
        &self,
        client: &Client,
        kinds: &Kinds,
    ) -> kube::Result<BTreeMap<String, Vec<String>>> {
        let mut secrets: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for api in self.apis(client, kinds) {
            for cluster in api.list(&self.parameters()).await? {
                // Of one that cannot be understood nothing more is known than that it is there.
                let external = view::<ClusterView>(&cluster)
                    .is_ok_and(|seen| seen.spec.managed_external_etcd_ref.is_some());
                let names = ClusterSecret::all_of(&cluster.name_any(), external);
                secrets.entry(cluster.namespace().unwrap_or_default()).or_default().extend(names);
            }
        }
        for names in secrets.values_mut() {
            names.sort();
        }
        Ok(secrets)
    }

    fn parameters(&self) -> ListParams {
        self.watch_filter.as_ref().map_or_else(ListParams::default, |filter| {
            ListParams::default().labels(&format!("cluster.x-k8s.io/watch-filter={filter}"))
        })
    }

    fn apis(&self, client: &Client, kinds: &Kinds) -> Vec<Api<DynamicObject>> {
        let kind = &kinds.cluster;
        if self.namespaces.is_empty() {
            vec![Api::all_with(client.clone(), kind)]
        } else {
            let one = |name: &String| Api::namespaced_with(client.clone(), name, kind);
            self.namespaces.iter().map(one).collect()
        }
    }
}
