//! This program, to be started once more as another process.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// The name under which it is the agent's server.
pub const SERVER: &str = "expiryd-server";

/// What the kernel knows the running program by, also once another one was installed in its place (proc(5)).
const SELF: &str = "/proc/self/exe";

/// Of the environment, what the log and the C library go by. The rest is the agent's: what it was configured
/// with, and its service manager's address.
const ENVIRONMENT: [&str; 2] = ["JOURNAL_STREAM", "MALLOC_ARENA_MAX"];

/// See the module.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// Opens it, so that the sandbox can grant its execution.
    ///
    /// # Errors
    /// There is no /proc.
    pub fn open() -> io::Result<Self> {
        File::open(SELF).map(|file| Self(file.into()))
    }

    /// Starts it as the server, with these arguments and this as its standard input. It has no other descriptor of this
    /// process but standard error.
    ///
    /// # Errors
    /// It may not be executed, or there is no room for another process.
    pub fn start_server(&self, arguments: &[&str], input: OwnedFd) -> io::Result<Child> {
        let kept = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = Command::new(SELF);
        command.arg0(SERVER).args(arguments).env_clear().envs(kept);
        // To open /dev/null for writing is more than the sandbox allows.
        let error = io::stderr().as_fd().try_clone_to_owned()?;
        command.stdin(Stdio::from(input)).stdout(Stdio::from(error)).spawn()
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
