//! Metrics of the process, under the names that every Prometheus client has, its clock and its version.

use expiryd_api::Timestamp;

use super::family::{ConstFamily, Labels, count, number};
use crate::agent_status::ProcessStats;

/// Every family, in order.
pub(super) fn families(stats: &ProcessStats, now: Timestamp) -> Vec<ConstFamily> {
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    let mut families =
        vec![ConstFamily::gauge("expiryd_build_info", "1, with the version").with(version, 1.0)];
    let mut add = |family: ConstFamily, value: Option<f64>| {
        families.extend(value.map(|value| family.with(Labels::new(), value)));
    };
    add(
        ConstFamily::gauge("expiryd_clock_timestamp_seconds", "The machine's clock, Unix seconds"),
        Some(number(now.unix())),
    );
    add(
        ConstFamily::counter("process_cpu_seconds", "CPU time of the process"),
        stats.cpu_time.map(|time| time.as_secs_f64()),
    );
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Resident memory of the process", stats.resident_memory),
        ("process_virtual_memory_bytes", "Virtual memory of the process", stats.virtual_memory),
        ("process_threads", "Threads of the process", stats.threads),
        ("process_open_fds", "Open file descriptors", stats.open_descriptors),
        ("process_max_fds", "Most file descriptors that may be open", stats.max_descriptors),
    ] {
        add(ConstFamily::gauge(name, help), value.map(count));
    }
    families
}
