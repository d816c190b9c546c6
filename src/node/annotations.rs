//! The annotations of the Node: what they say, and what the Node's own dates hold against it.

mod unread;

use expiryd_api::annotation::{
    self, ALL, EARLIEST_CERTIFICATE, EARLIEST_EXPIRY, ETCD_EXPIRY, HELD, MACHINE_CERTIFICATE,
    MACHINE_EXPIRY, OBSERVED_AT, STATUS,
};
use expiryd_api::{Earliest, Status, Timestamp};
use serde_json::{Map, Value, json};

use self::unread::Unread;
use crate::report::Report;

/// What the annotations say, all but the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotations {
    /// The date of the machine's rollout.
    machine: Option<Dated>,
    /// The date of etcd's rollout.
    etcd: Option<Dated>,
    /// The earliest expiry.
    earliest: Dated,
    status: Status,
    unread: Unread,
    /// Whether an earlier date of the Node is held against a degraded report.
    held: bool,
    /// See [`expiryd_api::ExpiryReport::forgotten`].
    forgotten: u64,
}

/// A date and the path of the certificate that it is from; empty where a Node does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dated {
    not_after: Timestamp,
    path: String,
}

/// What a publisher knows of a machine besides the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Whether the agent has seen, since its start, all that the Node's dates are from: then, what it had
    /// forgotten by then. Until it forgets more it remembers whatever becomes unreadable.
    complete: Option<u64>,
}

impl Memory {
    /// Of an agent that has just started.
    pub const fn none() -> Self {
        Self { complete: None }
    }

    /// Takes note that a Node was told of a report that is not degraded.
    pub fn told(&mut self, annotations: &Annotations) {
        self.complete = Some(annotations.forgotten);
    }
}

impl Annotations {
    /// What they say of a report with this earliest expiry.
    pub fn new(report: &Report, earliest: &Earliest) -> Self {
        let dated = |end: &Earliest| Dated { not_after: end.not_after, path: end.path.clone() };
        Self {
            machine: report.machine_rollout.as_ref().map(dated),
            etcd: report.etcd_rollout.as_ref().map(dated),
            earliest: dated(earliest),
            status: report.status,
            unread: Unread::of(report),
            held: false,
            forgotten: report.forgotten,
        }
    }

    /// Whether what the Node says already has to be heard first.
    pub fn is_degraded(&self) -> bool {
        self.status == Status::Degraded
    }

    /// What a Node that says this is told.
    ///
    /// After a restart a degraded report may lack the earliest date, because an agent forgets the last
    /// good state of a file when it ends. So one that cannot read something that could be read when the
    /// Node's dates were written brings them forward and moves none later. One that could read no more
    /// then does: an agent that can never read everything still follows a renewal. What has not been read for
    /// a day while no date was held is taken into the Node's list.
    #[must_use]
    pub fn held_against(mut self, node: &Value, memory: &mut Memory) -> Self {
        let machine = said(node, MACHINE_EXPIRY, MACHINE_CERTIFICATE);
        let etcd = said(node, ETCD_EXPIRY, "");
        let earliest = said(node, EARLIEST_EXPIRY, EARLIEST_CERTIFICATE);
        let before = text(node, annotation::UNREAD);
        let new = machine.is_none() && etcd.is_none() && earliest.is_none();
        let remembers = memory.complete == Some(self.forgotten);
        let complete = new || self.unread.are_all_in(before, remembers);
        memory.complete = complete.then_some(self.forgotten);
        if complete {
            return self;
        }
        let earlier = |said: Option<&Dated>, new: Option<&Dated>| {
            said.filter(|said| new.is_none_or(|new| said.not_after < new.not_after)).cloned()
        };
        let held = [
            earlier(machine.as_ref(), self.machine.as_ref()),
            earlier(etcd.as_ref(), self.etcd.as_ref()),
            earlier(earliest.as_ref(), Some(&self.earliest)),
        ];
        self.held = held.iter().any(Option::is_some);
        if !self.held && self.unread.is_lasting {
            return self;
        }
        // A date that somebody took off the Node stays off: its place is no better known than the others.
        let [held_machine, held_etcd, held_earliest] = held;
        self.machine = held_machine.or(self.machine.filter(|_| machine.is_some()));
        self.etcd = held_etcd.or(self.etcd.filter(|_| etcd.is_some()));
        self.earliest = held_earliest.unwrap_or(self.earliest);
        for date in [&self.machine, &self.etcd].into_iter().flatten() {
            if date.not_after < self.earliest.not_after {
                self.earliest = date.clone();
            }
        }
        // What could not be read then, and not now: so that a second restart does not forget.
        self.unread.told = before.map(str::to_owned);
        self
    }

    /// What is held against the report, for a person; `None` when nothing is.
    pub fn holds(&self) -> Option<String> {
        let Dated { not_after, path } = &self.earliest;
        self.held.then(|| {
            let path = if path.is_empty() { String::new() } else { format!(" ({path})") };
            format!(
                "the Node keeps {not_after}{path} from an earlier report: this one is degraded and may \
                 not see everything; mend its problems"
            )
        })
    }

    /// JSON merge patch (RFC 7396) of the Node's annotations and nothing else. Never an empty value:
    /// Cluster API stops on one that is not a date. null removes the key.
    pub fn patch(&self, now: Timestamp) -> Value {
        let date = |dated: &Option<Dated>| dated.as_ref().map(|dated| dated.not_after);
        let path = self.machine.as_ref().map(|machine| &machine.path);
        json!({ "metadata": { "annotations": {
            MACHINE_EXPIRY: date(&self.machine),
            MACHINE_CERTIFICATE: path.filter(|path| !path.is_empty()),
            ETCD_EXPIRY: date(&self.etcd),
            EARLIEST_EXPIRY: self.earliest.not_after,
            EARLIEST_CERTIFICATE: self.earliest.path,
            STATUS: self.status,
            annotation::UNREAD: self.unread.told,
            HELD: self.held.then_some("true"),
            OBSERVED_AT: now,
        } } })
    }
}

/// A date of a Node, with the path where it says one; what is not a date counts as none.
fn said(node: &Value, date: &str, path: &str) -> Option<Dated> {
    let not_after = Timestamp::parse(text(node, date)?).ok()?;
    Some(Dated { not_after, path: text(node, path).unwrap_or_default().to_owned() })
}

fn text<'a>(node: &'a Value, annotation: &str) -> Option<&'a str> {
    node.pointer("/metadata/annotations")?.get(annotation)?.as_str()
}

/// The earliest expiry that a Node holds against a degraded report.
pub fn held_earliest(node: &Value) -> Option<Earliest> {
    text(node, HELD).filter(|held| *held == "true")?;
    let Dated { not_after, path } = said(node, EARLIEST_EXPIRY, EARLIEST_CERTIFICATE)?;
    Some(Earliest { not_after, path, index: 0, renewed_by: None })
}

/// The patch that removes all of them.
pub fn removal_patch() -> Value {
    let nulls: Map<_, _> = ALL.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
    json!({ "metadata": { "annotations": nulls } })
}

/// Whether this is the Node of a control plane: it carries a date for its Machine, or the label of
/// kubeadm (`constants.LabelNodeRoleControlPlane`, or the one of before 1.24). Such a Node is not a worker's, whatever its files look
/// like from here.
pub fn is_of_a_control_plane(node: &Value) -> bool {
    let has = |map: &str, key: &str| {
        let map = node.pointer(map).and_then(Value::as_object);
        map.is_some_and(|map| map.contains_key(key))
    };
    has("/metadata/annotations", MACHINE_EXPIRY)
        || has("/metadata/labels", "node-role.kubernetes.io/control-plane")
        || has("/metadata/labels", "node-role.kubernetes.io/master")
}

/// Whether it is the Node of this name, as far as it is read here.
pub fn is_node(node: &Value, name: &str) -> bool {
    let metadata = |field| node.pointer("/metadata")?.get(field);
    let is_map = |map: &Value| {
        map.is_null() || map.as_object().is_some_and(|map| map.values().all(Value::is_string))
    };
    metadata("name").and_then(Value::as_str) == Some(name)
        && metadata("annotations").is_none_or(is_map)
        && metadata("labels").is_none_or(is_map)
}

/// Whether those of a Node are still what a patch of [`Annotations::patch`] made them, within a day of that time:
/// a second agent on the machine that says the same is not argued with.
pub fn are_as_told(node: &Value, patch: &Value) -> bool {
    const DAY: u64 = 86_400;
    let told = patch.pointer("/metadata/annotations").and_then(Value::as_object);
    let time = |text: Option<&str>| Timestamp::parse(text?).ok();
    told.is_some_and(|told| {
        told.iter().all(|(key, value)| match key.as_str() {
            OBSERVED_AT => time(text(node, key))
                .zip(time(value.as_str()))
                .is_some_and(|(shown, told)| shown.seconds_since(told).unsigned_abs() <= DAY),
            _ => text(node, key) == value.as_str(),
        })
    })
}

/// Whether a Node has lost a date that such a patch told it.
pub fn lack_a_date(node: &Value, patch: &Value) -> bool {
    let told = patch.pointer("/metadata/annotations").and_then(Value::as_object);
    let is_told = |key| told.is_some_and(|told| told.get(key).is_some_and(Value::is_string));
    let dates = [MACHINE_EXPIRY, ETCD_EXPIRY, EARLIEST_EXPIRY];
    dates.into_iter().any(|key| is_told(key) && text(node, key).is_none())
}

/// A patch of [`Annotations::patch`] at a later time.
pub fn told_again(mut patch: Value, now: Timestamp) -> Value {
    if let Some(told) = patch.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        told.insert(OBSERVED_AT.to_owned(), json!(now));
    }
    patch
}

/// Whether a Node carries any of them.
pub fn are_on(node: &Value) -> bool {
    let annotations = node.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations.is_some_and(|map| ALL.iter().any(|key| map.contains_key(*key)))
}

#[cfg(test)]
mod tests;
