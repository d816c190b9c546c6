//! What a process may have: descriptors, threads, and memory.

use std::io;
use std::sync::Mutex;
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::debug;

/// Descriptors without which agent and server cannot work.
const LEAST: u64 = 192;

/// What runs beside the first thread at most: two threads that read, and the server.
const BESIDE: usize = 3;

/// Sees whether the process may have what the agent cannot work without.
///
/// # Errors
/// Says which limit to raise.
pub fn check() -> Result<(), String> {
    let descriptors = allow_descriptors(LEAST);
    if descriptors < LEAST {
        return Err(format!(
            "this process may have {descriptors} files open (RLIMIT_NOFILE), and expiryd needs {LEAST}; \
             raise LimitNOFILE in the unit, or ulimit -n"
        ));
    }
    start_threads(BESIDE).map_err(|error| {
        format!(
            "expiryd needs {} threads and processes, and one cannot be started: {error}; raise TasksMax in the \
             unit, the container's limit of processes, or ulimit -u",
            BESIDE + 1
        )
    })
}

/// Starts so many threads that are there at the same time, and ends them.
fn start_threads(count: usize) -> io::Result<()> {
    let all = Mutex::new(());
    thread::scope(|scope| {
        // Each waits for this, and it is let go at the end also where one cannot be started.
        let _all = all.lock();
        for _ in 0..count {
            thread::Builder::new().spawn_scoped(scope, || drop(all.lock()))?;
        }
        Ok(())
    })
}

/// Lets the process have no more than so many bytes of memory (getrlimit(2), `RLIMIT_AS`): what would need more
/// ends it.
pub fn bound_memory(bytes: u64) {
    if let Err(error) = setrlimit(Resource::RLIMIT_AS, bytes, bytes) {
        debug!(%error, "the limit of memory stays as it is");
    }
}

/// Lets the process have as many descriptors open as `wanted`, as far as its hard limit goes
/// (getrlimit(2)); returns how many it may have. Programs that use select(2) are why the soft limit is
/// lower; this one does not.
pub fn allow_descriptors(wanted: u64) -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    let new = wanted.min(hard);
    if soft >= new {
        return soft;
    }
    match setrlimit(Resource::RLIMIT_NOFILE, new, hard) {
        Ok(()) => new,
        Err(error) => {
            debug!(%error, "the limit of open files stays at {soft}");
            soft
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_lowered() {
        let (before, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(allow_descriptors(1), before);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, before);
    }
}
