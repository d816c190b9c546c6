//! The loop: while this instance leads, each cluster is read, decided about and acted on in its turn.

mod pace;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use expiryd_api::Timestamp;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::act::{ActError, Writer};
use crate::clock::now;
use crate::condition::Condition;
use crate::decide::{ActionName, Decision, Part, Planned, decide};
use crate::fleet::{Fleet, Outcome};
use crate::leader::Held;
use crate::objects::why;
use crate::observe::{ClusterKey, Observation, Observer, Scope, Targets, Told};
use crate::parameters::Parameters;
use crate::schedule::Schedule;
use crate::status::ClusterStatus;
use crate::tell::Teller;
use pace::{Failed, Look, Next, look};

/// How often the clusters are listed.
const LIST: Duration = Duration::from_mins(1);

/// A decision is carried out only so long after the first thing was read that it rests on: sooner than a
/// machine can be made, so that marks which somebody delays are not taken for those of another rollout.
const DECISION_AGE: Duration = Duration::from_secs(30);

/// After so many failures in a row, some ten minutes, a cluster that cannot be read keeps no other one waiting.
const UNREADABLE: u32 = 9;

/// Works on clusters.
#[derive(Clone)]
pub struct Worker {
    /// Reads.
    pub observer: Observer,
    /// Writes.
    pub writer: Writer,
    /// Tells people.
    pub teller: Teller,
    /// What is shown of the clusters.
    pub fleet: Fleet,
    /// Whose turn it is.
    pub schedule: Arc<Mutex<Schedule<ClusterKey>>>,
    /// Until when this instance leads.
    pub leads: watch::Receiver<Held>,
    /// How much of the lease has to be left for a write.
    pub margin: Duration,
    /// Nothing is written; what would be is logged.
    pub dry_run: bool,
    /// Spans of time.
    pub parameters: Parameters,
}

/// How the clusters are gone through.
#[derive(Debug, Clone, Copy)]
pub struct Pace<'a> {
    /// Which clusters are ours.
    pub scope: &'a Scope,
    /// How many are worked on at once.
    pub concurrency: usize,
    /// How often one is looked at where nothing is near.
    pub period: Duration,
}

impl Worker {
    /// Works while this instance leads; returns when it does not any more.
    pub async fn work(&self, pace: Pace<'_>) {
        let mut leads = self.leads.clone();
        if leads.wait_for(|held| *held != Held::default()).await.is_err() {
            return;
        }
        self.fleet.leads(true);
        let mut next: BTreeMap<ClusterKey, Next> = BTreeMap::new();
        let mut working = FuturesUnordered::new();
        let mut busy: Vec<ClusterKey> = Vec::new();
        let mut list = Instant::now();
        loop {
            self.fleet.beat(Instant::now());
            if Instant::now() >= list {
                list = Instant::now() + LIST;
                match self.observer.clusters(pace.scope).await {
                    Ok(keys) => {
                        self.lock().clusters(keys.iter().cloned());
                        self.fleet.clusters(&keys);
                        next.retain(|key, _| keys.binary_search(key).is_ok());
                        for key in keys {
                            next.entry(key).or_insert(Next::at(Instant::now()));
                        }
                    }
                    Err(error) => {
                        warn!("the clusters cannot be listed, trying again: {}", why(&error));
                    }
                }
            }
            let now = Instant::now();
            let due = next.iter().filter(|(key, next)| next.at <= now && !busy.contains(key));
            let mut due: Vec<_> =
                due.map(|(key, next)| (next.at, key.clone(), next.unread)).collect();
            // Whoever has waited longest: clusters that take their time keep nobody out.
            due.sort_unstable();
            due.truncate(pace.concurrency.saturating_sub(busy.len()));
            for (_, key, unread) in due {
                busy.push(key.clone());
                let worker = self.clone();
                working.push(async move {
                    let done = worker.reconcile(&key, unread).await;
                    (key, done)
                });
            }
            // With no room for another cluster only one that is done, or the next list, is waited for.
            let waiting =
                next.iter().filter(|(key, _)| !busy.contains(key)).map(|(_, next)| next.at);
            let waiting = waiting.filter(|_| busy.len() < pace.concurrency);
            let wake = waiting.chain([list]).min().unwrap_or(list);
            tokio::select! {
                Some((key, done)) = working.next() => {
                    busy.retain(|other| *other != key);
                    if let Some(entry) = next.get_mut(&key) {
                        entry.done(done, pace.period, Instant::now(), fastrand::f64());
                    }
                }
                changed = leads.changed() => {
                    if changed.is_err() || *leads.borrow() == Held::default() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Schedule<ClusterKey>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a cluster, which was not possible so often before, decides, and acts; says when to look again.
    async fn reconcile(&self, key: &ClusterKey, unread: u32) -> Result<Look, Failed> {
        let began = Instant::now();
        let observation = match self.observer.observe(key).await {
            Ok(Some(observation)) => observation,
            Ok(None) => return Ok(Look::Usual),
            Err(error) => {
                warn!(cluster = %key, "{error}");
                self.fleet.unread(key, error.to_string());
                if unread >= UNREADABLE {
                    self.lock().unread(key);
                }
                return Err(Failed::Read);
            }
        };
        let now = now();
        let decision = {
            // One decision at a time: of two clusters that are due one sees that the other has begun.
            let mut schedule = self.lock();
            let turn = schedule.turn(key, now);
            let decision = decide(&observation.facts, &self.parameters, turn, now);
            schedule.decided(key, &decision);
            decision
        };
        let Observation { mut targets, told, facts, unheard } = observation;
        let mut status = ClusterStatus::of(key.names(), &facts, &decision, now).without(unheard);
        self.fleet.cluster(key, status.clone());
        if self.dry_run {
            for Planned { action, reason } in &decision.actions {
                info!(cluster = %key, %reason, "would: {action}");
            }
            // What is not written keeps no other from what it would do.
            let begins = |p: &Planned| p.action.name() == ActionName::RecordIntent;
            if decision.actions.iter().any(begins) {
                self.lock().refused(key, now);
            }
            return Ok(look(&decision, true, now));
        }
        let (carried, refused) =
            self.carry_out(key, &decision, &mut targets, &told, (began, now)).await;
        if !refused.is_empty() {
            status = status.refused(refused);
            self.fleet.cluster(key, status.clone());
        }
        let condition = Condition::of(&status, now);
        if self.leads.borrow().allows(Instant::now(), self.margin) {
            self.teller.condition(key, &told, condition, now).await;
        }
        match carried {
            Carried::Out => Ok(look(&decision, false, now)),
            Carried::Conflict => Ok(Look::Conflict),
            Carried::Failed => Err(Failed::Write),
        }
    }

    /// Makes a decision's writes, while it leads and the decision is young enough. What rests on one that failed
    /// is not tried.
    async fn carry_out(
        &self,
        key: &ClusterKey,
        decision: &Decision,
        targets: &mut Targets,
        told: &Told,
        (began, now): (Instant, Timestamp),
    ) -> (Carried, Vec<(usize, String)>) {
        let mut failed: Vec<Part> = Vec::new();
        let (mut carried, mut refused) = (Carried::Out, Vec::new());
        for (place, planned) in decision.actions.iter().enumerate() {
            let (action, reason) = (&planned.action, planned.reason);
            let part = action.part();
            if failed.iter().any(|failed| part.rests_on(*failed)) {
                continue;
            }
            let left = DECISION_AGE.saturating_sub(began.elapsed());
            if left.is_zero() {
                warn!(cluster = %key, "reading and writing took too long; all of it is read again");
                return (Carried::Failed, refused);
            }
            if !self.leads.borrow().allows(Instant::now(), self.margin) {
                warn!(cluster = %key, "{}", ActError::NotLeader);
                return (Carried::Failed, refused);
            }
            let acting = self.writer.act(key, action, targets, now);
            let ended = tokio::time::timeout(left, acting).await.unwrap_or(Err(ActError::TooLate));
            let outcome = match &ended {
                Ok(()) => Outcome::Done,
                Err(ActError::Conflict(_)) => Outcome::Conflict,
                Err(_) => Outcome::Failed,
            };
            self.fleet.wrote(action.name(), reason, outcome);
            match ended {
                Ok(()) => {
                    info!(cluster = %key, %reason, "done: {action}");
                    self.teller.done(key, told, planned).await;
                    continue;
                }
                Err(error @ ActError::Conflict(_)) => {
                    info!(cluster = %key, "{error}");
                    carried = carried.max(Carried::Conflict);
                }
                Err(error) => {
                    if part == Part::Etcd {
                        self.lock().refused(key, now);
                    }
                    error!(cluster = %key, "not done: {action}: {error}");
                    refused.push((place, error.to_string()));
                    carried = Carried::Failed;
                }
            }
            failed.push(part);
        }
        (carried, refused)
    }
}

/// What came of a decision's writes; of several the last in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Carried {
    /// All are made.
    Out,
    /// Something else had changed an object.
    Conflict,
    /// One was refused, or could not be made in time.
    Failed,
}
