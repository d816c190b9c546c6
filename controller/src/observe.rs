//! Reads one cluster, afresh each time: nothing is cached, so nothing is stale but for the time between a
//! read and the write that its resourceVersion guards.

mod agents;
mod bounded;
mod certificate;
mod clusters;
mod control_plane;
pub(crate) mod etcd;
mod secret;
mod served;
mod told;
mod workload;

use std::collections::BTreeMap;
use std::time::Duration;

use expiryd_api::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, ResourceExt};
use thiserror::Error;

pub use self::clusters::{ClusterKey, Scope};
pub use self::secret::ClusterSecret;
pub use self::told::{Told, has_conditions};
use self::workload::Workload;
pub use self::workload::cluster_uid;
use crate::facts::{Cluster, Facts};
use crate::memory::{ACKNOWLEDGE, FIRST_SEEN, HOLD, ROLLOUT_BEFORE_EXPIRY};
use crate::objects::{CLUSTER_NAME, ClusterView, Kinds, PAUSED, annotation, is_deleting, view};
use crate::unheard::Unheard;

/// Why a cluster could not be read.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// The management API server did not give it.
    #[error("{what} of {cluster} cannot be read: {}", crate::objects::why(source))]
    Api {
        /// What was asked for.
        what: &'static str,
        /// Of which cluster.
        cluster: ClusterKey,
        /// Why.
        source: Box<kube::Error>,
    },
    /// An object is not what it should be.
    #[error("{cluster}: {why}")]
    Object {
        /// Of which cluster.
        cluster: ClusterKey,
        /// What is wrong with it.
        why: String,
    },
}

/// The object that an action writes to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// What the decision rests on.
    pub resource_version: String,
}

impl Target {
    fn of(object: &DynamicObject) -> Self {
        let resource_version = object.resource_version().unwrap_or_default();
        Self { name: object.name_any(), resource_version }
    }
}

/// The objects that actions write to, by what the decision calls them.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// The Machines, of both kinds.
    pub machines: BTreeMap<String, Target>,
    /// When they were born.
    pub born: BTreeMap<String, Timestamp>,
    /// The EtcdadmConfigs, by their Machines, with their commands.
    pub etcd_configs: BTreeMap<String, (Target, Vec<String>)>,
    /// The control plane.
    pub control_plane: Option<Target>,
    /// The EtcdadmCluster.
    pub etcd: Option<Target>,
}

/// A cluster, as it was read.
#[derive(Debug, Clone)]
pub struct Observation {
    /// What a decision rests on.
    pub facts: Facts,
    /// Where its actions go.
    pub targets: Targets,
    /// What people have been told of it.
    pub told: Told,
    /// Who did not answer.
    pub unheard: Vec<Unheard>,
}

/// What comes together while a cluster is read.
#[derive(Debug, Default)]
struct Gathered {
    targets: Targets,
    unheard: Vec<Unheard>,
}

impl Gathered {
    /// What somebody else says; that it is nothing is a fact and no failure.
    fn said<T>(&mut self, who: String, said: Result<T, String>) -> Option<T> {
        said.map_err(|why| self.unheard.push(Unheard::new(who, &why))).ok()
    }
}

/// Reads clusters.
#[derive(Clone)]
pub struct Observer {
    client: Client,
    kinds: Kinds,
    /// Whether etcdadm-controller's pods may be evicted.
    may_restart_etcd_controller: bool,
    /// The management cluster, to know it again among those that it manages.
    uid: Option<String>,
}

impl Observer {
    /// Reads through this client what the API server serves. By the UID the management cluster is known again among
    /// those that it manages.
    pub const fn new(
        client: Client,
        kinds: Kinds,
        may_restart_etcd_controller: bool,
        uid: Option<String>,
    ) -> Self {
        Self { client, kinds, may_restart_etcd_controller, uid }
    }

    /// Every cluster there is in this scope.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn clusters(&self, scope: &Scope) -> kube::Result<Vec<ClusterKey>> {
        scope.clusters(&self.client, &self.kinds).await
    }

    /// Reads one; `None` when it is not there any more.
    ///
    /// # Errors
    /// The management API server was not heard, or an object is not what it should be. What only a
    /// workload cluster or an agent did not answer is a fact.
    pub async fn observe(&self, key: &ClusterKey) -> Result<Option<Observation>, ObserveError> {
        let reading = Reading { observer: self, key };
        let clusters = reading.api(&self.kinds.cluster);
        let Some(object) = reading.said("the Cluster", clusters.get_opt(&key.name).await)? else {
            return Ok(None);
        };
        let cluster: ClusterView = reading.view(&object)?;
        let told = Told::read(&object, &self.kinds.cluster);
        let mut gathered = Gathered::default();
        let control_plane = reading.control_plane(&cluster.spec, &mut gathered).await?;
        let (control_plane, workload) = control_plane.unzip();
        let workload = workload.unwrap_or_default();
        let etcd = reading.etcd(&cluster.spec, &mut gathered).await?;
        let cluster = reading.cluster(&object, &cluster, &workload).await?;
        let facts = Facts { cluster, control_plane, etcd };
        let Gathered { targets, unheard } = gathered;
        Ok(Some(Observation { facts, targets, told, unheard }))
    }
}

/// What is said in time.
async fn in_time<T>(
    timeout: Duration,
    saying: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let answer = tokio::time::timeout(timeout, saying).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
}

/// Bytes of a path that an agent names (`PATH_MAX`); what is longer, or not in one line, is no file's.
const LONGEST_PATH: usize = 4_096;

/// Bytes of it that are kept: the last, which tell one file from another. It is remembered on objects.
const KEPT_PATH: usize = 256;

/// The path that an agent names. It is remembered on objects, logged and shown.
fn path(text: &str) -> Option<String> {
    let is_one = text.len() <= LONGEST_PATH && !text.chars().any(char::is_control);
    let from = text.ceil_char_boundary(text.len().saturating_sub(KEPT_PATH));
    is_one.then(|| text.get(from..).unwrap_or_default().to_owned())
}

fn timestamp(time: &Time) -> Timestamp {
    Timestamp::from_unix(time.0.as_second())
}

/// Seconds after its owner within which a Machine is made where both were moved from another management cluster, or
/// were made together.
const MOVED: i64 = 3_600;

/// When a Machine was made, or first seen before it was moved, or its Node was made: the earliest. The Node counts
/// only for one that is as old as its owner: whoever is root on the machine can write any date there, and one that
/// was made as a replacement need not be told from one that was moved.
fn born(object: &DynamicObject, owner: &DynamicObject, node: Option<Timestamp>) -> Timestamp {
    let created =
        |object: &DynamicObject| object.metadata.creation_timestamp.as_ref().map(timestamp);
    let is_moved = created(object)
        .zip(created(owner))
        .is_none_or(|(machine, owner)| machine.seconds_since(owner) <= MOVED);
    let (created, node) = (created(object), node.filter(|_| is_moved));
    let seen = annotation(object, FIRST_SEEN).and_then(|seen| Timestamp::parse(seen).ok());
    [created, seen, node].into_iter().flatten().min().unwrap_or(Timestamp::from_unix(0))
}

/// One cluster, while it is read.
#[derive(Clone, Copy)]
struct Reading<'a> {
    observer: &'a Observer,
    key: &'a ClusterKey,
}

impl Reading<'_> {
    /// Objects of a kind in the cluster's namespace.
    fn api(&self, kind: &ApiResource) -> Api<DynamicObject> {
        let client = self.observer.client.clone();
        Api::namespaced_with(client, &self.key.namespace, kind)
    }

    /// Those that carry the cluster's name, with another label.
    async fn labelled(
        &self,
        what: &'static str,
        kind: &ApiResource,
        label: &str,
    ) -> Result<Vec<DynamicObject>, ObserveError> {
        let list = self.api(kind).list(&self.selected(label)).await;
        Ok(self.said(what, list)?.items)
    }

    /// What belongs to the cluster, and has this label besides.
    fn selected(&self, label: &str) -> ListParams {
        ListParams::default().labels(&format!("{CLUSTER_NAME}={}{label}", self.key.name))
    }

    fn said<T>(&self, what: &'static str, said: kube::Result<T>) -> Result<T, ObserveError> {
        said.map_err(|source| ObserveError::Api {
            what,
            cluster: self.key.clone(),
            source: Box::new(source),
        })
    }

    fn view<T: serde::de::DeserializeOwned>(
        &self,
        object: &DynamicObject,
    ) -> Result<T, ObserveError> {
        view(object).map_err(|why| ObserveError::Object { cluster: self.key.clone(), why })
    }

    /// The Cluster, and what people say on it; EKS Anywhere's own speaks where it is silent.
    async fn cluster(
        &self,
        object: &DynamicObject,
        cluster: &ClusterView,
        workload: &Workload,
    ) -> Result<Cluster, ObserveError> {
        let eks_anywhere = self.eks_anywhere(object).await?;
        let says = |key: &str| {
            let other = eks_anywhere.as_ref().and_then(|other| annotation(other, key));
            annotation(object, key).or(other).map(str::to_owned)
        };
        let other_paused = eks_anywhere.as_ref().is_some_and(|other| {
            annotation(other, "anywhere.eks.amazonaws.com/paused") == Some("true")
        });
        Ok(Cluster {
            opt_in: says(ROLLOUT_BEFORE_EXPIRY),
            hold: says(HOLD).as_deref() == Some("true"),
            acknowledged: says(ACKNOWLEDGE),
            paused: cluster.spec.paused || annotation(object, PAUSED).is_some() || other_paused,
            deleting: is_deleting(object),
            ca_not_after: workload.ca_not_after,
            is_management: workload.is(self.observer.uid.as_deref()),
        })
    }

    /// EKS Anywhere's Cluster, by the labels that it puts on Cluster API's.
    async fn eks_anywhere(
        &self,
        object: &DynamicObject,
    ) -> Result<Option<DynamicObject>, ObserveError> {
        let Some(kind) = &self.observer.kinds.eks_anywhere else { return Ok(None) };
        let label = |name: &str| {
            let key = format!("cluster.anywhere.eks.amazonaws.com/{name}");
            object.labels().get(&key).cloned()
        };
        let Some(name) = label("cluster-name") else { return Ok(None) };
        let namespace = label("cluster-namespace").unwrap_or_else(|| "default".to_owned());
        let client = self.observer.client.clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, kind);
        self.said("EKS Anywhere's Cluster", api.get_opt(&name).await)
    }
}

#[cfg(test)]
mod tests {
    use kube::core::ApiResource;

    use super::*;

    /// An object that was made so many hours after another time.
    fn made(hours: i64) -> DynamicObject {
        let kind = ApiResource::erase::<k8s_openapi::api::core::v1::Node>(&());
        let mut object = DynamicObject::new("x", &kind);
        let at = k8s_openapi::jiff::Timestamp::from_second(hours * 3_600).unwrap();
        object.metadata.creation_timestamp = Some(Time(at));
        object
    }

    fn hour(hours: i64) -> Timestamp {
        Timestamp::from_unix(hours * 3_600)
    }

    #[test]
    fn a_node_makes_a_machine_older_only_where_it_was_moved_with_its_owner() {
        let node = Some(hour(2));
        assert_eq!(born(&made(100), &made(100), node), hour(2), "both were moved");
        assert_eq!(born(&made(101), &made(100), node), hour(2));
        assert_eq!(born(&made(102), &made(100), node), hour(102), "it is a replacement");
        assert_eq!(born(&made(100), &made(100), None), hour(100));
        // What we wrote down before a move counts in any case.
        let mut moved = made(102);
        let seen = [(FIRST_SEEN.to_owned(), hour(50).to_string())];
        moved.metadata.annotations = Some(seen.into());
        assert_eq!(born(&moved, &made(100), node), hour(50));
    }

    #[test]
    fn of_a_long_path_the_end_is_kept() {
        assert_eq!(path("/etc/kubernetes/pki/a.crt").as_deref(), Some("/etc/kubernetes/pki/a.crt"));
        let long = format!("/{}/a.crt", "é".repeat(1_000));
        let kept = path(&long).unwrap();
        assert!(kept.len() <= KEPT_PATH && kept.ends_with("/a.crt"), "{kept}");
        assert_eq!(path(&"x".repeat(LONGEST_PATH + 1)), None);
        assert_eq!(path("/a\nb"), None);
    }
}
