//! What a process may have: descriptors, threads, and memory.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::debug;

/// Descriptors without which agent and server cannot work.
const LEAST: u64 = 192;

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
    let started = std::thread::Builder::new().spawn(|| ());
    let thread = started.map_err(|error| {
        format!(
            "a thread cannot be started: {error}; raise TasksMax in the unit, the container's limit of \
             processes, or ulimit -u"
        )
    })?;
    // It does nothing that could fail.
    let _ = thread.join();
    Ok(())
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
