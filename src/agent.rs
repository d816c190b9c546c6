//! The loop: a change or a tick, a look, a report, every publisher.
//!
//! Looking may block on a slow disk and so has a thread of its own; answers never wait for it. A
//! panic in the loop ends the process, for its manager to restart.

mod changes;
mod core;
mod endpoints;
mod lookout;

use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::clock::Timestamp;
use crate::config::Config;
use crate::escape::Escaped;
use crate::failure::Failure;
use crate::publish::http::{self, Answers, Pulse};
use crate::publish::node;
use crate::system::signals::{Asked, Signals};
use crate::system::{manager, sandbox};
use crate::vitals::Vitals;
use crate::watch::COMPARE;
use core::Core;
use endpoints::Endpoints;
use lookout::Lookout;

/// How long a look may take before the loop counts as stopped.
const LOOK: Duration = Duration::from_mins(1);

/// How to read the configuration anew when SIGHUP asks for it.
pub struct Reload<F> {
    /// What it is read from.
    pub files: Vec<PathBuf>,
    /// Reads it.
    pub read: F,
}

/// Runs until it is told to stop.
///
/// Everything that can be wrong with the configuration is found before anything is started.
/// `sockets` are those that the service manager bound, if it did; they stand instead of the
/// configuration's addresses.
///
/// # Errors
/// The host root cannot be opened, an address not bound, or a signal not handled; or there is something
/// to be read that was not there when reading was confined, which a new start can read.
pub async fn run(
    config: Config,
    sockets: Vec<TcpListener>,
    reload: Reload<impl Fn() -> Result<Config, Failure> + Send + Sync + 'static>,
) -> Result<(), Failure> {
    let mut signals =
        Signals::take().map_err(|e| Failure::System(format!("signals cannot be handled: {e}")))?;
    let (start, reload) = (Instant::now(), Arc::new(reload));
    let mut vitals = Vitals::new(Timestamp::now());
    let pulse = Arc::new(Pulse::new(LOOK));
    let (changed, mut changes) = watch::channel(());
    let (pages, page) = watch::channel(None);
    let mut lookout = Lookout::open(&config, reload.files.clone(), changed.clone(), start)?;
    let (publications, mut published) = watch::channel(Vec::new());
    let lines = node::Lines { pages: page.clone(), publications };
    let mut endpoints = Endpoints::new(Answers::new(page, Arc::clone(&pulse)));
    sockets.into_iter().try_for_each(|socket| endpoints.adopt(socket))?;
    endpoints.listen(&config, lookout.tls())?;
    vitals.sandbox = close_sandbox(&mut lookout);
    info!(version = env!("CARGO_PKG_VERSION"), host_root = %lookout.host_root().path().display(), "started");

    let publisher = |lookout: &Lookout, config: &Config| {
        node::publish(lookout.host_root(), config.node, lines.clone())
    };
    let mut publishers = JoinSet::new();
    publishers.spawn(publisher(&lookout, &config));
    let mut core = Core::new(config, pages, vitals);
    let mut ready = false;
    let mut look = true;
    let mut next_look = start;
    loop {
        if look {
            pulse.beat(LOOK);
            changes.mark_unchanged();
            let sighting;
            (lookout, sighting) = with(lookout, Lookout::look).await;
            if let Some(path) = &sighting.beyond {
                manager::stopping();
                endpoints.close().await;
                return Err(beyond(path));
            }
            endpoints.secure(sighting.tls.clone());
            let wait = core.take(sighting);
            next_look = Instant::now() + wait;
            pulse.beat(wait.saturating_add(LOOK));
            if std::mem::replace(&mut ready, true) {
                manager::alive(&core.status);
            } else {
                manager::ready(&core.status);
            }
        }

        let turn = {
            // Both go on while the others are served: a change that was noticed is not to be lost.
            let mut change = pin!(settled_change(&mut changes, core.config.debounce));
            let next = next_look.min(Instant::now() + COMPARE);
            let mut tick = pin!(tokio::time::sleep_until(next.into()));
            loop {
                tokio::select! {
                    asked = signals.next() => break Turn::Asked(asked),
                    () = &mut change => break Turn::Look,
                    () = &mut tick => break Turn::Tick,
                    () = endpoints.watch() => {}
                    Some(ended) = publishers.join_next() => http::pass_on_panic(ended),
                    Ok(()) = published.changed() => {
                        core.publications(&published.borrow_and_update());
                    }
                }
            }
        };
        look = true;
        match turn {
            Turn::Look => {}
            Turn::Tick if Instant::now() >= next_look => {}
            Turn::Tick => (lookout, look) = with(lookout, |lookout| lookout.has_moved()).await,
            Turn::Asked(Asked::Stop) => break,
            Turn::Asked(Asked::Reload) => {
                manager::reloading();
                let read = read_again(Arc::clone(&reload), changed.clone(), start).await;
                let applied = read.and_then(|(config, lookout)| {
                    endpoints.listen(&config, lookout.tls())?;
                    Ok((config, lookout))
                });
                match applied {
                    Ok((config, anew)) => {
                        info!("the configuration was read again and is in force");
                        // What the Node was told already is not told again for a reload.
                        if (config.node, &config.host_root)
                            != (core.config.node, &core.config.host_root)
                        {
                            publishers.abort_all();
                            publishers.spawn(publisher(&anew, &config));
                        }
                        core.reconfigure(config);
                        let before = std::mem::replace(&mut lookout, anew);
                        lookout.inherit(&before);
                    }
                    Err(why) => error!("the configuration stays as it was: {why}"),
                }
                manager::ready(&core.status);
            }
        }
    }
    info!("stopping");
    manager::stopping();
    endpoints.close().await;
    Ok(())
}

fn beyond(path: &Path) -> Failure {
    Failure::Sandbox(format!(
        "{} is to be read, and was not there, or was another, when the sandbox was closed; expiryd ends, \
         so that its service manager starts it again and it is",
        Escaped(path.as_os_str().as_bytes())
    ))
}

/// Gives up what a look, the publisher and a reload do not need; returns each layer, and whether it is
/// on.
fn close_sandbox(lookout: &mut Lookout) -> Arc<[(&'static str, bool)]> {
    let mut sandbox = sandbox::enter(sandbox::Scope::Process);
    lookout.confine(&mut sandbox);
    for (layer, why) in &sandbox.layers {
        if let Some(why) = why {
            warn!(
                layer = layer.as_str(),
                "the sandbox lacks {layer}: {why}; the agent runs without"
            );
        }
    }
    sandbox.layers.iter().map(|(layer, why)| (layer.as_str(), why.is_none())).collect()
}

/// Reads the configuration again, and what is to be looked at, where that may block.
async fn read_again(
    reload: Arc<Reload<impl Fn() -> Result<Config, Failure> + Send + Sync + 'static>>,
    changed: watch::Sender<()>,
    start: Instant,
) -> Result<(Config, Lookout), Failure> {
    aside(move || {
        let config = (reload.read)()?;
        let lookout = Lookout::open(&config, reload.files.clone(), changed, start)?;
        Ok((config, lookout))
    })
    .await
}

/// Lets the lookout work where that may block.
async fn with<T: Send + 'static>(
    mut lookout: Lookout,
    work: impl FnOnce(&mut Lookout) -> T + Send + 'static,
) -> (Lookout, T) {
    aside(move || {
        let result = work(&mut lookout);
        (lookout, result)
    })
    .await
}

/// What ends a wait.
enum Turn {
    /// Something changed.
    Look,
    /// It is time for the next look, or to see whether the watched directories are still the ones.
    Tick,
    /// A signal.
    Asked(Asked),
}

/// Waits for a change and then for `debounce`, in which more changes are part of the same. The change
/// stays marked: dropped half-way, the next call begins with it.
async fn settled_change(changes: &mut watch::Receiver<()>, debounce: Duration) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    changes.mark_changed();
    tokio::time::sleep(debounce).await;
}

/// Runs what blocks in a thread for that, and passes on its panic.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // A blocking task is cancelled only when the runtime goes down, and this with it.
            Err(_) => std::future::pending().await,
        },
    }
}
