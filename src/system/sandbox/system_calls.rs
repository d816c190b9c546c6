//! Which system calls are left: those that a process, its runtime and its C library make, and of those with
//! many uses the uses that it needs (seccomp(2)).
//!
//! What is not in the list answers ENOSYS, as on a kernel that does not have it: a C library that tries
//! something newer first, as glibc does with clone3, then does what the list knows.

mod agent;
mod server;

use std::collections::BTreeMap;

use libc::{c_int, c_long};
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use super::Scope;

pub(super) fn filter(scope: Scope<'_>) -> Result<(), String> {
    put_on(scope).map_err(|error| error.to_string())
}

fn put_on(scope: Scope<'_>) -> Result<(), Error> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let other = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let filter = SeccompFilter::new(allowed(scope)?, other, SeccompAction::Allow, architecture)?;
    apply_filter(&BpfProgram::try_from(filter)?)
}

/// The list. A call with rules is allowed where one of them holds; one without always. A process inherits the filter
/// of the one that starts it, so the server's list is a part of every other.
fn allowed(scope: Scope<'_>) -> Result<BTreeMap<c_long, Vec<SeccompRule>>, BackendError> {
    let mut conditional = server::conditional()?;
    let mut always = server::ALWAYS.to_vec();
    if !matches!(scope, Scope::Server) {
        conditional.extend(agent::conditional()?);
        always.extend(agent::ALWAYS);
    }
    if matches!(scope, Scope::Agent(_)) {
        conditional.extend(agent::starting()?);
        always.extend(agent::STARTING);
    }
    let mut allowed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (call, rules) in conditional {
        allowed.entry(call).or_default().extend(rules);
    }
    // What one of them allows always needs no rule of another.
    allowed.extend(always.into_iter().map(|call| (call, Vec::new())));
    Ok(allowed)
}

/// Calls with the uses that are allowed.
type Rules = Vec<(c_long, Vec<SeccompRule>)>;

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

fn exactly(argument: u8, value: c_int) -> Condition {
    SeccompCondition::new(argument, Qword, Eq, value.cast_unsigned().into())
}
