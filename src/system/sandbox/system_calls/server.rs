//! What the server calls: it waits, takes connections, and reads and writes what it has.

use libc::c_long;
use seccompiler::BackendError;

use super::{Rules, is, masked, null, one_of, rule};

/// Calls whose every use is harmless where there is no file and no address to be had.
pub(super) const ALWAYS: &[c_long] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Its end, and signals to itself.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    // Descriptors that it has.
    libc::SYS_close,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    // Its own figures.
    libc::SYS_getrusage,
    // Sockets that it has or takes; there is none that it could make or connect.
    libc::SYS_accept4,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

/// Calls that are allowed for some of their uses.
pub(super) fn conditional() -> Result<Rules, BackendError> {
    Ok(vec![
        // No memory that can be executed but the program's own.
        (libc::SYS_mmap, vec![rule([masked(2, libc::PROT_EXEC, 0)])?]),
        (libc::SYS_mprotect, vec![rule([masked(2, libc::PROT_EXEC, 0)])?]),
        // Looking at a descriptor's flags. Setting them would be felt by the agent, with whom standard error and
        // the listening sockets are shared.
        (libc::SYS_fcntl, one_of(1, &[libc::F_GETFD, libc::F_GETFL])?),
        // No MSG_FASTOPEN, which connects; and no sendmsg(2), which sends descriptors. A log line says in its
        // address which socket the journal's is.
        (libc::SYS_sendto, one_of(3, &[0, libc::MSG_NOSIGNAL])?),
        // The end of an answer. The other way a listening socket would listen no more, the agent's with it.
        (libc::SYS_shutdown, one_of(1, &[libc::SHUT_WR])?),
        (libc::SYS_setsockopt, vec![rule([is(1, libc::IPPROTO_TCP), is(2, libc::TCP_NODELAY)])?]),
        // Asking for a limit and not setting one, of itself.
        (libc::SYS_prlimit64, vec![rule([is(0, 0), null(2)])?]),
        // Ending itself, as abort(3) does.
        (libc::SYS_tgkill, vec![rule([is(0, std::process::id().cast_signed())])?]),
    ])
}
