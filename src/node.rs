//! The Node publisher: annotations on this machine's own Node, through the kubelet's identity.
//!
//! It runs beside the loop, so that an API server that is away, slow or hostile holds up nothing else,
//! and says how it gets on in the next report.

pub mod annotations;
mod client;
mod condition;
pub mod desired;
mod publisher;
mod schedule;
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use expiryd_api::{Publication, PublicationState, Status};
use tokio::sync::watch;

use crate::config::{Extras, NodeConfig};
use crate::identity::{Identity, IdentityError, IdentitySource};
use crate::report::{Report, kubelet_node};
use desired::{Decision, Desired};
use publisher::{NodeSeen, Publisher};

/// Where the publisher hears of reports, and says how it gets on.
#[derive(Debug, Clone)]
pub struct Channels {
    /// The last report.
    pub reports: watch::Receiver<Option<Arc<Report>>>,
    /// For the next report.
    pub publications: watch::Sender<Vec<Publication>>,
}

/// Publishes until it is dropped, or ends at once when without an identity nothing is to be published.
pub async fn publish(identity: Option<IdentitySource>, config: NodeConfig, mut channels: Channels) {
    let Some(identity) = identity else {
        channels.publications.send_replace(Vec::new());
        return;
    };
    let start = Instant::now();
    let spread = config.spread.mul_f64(fastrand::f64());
    let mut publishers = PUBLICATIONS.map(|name| Publisher::new(name, spread, &config));
    let mut seen = None;
    loop {
        let report = channels.reports.borrow_and_update().clone();
        let decisions = decide(report.as_deref(), config.extras, seen.as_ref(), &publishers);
        for (publisher, decision) in publishers.iter_mut().zip(&decisions) {
            if let Decision::Nothing(why) = decision {
                publisher.rest(why);
            }
        }
        announce(&publishers, config.extras, &channels.publications);
        let due = publishers.iter().zip(&decisions).filter_map(|(publisher, decision)| {
            let Decision::Publish(desired) = decision else { return None };
            Some(publisher.schedule.due(desired))
        });
        let recheck_due = match &decisions[0] {
            Decision::Publish(desired) => publishers[0].schedule.recheck_due(desired),
            _ => Duration::MAX,
        };
        let due = due.chain([recheck_due]).min().unwrap_or(Duration::MAX);
        if due > start.elapsed() {
            tokio::select! {
                changed = channels.reports.changed() => if changed.is_err() { return },
                () = sleep(due.saturating_sub(start.elapsed())) => {}
            }
            continue;
        }
        let identity = load(identity.clone(), report.as_deref()).await;
        if recheck_due <= start.elapsed() {
            let node = publishers[0].recheck(&identity, &mut seen, start).await;
            for (publisher, decision) in publishers.iter_mut().zip(&decisions) {
                if let (Some(node), Decision::Publish(desired)) = (&node, decision) {
                    publisher.restore(desired, node);
                }
            }
            continue;
        }
        for (publisher, decision) in publishers.iter_mut().zip(decisions) {
            let Decision::Publish(desired) = decision else { continue };
            if publisher.schedule.due(&desired) <= start.elapsed() {
                publisher.publish(&identity, desired, &mut seen, start).await;
            }
        }
    }
}

/// Names of the publications, in the order of [`decide`].
const PUBLICATIONS: [&str; 3] = ["node-annotations", "node-condition", "node-event"];

fn decide(
    report: Option<&Report>,
    extras: Extras,
    seen: Option<&NodeSeen>,
    [annotations, ..]: &[Publisher; 3],
) -> [Decision; 3] {
    let Some(report) = report else {
        return [Decision::NotYet, Decision::NotYet, Decision::NotYet];
    };
    let shows = seen.is_some_and(|seen| seen.condition.is_some());
    let of_annotations = desired::annotations(report);
    let held = seen.and_then(|seen| seen.held.as_ref());
    let earliest = match report.status {
        Status::Degraded => held.or(report.earliest.as_ref()),
        _ => report.earliest.as_ref(),
    };
    let [mut condition, mut event] =
        desired::extras(report, earliest, extras, shows, report.observed_at);
    // What the Node holds against a degraded report has to be known first, where there is a Node.
    if report.status == Status::Degraded
        && seen.is_none()
        && annotations.publication.state != PublicationState::Off
    {
        (condition, event) = (Decision::NotYet, Decision::NotYet);
    }
    // A machine that only looks like a worker keeps both.
    if of_annotations == Decision::Publish(Desired::NoAnnotations)
        && !annotations.schedule.has_accepted(&Desired::NoAnnotations)
    {
        condition = Decision::NotYet;
    }
    [of_annotations, condition, event]
}

async fn sleep(wait: Duration) {
    if wait == Duration::MAX {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(wait).await;
}

/// Reads the identity where that may block, and sees whether it is that of this machine.
async fn load(
    source: IdentitySource,
    report: Option<&Report>,
) -> Result<Arc<Identity>, IdentityError> {
    let loaded = tokio::task::spawn_blocking(move || source.load()).await;
    let identity =
        loaded.unwrap_or_else(|error| Err(IdentityError::Unusable(error.to_string())))?;
    match report.and_then(|report| kubelet_node(&report.certificates)) {
        Some(node) if node != identity.node => Err(IdentityError::Unusable(format!(
            "{} is for the Node {}, but the kubelet's certificate of this machine is that of the \
             Node {node}: nothing is written to either until the two agree",
            identity.name, identity.node
        ))),
        _ => Ok(Arc::new(identity)),
    }
}

fn announce(
    publishers: &[Publisher; 3],
    extras: Extras,
    publications: &watch::Sender<Vec<Publication>>,
) {
    let asked_for = [true, extras.condition_window.is_some(), extras.event];
    let now: Vec<_> = publishers
        .iter()
        .zip(asked_for)
        .filter(|(publisher, asked_for)| {
            *asked_for || publisher.publication.state == PublicationState::Failing
        })
        .map(|(publisher, _)| publisher.publication.clone())
        .collect();
    publications.send_if_modified(|before| {
        let changed = *before != now;
        if changed {
            *before = now;
        }
        changed
    });
}
