//! The log lines of a report that differs from the one before: one for each change of state.

use tracing::{info, warn};

use crate::inventory::Lasting;
use crate::pki::renewal::{EtcdTopology, RenewedBy};
use crate::report::{Earliest, Report};

/// Logs what is new in `after`; nothing when nothing is.
pub(super) fn log(before: Option<&Report>, after: &Report) {
    if before.is_none_or(|before| gist(before) != gist(after)) {
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
    for Lasting { problem, .. } in new_in(&after.problems, had) {
        warn!(path = %problem.path, index = problem.index, reason = problem.reason.as_str(),
            "{}: {}", problem.path, problem.message);
    }
    for Lasting { problem, .. } in new_in(had, &after.problems) {
        info!(path = %problem.path, reason = problem.reason.as_str(),
            "{}: this problem is over: {}", problem.path, problem.message);
    }
}

/// What of a report is a state of its own: all but the time it was made and the certificates that
/// are not the earliest.
fn gist(report: &Report) -> impl PartialEq + use<'_> {
    (report.status, report.settled, &report.node, &report.earliest, &report.machine_rollout)
}

fn new_in<'a>(these: &'a [Lasting], those: &'a [Lasting]) -> impl Iterator<Item = &'a Lasting> {
    these.iter().filter(|this| !those.iter().any(|that| that.problem == this.problem))
}
