//! Metrics of the processes, under the names that every Prometheus client has, the clock and the version.

use expiryd_api::Timestamp;

use super::family::{ConstFamily, Labels, count, labels, number};
use crate::agent_status::ProcessStats;

/// Both processes, each by itself: a sum is not what anybody has to look for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// The one that reads, as of its last turn.
    pub agent: ProcessStats,
    /// The one that answers.
    pub server: ProcessStats,
}

/// Every family, in order.
pub(super) fn families(processes: &ProcessFigures, now: Timestamp) -> Vec<ConstFamily> {
    let version = labels([("version", env!("CARGO_PKG_VERSION"))]);
    let mut families = vec![
        ConstFamily::gauge("expiryd_build_info", "1, with the version").with(version, 1.0),
        ConstFamily::gauge("expiryd_clock_timestamp_seconds", "The machine's clock, Unix seconds")
            .with(Labels::new(), number(now.unix())),
    ];
    let mut add = |family: ConstFamily, figure: fn(&ProcessStats) -> Option<f64>| {
        let of = [("agent", &processes.agent), ("server", &processes.server)];
        let samples = of
            .into_iter()
            .filter_map(|(process, stats)| Some((labels([("process", process)]), figure(stats)?)));
        families.push(family.with_all(samples));
    };
    add(
        ConstFamily::counter(
            "process_cpu_seconds",
            "CPU time of the process; of the agent as of its last look",
        ),
        |stats| Some(stats.cpu_time?.as_secs_f64()),
    );
    let mut add_gauge = |name, help, figure| add(ConstFamily::gauge(name, help), figure);
    add_gauge(
        "process_resident_memory_bytes",
        "Resident memory of the agent as of its last look",
        |stats| stats.resident_memory.map(count),
    );
    add_gauge(
        "process_virtual_memory_bytes",
        "Virtual memory of the agent as of its last look",
        |stats| stats.virtual_memory.map(count),
    );
    add_gauge("process_threads", "Threads of the agent", |stats| stats.threads.map(count));
    add_gauge("process_open_fds", "Open file descriptors of the agent", |stats| {
        stats.open_descriptors.map(count)
    });
    add_gauge("process_max_fds", "Most file descriptors that may be open", |stats| {
        stats.max_descriptors.map(count)
    });
    families
}
