//! The desired state of the Node, given a report and what the Node shows: a pure decision.

use expiryd_api::{Status, Timestamp};

use super::annotations::Annotations;
use super::condition::{Condition, Event};
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

/// What the condition and the Event should be at `now`. A Node `shows` the condition where it has it.
pub fn extras(report: &Report, extras: Extras, shows: bool, now: Timestamp) -> [Decision; 2] {
    const WORKER: &str = "a worker has no certificates to warn of";
    let or_removal = |other| if shows { Decision::Publish(Desired::NoCondition) } else { other };
    let Some(window) = extras.condition_window else {
        return [or_removal(Decision::NotYet), Decision::NotYet];
    };
    if !report.settled {
        return [Decision::NotYet, Decision::NotYet];
    }
    let Some(earliest) = &report.earliest else {
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
