//! Which system calls are left: those that the agent, its runtime and its C library make, and of those
//! with many uses the uses that it needs (seccomp(2)).
//!
//! What is not in the list answers ENOSYS, as on a kernel that does not have it: a C library that tries
//! something newer first, as glibc does with clone3, then does what the list knows.

use std::collections::BTreeMap;

use libc::{c_int, c_long};
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

pub(super) fn filter() -> Result<(), String> {
    put_on().map_err(|error| error.to_string())
}

fn put_on() -> Result<(), Error> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let other = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let filter = SeccompFilter::new(allowed()?, other, SeccompAction::Allow, architecture)?;
    apply_filter(&BpfProgram::try_from(filter)?)
}

/// The list. A call with rules is allowed where one of them holds; one without always.
fn allowed() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, BackendError> {
    let unconditional = ALWAYS.iter().map(|call| (*call, Vec::new()));
    let mut allowed: BTreeMap<_, _> = unconditional.collect();
    allowed.extend(conditional()?);
    Ok(allowed)
}

/// Calls whose every use is harmless, or decided by what they are given: a descriptor that was opened, a
/// path that Landlock judges.
const ALWAYS: &[c_long] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_gettid,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    // Signals to itself.
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Time.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    // Files, for reading.
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_fstat,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_statx,
    libc::SYS_write,
    libc::SYS_writev,
    // Its flags are in memory, where no filter sees them: that it only reads is Landlock's part.
    libc::SYS_openat2,
    // Watching.
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    // Sockets of the kinds that may be made.
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
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
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getuid,
    libc::SYS_uname,
    // Giving up more.
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    // Older forms of the above, which C libraries still use.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

/// Calls that are allowed for some of their uses.
fn conditional() -> Result<Vec<(c_long, Vec<SeccompRule>)>, BackendError> {
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
        // No memory that can be executed but the program's own.
        (libc::SYS_mmap, vec![rule([masked(2, libc::PROT_EXEC, 0)])?]),
        (libc::SYS_mprotect, vec![rule([masked(2, libc::PROT_EXEC, 0)])?]),
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
            one_of(
                1,
                &[
                    libc::F_DUPFD,
                    libc::F_DUPFD_CLOEXEC,
                    libc::F_GETFD,
                    libc::F_GETFL,
                    libc::F_SETFD,
                    libc::F_SETFL,
                ],
            )?,
        ),
        (
            libc::SYS_ioctl,
            one_of(1, &[libc::FIOCLEX, libc::FIONBIO, libc::FIONREAD, libc::TCGETS])?,
        ),
        (libc::SYS_prctl, one_of(0, &[libc::PR_SET_NAME, libc::PR_SET_NO_NEW_PRIVS])?),
        // Asking for a limit and not setting one, of itself.
        (libc::SYS_prlimit64, vec![rule([is(0, 0), null(2)])?]),
        // Ending itself, as abort(3) does.
        (libc::SYS_tgkill, vec![rule([is(0, std::process::id().cast_signed())])?]),
    ])
}

type Condition = Result<SeccompCondition, BackendError>;

fn rule<const N: usize>(conditions: [Condition; N]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions.into_iter().collect::<Result<_, _>>()?;
    SeccompRule::new(conditions)
}

/// One rule for each value that an argument may have. The numbers of ioctl(2) are of another type than the
/// rest, and with each C library of another.
fn one_of<T>(argument: u8, values: &[T]) -> Result<Vec<SeccompRule>, BackendError>
where
    T: Copy + TryInto<u64>,
{
    let values = values.iter().filter_map(|value| (*value).try_into().ok());
    values.map(|value| rule([SeccompCondition::new(argument, Dword, Eq, value)])).collect()
}

fn is(argument: u8, value: c_int) -> Condition {
    SeccompCondition::new(argument, Dword, Eq, value.cast_unsigned().into())
}

/// Of the bits in `mask`, exactly those of `value`. All of the argument is compared: clone(2) and mmap(2)
/// take longer ones than an int.
fn masked(argument: u8, mask: c_int, value: c_int) -> Condition {
    let mask = MaskedEq(mask.cast_unsigned().into());
    SeccompCondition::new(argument, Qword, mask, value.cast_unsigned().into())
}

/// A socket's type without its flags (socket(2)).
fn kind(kind: c_int) -> Condition {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mask = MaskedEq((!flags).cast_unsigned().into());
    SeccompCondition::new(1, Dword, mask, kind.cast_unsigned().into())
}

fn null(argument: u8) -> Condition {
    SeccompCondition::new(argument, Qword, Eq, 0)
}
