//! The process gives up what it does not need, before it reads the first certificate.
//!
//! systemd does most of this and more from the unit, but a host container and a pod have no unit.
//! Three layers, each tried by itself: no new privileges, no capability but the one that reads
//! other users' files, and Landlock (Linux 5.13), which takes away every way to write, create,
//! remove or execute a file. They hold for this thread and all that it starts later.
//!
//! Landlock leaves reading alone: a PKI that appears later, or behind a link that is changed
//! later, must stay readable, for a date that cannot be seen is worse than a file that could be.

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};

use crate::closed_list::closed_list;

closed_list! {
    /// One thing that the process gives up.
    Layer {
        /// No program that it executes gains privileges (prctl(2), `PR_SET_NO_NEW_PRIVS`).
        NoNewPrivileges = "no-new-privileges",
        /// No capability but `CAP_DAC_READ_SEARCH`.
        Capabilities = "capabilities",
        /// No writing, creating, removing or executing of files, no signals to other processes.
        Landlock = "landlock",
    }
}

/// How far the process could lock itself in.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// Each layer, and what kept it from being put on, as a sentence for the operator.
    pub layers: Vec<(Layer, Option<String>)>,
}

/// The newest Landlock that is asked for; an older kernel gives as much as it has.
const LANDLOCK: ABI = ABI::V6;

/// Locks this thread, and all that it starts later, in. What the kernel refuses is noted and left.
pub fn enter() -> Sandbox {
    let layers = [
        (Layer::Capabilities, drop_capabilities as fn() -> Result<(), String>),
        (Layer::NoNewPrivileges, no_new_privileges),
        (Layer::Landlock, landlock),
    ];
    Sandbox { layers: layers.map(|(layer, put_on)| (layer, put_on().err())).into() }
}

fn no_new_privileges() -> Result<(), String> {
    nix::sys::prctl::set_no_new_privs().map_err(|e| e.desc().to_owned())
}

fn drop_capabilities() -> Result<(), String> {
    let has = |set| caps::read(None, set).map_err(|error| error.to_string());
    let permitted = has(CapSet::Permitted)?;
    // containerd gives CAP_DAC_OVERRIDE by default and not the other one; Landlock then keeps it
    // from writing.
    let needed = [Capability::CAP_DAC_READ_SEARCH, Capability::CAP_DAC_OVERRIDE];
    let kept: CapsHashSet = needed.into_iter().filter(|c| permitted.contains(c)).take(1).collect();
    if permitted == kept {
        // As under the unit, whose filter does not even allow to ask for less.
        return Ok(());
    }
    if permitted.contains(&Capability::CAP_SETPCAP) {
        for capability in has(CapSet::Bounding)?.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(|error| error.to_string())?;
        }
    }
    for (set, value) in [
        (CapSet::Ambient, &CapsHashSet::new()),
        (CapSet::Inheritable, &CapsHashSet::new()),
        (CapSet::Effective, &kept),
        (CapSet::Permitted, &kept),
    ] {
        if has(set)? != *value {
            caps::set(None, set, value).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn landlock() -> Result<(), String> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let restricted = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))
        .and_then(|ruleset| ruleset.scope(Scope::Signal))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(["/"], reading)))
        .and_then(RulesetCreated::restrict_self);
    match restricted {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            Err("this kernel or its seccomp filter has no Landlock".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test tries what is forbidden")]
mod tests {
    use std::{fs, thread};

    use super::*;

    #[test]
    fn inside_files_can_be_read_and_nothing_can_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "content").unwrap();
        let (landlocked, read, wrote, removed, made) = thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let sandbox = enter();
                let landlocked = sandbox.layers.contains(&(Layer::Landlock, None));
                let made = fs::create_dir(directory.path().join("directory")).is_ok();
                let wrote = fs::write(&file, "changed").is_ok();
                (landlocked, fs::read_to_string(&file), wrote, fs::remove_file(&file).is_ok(), made)
            });
            inside.join().unwrap()
        });
        assert_eq!(read.unwrap(), "content");
        assert!(!landlocked || !(wrote || removed || made));
    }

    #[test]
    fn inside_no_capability_is_left_but_the_one_that_reads() {
        let left = thread::spawn(|| {
            enter();
            caps::read(None, CapSet::Effective).unwrap()
        });
        let reading = [Capability::CAP_DAC_READ_SEARCH, Capability::CAP_DAC_OVERRIDE];
        let left = left.join().unwrap();
        assert!(left.len() <= 1 && left.iter().all(|capability| reading.contains(capability)));
    }
}
