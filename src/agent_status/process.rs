//! What the kernel shows of this process (`proc(5)`).

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
use serde::{Deserialize, Serialize};

/// Figures of the process; `None` for what the kernel does not show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStats {
    /// CPU time of all its threads.
    pub cpu_time: Option<Duration>,
    /// Bytes of virtual memory.
    pub virtual_memory: Option<u64>,
    /// Bytes of resident memory.
    pub resident_memory: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_descriptors: Option<u64>,
    /// The most that may be open.
    pub max_descriptors: Option<u64>,
}

/// Where the figures are read, opened once, before the sandbox is closed.
#[derive(Debug)]
pub struct ProcessProbe {
    memory: Option<File>,
    threads: Option<File>,
    descriptors: Option<Descriptors>,
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

impl ProcessProbe {
    /// Opens what the figures are read from.
    pub fn open() -> Self {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        Self {
            memory: File::open("/proc/self/statm").ok(),
            threads: File::open("/proc/self/task").ok(),
            descriptors: Descriptors::open(),
            page: page.and_then(|page| page.try_into().ok()),
        }
    }

    /// Opens nothing: what is known of a process that may read no file.
    pub fn without_files() -> Self {
        Self { memory: None, threads: None, descriptors: None, page: None }
    }

    /// The figures now.
    pub fn read(&self) -> ProcessStats {
        let (virtual_memory, resident_memory) = self.memory().unzip();
        ProcessStats {
            cpu_time: cpu_time(),
            virtual_memory,
            resident_memory,
            threads: self.threads(),
            open_descriptors: self.descriptors.as_ref().and_then(Descriptors::count),
            max_descriptors: max_descriptors(),
        }
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

fn max_descriptors() -> Option<u64> {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft);
    limit.filter(|limit| *limit != RLIM_INFINITY)
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
