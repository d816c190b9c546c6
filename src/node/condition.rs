//! The condition of the Node and the Event about it: what the Node shows, and what it should.

use std::time::Duration;

use expiryd_api::{Earliest, Timestamp};
use serde_json::{Value, json};

/// The type of the Node's condition.
const CONDITION: &str = "CertificatesExpiring";

/// The condition as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Whether the window has been entered.
    expiring: bool,
    /// Which certificate, when, and who renews it.
    message: String,
}

/// The condition as the Node shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    expiring: bool,
    /// When it last turned, if the Node says so.
    since: Option<Timestamp>,
}

impl Shown {
    /// What this Node shows; `None` when it has no such condition.
    pub fn of(node: &Value) -> Option<Self> {
        let conditions = node.pointer("/status/conditions")?.as_array()?;
        let found = conditions
            .iter()
            .find(|condition| condition.get("type").and_then(Value::as_str) == Some(CONDITION))?;
        let text = |key: &str| found.get(key).and_then(Value::as_str);
        Some(Self {
            expiring: text("status") == Some("True"),
            since: text("lastTransitionTime").and_then(|text| Timestamp::parse(text).ok()),
        })
    }
}

impl Condition {
    /// What to say of the earliest expiry at `now`, which is expiring within `window` of its end.
    pub fn new(earliest: &Earliest, window: Duration, now: Timestamp) -> Self {
        let left = earliest.not_after.seconds_since(now);
        let renewer = earliest.renewed_by.map_or("unknown", |by| by.as_str());
        Self {
            expiring: left < i64::try_from(window.as_secs()).unwrap_or(i64::MAX),
            message: format!(
                "{} ends at {}; renewed by: {renewer}",
                earliest.path, earliest.not_after
            ),
        }
    }

    /// Strategic merge patch of this condition: the others are merged by their type and stay. It turned
    /// when the Node says that it did, also when another agent, or this one before a restart, wrote that.
    pub fn patch(&self, shown: Option<Shown>, now: Timestamp) -> Value {
        let same = shown.filter(|shown| shown.expiring == self.expiring);
        json!({ "status": { "conditions": [{
            "type": CONDITION,
            "status": if self.expiring { "True" } else { "False" },
            "reason": if self.expiring { "CertificatesExpiring" } else { "CertificatesValid" },
            "message": self.message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": same.and_then(|shown| shown.since).unwrap_or(now),
        }] } })
    }

    /// Whether a Node shows it.
    pub(super) fn is_shown_by(&self, node: &Value) -> bool {
        Shown::of(node).is_some_and(|shown| shown.expiring == self.expiring)
    }

    /// The Event to be written when the window has been entered.
    pub fn event(&self, earliest: &Earliest) -> Option<Event> {
        self.expiring.then(|| Event {
            key: format!("{:x}", earliest.not_after.unix()),
            message: self.message.clone(),
        })
    }
}

/// Strategic merge patch that removes the condition.
pub(super) fn removal_patch() -> Value {
    json!({ "status": { "conditions": [{ "type": CONDITION, "$patch": "delete" }] } })
}

/// An Event about the Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Tells one Event from another, also after a restart.
    key: String,
    message: String,
}

impl Event {
    /// As the kubelet writes its own: the Node's name stands for its UID.
    pub fn object(&self, node: &str, now: Timestamp) -> Value {
        let Self { key, message } = self;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_000_000);

    fn condition(expiring: bool) -> Condition {
        Condition { expiring, message: "m".to_owned() }
    }

    fn since(patch: &Value) -> Option<&str> {
        patch.pointer("/status/conditions/0/lastTransitionTime").and_then(Value::as_str)
    }

    #[test]
    fn it_turned_when_the_node_says_so_and_now_when_it_turns() {
        let node = condition(true).patch(None, Timestamp::from_unix(0));
        let shown = Shown::of(&node);
        assert_eq!(since(&condition(true).patch(shown, NOW)), Some("1970-01-01T00:00:00Z"));
        assert_eq!(since(&condition(false).patch(shown, NOW)), Some("1970-01-12T13:46:40Z"));
        assert_eq!(since(&condition(true).patch(None, NOW)), Some("1970-01-12T13:46:40Z"));
    }

    #[test]
    fn a_node_shows_it_only_where_it_has_one_of_that_type() {
        let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        assert_eq!(Shown::of(&ready), None);
        assert_eq!(Shown::of(&json!({})), None);
        let odd =
            json!({ "status": { "conditions": [{ "type": CONDITION, "lastTransitionTime": 3 }] } });
        assert_eq!(Shown::of(&odd), Some(Shown { expiring: false, since: None }));
    }

    #[test]
    fn the_window_is_entered_when_less_than_it_is_left() {
        let window = Duration::from_secs(100);
        let ends = |left: i64| Earliest {
            not_after: Timestamp::from_unix(NOW.unix() + left),
            path: "/a.crt".to_owned(),
            index: 0,
            renewed_by: None,
        };
        let event = |left| Condition::new(&ends(left), window, NOW).event(&ends(left)).is_some();
        assert_eq!([event(101), event(100), event(99), event(-1)], [false, false, true, true]);
    }

    #[test]
    fn an_event_is_named_by_the_node_and_the_date_and_written_as_the_kubelet_writes_its_own() {
        let event = Event { key: "f4240".to_owned(), message: "m".to_owned() };
        let object = event.object("cp-1", NOW);
        assert_eq!(object["metadata"]["name"], "cp-1.expiryd-f4240");
        assert_eq!(object["involvedObject"]["uid"], "cp-1");
        assert_eq!((&object["reason"], &object["message"]), (&json!(CONDITION), &json!("m")));
        assert_eq!(object["firstTimestamp"], "1970-01-12T13:46:40Z");
    }

    #[test]
    fn the_removal_names_this_condition_and_no_other() {
        let patch = removal_patch();
        assert_eq!(
            patch["status"]["conditions"],
            json!([{ "type": CONDITION, "$patch": "delete" }])
        );
    }
}
