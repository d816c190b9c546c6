//! What the API server should be told, given a report and what the Node shows: a pure decision.

use std::time::Duration;

use super::annotations::Annotations;
use super::condition::{Condition, Event};
use crate::clock::Timestamp;
use crate::report::{Report, Status};

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

/// What a publisher is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The Node is to be left as it is, perhaps only for now.
    NotYet,
    /// There is nothing to tell although it was asked for, and why.
    Nothing(&'static str),
    /// To see to it that this is so.
    This(Want),
}

/// What is wanted of the annotations.
///
/// A report that has not settled, or is of a machine whose PKI is still waited for, says nothing
/// about what was published before, and neither does a degraded one that has no date at all.
pub fn annotations(report: &Report) -> Wanted {
    if !report.settled || report.status == Status::Waiting {
        return Wanted::NotYet;
    }
    match &report.earliest {
        Some(earliest) => Wanted::This(Want::Annotations(Annotations::of(report, earliest))),
        None if report.status == Status::None => Wanted::This(Want::NoAnnotations),
        None => Wanted::NotYet,
    }
}

/// What is wanted of the condition and the Event at `now`. A Node `shows` the condition where it has it.
pub fn extras(report: &Report, extras: Extras, shows: bool, now: Timestamp) -> [Wanted; 2] {
    const WORKER: &str = "a worker has no certificates to warn of";
    let or_removal = |other| if shows { Wanted::This(Want::NoCondition) } else { other };
    let Some(window) = extras.condition_window else {
        return [or_removal(Wanted::NotYet), Wanted::NotYet];
    };
    if !report.settled {
        return [Wanted::NotYet, Wanted::NotYet];
    }
    let Some(earliest) = &report.earliest else {
        return match report.status {
            Status::None => [or_removal(Wanted::Nothing(WORKER)), Wanted::Nothing(WORKER)],
            _ => [Wanted::NotYet, Wanted::NotYet],
        };
    };
    let condition = Condition::of(earliest, window, now);
    let event = match condition.event(earliest) {
        _ if !extras.event => Wanted::NotYet,
        None => Wanted::Nothing("no certificate ends within node.condition-window"),
        Some(event) => Wanted::This(Want::Event(event)),
    };
    [Wanted::This(Want::Condition(condition)), event]
}
