//! The annotations of the Node: what they say, and what the Node's own dates hold against it.

use expiryd_api::annotation::{
    ALL, EARLIEST_CERTIFICATE, EARLIEST_EXPIRY, HELD, MACHINE_EXPIRY, OBSERVED_AT, STATUS,
};
use expiryd_api::{Earliest, Status, Timestamp};
use serde_json::{Map, Value, json};

use crate::report::Report;

/// What the annotations say, all but the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotations {
    /// The date of the machine's rollout.
    machine: Option<Timestamp>,
    /// The earliest expiry and its path.
    earliest: (Timestamp, String),
    status: Status,
    /// Whether an earlier date of the Node is held against a degraded report.
    held: bool,
}

impl Annotations {
    /// What they say of a report with this earliest expiry.
    pub fn new(report: &Report, earliest: &Earliest) -> Self {
        Self {
            machine: report.machine_rollout.as_ref().map(|end| end.not_after),
            earliest: (earliest.not_after, earliest.path.clone()),
            status: report.status,
            held: false,
        }
    }

    /// Whether what the Node says already has to be heard first.
    ///
    /// A degraded report may lack the earliest date, above all after a restart, which forgets the last
    /// good state of a file. It brings the Node's dates forward and never moves them later.
    pub fn is_degraded(&self) -> bool {
        self.status == Status::Degraded
    }

    /// These, but with each date of the Node that is earlier than that of this degraded report.
    ///
    /// A date that the Node got from a report as degraded as this one is not held: an agent that can
    /// never read everything still follows a renewal. One that is held stays so until a report is good.
    #[must_use]
    pub fn held_against(mut self, node: &Value) -> Self {
        let said = Said::of(node);
        if said.status.as_deref() == Some(Status::Degraded.as_str()) && !said.held {
            return self;
        }
        self.held = said.held;
        if let Some(date) = said.machine.filter(|date| self.machine.is_none_or(|new| *date < new)) {
            self.machine = Some(date);
            self.held = true;
        }
        if let Some(earliest) = said.earliest.filter(|(date, _)| *date < self.earliest.0) {
            self.earliest = earliest;
            self.held = true;
        }
        self
    }

    /// What is held against the report, for a person; `None` when nothing is.
    pub fn holds(&self) -> Option<String> {
        let (date, path) = &self.earliest;
        self.held.then(|| {
            format!(
                "the Node keeps {date} ({path}), which a good report gave it: this one is degraded \
                 and may not see everything"
            )
        })
    }

    /// JSON merge patch (RFC 7396) of the Node's annotations and nothing else. Never an empty value:
    /// Cluster API stops on one that is not a date. null removes the key.
    pub fn patch(&self, now: Timestamp) -> Value {
        let (earliest, path) = &self.earliest;
        json!({ "metadata": { "annotations": {
            MACHINE_EXPIRY: self.machine,
            EARLIEST_EXPIRY: earliest,
            EARLIEST_CERTIFICATE: path,
            STATUS: self.status,
            HELD: self.held.then_some("true"),
            OBSERVED_AT: now,
        } } })
    }
}

/// What a Node's annotations say; what is not a date counts as none.
#[derive(Debug, Default)]
struct Said {
    machine: Option<Timestamp>,
    earliest: Option<(Timestamp, String)>,
    status: Option<String>,
    held: bool,
}

impl Said {
    fn of(node: &Value) -> Self {
        let text = |key: &str| {
            let annotations = node.pointer("/metadata/annotations")?;
            annotations.get(key)?.as_str().map(str::to_owned)
        };
        let date = |key: &str| Timestamp::parse(&text(key)?).ok();
        let path = text(EARLIEST_CERTIFICATE).unwrap_or_default();
        Self {
            machine: date(MACHINE_EXPIRY),
            earliest: date(EARLIEST_EXPIRY).map(|date| (date, path)),
            status: text(STATUS),
            held: text(HELD).as_deref() == Some("true"),
        }
    }
}

/// The patch that removes all of them.
pub fn removal_patch() -> Value {
    let nulls: Map<_, _> = ALL.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
    json!({ "metadata": { "annotations": nulls } })
}

/// Whether this is the Node of a control plane: it carries a date for its Machine, or the label of
/// kubeadm (`constants.LabelNodeRoleControlPlane`). Such a Node is not a worker's, whatever its files look
/// like from here.
pub fn is_of_a_control_plane(node: &Value) -> bool {
    let has = |map: &str, key: &str| {
        let map = node.pointer(map).and_then(Value::as_object);
        map.is_some_and(|map| map.contains_key(key))
    };
    has("/metadata/annotations", MACHINE_EXPIRY)
        || has("/metadata/labels", "node-role.kubernetes.io/control-plane")
}

/// Whether a Node carries any of them.
pub fn are_on(node: &Value) -> bool {
    let annotations = node.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations.is_some_and(|map| ALL.iter().any(|key| map.contains_key(*key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: &str = "2027-02-01T06:00:00Z";
    const LATE: &str = "2027-03-01T06:00:00Z";

    fn report(date: &str, status: Status) -> Annotations {
        let date = Timestamp::parse(date).unwrap();
        let earliest = (date, "/new".to_owned());
        Annotations { machine: Some(date), earliest, status, held: false }
    }

    fn node(annotations: &Value) -> Value {
        json!({ "metadata": { "annotations": annotations } })
    }

    /// A Node that was told this.
    fn told(annotations: &Annotations) -> Value {
        annotations.patch(Timestamp::from_unix(0))
    }

    #[test]
    fn the_patch_carries_the_annotations_and_the_time_and_nothing_else() {
        let patch = report(EARLY, Status::Ok).patch(Timestamp::from_unix(0));
        assert_eq!(
            patch,
            node(&json!({
                "machine.cluster.x-k8s.io/certificates-expiry": EARLY,
                "expiryd.dev/earliest-expiry": EARLY,
                "expiryd.dev/earliest-certificate": "/new",
                "expiryd.dev/status": "ok",
                "expiryd.dev/held": null,
                "expiryd.dev/observed-at": "1970-01-01T00:00:00Z",
            }))
        );
    }

    #[test]
    fn a_degraded_report_brings_a_date_forward_and_never_moves_it_later() {
        let good = report(EARLY, Status::Ok);
        let degraded = report(LATE, Status::Degraded).held_against(&told(&good));
        assert_eq!((degraded.machine, &degraded.earliest), (good.machine, &good.earliest));
        assert!(degraded.held && degraded.holds().is_some());
        let earlier =
            report(EARLY, Status::Degraded).held_against(&told(&report(LATE, Status::Ok)));
        assert_eq!(earlier, report(EARLY, Status::Degraded));
    }

    #[test]
    fn a_degraded_report_removes_no_date() {
        let mut degraded = report(LATE, Status::Degraded);
        degraded.machine = None;
        let held = degraded.held_against(&told(&report(EARLY, Status::Ok)));
        assert_eq!(held.machine, Some(Timestamp::parse(EARLY).unwrap()));
    }

    #[test]
    fn what_is_held_stays_held_over_a_second_restart_and_until_a_report_is_good() {
        let first = report(LATE, Status::Degraded).held_against(&told(&report(EARLY, Status::Ok)));
        let second = report(LATE, Status::Degraded).held_against(&told(&first));
        assert_eq!(second, first);
        // Brought forward while held: that is held, too.
        let forward = report("2027-01-01T00:00:00Z", Status::Degraded).held_against(&told(&second));
        assert!(forward.held);
        let third = report(LATE, Status::Degraded).held_against(&told(&forward));
        assert_eq!(third.machine, forward.machine);
    }

    #[test]
    fn an_agent_that_is_degraded_for_good_follows_a_renewal() {
        let before = report(EARLY, Status::Degraded).held_against(&json!({}));
        let renewed = report(LATE, Status::Degraded).held_against(&told(&before));
        assert_eq!(renewed, report(LATE, Status::Degraded));
    }

    #[test]
    fn a_value_that_is_no_date_holds_nothing() {
        let node = node(&json!({ MACHINE_EXPIRY: "soon", EARLIEST_EXPIRY: "", STATUS: "ok" }));
        let degraded = report(LATE, Status::Degraded);
        assert_eq!(degraded.clone().held_against(&node), degraded);
    }

    #[test]
    fn the_node_of_a_control_plane_is_known_by_its_date_or_its_label() {
        let label =
            json!({ "metadata": { "labels": { "node-role.kubernetes.io/control-plane": "" } } });
        assert!(is_of_a_control_plane(&label));
        assert!(is_of_a_control_plane(&node(&json!({ MACHINE_EXPIRY: EARLY }))));
        assert!(!is_of_a_control_plane(&node(&json!({ STATUS: "ok" }))));
    }

    #[test]
    fn the_removal_names_every_annotation_with_null() {
        let patch = removal_patch();
        let annotations = patch.pointer("/metadata/annotations").and_then(Value::as_object);
        let annotations = annotations.unwrap();
        assert_eq!(annotations.len(), ALL.len());
        assert!(annotations.values().all(Value::is_null));
    }

    #[test]
    fn a_node_carries_them_when_it_has_one() {
        let node = |key: &str| json!({ "metadata": { "annotations": { key: "x" } } });
        assert!(are_on(&node("expiryd.dev/status")));
        assert!(!are_on(&node("node.alpha.kubernetes.io/ttl")));
        assert!(!are_on(&json!({ "metadata": {} })));
    }

    #[test]
    fn a_node_is_heard_first_only_for_a_degraded_report() {
        assert!(report(EARLY, Status::Degraded).is_degraded());
        assert!(!report(EARLY, Status::Ok).is_degraded());
    }

    #[test]
    fn a_date_that_the_node_has_already_is_not_held_against_it() {
        let degraded = report(EARLY, Status::Degraded);
        let same = degraded.clone().held_against(&told(&report(EARLY, Status::Ok)));
        assert_eq!((&same, same.holds()), (&degraded, None));
    }

    #[test]
    fn what_is_held_is_said_with_its_date_and_path() {
        let held = report(LATE, Status::Degraded).held_against(&told(&report(EARLY, Status::Ok)));
        assert!(held.holds().unwrap().contains("2027-02-01T06:00:00Z (/new)"));
    }
}
