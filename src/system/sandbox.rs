//! Each process gives up what it does not need: the agent before it reads the first certificate, its server
//! before it answers anybody.
//!
//! systemd does most of this and more from the unit, but a host container and a pod have no unit.
//! Each layer is tried by itself, and holds for this thread and all that it starts later. Reading is
//! narrowed last, by [`Sandbox::confine_reading`], once the machine was scanned.

mod files;
mod privileges;
mod system_calls;

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use caps::CapsHashSet;
use expiryd_api::closed_list;
use tracing::warn;

use super::program::Program;

closed_list! {
    /// One thing that the process gives up.
    Layer {
        /// Root's identity: it runs as nobody. Not where another identity was given.
        User = "user",
        /// No capability but the one that reads other users' files; for the server, none.
        Capabilities = "capabilities",
        /// No program that it executes gains privileges (prctl(2), `PR_SET_NO_NEW_PRIVS`).
        NoNewPrivileges = "no-new-privileges",
        /// No core dump, and no other process of the same user looks into its memory.
        Memory = "memory",
        /// No writing, creating, removing or executing of files, no signals to other processes, no
        /// abstract sockets; for the server, no connecting and no listening besides (Landlock).
        Landlock = "landlock",
        /// No system call but those that it needs (seccomp(2)).
        SystemCalls = "system-calls",
        /// No reading but where certificates are; for the server, none (Landlock).
        Reading = "reading",
    }
}

/// What locks itself in.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// The agent, by its only thread. It may execute this program and no other.
    Agent(&'a Program),
    /// The agent's server, by its only thread: it reads nothing at all.
    Server,
    /// This thread alone; the others write what it found. It keeps its user, which a thread cannot
    /// change by itself.
    Thread,
}

/// How far it could lock itself in.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// Each layer, and what kept it from being put on, as a sentence for the operator.
    pub layers: BTreeMap<Layer, Option<String>>,
}

/// Locks in what `scope` says. What the kernel refuses is noted and left.
pub fn enter(scope: Scope<'_>) -> Sandbox {
    let mut sandbox = Sandbox::default();
    let mut put_on = |layer, result: Result<(), String>| {
        sandbox.layers.insert(layer, result.err());
    };
    let kept = match scope {
        Scope::Server => Ok(CapsHashSet::new()),
        _ => privileges::to_keep(),
    };
    let kept = kept.and_then(|kept| privileges::bound(&kept).map(|()| kept));
    if !matches!(scope, Scope::Thread) {
        put_on(Layer::User, privileges::become_nobody());
        // Not before: a change of the user makes a process dumpable or not by itself.
        put_on(Layer::Memory, privileges::hide_memory());
    }
    put_on(Layer::Capabilities, kept.and_then(|kept| privileges::keep(&kept)));
    put_on(Layer::NoNewPrivileges, privileges::no_new_privileges());
    match scope {
        Scope::Server => {
            let nothing = files::forbid_everything();
            put_on(Layer::Landlock, nothing.clone());
            put_on(Layer::Reading, nothing);
        }
        Scope::Agent(program) => {
            put_on(Layer::Landlock, files::forbid_all_but_reading(Some(program)));
        }
        Scope::Thread => put_on(Layer::Landlock, files::forbid_all_but_reading(None)),
    }
    put_on(Layer::SystemCalls, system_calls::filter(scope));
    sandbox
}

impl Sandbox {
    /// From now on nothing can be read but what is beneath these files and directories.
    pub fn confine_reading<'a>(&mut self, to: impl Iterator<Item = BorrowedFd<'a>>) {
        self.layers.insert(Layer::Reading, files::confine_reading(to).err());
    }

    /// Each layer, and whether it is on; says in the log what is not.
    pub fn tell(&self) -> Vec<(&'static str, bool)> {
        for (layer, why) in &self.layers {
            if let Some(why) = why {
                let layer = layer.as_str();
                warn!(layer, "the sandbox lacks {layer}: {why}; this process runs without");
            }
        }
        self.layers.iter().map(|(layer, why)| (layer.as_str(), why.is_none())).collect()
    }

    /// Whether reading is narrowed.
    pub fn confines_reading(&self) -> bool {
        self.layers.get(&Layer::Reading) == Some(&None)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test tries what is forbidden")]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::mpsc;
    use std::{io, thread};

    use caps::{CapSet, Capability};

    use super::*;

    /// What a thread that has locked itself in returns.
    fn inside<T: Send>(work: impl FnOnce(Sandbox) -> T + Send) -> T {
        thread::scope(|scope| scope.spawn(|| work(enter(Scope::Thread))).join().unwrap())
    }

    #[test]
    fn files_can_be_read_and_nothing_can_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "content").unwrap();
        let (read, others) = inside(|_| {
            let made = fs::create_dir(directory.path().join("directory")).is_ok();
            let wrote = fs::write(&file, "changed").is_ok();
            (fs::read_to_string(&file), [made, wrote, fs::remove_file(&file).is_ok()])
        });
        assert_eq!((read.unwrap().as_str(), others), ("content", [false; 3]));
    }

    #[test]
    fn reading_can_be_narrowed_to_a_directory_and_what_comes_into_it_later() {
        let (inner, outer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (later, other) = (inner.path().join("later"), outer.path().join("other"));
        fs::write(&other, "other").unwrap();
        let granted = OwnedFd::from(File::open(inner.path()).unwrap());
        let (ready, narrowed) = mpsc::channel();
        let (made, there) = mpsc::channel();
        let read = thread::scope(|scope| {
            let (later, other) = (&later, &other);
            let inside = scope.spawn(move || {
                let mut sandbox = enter(Scope::Thread);
                sandbox.confine_reading(std::iter::once(granted.as_fd()));
                ready.send(sandbox.confines_reading()).unwrap();
                there.recv().unwrap();
                [later, other].map(|path| fs::read_to_string(path).map_err(|e| e.kind()))
            });
            assert!(narrowed.recv().unwrap(), "this kernel has Landlock");
            fs::write(later, "later").unwrap();
            made.send(()).unwrap();
            inside.join().unwrap()
        });
        assert_eq!(read, [Ok("later".to_owned()), Err(io::ErrorKind::PermissionDenied)]);
    }

    #[test]
    fn no_capability_is_left_but_the_one_that_reads() {
        let left = inside(|_| caps::read(None, CapSet::Effective).unwrap());
        let reading = [Capability::CAP_DAC_READ_SEARCH, Capability::CAP_DAC_OVERRIDE];
        assert!(left.len() <= 1 && left.iter().all(|capability| reading.contains(capability)));
    }

    #[test]
    fn threads_start_and_sockets_of_the_machine_do_not() {
        let (started, raw) = inside(|_| {
            let started = thread::Builder::new().spawn(|| 1).map(|thread| thread.join().unwrap());
            let stream = std::os::unix::net::UnixStream::connect("/run/nowhere");
            (started.unwrap(), stream.unwrap_err().raw_os_error())
        });
        assert_eq!((started, raw), (1, Some(libc::ENOSYS)));
    }
}
