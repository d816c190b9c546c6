//! The agent: starts, then observes, reports and waits in turn, until it is told to stop.
//!
//! Observing may block on a slow disk and so has a thread of its own; answers come from another process and
//! never wait for it. A panic in the loop ends the process, for its manager to restart.

mod beats;
mod endpoints;
mod log_changes;
mod observer;
mod reporter;
mod server_process;
mod start;
mod supervisor;
mod wait;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use expiryd_api::Publication;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::agent_status::{ProcessProbe, ServerStatus};
use crate::config::Config;
use crate::escape::Escaped;
use crate::failure::Failure;
use crate::node;
use crate::served::Sighting;
use crate::system::manager;
use crate::system::signals::{SignalAction, Signals};
use crate::task::{pass_on_panic, run_blocking};
use endpoints::Endpoints;
use observer::Observer;
use reporter::Reporter;
use server_process::Turn;
pub use start::start;
use wait::Event;

/// How long an observation may take before the loop counts as stopped.
const SCAN_TIMEOUT: Duration = Duration::from_mins(1);

/// How to read the configuration again when SIGHUP asks for it.
pub struct Reload<F> {
    /// What it is read from.
    pub files: Vec<PathBuf>,
    /// Reads it.
    pub read: F,
}

/// A running agent.
pub struct Agent<F> {
    started: Instant,
    config: Config,
    reload: Arc<Reload<F>>,
    signals: Signals,
    /// What the kernel shows of this process.
    probe: ProcessProbe,
    /// Each turn of the loop, for the server.
    turns: watch::Sender<Turn>,
    /// Locked only by whoever works with it in a thread that may block.
    observer: Arc<Mutex<Observer>>,
    /// Says that something changed on the disk.
    changed: watch::Sender<()>,
    changes: watch::Receiver<()>,
    reporter: Reporter,
    endpoints: Endpoints,
    channels: node::Channels,
    publications: watch::Receiver<Vec<Publication>>,
    publishers: JoinSet<()>,
    /// What the machine's servers show, from whoever looks at them.
    sightings: watch::Receiver<Vec<Sighting>>,
    looks: JoinSet<()>,
    /// How the server gets on, from whoever keeps it running.
    server_status: watch::Receiver<ServerStatus>,
    supervisor: JoinSet<()>,
    /// Dropping it ends the server.
    stop: watch::Sender<bool>,
    /// When to scan although nothing seems to change.
    next_scan: Instant,
}

impl<F: Fn() -> Result<Config, Failure> + Send + Sync + 'static> Agent<F> {
    /// Works until it is told to stop.
    ///
    /// # Errors
    /// There is something to be read that was not there when the sandbox was closed, which a new start
    /// can read.
    pub async fn run(mut self) -> Result<(), Failure> {
        let worked = self.work().await;
        info!("stopping");
        manager::stopping();
        self.stop.send_replace(true);
        if let Some(ended) = self.supervisor.join_next().await {
            pass_on_panic(ended);
        }
        worked
    }

    async fn work(&mut self) -> Result<(), Failure> {
        self.observe().await?;
        manager::ready(&self.reporter.status());
        loop {
            match self.wait().await {
                Event::Changed | Event::Looked => {}
                Event::Tick => {
                    let due = Instant::now() >= self.next_scan;
                    if !due && !self.with_observer(|observer| observer.directories_moved()).await {
                        // So that a server that hangs is noticed within the minute.
                        self.turn(self.next_scan + SCAN_TIMEOUT);
                        continue;
                    }
                }
                Event::Signal(SignalAction::Stop) => return Ok(()),
                Event::Signal(SignalAction::Reload) => self.reload().await,
            }
            self.observe().await?;
            manager::alive(&self.reporter.status());
        }
    }

    /// Observes the machine and reports what was found.
    async fn observe(&mut self) -> Result<(), Failure> {
        self.turn(Instant::now() + SCAN_TIMEOUT);
        self.changes.mark_unchanged();
        let observation = self.with_observer(Observer::observe).await;
        if let Some(path) = &observation.not_granted {
            return Err(not_granted(path));
        }
        self.endpoints.set_tls(observation.tls.clone());
        let wait = self.reporter.report(observation);
        self.next_scan = Instant::now() + wait;
        self.turn(self.next_scan + SCAN_TIMEOUT);
        Ok(())
    }

    /// Tells the server that the loop turned, and turns again until `next`.
    fn turn(&self, next: Instant) {
        let agent = self.probe.read();
        self.turns.send_modify(|turn| *turn = Turn { number: turn.number + 1, next, agent });
    }

    /// Reads the configuration again; what is wrong with it leaves everything as it was.
    async fn reload(&mut self) {
        manager::reloading();
        match self.try_reload().await {
            Ok(()) => info!("the configuration was read again and is in force"),
            Err(why) => error!("the configuration stays as it was: {why}"),
        }
        manager::ready(&self.reporter.status());
    }

    async fn try_reload(&mut self) -> Result<(), Failure> {
        let (reload, changed) = (Arc::clone(&self.reload), self.changed.clone());
        let started = self.started;
        if let Some(path) = self.with_observer(|o| o.configuration_beyond_grants()).await {
            return Err(Failure::Sandbox(format!(
                "{} is in a place that expiryd's sandbox does not grant, where the configuration was not \
                 when it was closed; restart expiryd to have it read",
                Escaped(path.as_os_str().as_bytes())
            )));
        }
        let certificate = self.with_observer(|observer| observer.reloader()).await;
        let (config, mut observer, tls) = run_blocking(move || {
            let config = (reload.read)()?;
            let mut observer = Observer::open(&config, reload.files.clone(), changed, started)?;
            observer.inherit_certificate(&certificate);
            let tls = observer.prepare();
            Ok((config, observer, tls))
        })
        .await?;
        self.endpoints.listen(&config, tls)?;
        let same_host = config.host_root == self.config.host_root;
        // What the Node was told already is not told again for a reload.
        let restart_publisher = config.node != self.config.node || !same_host;
        self.reporter.reconfigure(&config, &self.config);
        self.config = config;
        {
            let mut before = lock(&self.observer);
            observer.inherit(&before);
            *before = observer;
        }
        if restart_publisher {
            self.publishers.abort_all();
            self.start_publisher();
        }
        Ok(())
    }

    /// Publishes to the Node from now on.
    fn start_publisher(&mut self) {
        let identity = lock(&self.observer).identity();
        let (config, channels) = (self.config.node.clone(), self.channels.clone());
        self.publishers.spawn(node::publish(identity, config, channels));
    }

    /// Works with the observer where that may block.
    async fn with_observer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Observer) -> T + Send + 'static,
    ) -> T {
        let observer = Arc::clone(&self.observer);
        run_blocking(move || work(&mut lock(&observer))).await
    }
}

/// A panic with the lock held ends the process, so nobody meets what it left.
fn lock(observer: &Mutex<Observer>) -> MutexGuard<'_, Observer> {
    observer.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_granted(path: &Path) -> Failure {
    Failure::Sandbox(format!(
        "{} has to be read, and was not there, or was another, when the sandbox was closed; expiryd \
         ends, so that its service manager starts it again and it is read",
        Escaped(path.as_os_str().as_bytes())
    ))
}
