//! Metrics of the machine: what the report says as a whole, and how the agent is doing.

use std::collections::BTreeMap;

use expiryd_api::{Earliest, PublicationState, Reason, RenewedBy, Served, Status};

use super::certificates;
use super::family::{ConstFamily, Labels, count, labels, number, truth};
use crate::agent_status::AgentStats;
use crate::report::Report;

pub(super) fn register_report(families: &mut Vec<ConstFamily>, report: &Report) {
    let mut date = |name, help, earliest: &Option<Earliest>| {
        let sample = earliest.iter().map(|e| (Labels::new(), number(e.not_after.unix())));
        ConstFamily::gauge(name, help).with_all(sample).register(families);
    };
    date(
        "expiryd_earliest_expiry_timestamp_seconds",
        "First expiry of a certificate that is not a CA, Unix seconds",
        &report.earliest,
    );
    date(
        "expiryd_machine_rollout_expiry_timestamp_seconds",
        "First expiry of a certificate that replacing this Machine renews, Unix seconds",
        &report.machine_rollout,
    );
    date(
        "expiryd_earliest_ca_expiry_timestamp_seconds",
        "First expiry of a CA, Unix seconds",
        &report.earliest_ca,
    );
    ConstFamily::gauge(
        "expiryd_renewer_expiry_timestamp_seconds",
        "First expiry of the certificates that this one renews, Unix seconds",
    )
    .with_all(RenewedBy::ALL.iter().filter_map(|by| {
        let theirs = report.certificates.iter().filter(|c| c.renewed_by == Some(*by));
        let first = theirs.map(|c| c.end(&report.served)).min()?;
        Some((labels([("renewed_by", by.as_str())]), number(first.unix())))
    }))
    .register(families);
    let served = |served: &Served| {
        labels([("address", &*served.address.to_string()), ("path", &*served.path)])
    };
    ConstFamily::gauge(
        "expiryd_served_not_after_timestamp_seconds",
        "End of the certificate that a server on this machine shows, Unix seconds",
    )
    .with_all(report.served.iter().filter_map(|s| Some((served(s), number(s.not_after?.unix())))))
    .register(families);
    ConstFamily::gauge(
        "expiryd_served_matches",
        "Whether a server on this machine shows the certificate that is in its file",
    )
    .with_all(report.served.iter().filter_map(|s| Some((served(s), truth(s.matches?)))))
    .register(families);
    ConstFamily::gauge("expiryd_node_info", "1, with what the machine is")
        .with(
            labels([
                ("node", report.node.name.as_deref().unwrap_or_default()),
                ("os", &report.node.os),
                ("role", report.node.role.as_str()),
                ("etcd_topology", report.node.etcd_topology.map_or("", |t| t.as_str())),
            ]),
            1.0,
        )
        .register(families);
    ConstFamily::gauge("expiryd_status", "1 for what the report is worth, 0 for the others")
        .with_all(
            Status::ALL.iter().map(|status| {
                (labels([("status", status.as_str())]), truth(*status == report.status))
            }),
        )
        .register(families);
    ConstFamily::gauge("expiryd_settled", "Whether the machine was quiet for the settle time")
        .with(Labels::new(), truth(report.settled))
        .register(families);
    let mut problems: BTreeMap<Reason, usize> = Reason::ALL.iter().map(|r| (*r, 0)).collect();
    for active in &report.problems {
        *problems.entry(active.problem.reason).or_default() += 1;
    }
    ConstFamily::gauge("expiryd_problems", "What could not be read or parsed at the last scan")
        .with_all(problems.into_iter().map(|(r, n)| (labels([("reason", r.as_str())]), count(n))))
        .register(families);
    ConstFamily::gauge(
        "expiryd_stale_certificates",
        "Certificates that are the last good state of a file that cannot be read now",
    )
    .with(Labels::new(), count(report.certificates.iter().filter(|c| c.stale).count()))
    .register(families);
    ConstFamily::gauge("expiryd_last_scan_timestamp_seconds", "When the machine was last scanned")
        .with(Labels::new(), number(report.observed_at.unix()))
        .register(families);
}

pub(super) fn register_agent(families: &mut Vec<ConstFamily>, report: &Report, stats: &AgentStats) {
    ConstFamily::gauge(
        "expiryd_publication_state",
        "1 for the state of a publication, 0 for the others",
    )
    .with_all(report.publications.iter().flat_map(|publication| {
        PublicationState::ALL.iter().map(|state| {
            let labels = labels([("publication", &*publication.name), ("state", state.as_str())]);
            (labels, truth(*state == publication.state))
        })
    }))
    .register(families);
    ConstFamily::gauge(
        "expiryd_publication_last_success_timestamp_seconds",
        "When the other side last accepted something, Unix seconds",
    )
    .with_all(report.publications.iter().filter_map(|publication| {
        let at = publication.last_success?;
        Some((labels([("publication", &*publication.name)]), number(at.unix())))
    }))
    .register(families);
    ConstFamily::counter("expiryd_scans", "Scans of the machine")
        .with(Labels::new(), count(stats.scans))
        .register(families);
    ConstFamily::counter("expiryd_scan_seconds", "Time that all scans took")
        .with(Labels::new(), stats.scanning.as_secs_f64())
        .register(families);
    ConstFamily::gauge("expiryd_last_scan_duration_seconds", "Time that the last scan took")
        .with(Labels::new(), stats.last_scan.as_secs_f64())
        .register(families);
    ConstFamily::gauge(
        "expiryd_last_change_timestamp_seconds",
        "When what was found last differed from the scan before, Unix seconds",
    )
    .with_all(stats.last_change.map(|at| (Labels::new(), number(at.unix()))))
    .register(families);
    ConstFamily::gauge("expiryd_watch_mode", "1 for how changes are found, 0 for the other")
        .with_all(
            [("inotify", !stats.polling), ("polling", stats.polling)]
                .map(|(mode, is)| (labels([("mode", mode)]), truth(is))),
        )
        .register(families);
    let of_agent = stats.sandbox.iter().map(|(layer, on)| ("agent", *layer, on));
    let of_server = stats.server.sandbox.iter().map(|(layer, on)| ("server", *layer, on));
    ConstFamily::gauge("expiryd_sandbox_layer", "Whether the kernel put this layer on")
        .with_all(of_agent.chain(of_server).map(|(process, layer, on)| {
            (labels([("process", process), ("layer", layer)]), truth(*on))
        }))
        .register(families);
    let restarts = stats.server.restarts.as_ref().map_or(0, |restarts| restarts.count);
    ConstFamily::counter("expiryd_server_restarts", "Times that the server was started again")
        .with(Labels::new(), count(restarts))
        .register(families);
    certificates::errors(stats).register(families);
    ConstFamily::gauge("process_start_time_seconds", "When the process started, Unix seconds")
        .with(labels([("process", "agent")]), number(stats.started.unix()))
        .register(families);
}
