//! What the agent calls beside what its server does, whose filter can only be the smaller part of its own: it reads
//! files, watches them, talks to an API server, and starts its server.

use libc::c_long;
use seccompiler::BackendError;

use super::{Rules, exactly, is, kind, masked, one_of, rule};

/// Calls whose every use is harmless, or decided by what they are given: a descriptor that was opened, a
/// path that Landlock judges.
pub(super) const ALWAYS: &[c_long] = &[
    // Threads.
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    // Time.
    libc::SYS_clock_getres,
    libc::SYS_nanosleep,
    // Files, for reading.
    libc::SYS_dup,
    libc::SYS_fstat,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_pread64,
    libc::SYS_readlinkat,
    libc::SYS_statx,
    // Its flags are in memory, where no filter sees them: that it only reads is Landlock's part.
    libc::SYS_openat2,
    // Watching.
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    // Sockets of the kinds that may be made.
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    // Itself.
    libc::SYS_capget,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getuid,
    libc::SYS_uname,
    // Giving up more.
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    // Older forms of the above, which C libraries still use.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
];

/// Calls that are allowed for some of their uses.
pub(super) fn conditional() -> Result<Rules, BackendError> {
    // O_TMPFILE without the bit that it shares with O_DIRECTORY.
    let tmpfile = libc::O_TMPFILE & !libc::O_DIRECTORY;
    let writing = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND | tmpfile;
    let thread = libc::CLONE_VM | libc::CLONE_THREAD;
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWUTS;
    Ok(vec![
        (libc::SYS_openat, vec![rule([masked(2, writing, libc::O_RDONLY)])?]),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, vec![rule([masked(1, writing, libc::O_RDONLY)])?]),
        // A thread of this process, and no other process or namespace.
        (libc::SYS_clone, vec![rule([masked(0, thread | namespaces, thread)])?]),
        (
            libc::SYS_socket,
            vec![
                rule([is(0, libc::AF_INET), kind(libc::SOCK_STREAM)])?,
                rule([is(0, libc::AF_INET), kind(libc::SOCK_DGRAM)])?,
                rule([is(0, libc::AF_INET6), kind(libc::SOCK_STREAM)])?,
                rule([is(0, libc::AF_INET6), kind(libc::SOCK_DGRAM)])?,
                // The service manager's and the journal's. Daemons that do something for root, as
                // containerd does, listen on streams.
                rule([is(0, libc::AF_UNIX), kind(libc::SOCK_DGRAM)])?,
            ],
        ),
        (libc::SYS_socketpair, vec![rule([is(0, libc::AF_UNIX)])?]),
        (
            libc::SYS_fcntl,
            one_of(1, &[libc::F_DUPFD, libc::F_DUPFD_CLOEXEC, libc::F_SETFD, libc::F_SETFL])?,
        ),
        (
            libc::SYS_ioctl,
            one_of(1, &[libc::FIOCLEX, libc::FIONBIO, libc::FIONREAD, libc::TCGETS])?,
        ),
        (libc::SYS_prctl, one_of(0, &[libc::PR_SET_NAME, libc::PR_SET_NO_NEW_PRIVS])?),
    ])
}

/// What starting its server takes, and what that calls before it has a list of its own: what a process may not
/// call, none that it starts may.
pub(super) fn starting() -> Result<Rules, BackendError> {
    let spawn = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    Ok(vec![
        // A child that executes a program at once (posix_spawn(3)). Which program is Landlock's part, from Linux
        // 5.13 on.
        (libc::SYS_clone, vec![rule([exactly(0, spawn)])?]),
        // Ending its server. From Linux 6.12 on Landlock lets it signal no other process; before, those of its own
        // user.
        (libc::SYS_kill, vec![rule([is(1, libc::SIGKILL)])?]),
        // The server ending itself, as abort(3) does.
        (libc::SYS_tgkill, vec![rule([is(2, libc::SIGABRT)])?]),
        (
            libc::SYS_prctl,
            vec![
                rule([is(0, libc::PR_SET_DUMPABLE), is(1, 0)])?,
                rule([is(0, libc::PR_SET_PDEATHSIG)])?,
                rule([is(0, libc::PR_CAPBSET_READ)])?,
                rule([is(0, libc::PR_CAP_AMBIENT), is(1, libc::PR_CAP_AMBIENT_IS_SET)])?,
            ],
        ),
        // Limits of itself.
        (libc::SYS_prlimit64, vec![rule([is(0, 0)])?]),
    ])
}

/// Of that, the calls whose every use is harmless.
pub(super) const STARTING: &[c_long] = &[
    libc::SYS_dup3,
    libc::SYS_execve,
    libc::SYS_wait4,
    libc::SYS_waitid,
    // The start of a C library.
    libc::SYS_set_tid_address,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    // Giving up more: it allows nothing that was not allowed.
    libc::SYS_capset,
    libc::SYS_seccomp,
];
