//! Leader election by a Lease, with the semantics of client-go's `leaderelection`: whoever holds it is
//! judged by how long nothing changed in it by our own clock, so that clocks need not agree.
//!
//! Every write names the resourceVersion that it rests on. Whoever cannot renew in time gives up before
//! anybody else may take over, and a write of ours needs some of the lease left ([`Held::allows`]).

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::objects::why;

/// The times of an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Others wait for so long after the last change that they saw.
    pub lease: Duration,
    /// The holder gives up when it could not renew for so long.
    pub renew: Duration,
    /// How often it is tried.
    pub retry: Duration,
}

impl Times {
    /// A write is made only with so much of the lease left: five seconds of the usual one.
    pub fn margin(self) -> Duration {
        self.renew / 8
    }
}

/// Until when the lease is ours, if it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held(Option<Instant>);

impl Held {
    /// For a program that needs no lease, such as one that only reads.
    pub fn for_ever() -> Self {
        Self(Instant::now().checked_add(Duration::from_hours(24 * 365)))
    }

    /// Whether so much of it is left at `now`.
    pub fn allows(self, now: Instant, margin: Duration) -> bool {
        self.0.is_some_and(|until| now + margin <= until)
    }
}

/// One who wants to lead.
#[derive(Clone)]
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    times: Times,
    /// The Lease as it was last seen to change, and when that was by our clock.
    seen: Option<(String, Instant)>,
}

impl Candidate {
    /// Wants the Lease of this name.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: String,
        times: Times,
    ) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), identity, times, seen: None }
    }

    /// Tries for ever to get and keep the Lease, and tells `held` until when it is ours. Returns once it was
    /// ours and is not any more: whoever led must end then.
    pub async fn run(mut self, held: watch::Sender<Held>) {
        let mut renewed: Option<Instant> = None;
        loop {
            let began = Instant::now();
            match tokio::time::timeout(self.times.renew / 2, self.attempt()).await {
                Ok(Ok(true)) => {
                    if renewed.is_none() {
                        info!(identity = %self.identity, "this instance leads");
                    }
                    // From before the request: the others' wait begins no earlier.
                    renewed = Some(began);
                    held.send_replace(Held(Some(began + self.times.lease)));
                }
                Ok(Ok(false)) if renewed.is_some() => {
                    warn!("another instance has the lease");
                    break;
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    warn!("the lease cannot be read or written, trying again: {}", why(&error));
                }
                Err(_) => warn!("the API server does not answer for the lease; trying again"),
            }
            if renewed.is_some_and(|at| at.elapsed() >= self.times.renew) {
                warn!("the lease could not be renewed in time");
                break;
            }
            tokio::time::sleep(self.times.retry).await;
        }
        held.send_replace(Held(None));
    }

    /// Gives the Lease up, so that another instance need not wait.
    pub async fn release(&self) {
        let Ok(Some(mut lease)) = self.api.get_opt(&self.name).await else { return };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() == Some(&self.identity) {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            let _ = self.api.replace(&self.name, &PostParams::default(), &lease).await;
        }
    }

    /// Takes or renews the Lease if that is allowed; says whether it is ours.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(None)),
            };
            return self.api.create(&PostParams::default(), &lease).await.map(|_| true);
        };
        let version = lease.resource_version().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != version) {
            self.seen = Some((version, Instant::now()));
        }
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        let ours = holder == Some(self.identity.as_str());
        let free = holder.is_none_or(str::is_empty);
        // Of the holder's own duration, as client-go judges it (`isLeaseValid`).
        let holds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        let holds = holds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let holds = holds.unwrap_or(self.times.lease);
        let expired = self.seen.as_ref().is_some_and(|(_, at)| at.elapsed() >= holds);
        if !ours && !free && !expired {
            return Ok(false);
        }
        let spec = Some(self.spec(lease.spec.as_ref()));
        // With the resourceVersion that was read: of two who try, one gets it, and the other reads again.
        let lease = Lease { spec, ..lease };
        self.api.replace(&self.name, &PostParams::default(), &lease).await.map(|_| true)
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = || Some(MicroTime(k8s_openapi::jiff::Timestamp::now()));
        let ours = before.filter(|b| b.holder_identity.as_deref() == Some(self.identity.as_str()));
        let transitions = before.and_then(|before| before.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            // Rounded up: others judge by it.
            lease_duration_seconds: i32::try_from(self.times.lease.as_millis().div_ceil(1_000))
                .ok(),
            acquire_time: ours.and_then(|ours| ours.acquire_time.clone()).or_else(now),
            renew_time: now(),
            lease_transitions: Some(if ours.is_some() || before.is_none() {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..LeaseSpec::default()
        }
    }
}
