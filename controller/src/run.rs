//! From the start to the end of this instance: it waits for Cluster API, for its lease, and works.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;
use thiserror::Error;
use tokio::sync::watch;
use tracing::warn;

use crate::act::Writer;
use crate::fleet::Fleet;
use crate::leader::{Candidate, Held, Times};
use crate::objects::{Kinds, why};
use crate::observe::{Observer, Scope, cluster_uid};
use crate::parameters::Parameters;
use crate::schedule::{Policy, Schedule};
use crate::tell::Teller;
use crate::work::{Pace, Worker};

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which clusters are ours.
    pub scope: Scope,
    /// This instance, as Events and the lease name it.
    pub identity: String,
    /// How many clusters are worked on at once.
    pub concurrency: usize,
    /// How often a cluster is looked at where nothing is near.
    pub period: Duration,
    /// Nothing is written; what would be is logged.
    pub dry_run: bool,
    /// Where the lease is, and who we are in it.
    pub lease: Option<LeaseOptions>,
    /// Spans of time.
    pub parameters: Parameters,
    /// What is allowed for all clusters.
    pub policy: Policy,
    /// Whether etcdadm-controller's pods may be evicted.
    pub may_restart_etcd_controller: bool,
}

/// See [`Options`].
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// The namespace of the Lease.
    pub namespace: String,
    /// The times of the election.
    pub times: Times,
}

/// Why the loop ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// Another instance leads; this one must not go on.
    #[error("the lease is lost; this instance ends, so that it is started again as a candidate")]
    LostLease,
    /// Kinds are served that were not, or in other versions.
    #[error(
        "the API server serves other kinds or versions of Cluster API now; this instance ends, so that it is \
         started again with those"
    )]
    KindsChanged,
}

/// The name of the Lease.
const LEASE: &str = "expiryd-controller";

/// While the API server does not answer it is asked again after this.
const DISCOVER: Duration = Duration::from_mins(1);

/// How often it is asked whether it still serves the same.
const REDISCOVER: Duration = Duration::from_mins(10);

/// Runs until `stop` changes, the lease is lost, or the API server serves something else.
///
/// # Errors
/// See [`RunError`].
pub async fn run(
    client: Client,
    options: Options,
    fleet: Fleet,
    mut stop: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let Some(kinds) = discovered(&client, &mut stop).await else { return Ok(()) };
    let Some(uid) = named(&client, &mut stop).await else { return Ok(()) };
    fleet.ready();
    let (held, leads) = watch::channel(Held::default());
    let candidate = options.lease.as_ref().map(|lease| {
        let identity = options.identity.clone();
        Candidate::new(client.clone(), &lease.namespace, LEASE, identity, lease.times)
    });
    let margin = options.lease.as_ref().map_or(Duration::ZERO, |lease| lease.times.margin());
    let election = if let Some(candidate) = candidate.clone() {
        tokio::spawn(candidate.run(held))
    } else {
        held.send_replace(Held::for_ever());
        tokio::spawn(async move { held.closed().await })
    };
    let observer =
        Observer::new(client.clone(), kinds.clone(), options.may_restart_etcd_controller, uid);
    let worker = Worker {
        observer,
        teller: Teller::new(client.clone(), kinds.cluster.clone(), options.identity.clone()),
        fleet,
        writer: Writer::new(client.clone(), kinds.clone()),
        schedule: Arc::new(Mutex::new(Schedule::new(options.policy, &options.parameters))),
        leads,
        margin,
        dry_run: options.dry_run,
        parameters: options.parameters,
    };
    let pace =
        Pace { scope: &options.scope, concurrency: options.concurrency, period: options.period };
    let ended = tokio::select! {
        () = worker.work(pace) => Err(RunError::LostLease),
        () = changed(&client, &kinds) => Err(RunError::KindsChanged),
        _ = stop.changed() => Ok(()),
    };
    election.abort();
    let is_lost = matches!(ended, Err(RunError::LostLease));
    if let Some(candidate) = candidate.filter(|_| !is_lost) {
        candidate.release().await;
    }
    ended
}

/// Waits until the API server serves Cluster API; `None` when told to stop before.
async fn discovered(client: &Client, stop: &mut watch::Receiver<bool>) -> Option<Kinds> {
    loop {
        match Kinds::discover(client).await {
            Ok(Some(kinds)) => return Some(kinds),
            Ok(None) => warn!("this API server serves no Cluster API; looking again in a minute"),
            Err(error) => {
                warn!("the API server was not heard, asking again in a minute: {}", why(&error));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(DISCOVER) => {}
            _ = stop.changed() => return None,
        }
    }
}

/// Waits until the management cluster says which one it is; `None` when told to stop before.
async fn named(client: &Client, stop: &mut watch::Receiver<bool>) -> Option<Option<String>> {
    loop {
        match cluster_uid(client.clone()).await {
            Ok(uid) => return Some(uid),
            Err(why) => warn!(
                "the namespace kube-system, by which a cluster is known again, cannot be read; asking again in a \
                 minute: {why}"
            ),
        }
        tokio::select! {
            () = tokio::time::sleep(DISCOVER) => {}
            _ = stop.changed() => return None,
        }
    }
}

/// Waits until the API server serves other kinds, or in other versions: Cluster API was upgraded, or a provider
/// was installed.
async fn changed(client: &Client, kinds: &Kinds) {
    loop {
        tokio::time::sleep(REDISCOVER).await;
        if let Ok(Some(served)) = Kinds::discover(client).await
            && served != *kinds
        {
            return;
        }
    }
}
