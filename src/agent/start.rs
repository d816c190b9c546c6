//! Starting: everything that can be wrong with the configuration is found before anything is served.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use super::endpoints::Endpoints;
use super::observer::Observer;
use super::reporter::{Outputs, Reporter};
use super::server_process::{Inputs, Turn};
use super::supervisor::Supervisor;
use super::{Agent, Reload, SCAN_TIMEOUT};
use crate::agent_status::{AgentStats, ProcessProbe, ServerStatus};
use crate::clock;
use crate::config::Config;
use crate::failure::Failure;
use crate::node;
use crate::served::{self, Wanted};
use crate::system::program::Program;
use crate::system::signals::Signals;
use crate::system::{manager, sandbox};
use crate::tls::Tls;

/// Starts an agent. `sockets` are those that the service manager bound, if it did; they stand instead of
/// the configuration's addresses.
///
/// # Errors
/// The host root cannot be opened, an address not bound, or a signal not handled.
pub fn start<F: Fn() -> Result<Config, Failure> + Send + Sync + 'static>(
    config: Config,
    sockets: Vec<TcpListener>,
    reload: Reload<F>,
) -> Result<Agent<F>, Failure> {
    let signals = Signals::listen()
        .map_err(|error| Failure::System(format!("signals cannot be handled: {error}")))?;
    let started = Instant::now();
    let probe = ProcessProbe::open();
    let program = Program::open().map_err(|error| {
        Failure::System(format!("/proc/self/exe cannot be opened: {error}; mount /proc"))
    })?;
    let (changed, changes) = watch::channel(());
    let (reports, heard) = watch::channel(None);
    let (told, tellings) = watch::channel(None);
    let first = Turn { number: 1, next: started + SCAN_TIMEOUT, agent: probe.read() };
    let (turns, turned) = watch::channel(first);
    let (status, server_status) = watch::channel(ServerStatus::default());
    let (stop, stopped) = watch::channel(false);
    let (publications, published) = watch::channel(Vec::new());
    let (wanted, looked_at) = watch::channel(Wanted::default());
    let (seen, sightings) = watch::channel(Vec::new());

    let mut observer = Observer::open(&config, reload.files.clone(), changed.clone(), started)?;
    let endpoints = Endpoints::new(sockets, config.connections)?;
    endpoints.listen(&config, Tls::Missing)?;
    let mut sandbox = sandbox::enter(sandbox::Scope::Agent(&program));
    let inputs =
        Inputs { serving: endpoints.subscribe(), reports: tellings, turns: turned, stop: stopped };
    let log = (config.log_format, config.log_level);
    let supervisor = Supervisor::start(program, log, inputs, status);
    endpoints.set_tls(observer.prepare());
    observer.confine(&mut sandbox, supervisor.program());
    let stats = AgentStats { sandbox: sandbox.tell().into(), ..AgentStats::new(clock::now()) };
    let mut supervisors = JoinSet::new();
    supervisors.spawn(supervisor.run());
    let host_root = config.host_root.display();
    info!(version = env!("CARGO_PKG_VERSION"), %host_root, "started");

    let outputs = Outputs { reports, told, wanted };
    let mut looks = JoinSet::new();
    looks.spawn(served::watch(looked_at, seen));
    let mut agent = Agent {
        started,
        reload: Arc::new(reload),
        signals,
        probe,
        turns,
        changed,
        changes,
        reporter: Reporter::new(&config, outputs, stats, manager::watchdog()),
        endpoints,
        channels: node::Channels { reports: heard, publications },
        publications: published,
        sightings,
        looks,
        server_status,
        supervisor: supervisors,
        stop,
        publishers: JoinSet::new(),
        next_scan: started,
        observer: Arc::new(Mutex::new(observer)),
        config,
    };
    agent.start_publisher();
    Ok(agent)
}
