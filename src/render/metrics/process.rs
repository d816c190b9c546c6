//! Metrics of the process, under the names that every Prometheus client has, its clock and its version.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::resource::{RLIM_INFINITY, Resource, UsageWho, getrlimit, getrusage};
use nix::sys::stat::Mode;
use nix::sys::time::TimeValLike;
use nix::unistd::{SysconfVar, sysconf};

use super::family::{Family, Labels, count, number};
use crate::clock::Timestamp;

/// What the kernel shows of this process (`proc(5)`), opened once, before the sandbox is closed, and read
/// again for a scrape. What it does not show is left out.
#[derive(Debug)]
pub(super) struct Process {
    memory: Option<File>,
    threads: Option<File>,
    descriptors: Option<Descriptors>,
    /// Most descriptors.
    limit: Option<u64>,
    /// Bytes of a page.
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
        let limit = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft);
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        Self {
            memory: File::open("/proc/self/statm").ok(),
            threads: File::open("/proc/self/task").ok(),
            descriptors: Descriptors::open(),
            limit: limit.filter(|limit| *limit != RLIM_INFINITY),
            page: page.and_then(|page| page.try_into().ok()),
        }
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
        add(
            Family::counter("process_cpu_seconds", "CPU time of the process"),
            cpu_time().map(|time| time.as_secs_f64()),
        );
        let (size, resident) = self.memory().unzip();
        add(
            Family::gauge("process_resident_memory_bytes", "Resident memory of the process"),
            resident.map(count),
        );
        add(
            Family::gauge("process_virtual_memory_bytes", "Virtual memory of the process"),
            size.map(count),
        );
        add(Family::gauge("process_threads", "Threads of the process"), self.threads().map(count));
        let open = self.descriptors.as_ref().and_then(Descriptors::count);
        add(Family::gauge("process_open_fds", "Open file descriptors"), open.map(count));
        add(
            Family::gauge("process_max_fds", "Most file descriptors that may be open"),
            self.limit.map(count),
        );
        families
    }

    /// Virtual and resident memory in bytes: the first two numbers of statm, in pages.
    fn memory(&self) -> Option<(u64, u64)> {
        let mut line = [0; 128];
        let length = self.memory.as_ref()?.read_at(&mut line, 0).ok()?;
        let line = std::str::from_utf8(line.get(..length)?).ok()?;
        let mut pages = line.split(' ').map_while(|number| number.parse::<u64>().ok());
        Some((pages.next()?.checked_mul(self.page?)?, pages.next()?.checked_mul(self.page?)?))
    }

    /// A directory has a link for each directory in it, and two of its own.
    fn threads(&self) -> Option<u64> {
        self.threads.as_ref()?.metadata().ok()?.nlink().checked_sub(2)
    }
}

fn cpu_time() -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Some(Duration::from_micros(microseconds.try_into().ok()?))
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
