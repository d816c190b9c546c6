//! Starting: everything that can be wrong with the configuration is found before anything is served.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::endpoints::Endpoints;
use super::observer::Observer;
use super::reporter::{Outputs, Reporter};
use super::{Agent, Reload, SCAN_TIMEOUT};
use crate::agent_status::{AgentStats, Heartbeat};
use crate::clock;
use crate::config::Config;
use crate::failure::Failure;
use crate::http::Answers;
use crate::node;
use crate::served::{self, Wanted};
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
    let heartbeat = Arc::new(Heartbeat::new(SCAN_TIMEOUT));
    let (changed, changes) = watch::channel(());
    let (reports, heard) = watch::channel(None);
    let (rendered, answered) = watch::channel(None);
    let (publications, published) = watch::channel(Vec::new());
    let (wanted, looked_at) = watch::channel(Wanted::default());
    let (seen, sightings) = watch::channel(Vec::new());

    let mut observer = Observer::open(&config, reload.files.clone(), changed.clone(), started)?;
    let answers = Answers::new(answered, Arc::clone(&heartbeat));
    let mut endpoints = Endpoints::new(answers, config.connections);
    sockets.into_iter().try_for_each(|socket| endpoints.serve_inherited(socket))?;
    endpoints.listen(&config, Tls::Missing)?;
    let mut stats = AgentStats::new(clock::now());
    stats.sandbox = close_sandbox(&mut observer, &endpoints);
    let host_root = config.host_root.display();
    info!(version = env!("CARGO_PKG_VERSION"), %host_root, "started");

    let outputs = Outputs { reports, rendered, wanted };
    let mut looks = JoinSet::new();
    looks.spawn(served::watch(looked_at, seen));
    let mut agent = Agent {
        started,
        reload: Arc::new(reload),
        signals,
        heartbeat,
        changed,
        changes,
        reporter: Reporter::new(&config, outputs, stats, manager::watchdog()),
        endpoints,
        channels: node::Channels { reports: heard, publications },
        publications: published,
        sightings,
        looks,
        publishers: JoinSet::new(),
        next_scan: started,
        observer: Arc::new(Mutex::new(observer)),
        config,
    };
    agent.start_publisher();
    Ok(agent)
}

/// Gives up what the agent does not need once it has scanned the machine; returns each layer of the
/// sandbox, and whether it is on.
fn close_sandbox(observer: &mut Observer, endpoints: &Endpoints) -> Arc<[(&'static str, bool)]> {
    let mut sandbox = sandbox::enter(sandbox::Scope::Process);
    endpoints.set_tls(observer.prepare());
    observer.confine(&mut sandbox);
    for (layer, why) in &sandbox.layers {
        if let Some(why) = why {
            let layer = layer.as_str();
            warn!(layer, "the sandbox lacks {layer}: {why}; the agent runs without");
        }
    }
    sandbox.layers.iter().map(|(layer, why)| (layer.as_str(), why.is_none())).collect()
}
