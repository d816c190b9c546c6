//! Who the process is, which capabilities it has, and who may look into it.

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

/// Nobody's user and group on every distribution.
const NOBODY: u32 = 65_534;

/// The capability to keep, of those that there are: `CAP_DAC_READ_SEARCH`, or `CAP_DAC_OVERRIDE` from a
/// container runtime that gives this and not the other; Landlock then keeps it from writing.
pub(super) fn to_keep() -> Result<CapsHashSet, String> {
    let permitted = has(CapSet::Permitted)?;
    let needed = [Capability::CAP_DAC_READ_SEARCH, Capability::CAP_DAC_OVERRIDE];
    Ok(needed.into_iter().filter(|c| permitted.contains(c)).take(1).collect())
}

/// No program gets another capability than these.
pub(super) fn bound(kept: &CapsHashSet) -> Result<(), String> {
    if has(CapSet::Permitted)?.contains(&Capability::CAP_SETPCAP) {
        for capability in has(CapSet::Bounding)?.difference(kept) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Keeps these capabilities and no other, and none for a program that it executes.
pub(super) fn keep(kept: &CapsHashSet) -> Result<(), String> {
    if !has(CapSet::Ambient)?.is_empty() {
        caps::clear(None, CapSet::Ambient).map_err(|error| error.to_string())?;
    }
    if has(CapSet::Permitted)? == *kept && has(CapSet::Effective)? == *kept {
        // As under the unit, whose filter does not even allow to ask for less.
        return Ok(());
    }
    for (set, value) in [
        (CapSet::Inheritable, &CapsHashSet::new()),
        (CapSet::Effective, kept),
        (CapSet::Permitted, kept),
    ] {
        if has(set)? != *value {
            caps::set(None, set, value).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn has(set: CapSet) -> Result<CapsHashSet, String> {
    caps::read(None, set).map_err(|error| error.to_string())
}

/// Root becomes nobody, with its permitted capabilities. Whoever was started as somebody else stays so.
pub(super) fn become_nobody() -> Result<(), String> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    prctl::set_keepcaps(true)
        .and_then(|()| setgroups(&[]))
        .and_then(|()| setresgid(group, group, group))
        .and_then(|()| setresuid(user, user, user))
        .and_then(|()| prctl::set_keepcaps(false))
        .map_err(|errno| {
            format!(
                "it cannot become another user ({}) and stays root; give it CAP_SETUID and \
                 CAP_SETGID, which it gives up with the rest",
                errno.desc()
            )
        })
}

pub(super) fn no_new_privileges() -> Result<(), String> {
    prctl::set_no_new_privs().map_err(|errno| errno.desc().to_owned())
}

/// Neither a core file nor ptrace(2) nor /proc shows the memory, which may have held a key.
pub(super) fn hide_memory() -> Result<(), String> {
    let no_core = || match getrlimit(Resource::RLIMIT_CORE)? {
        (0, 0) => Ok(()),
        _ => setrlimit(Resource::RLIMIT_CORE, 0, 0),
    };
    no_core().and_then(|()| prctl::set_dumpable(false)).map_err(|errno| errno.desc().to_owned())
}
