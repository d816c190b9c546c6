//! What is asked of the API server, and what its answers mean, in words that name who must act.

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::annotations;
use super::client::{self, Request, Response};
use crate::escape::Escaped;
use crate::identity::Identity;

/// The API server, as one identity may ask it.
#[derive(Clone, Copy)]
pub(super) struct Server<'a> {
    pub(super) identity: &'a Identity,
    /// How long a request may take.
    pub(super) timeout: Duration,
}

/// What of the Node is patched.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// Its metadata, by a merge patch (RFC 7396).
    Metadata,
    /// Its status, by a strategic merge patch, which merges conditions by their type.
    Status,
}

/// Why something was not done.
pub(super) struct Failure {
    pub(super) why: String,
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    fn new(why: String) -> Self {
        Self { why, retry_after: None }
    }
}

impl Server<'_> {
    /// Reads the Node, with a patch that changes nothing: RBAC then needs to grant no reading, which it
    /// could not limit to this one Node, as admission limits a patch.
    pub(super) async fn node(self) -> Result<Value, Failure> {
        self.patch(Part::Metadata, json!({})).await
    }

    /// Patches a part of the Node, and returns what all of it is like now.
    pub(super) async fn patch(self, part: Part, body: Value) -> Result<Value, Failure> {
        let (subresource, content_type) = match part {
            Part::Metadata => ("", "application/merge-patch+json"),
            Part::Status => ("/status", "application/strategic-merge-patch+json"),
        };
        let Identity { node: name, server: (host, port), .. } = self.identity;
        let path =
            format!("/api/v1/nodes/{}{subresource}?fieldManager=expiryd", path_segment(name));
        let request = Request { method: Method::PATCH, path, content_type, body };
        let node = self.accepted(request).await?;
        // What is no Node says nothing about its dates, and must not pass for one without any.
        if !annotations::is_node(&node, name) {
            return Err(Failure::new(format!(
                "{host}:{port} answered with something that is not the Node {name}; see what stands \
                 between expiryd and the API server"
            )));
        }
        Ok(node)
    }

    /// Writes an Event.
    pub(super) async fn create_event(self, event: Value) -> Result<(), Failure> {
        let request = Request {
            method: Method::POST,
            path: "/api/v1/namespaces/default/events?fieldManager=expiryd".to_owned(),
            content_type: "application/json",
            body: event,
        };
        self.accepted(request).await.map(drop)
    }

    /// That the Node is of a control plane although this machine looks like a worker.
    pub(super) fn looks_like_a_worker(self) -> Failure {
        Failure {
            why: format!(
                "this machine looks like a worker, but its Node {} is that of a control plane, and keeps \
                 its annotations; if the PKI is not mounted where expiryd looks, mount it; if the machine \
                 is a worker, set layout.role = \"worker\" to have them removed",
                self.identity.node
            ),
            retry_after: Some(Duration::from_hours(1)),
        }
    }

    /// Asks, and takes everything but success as a failure.
    async fn accepted(self, request: Request) -> Result<Value, Failure> {
        let Identity { name, node, server: (host, port), .. } = self.identity;
        let (creates, path) = (request.method == Method::POST, request.path.clone());
        let Response { status, body, retry_after } =
            client::ask(self.identity, request, self.timeout)
                .await
                .map_err(|why| Failure::new(format!("{host}:{port} {why}")))?;
        // An Event of that name is the one that was meant: an earlier answer was lost.
        if status.is_success() || (creates && status == StatusCode::CONFLICT) {
            return Ok(body);
        }
        let said = body.get("message").and_then(Value::as_str).unwrap_or("no reason given");
        let said = shown(said);
        let path = path.split('?').next().unwrap_or_default();
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
