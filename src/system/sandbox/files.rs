//! What of the file system is left: Landlock (Linux 5.13, `Documentation/userspace-api/landlock.rst`).
//!
//! The agent's ports are left alone, so that a reload can change the address. A newer kernel gives more, an
//! older one as much as it has.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope,
};

use crate::system::program::Program;

/// The newest Landlock that was looked through for what the agent needs.
const KNOWN: ABI = ABI::V6;

/// No way to change, make, remove or execute a file, to signal another process, or to reach an abstract
/// socket of one. What may be executed all the same is this program.
pub(super) fn forbid_all_but_reading(program: Option<&Program>) -> Result<(), String> {
    let mut scopes = BitFlags::from(Scope::Signal);
    if !manager_is_abstract() {
        scopes |= Scope::AbstractUnixSocket;
    }
    let executing = program.map(|program| PathBeneath::new(program, AccessFs::Execute));
    let restricted = best_effort()
        .handle_access(AccessFs::from_all(KNOWN) & !reading())
        .and_then(|ruleset| ruleset.scope(scopes))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rules(executing.map(Ok::<_, RulesetError>)))
        .and_then(RulesetCreated::restrict_self);
    enforced(restricted)
}

/// No file and no directory, no connection to anybody and no new address to listen on.
pub(super) fn forbid_everything() -> Result<(), String> {
    let restricted = best_effort()
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(KNOWN)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(KNOWN)))
        .and_then(Ruleset::create)
        .and_then(RulesetCreated::restrict_self);
    enforced(restricted)
}

/// Reading beneath these and nowhere else.
pub(super) fn confine_reading<'a>(to: impl Iterator<Item = BorrowedFd<'a>>) -> Result<(), String> {
    let rules = to.map(|fd| Ok::<_, RulesetError>(PathBeneath::new(fd, reading())));
    let restricted = best_effort()
        .handle_access(reading())
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rules(rules))
        .and_then(RulesetCreated::restrict_self);
    enforced(restricted)
}

fn best_effort() -> Ruleset {
    Ruleset::default().set_compatibility(CompatLevel::BestEffort)
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

fn enforced(restricted: Result<RestrictionStatus, RulesetError>) -> Result<(), String> {
    match restricted {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            Err("this kernel or its seccomp filter has no Landlock".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether the service manager listens on an abstract socket (`sd_notify(3)`), which stays reachable then,
/// as do all others: Landlock does not tell them apart.
fn manager_is_abstract() -> bool {
    use std::os::unix::ffi::OsStrExt;
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|name| name.as_bytes().starts_with(b"@"))
}
