//! One thing that is published, and how far it has got.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use expiryd_api::{Earliest, Publication, PublicationState};
use serde_json::Value;
use tracing::{info, warn};

use super::annotations::{self, Memory};
use super::condition::{self, Shown};
use super::desired::Desired;
use super::schedule::Schedule;
use super::server::{Failure, Part, Server};
use crate::clock;
use crate::config::NodeConfig;
use crate::identity::{Identity, IdentityError};

/// See the module.
pub(super) struct Publisher {
    pub(super) schedule: Schedule,
    pub(super) publication: Publication,
    /// How long a request may take.
    timeout: Duration,
    memory: Memory,
    /// What the Node was told last, as the patch that told it.
    told: Value,
    /// Whether somebody changed it since.
    changed: bool,
    /// What there is to say of a publication that was accepted.
    remark: Option<String>,
    /// Whether the configuration says that this machine is a worker.
    is_worker: bool,
}

/// What was heard of the Node last.
#[derive(Debug, Clone)]
pub(super) struct NodeSeen {
    /// The condition, where the Node has it.
    pub(super) condition: Option<Shown>,
    /// The earliest expiry, where the Node holds it against a degraded report.
    pub(super) held: Option<Earliest>,
}

impl NodeSeen {
    /// What this Node shows.
    fn of(node: &Value) -> Self {
        Self { condition: Shown::of(node), held: annotations::held_earliest(node) }
    }
}

impl Publisher {
    /// Publishes nothing before `not_before`.
    pub(super) const fn new(name: &'static str, not_before: Duration, config: &NodeConfig) -> Self {
        Self {
            schedule: Schedule::new(not_before, config.recheck),
            publication: Publication {
                name: Cow::Borrowed(name),
                state: PublicationState::Pending,
                last_success: None,
                message: None,
            },
            timeout: config.timeout,
            memory: Memory::none(),
            told: Value::Null,
            changed: false,
            remark: None,
            is_worker: config.is_worker,
        }
    }

    /// Tries to publish `desired`, and notes how it went, and what was heard of the Node.
    pub(super) async fn publish(
        &mut self,
        identity: &Result<Arc<Identity>, IdentityError>,
        desired: Desired,
        seen: &mut Option<NodeSeen>,
        start: Instant,
    ) {
        let Some(identity) = self.identified(identity, start) else { return };
        let server = Server { identity, timeout: self.timeout };
        match self.send(server, &desired, seen).await {
            Ok(remark) => {
                let news = !self.schedule.has_accepted(&desired);
                self.schedule.accepted(desired, start.elapsed(), fastrand::f64());
                if news && self.publication.state == PublicationState::Accepted {
                    info!(node = %identity.node, "{}: the change was accepted", self.publication.name);
                }
                self.remark = remark;
                self.succeed();
            }
            Err(failure) => self.fail(failure, start),
        }
    }

    /// Reads the Node, and notes how that went, and what was heard of it.
    pub(super) async fn recheck(
        &mut self,
        identity: &Result<Arc<Identity>, IdentityError>,
        seen: &mut Option<NodeSeen>,
        start: Instant,
    ) -> Option<Value> {
        let identity = self.identified(identity, start)?;
        match (Server { identity, timeout: self.timeout }).node().await {
            Ok(node) => {
                *seen = Some(NodeSeen::of(&node));
                self.schedule.rechecked(start.elapsed(), fastrand::f64());
                self.succeed();
                Some(node)
            }
            Err(failure) => {
                self.fail(failure, start);
                None
            }
        }
    }

    /// Has `desired` published again where the Node no longer says what it was told.
    pub(super) fn restore(&mut self, desired: &Desired, node: &Value) {
        if self.schedule.has_accepted(desired) && !desired.is_said_by(node, &self.told) {
            warn!(
                "{}: somebody changed what the Node was told; it is told again",
                self.publication.name
            );
            // A date that somebody took off is told anew from what is seen now: it may be one that was held.
            self.changed = !annotations::lack_a_date(node, &self.told);
            self.schedule.say_again();
        }
    }

    /// Notes that there is nothing to publish, and why.
    pub(super) fn rest(&mut self, why: &str) {
        self.set_state(PublicationState::Off, Some(why.to_owned()));
    }

    /// The identity, or a note of why there is none.
    fn identified<'a>(
        &mut self,
        identity: &'a Result<Arc<Identity>, IdentityError>,
        start: Instant,
    ) -> Option<&'a Identity> {
        let (state, why) = match identity {
            Ok(identity) => return Some(identity),
            Err(IdentityError::Absent(why)) => (PublicationState::Off, why),
            Err(IdentityError::Unusable(why)) => (PublicationState::Failing, why),
        };
        self.schedule.failed(None, start.elapsed(), 1.0);
        self.set_state(state, Some(why.clone()));
        None
    }

    fn succeed(&mut self) {
        self.publication.last_success = Some(clock::now());
        self.set_state(PublicationState::Accepted, self.remark.clone());
    }

    fn fail(&mut self, Failure { why, retry_after }: Failure, start: Instant) {
        self.schedule.failed(retry_after, start.elapsed(), fastrand::f64());
        self.set_state(PublicationState::Failing, Some(why));
    }

    /// Notes the state, with one log line when it is another one.
    fn set_state(&mut self, state: PublicationState, message: Option<String>) {
        let Publication { name, state: before, message: said, .. } = &self.publication;
        if (*before, said) != (state, &message) {
            match (state, &message) {
                (PublicationState::Failing, Some(why)) => warn!("{name}: {why}; trying again"),
                (_, Some(why)) => info!("{name}: {state}: {why}"),
                (_, None) => info!("{name}: {state}"),
            }
        }
        self.publication.state = state;
        self.publication.message = message;
    }

    /// Sends it; returns what there is to say of it all the same.
    async fn send(
        &mut self,
        server: Server<'_>,
        desired: &Desired,
        seen: &mut Option<NodeSeen>,
    ) -> Result<Option<String>, Failure> {
        let now = clock::now();
        let again = self.changed && self.schedule.has_accepted(desired);
        let (mut remark, mut told) = (None, Value::Null);
        let node = match desired {
            // The dates that a Node kept against a degraded report are known from here alone by now.
            Desired::Annotations(_) if again => {
                told = annotations::told_again(self.told.clone(), now);
                remark = self.remark.clone();
                server.patch(Part::Metadata, told.clone()).await?
            }
            Desired::Annotations(annotations) if annotations.is_degraded() => {
                let node = server.node().await?;
                *seen = Some(NodeSeen::of(&node));
                let held = annotations.clone().held_against(&node, &mut self.memory);
                (remark, told) = (held.holds(), held.patch(now));
                server.patch(Part::Metadata, told.clone()).await?
            }
            Desired::Annotations(annotations) => {
                told = annotations.patch(now);
                let node = server.patch(Part::Metadata, told.clone()).await?;
                self.memory.told(annotations);
                node
            }
            Desired::NoAnnotations => {
                let node = server.node().await?;
                if annotations::are_on(&node) {
                    *seen = Some(NodeSeen::of(&node));
                    if !self.is_worker && annotations::is_of_a_control_plane(&node) {
                        return Err(server.looks_like_a_worker());
                    }
                    server.patch(Part::Metadata, annotations::removal_patch()).await?
                } else {
                    node
                }
            }
            Desired::Condition(condition) => {
                if seen.is_none() {
                    *seen = Some(NodeSeen::of(&server.node().await?));
                }
                let shown = seen.as_ref().and_then(|seen| seen.condition);
                server.patch(Part::Status, condition.patch(shown, now)).await?
            }
            Desired::NoCondition => server.patch(Part::Status, condition::removal_patch()).await?,
            Desired::Event(event) => {
                server.create_event(event.object(&server.identity.node, now)).await?;
                return Ok(None);
            }
        };
        *seen = Some(NodeSeen::of(&node));
        (self.told, self.changed) = (told, false);
        Ok(remark)
    }
}
