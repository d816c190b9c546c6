//! A server that a test started, with its log.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

/// Ended with this; a test that fails shows the end of its log.
pub struct Server {
    name: String,
    command: Command,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts it; its log is `NAME.log` in this folder.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).unwrap();
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let child = spawn(&mut command);
        Self { name: name.to_owned(), command, child, log }
    }

    /// Starts the same again once it has ended; its log goes on.
    pub fn start_again(&mut self) {
        self.kill();
        self.child = spawn(&mut self.command);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// As `kill -9` does it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command) -> Child {
    let program = command.get_program().display().to_string();
    command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let last: Vec<_> = log.lines().rev().take(20).collect();
            eprintln!("the end of {}'s log:", self.name);
            last.into_iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}
