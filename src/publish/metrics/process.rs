//! Metrics of the process, under the names that every Prometheus client has, its clock and its version.

use procfs::process::{LimitValue, Process};

use super::family::{Family, Labels, count, number};
use crate::clock::Timestamp;

/// Every family, in order.
pub(super) fn families(now: Timestamp) -> Vec<Family> {
    let mut families = vec![
        Family::gauge("expiryd_build_info", "1, with the version")
            .with(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0),
        Family::gauge("expiryd_clock_timestamp_seconds", "The machine's clock, Unix seconds")
            .with(Labels::new(), number(now.unix())),
    ];
    // What the kernel does not show is left out.
    let Ok(process) = Process::myself() else { return families };
    if let Ok(stat) = process.stat() {
        let ticks = count(stat.utime.saturating_add(stat.stime));
        families.extend([
            Family::counter("process_cpu_seconds", "CPU time of the process")
                .with(Labels::new(), ticks / count(procfs::ticks_per_second())),
            Family::gauge("process_resident_memory_bytes", "Resident memory of the process")
                .with(Labels::new(), count(stat.rss.saturating_mul(procfs::page_size()))),
            Family::gauge("process_virtual_memory_bytes", "Virtual memory of the process")
                .with(Labels::new(), count(stat.vsize)),
            Family::gauge("process_threads", "Threads of the process")
                .with(Labels::new(), number(stat.num_threads)),
        ]);
    }
    if let Ok(open) = process.fd_count() {
        families.push(
            Family::gauge("process_open_fds", "Open file descriptors")
                .with(Labels::new(), count(open)),
        );
    }
    if let Ok(limits) = process.limits()
        && let LimitValue::Value(most) = limits.max_open_files.soft_limit
    {
        families.push(
            Family::gauge("process_max_fds", "Most file descriptors that may be open")
                .with(Labels::new(), count(most)),
        );
    }
    families
}
