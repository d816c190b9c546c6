//! Metrics of the process, under the names that every Prometheus client has, its clock and its version.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::stat::Mode;
use nix::unistd::{SysconfVar, sysconf};
use procfs_core::FromRead;
use procfs_core::process::Stat;

use super::family::{Family, Labels, count, number};
use crate::clock::Timestamp;

/// What the kernel shows of this process (`proc_pid(5)`), opened once, before the sandbox is closed, and
/// read again for a scrape. What it does not show is left out.
#[derive(Debug)]
pub(super) struct Process {
    stat: Option<File>,
    descriptors: Option<Descriptors>,
    /// Most descriptors.
    limit: Option<u64>,
    ticks: Option<u64>,
    page: Option<u64>,
}

/// How the open descriptors are counted.
#[derive(Debug)]
enum Descriptors {
    /// By the size of /proc/self/fd, from Linux 6.2 on.
    Size(File),
    /// By listing it.
    List(Mutex<Dir>),
}

impl Process {
    pub(super) fn open() -> Self {
        let configured =
            |variable| sysconf(variable).ok().flatten().and_then(|value| value.try_into().ok());
        let limit = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft);
        Self {
            stat: File::open("/proc/self/stat").ok(),
            descriptors: Descriptors::open(),
            limit: limit.filter(|limit| *limit != RLIM_INFINITY),
            ticks: configured(SysconfVar::CLK_TCK),
            page: configured(SysconfVar::PAGE_SIZE),
        }
    }

    fn stat(&self) -> Option<Stat> {
        // One line of some fifty numbers.
        let mut line = [0; 1024];
        let length = self.stat.as_ref()?.read_at(&mut line, 0).ok()?;
        Stat::from_read(line.get(..length)?).ok()
    }

    /// Every family, in order.
    pub(super) fn families(&self, now: Timestamp) -> Vec<Family> {
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        let mut families =
            vec![Family::gauge("expiryd_build_info", "1, with the version").with(version, 1.0)];
        let mut add = |family: Family, value: Option<f64>| {
            families.extend(value.map(|value| family.with(Labels::new(), value)));
        };
        add(
            Family::gauge("expiryd_clock_timestamp_seconds", "The machine's clock, Unix seconds"),
            Some(number(now.unix())),
        );
        let stat = self.stat();
        let stat = stat.as_ref();
        let ticks = stat.zip(self.ticks);
        let cpu = ticks.map(|(stat, ticks)| count(stat.utime + stat.stime) / count(ticks));
        add(Family::counter("process_cpu_seconds", "CPU time of the process"), cpu);
        let resident = stat.zip(self.page).map(|(stat, page)| count(stat.rss * page));
        add(
            Family::gauge("process_resident_memory_bytes", "Resident memory of the process"),
            resident,
        );
        add(
            Family::gauge("process_virtual_memory_bytes", "Virtual memory of the process"),
            stat.map(|stat| count(stat.vsize)),
        );
        add(
            Family::gauge("process_threads", "Threads of the process"),
            stat.map(|stat| number(stat.num_threads)),
        );
        let open = self.descriptors.as_ref().and_then(Descriptors::count);
        add(Family::gauge("process_open_fds", "Open file descriptors"), open.map(count));
        add(
            Family::gauge("process_max_fds", "Most file descriptors that may be open"),
            self.limit.map(count),
        );
        families
    }
}

impl Descriptors {
    fn open() -> Option<Self> {
        let sized = Self::Size(File::open("/proc/self/fd").ok()?);
        if sized.count()? > 0 {
            return Some(sized);
        }
        let directory = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Dir::open("/proc/self/fd", directory, Mode::empty()).ok().map(|dir| Self::List(dir.into()))
    }

    fn count(&self) -> Option<u64> {
        match self {
            Self::Size(file) => file.metadata().ok().map(|metadata| metadata.len()),
            Self::List(dir) => {
                let mut dir = dir.lock().unwrap_or_else(PoisonError::into_inner);
                let entries = dir.iter().count();
                // Not `.` and `..`.
                u64::try_from(entries).ok()?.checked_sub(2)
            }
        }
    }
}
