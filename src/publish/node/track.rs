//! One thing that is published, and how far it has got.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde_json::Value;
use tracing::{info, warn};

use super::Settings;
use super::client::{self, Answer, Call};
use super::identity::{Identity, Missing};
use super::schedule::Schedule;
use super::wanted::{self, Want};
use crate::clock::Timestamp;
use crate::escape::Escaped;
use crate::publication::{Publication, State};

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// See the module.
pub(super) struct Track {
    pub(super) schedule: Schedule,
    pub(super) publication: Publication,
    /// How long a request may take.
    timeout: Duration,
    /// Whether the configuration says that this machine is a worker.
    is_worker: bool,
    /// The condition's last value, and when it turned.
    turned: Option<(bool, Timestamp)>,
}

/// Why something was not published.
struct Failure {
    why: String,
    retry_after: Option<Duration>,
}

impl Track {
    /// Publishes nothing before `not_before`.
    pub(super) const fn new(name: &'static str, not_before: Duration, settings: Settings) -> Self {
        Self {
            schedule: Schedule::new(not_before),
            publication: Publication {
                name,
                state: State::Pending,
                last_success: None,
                message: None,
            },
            timeout: settings.timeout,
            is_worker: settings.is_worker,
            turned: None,
        }
    }

    /// Tries to publish `want`, and notes how it went.
    pub(super) async fn take(
        &mut self,
        identity: &Result<Arc<Identity>, Missing>,
        want: Want,
        start: Instant,
    ) {
        let identity = match identity {
            Ok(identity) => identity,
            Err(missing) => {
                self.schedule.failed(None, start.elapsed(), 1.0);
                match missing {
                    Missing::Absent(why) => self.stands(State::Off, Some(why.clone())),
                    Missing::Broken(why) => self.stands(State::Failing, Some(why.clone())),
                }
                return;
            }
        };
        match self.send(identity, &want).await {
            Ok(remark) => {
                let now = Timestamp::now();
                self.publication.last_success = Some(now);
                if let Want::Condition { expiring, .. } = want {
                    self.turned =
                        self.turned.filter(|(was, _)| *was == expiring).or(Some((expiring, now)));
                }
                let news = !self.schedule.holds(&want);
                self.schedule.accepted(want, start.elapsed(), fastrand::f64());
                if news && self.publication.state == State::Accepted {
                    info!(node = %identity.node, "{}: the change was accepted", self.publication.name);
                }
                self.stands(State::Accepted, remark);
            }
            Err(Failure { why, retry_after }) => {
                self.schedule.failed(retry_after, start.elapsed(), fastrand::f64());
                self.stands(State::Failing, Some(why));
            }
        }
    }

    /// Notes the state, with one log line when it is another one.
    fn stands(&mut self, state: State, message: Option<String>) {
        let Publication { name, state: before, message: said, .. } = &self.publication;
        if (*before, said) != (state, &message) {
            match (state, &message) {
                (State::Failing, Some(why)) => warn!("{name}: {why}; trying again"),
                (_, Some(why)) => info!("{name}: {state}: {why}"),
                (_, None) => info!("{name}: {state}"),
            }
        }
        self.publication.state = state;
        self.publication.message = message;
    }

    /// Sends it; returns what there is to say of it all the same.
    async fn send(&self, identity: &Identity, want: &Want) -> Result<Option<String>, Failure> {
        let now = Timestamp::now();
        let node = format!("/api/v1/nodes/{}", path_segment(&identity.node));
        let get = |path: &str| Call {
            method: Method::GET,
            path: path.to_owned(),
            content_type: "",
            body: None,
        };
        let patch = |path: &str, content_type, body| Call {
            method: Method::PATCH,
            path: format!("{path}?fieldManager=expiryd"),
            content_type,
            body: Some(body),
        };
        let call = match want {
            Want::Annotations(annotations) if annotations.is_degraded() => {
                let found = self.accepted(identity, get(&node)).await?;
                let held = annotations.clone().held_against(&found);
                self.accepted(identity, patch(&node, MERGE, held.patch(now))).await?;
                return Ok(held.holds());
            }
            Want::Annotations(annotations) => patch(&node, MERGE, annotations.patch(now)),
            Want::NoAnnotations => {
                let found = self.accepted(identity, get(&node)).await?;
                if !wanted::carries_annotations(&found) {
                    return Ok(None);
                }
                if !self.is_worker && wanted::is_of_a_control_plane(&found) {
                    return Err(Failure {
                        why: format!(
                            "this machine looks like a worker, but its Node {} is that of a control \
                             plane, and keeps its annotations; if the PKI is not mounted where expiryd \
                             looks, mount it; if the machine is a worker, set layout.role = \"worker\" to \
                             have them removed",
                            identity.node
                        ),
                        retry_after: Some(Duration::from_hours(1)),
                    });
                }
                patch(&node, MERGE, wanted::removal_patch())
            }
            Want::Condition { expiring, message } => {
                let turned = self.turned.filter(|(was, _)| was == expiring);
                let since = turned.map_or(now, |(_, since)| since);
                let body = wanted::condition_patch(*expiring, message, now, since);
                patch(&format!("{node}/status"), STRATEGIC, body)
            }
            Want::Event { key, message } => Call {
                method: Method::POST,
                path: "/api/v1/namespaces/default/events?fieldManager=expiryd".to_owned(),
                content_type: "application/json",
                body: Some(wanted::event(&identity.node, key, message, now)),
            },
        };
        self.accepted(identity, call).await.map(|_| None)
    }

    /// Asks, and takes everything but success as a failure, in words that name who must act.
    async fn accepted(&self, identity: &Identity, call: Call) -> Result<Value, Failure> {
        let (host, port) = &identity.server;
        let (method, path) = (call.method.clone(), call.path.clone());
        let creates = method == Method::POST;
        let Answer { status, body, retry_after } = client::ask(identity, call, self.timeout)
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
        let verb = if method == Method::GET {
            "get"
        } else if creates {
            "create"
        } else {
            "patch"
        };
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
