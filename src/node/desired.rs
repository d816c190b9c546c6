//! The desired state of the Node, given a report and what the Node shows: a pure decision.

use expiryd_api::{Earliest, Status, Timestamp};
use serde_json::Value;

use super::annotations::{self, Annotations};
use super::condition::{Condition, Event, Shown};
use crate::config::Extras;
use crate::report::Report;

/// Something that the API server should be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Desired {
    /// The Node has these annotations, and the one that says when this was last seen to be true.
    Annotations(Annotations),
    /// The Node has none of expiryd's annotations: this machine is a worker.
    NoAnnotations,
    /// The Node has this condition.
    Condition(Condition),
    /// The Node has no such condition: nobody wants it any more, or this machine is a worker.
    NoCondition,
    /// An Event about the Node.
    Event(Event),
}

impl Desired {
    /// Whether a Node still says this, which it was `told` with that patch. An Event is a thing of the past.
    pub(super) fn is_said_by(&self, node: &Value, told: &Value) -> bool {
        match self {
            Self::Annotations(_) => annotations::are_as_told(node, told),
            Self::NoAnnotations => !annotations::are_on(node),
            Self::Condition(condition) => condition.is_shown_by(node),
            Self::NoCondition => Shown::of(node).is_none(),
            Self::Event(_) => true,
        }
    }
}

/// What is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The Node is to be left as it is, perhaps only for now.
    NotYet,
    /// There is nothing to tell although it was asked for, and why.
    Nothing(&'static str),
    /// This.
    Publish(Desired),
}

/// What the annotations should be.
///
/// A report that has not settled, or is of a machine whose PKI is still waited for, says nothing
/// about what was published before, and neither does a degraded one that has no date at all.
pub fn annotations(report: &Report) -> Decision {
    if !report.settled || report.status == Status::Waiting {
        return Decision::NotYet;
    }
    match &report.earliest {
        Some(earliest) => {
            Decision::Publish(Desired::Annotations(Annotations::new(report, earliest)))
        }
        None if report.status == Status::None => Decision::Publish(Desired::NoAnnotations),
        None => Decision::NotYet,
    }
}

/// What the condition and the Event should be at `now`, given the earliest expiry of a report or what the
/// Node holds against it. A Node `shows` the condition where it has it.
pub fn extras(
    report: &Report,
    earliest: Option<&Earliest>,
    extras: Extras,
    shows: bool,
    now: Timestamp,
) -> [Decision; 2] {
    const WORKER: &str = "a worker has no certificates to warn of";
    let or_removal = |other| if shows { Decision::Publish(Desired::NoCondition) } else { other };
    let Some(window) = extras.condition_window else {
        return [or_removal(Decision::NotYet), Decision::NotYet];
    };
    if !report.settled {
        return [Decision::NotYet, Decision::NotYet];
    }
    let Some(earliest) = earliest else {
        return match report.status {
            Status::None => [or_removal(Decision::Nothing(WORKER)), Decision::Nothing(WORKER)],
            _ => [Decision::NotYet, Decision::NotYet],
        };
    };
    let condition = Condition::new(earliest, window, now);
    let event = match condition.event(earliest) {
        _ if !extras.event => Decision::NotYet,
        None => Decision::Nothing("no certificate ends within node.condition-window"),
        Some(event) => Decision::Publish(Desired::Event(event)),
    };
    [Decision::Publish(Desired::Condition(condition)), event]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expiryd_api::{API_VERSION, Earliest, KIND, Node, Role};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const DAY: i64 = 86_400;

    /// A settled report with its earliest expiry so many days from now.
    fn report(status: Status, days: Option<i64>) -> Report {
        let earliest = days.map(|days| Earliest {
            not_after: Timestamp::from_unix(NOW.unix() + days * DAY),
            path: "/a.crt".to_owned(),
            index: 0,
            renewed_by: None,
        });
        Report {
            api_version: API_VERSION,
            kind: KIND,
            observed_at: NOW,
            node: Node {
                name: None,
                os: "ubuntu".to_owned(),
                role: Role::ControlPlane,
                etcd_topology: None,
            },
            status,
            settled: true,
            machine_rollout: earliest.clone(),
            etcd_rollout: None,
            earliest_ca: None,
            earliest,
            served: Vec::new(),
            certificates: Vec::new(),
            problems: Vec::new(),
            publications: Vec::new(),
            server_restarts: None,
            forgotten: 0,
        }
    }

    fn unsettled(mut report: Report) -> Report {
        report.settled = false;
        report
    }

    fn annotated(report: &Report) -> Decision {
        let earliest = report.earliest.as_ref().unwrap();
        Decision::Publish(Desired::Annotations(Annotations::new(report, earliest)))
    }

    #[test]
    fn a_settled_report_with_a_date_is_published() {
        for status in [Status::Ok, Status::Degraded] {
            let report = report(status, Some(90));
            assert_eq!(annotations(&report), annotated(&report));
            assert_eq!(annotations(&unsettled(report)), Decision::NotYet);
        }
        assert_eq!(annotations(&report(Status::Waiting, Some(90))), Decision::NotYet);
    }

    #[test]
    fn only_a_settled_worker_has_its_annotations_removed() {
        let worker = report(Status::None, None);
        assert_eq!(annotations(&worker), Decision::Publish(Desired::NoAnnotations));
        assert_eq!(annotations(&unsettled(worker)), Decision::NotYet);
        for status in [Status::Waiting, Status::Degraded] {
            assert_eq!(annotations(&report(status, None)), Decision::NotYet);
        }
    }

    fn extras_of(report: &Report, event: bool, shows: bool) -> [Decision; 2] {
        let window = Some(Duration::from_hours(30 * 24));
        let earliest = report.earliest.as_ref();
        extras(report, earliest, Extras { condition_window: window, event }, shows, NOW)
    }

    fn condition(report: &Report) -> Condition {
        let window = Duration::from_hours(30 * 24);
        Condition::new(report.earliest.as_ref().unwrap(), window, NOW)
    }

    #[test]
    fn the_condition_is_published_and_the_event_once_the_window_is_entered() {
        let far = report(Status::Ok, Some(31));
        let [is, event] = extras_of(&far, true, false);
        assert_eq!(is, Decision::Publish(Desired::Condition(condition(&far))));
        assert!(matches!(event, Decision::Nothing(_)), "{event:?}");
        let near = report(Status::Ok, Some(29));
        let [is, event] = extras_of(&near, true, true);
        assert_eq!(is, Decision::Publish(Desired::Condition(condition(&near))));
        let expected = condition(&near).event(near.earliest.as_ref().unwrap()).unwrap();
        assert_eq!(event, Decision::Publish(Desired::Event(expected)));
        assert_eq!(extras_of(&near, false, false)[1], Decision::NotYet);
        assert_eq!(extras_of(&unsettled(near), true, false), [Decision::NotYet, Decision::NotYet]);
    }

    #[test]
    fn a_worker_has_no_condition_and_one_that_it_shows_is_removed() {
        let worker = report(Status::None, None);
        let removed = Decision::Publish(Desired::NoCondition);
        assert!(extras_of(&worker, true, false).iter().all(|d| matches!(d, Decision::Nothing(_))));
        let [is, event] = extras_of(&worker, true, true);
        assert!(is == removed && matches!(event, Decision::Nothing(_)));
        let waiting = report(Status::Waiting, None);
        assert_eq!(extras_of(&waiting, true, true), [Decision::NotYet, Decision::NotYet]);
    }

    #[test]
    fn a_condition_that_nobody_asks_for_is_removed_where_it_shows() {
        let report = report(Status::Ok, Some(1));
        let earliest = report.earliest.as_ref();
        let unasked = |shows| extras(&report, earliest, Extras::default(), shows, NOW);
        assert_eq!(unasked(false), [Decision::NotYet, Decision::NotYet]);
        assert_eq!(unasked(true), [Decision::Publish(Desired::NoCondition), Decision::NotYet]);
    }
}
