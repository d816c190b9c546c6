//! What the Node should say, given a report: a pure decision.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::report::{Earliest, Report, Status};

/// The annotations that expiryd sets. The first is Cluster API's own, in its own format
/// (`api/core/v1beta2/machine_types.go`), so that a bridge copies it to the Machine as it is.
pub const ANNOTATIONS: &[&str] =
    &[MACHINE_EXPIRY, EARLIEST_EXPIRY, EARLIEST_CERTIFICATE, STATUS, OBSERVED_AT];

const MACHINE_EXPIRY: &str = "machine.cluster.x-k8s.io/certificates-expiry";
const EARLIEST_EXPIRY: &str = "expiryd.dev/earliest-expiry";
const EARLIEST_CERTIFICATE: &str = "expiryd.dev/earliest-certificate";
const STATUS: &str = "expiryd.dev/status";
const OBSERVED_AT: &str = "expiryd.dev/observed-at";

/// The type of the Node's condition.
pub const CONDITION: &str = "CertificatesExpiring";

/// What of it is told to Kubernetes beyond the annotations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// How long before the earliest expiry the condition turns True; `None` for no condition.
    pub condition_window: Option<Duration>,
    /// Whether an Event is written when it does.
    pub event: bool,
}

/// Something that the API server should be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// The Node has these annotations, and the one that says when this was last seen to be true.
    Annotations(Map<String, Value>),
    /// The Node has none of expiryd's annotations.
    NoAnnotations,
    /// The Node has this condition.
    Condition {
        /// Whether the window has been entered.
        expiring: bool,
        /// Which certificate, when, and who renews it.
        message: String,
    },
    /// An Event about the Node.
    Event {
        /// Tells one Event from another, also after a restart.
        key: String,
        /// What happened.
        message: String,
    },
}

/// The annotations to be wanted; `None` while the Node is to be left as it is.
///
/// A report that has not settled, or is of a machine whose PKI is still waited for, says nothing
/// about what was published before. A report that is degraded stands for its last good state.
pub fn annotations(report: &Report) -> Option<Want> {
    if !report.settled || report.status == Status::Waiting {
        return None;
    }
    let Some(earliest) = &report.earliest else { return Some(Want::NoAnnotations) };
    let date = |end: &Earliest| Value::from(end.not_after.to_string());
    // Never an empty value: Cluster API stops on one that is no date. null removes the key.
    let machine = report.machine_rollout.as_ref().map_or(Value::Null, date);
    Some(Want::Annotations(Map::from_iter([
        (MACHINE_EXPIRY.to_owned(), machine),
        (EARLIEST_EXPIRY.to_owned(), date(earliest)),
        (EARLIEST_CERTIFICATE.to_owned(), earliest.path.to_string().into()),
        (STATUS.to_owned(), report.status.as_str().into()),
    ])))
}

/// The condition and the Event to be wanted at `now`, as far as they are configured.
pub fn extras(report: &Report, extras: Extras, now: Timestamp) -> [Option<Want>; 2] {
    let Some(window) = extras.condition_window.filter(|_| report.settled) else {
        return [None, None];
    };
    let Some(earliest) = &report.earliest else { return [None, None] };
    let left = earliest.not_after.seconds_since(now);
    let expiring = left < i64::try_from(window.as_secs()).unwrap_or(i64::MAX);
    let renewer = earliest.renewed_by.map_or("nobody known", |by| by.as_str());
    let message = format!("{} ends at {}; renewed by {renewer}", earliest.path, earliest.not_after);
    let event = (extras.event && expiring).then(|| Want::Event {
        key: format!("{:x}", earliest.not_after.unix()),
        message: message.clone(),
    });
    [Some(Want::Condition { expiring, message }), event]
}

/// JSON merge patch (RFC 7396) of the Node's annotations and nothing else.
pub fn annotations_patch(annotations: &Map<String, Value>, now: Timestamp) -> Value {
    let mut annotations = annotations.clone();
    annotations.insert(OBSERVED_AT.to_owned(), now.to_string().into());
    json!({ "metadata": { "annotations": annotations } })
}

/// The same that removes all of them.
pub fn removal_patch() -> Value {
    let nulls: Map<_, _> = ANNOTATIONS.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
    json!({ "metadata": { "annotations": nulls } })
}

/// Whether a Node carries any of them.
pub fn carries_annotations(node: &Value) -> bool {
    let annotations = node.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations.is_some_and(|map| ANNOTATIONS.iter().any(|key| map.contains_key(*key)))
}

/// Strategic merge patch of one condition: the others are merged by their type and stay.
/// `since` is when it last turned.
pub fn condition_patch(expiring: bool, message: &str, now: Timestamp, since: Timestamp) -> Value {
    json!({ "status": { "conditions": [{
        "type": CONDITION,
        "status": if expiring { "True" } else { "False" },
        "reason": if expiring { "CertificatesExpiring" } else { "CertificatesValid" },
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": since,
    }] } })
}

/// An Event about the Node, as the kubelet writes its own: the Node's name stands for its UID.
pub fn event(node: &str, key: &str, message: &str, now: Timestamp) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": format!("{node}.expiryd-{key}"), "namespace": "default" },
        "involvedObject": { "apiVersion": "v1", "kind": "Node", "name": node, "uid": node },
        "type": "Warning",
        "reason": CONDITION,
        "message": message,
        "source": { "component": "expiryd", "host": node },
        "reportingComponent": "expiryd",
        "reportingInstance": node,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_carries_the_annotations_and_the_time_and_nothing_else() {
        let annotations = Map::from_iter([(STATUS.to_owned(), "ok".into())]);
        let patch = annotations_patch(&annotations, Timestamp::from_unix(0));
        assert_eq!(
            patch,
            json!({ "metadata": { "annotations": {
            "expiryd.dev/status": "ok",
            "expiryd.dev/observed-at": "1970-01-01T00:00:00Z",
        } } })
        );
    }

    #[test]
    fn the_removal_names_every_annotation_with_null() {
        let patch = removal_patch();
        let annotations = patch.pointer("/metadata/annotations").and_then(Value::as_object);
        let annotations = annotations.unwrap();
        assert_eq!(annotations.len(), ANNOTATIONS.len());
        assert!(annotations.values().all(Value::is_null));
    }

    #[test]
    fn a_node_carries_them_when_it_has_one() {
        let node = |key: &str| json!({ "metadata": { "annotations": { key: "x" } } });
        assert!(carries_annotations(&node("expiryd.dev/status")));
        assert!(!carries_annotations(&node("node.alpha.kubernetes.io/ttl")));
        assert!(!carries_annotations(&json!({ "metadata": {} })));
    }
}
