//! The log lines of a report that differs from the one before: one for each change of state.

use std::collections::BTreeSet;

use expiryd_api::{Earliest, EtcdTopology, RenewedBy};
use tracing::{info, warn};

use crate::problem::{ActiveProblem, Problem};
use crate::report::Report;

/// Log lines that one scan may write about problems that are new, and about those that are over.
const LINES: usize = 20;

/// Logs what is new in `after`; nothing when nothing is.
pub(super) fn log(before: Option<&Report>, after: &Report) {
    if before.is_none_or(|before| summary_key(before) != summary_key(after)) {
        let shown = |e: &Option<Earliest>| e.as_ref().map(|e| tracing::field::display(e.not_after));
        let earliest = after.earliest.as_ref();
        info!(
            status = after.status.as_str(),
            settled = after.settled,
            role = after.node.role.as_str(),
            etcd_topology = after.node.etcd_topology.map(EtcdTopology::as_str),
            earliest = shown(&after.earliest),
            path = earliest.map(|e| tracing::field::display(&e.path)),
            renewed_by = earliest.and_then(|e| e.renewed_by).map(RenewedBy::as_str),
            machine_rollout = shown(&after.machine_rollout),
            "report"
        );
    }
    let had = before.map_or(&[][..], |before| &before.problems);
    let (begun, more) = new_in(&after.problems, had);
    for problem in begun {
        warn!(path = %problem.path, index = problem.index, reason = problem.reason.as_str(),
            "{}: {}", problem.path, problem.message);
    }
    if more > 0 {
        warn!(problems = more, "{more} more problems are new; the report lists them");
    }
    let (over, more) = new_in(had, &after.problems);
    for problem in over {
        info!(path = %problem.path, reason = problem.reason.as_str(),
            "{}: this problem is over: {}", problem.path, problem.message);
    }
    if more > 0 {
        info!(problems = more, "{more} more problems are over");
    }
}

/// What of a report is a state of its own: all but the time it was made and the certificates that
/// are not the earliest.
fn summary_key(report: &Report) -> impl PartialEq + use<'_> {
    (report.status, report.settled, &report.node, &report.earliest, &report.machine_rollout)
}

/// The problems of `these` that are not among `those`, as far as each gets a line, and how many more
/// there are.
fn new_in<'a>(these: &'a [ActiveProblem], those: &'a [ActiveProblem]) -> (Vec<&'a Problem>, usize) {
    let known: BTreeSet<_> = those.iter().map(|that| &that.problem).collect();
    let mut new = these.iter().map(|this| &this.problem).filter(|this| !known.contains(this));
    let listed = new.by_ref().take(LINES).collect();
    (listed, new.count())
}
