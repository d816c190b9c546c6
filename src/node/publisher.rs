//! One thing that is published, and how far it has got.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use expiryd_api::{Earliest, Publication, PublicationState};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::annotations::Memory;
use super::client::{self, Request, Response};
use super::condition::Shown;
use super::desired::Desired;
use super::schedule::Schedule;
use super::{annotations, condition};
use crate::clock;
use crate::config::NodeConfig;
use crate::escape::Escaped;
use crate::identity::{Identity, IdentityError};

/// See the module.
pub(super) struct Publisher {
    pub(super) schedule: Schedule,
    pub(super) publication: Publication,
    /// How long a request may take.
    timeout: Duration,
    memory: Memory,
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

/// What of the Node is patched.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Its metadata, by a merge patch (RFC 7396).
    Metadata,
    /// Its status, by a strategic merge patch, which merges conditions by their type.
    Status,
}

/// Why something was not published.
struct Failure {
    why: String,
    retry_after: Option<Duration>,
}

impl Publisher {
    /// Publishes nothing before `not_before`.
    pub(super) const fn new(name: &'static str, not_before: Duration, config: &NodeConfig) -> Self {
        Self {
            schedule: Schedule::new(not_before),
            publication: Publication {
                name: Cow::Borrowed(name),
                state: PublicationState::Pending,
                last_success: None,
                message: None,
            },
            timeout: config.timeout,
            memory: Memory::none(),
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
        let identity = match identity {
            Ok(identity) => identity,
            Err(missing) => {
                self.schedule.failed(None, start.elapsed(), 1.0);
                match missing {
                    IdentityError::Absent(why) => {
                        self.set_state(PublicationState::Off, Some(why.clone()));
                    }
                    IdentityError::Unusable(why) => {
                        self.set_state(PublicationState::Failing, Some(why.clone()));
                    }
                }
                return;
            }
        };
        match self.send(identity, &desired, seen).await {
            Ok(remark) => {
                self.publication.last_success = Some(clock::now());
                let news = !self.schedule.has_accepted(&desired);
                self.schedule.accepted(desired, start.elapsed(), fastrand::f64());
                if news && self.publication.state == PublicationState::Accepted {
                    info!(node = %identity.node, "{}: the change was accepted", self.publication.name);
                }
                self.set_state(PublicationState::Accepted, remark);
            }
            Err(Failure { why, retry_after }) => {
                self.schedule.failed(retry_after, start.elapsed(), fastrand::f64());
                self.set_state(PublicationState::Failing, Some(why));
            }
        }
    }

    /// Notes that there is nothing to publish, and why.
    pub(super) fn rest(&mut self, why: &str) {
        self.set_state(PublicationState::Off, Some(why.to_owned()));
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
        identity: &Identity,
        desired: &Desired,
        seen: &mut Option<NodeSeen>,
    ) -> Result<Option<String>, Failure> {
        let now = clock::now();
        match desired {
            Desired::Annotations(annotations) if annotations.is_degraded() => {
                let node = self.node(identity, seen).await?;
                let held = annotations.clone().held_against(&node, &mut self.memory);
                self.patch(identity, Part::Metadata, held.patch(now), seen).await?;
                return Ok(held.holds());
            }
            Desired::Annotations(annotations) => {
                self.patch(identity, Part::Metadata, annotations.patch(now), seen).await?;
                self.memory.told(annotations);
            }
            Desired::NoAnnotations => {
                let node = self.node(identity, seen).await?;
                if annotations::are_on(&node) {
                    if !self.is_worker && annotations::is_of_a_control_plane(&node) {
                        return Err(looks_like_a_worker(identity));
                    }
                    self.patch(identity, Part::Metadata, annotations::removal_patch(), seen)
                        .await?;
                }
            }
            Desired::Condition(condition) => {
                if seen.is_none() {
                    self.node(identity, seen).await?;
                }
                let shown = seen.as_ref().and_then(|seen| seen.condition);
                self.patch(identity, Part::Status, condition.patch(shown, now), seen).await?;
            }
            Desired::NoCondition => {
                self.patch(identity, Part::Status, condition::removal_patch(), seen).await?;
            }
            Desired::Event(event) => {
                let request = Request {
                    method: Method::POST,
                    path: "/api/v1/namespaces/default/events?fieldManager=expiryd".to_owned(),
                    content_type: "application/json",
                    body: event.object(&identity.node, now),
                };
                self.accepted(identity, request).await?;
            }
        }
        Ok(None)
    }

    /// Reads the Node, with a patch that changes nothing: RBAC then needs to grant no reading, which it
    /// could not limit to this one Node, as admission limits a patch.
    async fn node(
        &self,
        identity: &Identity,
        seen: &mut Option<NodeSeen>,
    ) -> Result<Value, Failure> {
        self.patch(identity, Part::Metadata, json!({}), seen).await
    }

    /// Patches a part of the Node, and takes in what all of it is like now.
    async fn patch(
        &self,
        identity: &Identity,
        part: Part,
        body: Value,
        seen: &mut Option<NodeSeen>,
    ) -> Result<Value, Failure> {
        let (subresource, content_type) = match part {
            Part::Metadata => ("", "application/merge-patch+json"),
            Part::Status => ("/status", "application/strategic-merge-patch+json"),
        };
        let name = path_segment(&identity.node);
        let path = format!("/api/v1/nodes/{name}{subresource}?fieldManager=expiryd");
        let request = Request { method: Method::PATCH, path, content_type, body };
        let node = self.accepted(identity, request).await?;
        // What is no Node says nothing about its dates, and must not pass for one without any.
        if !annotations::is_node(&node, &identity.node) {
            let (host, port) = &identity.server;
            let why = format!(
                "{host}:{port} answered with something that is not the Node {}; see what stands between \
                 expiryd and the API server",
                identity.node
            );
            return Err(Failure { why, retry_after: None });
        }
        *seen =
            Some(NodeSeen { condition: Shown::of(&node), held: annotations::held_earliest(&node) });
        Ok(node)
    }

    /// Asks, and takes everything but success as a failure, in words that name who must act.
    async fn accepted(&self, identity: &Identity, request: Request) -> Result<Value, Failure> {
        let (host, port) = &identity.server;
        let (creates, path) = (request.method == Method::POST, request.path.clone());
        let Response { status, body, retry_after } = client::ask(identity, request, self.timeout)
            .await
            .map_err(|why| Failure { why: format!("{host}:{port} {why}"), retry_after: None })?;
        // An Event of that name is the one that was meant: an earlier answer was lost.
        if status.is_success() || (creates && status == StatusCode::CONFLICT) {
            return Ok(body);
        }
        let said = body.get("message").and_then(Value::as_str).unwrap_or("no reason given");
        let said = shown(said);
        let path = path.split('?').next().unwrap_or_default();
        let Identity { name, node, .. } = identity;
        let verb = if creates { "create" } else { "patch" };
        let why = match status {
            StatusCode::UNAUTHORIZED => {
                format!(
                    "{host}:{port} does not know {name} (401: {said}); its certificate or token may have ended"
                )
            }
            StatusCode::FORBIDDEN => {
                format!("{host}:{port} does not allow {name} to {verb} {path} (403: {said})")
            }
            StatusCode::NOT_FOUND => format!("{host}:{port} has no Node {node} (404: {said})"),
            status => {
                format!("{host}:{port} answered {} to {verb} {path}: {said}", status.as_u16())
            }
        };
        Err(Failure { why, retry_after })
    }
}

fn looks_like_a_worker(identity: &Identity) -> Failure {
    Failure {
        why: format!(
            "this machine looks like a worker, but its Node {} is that of a control plane, and keeps \
             its annotations; if the PKI is not mounted where expiryd looks, mount it; if the machine \
             is a worker, set layout.role = \"worker\" to have them removed",
            identity.node
        ),
        retry_after: Some(Duration::from_hours(1)),
    }
}

/// A name as one segment of a path (RFC 3986 section 3.3): it may come from a certificate.
fn path_segment(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    name.bytes().map(escape).collect()
}

/// What a server said, as far as a log line has room for it.
fn shown(said: &str) -> String {
    const MOST: usize = 1_000;
    let end = said.char_indices().nth(MOST).map_or(said.len(), |(at, _)| at);
    Escaped::text(said.get(..end).unwrap_or_default()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment_of_the_path() {
        assert_eq!(path_segment("cp-1.example"), "cp-1.example");
        assert_eq!(path_segment("../x?y=z\n"), "..%2Fx%3Fy%3Dz%0A");
    }

    #[test]
    fn what_a_server_says_is_one_line_of_bounded_length() {
        assert_eq!(shown("no\x1b[2J\nyes"), "no\\x1b[2J\\x0ayes");
        assert_eq!(shown(&"é".repeat(5_000)).chars().count(), 1_000);
    }
}
