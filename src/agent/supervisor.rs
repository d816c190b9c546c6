//! Keeps the server running: starts it, and starts it again when it ends.
//!
//! Its end never reaches the loop or the Node publication. A server that does not answer a beat is as good as
//! ended, so the service manager's watchdog over the loop is one over both. So is one that says what it was not
//! asked for: somebody may have taken it over.

use std::io;
use std::process::Child;
use std::time::{Duration, Instant};

use expiryd_api::ServerRestarts;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::error;

use super::server_process::{Ended, Inputs, ServerProcess};
use crate::agent_status::ServerStatus;
use crate::clock;
use crate::config::{LogFormat, LogLevel};
use crate::system::program::Program;

/// How long to wait before it is started again, at first and in the end.
const WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];

/// After how long one counts as having worked.
const WORKED: Duration = Duration::from_mins(1);

/// See the module.
pub(super) struct Supervisor {
    program: Program,
    log: (LogFormat, LogLevel),
    inputs: Inputs,
    status: watch::Sender<ServerStatus>,
    /// The first server, which starts while the machine is scanned.
    first: Option<io::Result<ServerProcess>>,
    /// Servers that the kernel has not ended yet.
    left: Vec<Child>,
}

impl Supervisor {
    /// Starts a server, which is told nothing yet.
    pub(super) fn start(
        program: Program,
        log: (LogFormat, LogLevel),
        inputs: Inputs,
        status: watch::Sender<ServerStatus>,
    ) -> Self {
        let first = Some(ServerProcess::start(&program, log));
        Self { program, log, inputs, status, first, left: Vec::new() }
    }

    /// What it starts.
    pub(super) const fn program(&self) -> &Program {
        &self.program
    }

    /// Works until the agent stops.
    pub(super) async fn run(mut self) {
        let [shortest, longest] = WAITS;
        let mut wait = shortest;
        loop {
            let begun = Instant::now();
            let first = self.first.take();
            let started = first.unwrap_or_else(|| ServerProcess::start(&self.program, self.log));
            let ended = match started {
                Ok(server) => server.run(&mut self.inputs, &self.status).await,
                Err(error) => Ended {
                    why: Some(format!(
                        "cannot be started: {error}; let expiryd execute itself (its mode, noexec, ExecPaths=, \
                         AppArmor), and have one process more"
                    )),
                    left: None,
                },
            };
            self.left.extend(ended.left);
            // So that none stays as a zombie.
            self.left.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            let Some(why) = ended.why else { return };
            if begun.elapsed() >= WORKED {
                wait = shortest;
            }
            error!("the server {why}; until it is started again in {wait:?}, nobody is answered");
            self.status.send_modify(|status| {
                let count = status.restarts.as_ref().map_or(0, |restarts| restarts.count) + 1;
                status.restarts = Some(ServerRestarts { count, last: clock::now(), reason: why });
            });
            tokio::select! {
                () = sleep(wait) => {}
                _ = self.inputs.stop.changed() => return,
            }
            wait = longest.min(wait * 2);
        }
    }
}
