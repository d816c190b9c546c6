//! One inotify instance over a set of directories, through `notify`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use notify::event::{AccessKind, AccessMode};
use notify::{Config, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

use super::targets::{Names, Targets};
use crate::host_root::HostPath;
use crate::host_root::descriptor_path;
use crate::problem::{Problem, Reason};

/// Watches until it is dropped, or fails.
#[derive(Debug)]
pub(super) struct Inotify {
    // Dropped before the watcher, so that its thread knows that this is not a failure.
    health: Arc<Health>,
    first: HostPath,
    _watcher: RecommendedWatcher,
}

/// Written by notify's thread, read by the agent.
#[derive(Debug, Default)]
struct Health(AtomicU8);

const WORKING: u8 = 0;
const OVERFLOWED: u8 = 1;
const STOPPED: u8 = 2;

impl Inotify {
    pub(super) fn watch(targets: &Targets, changed: &watch::Sender<()>) -> Result<Self, Problem> {
        let health = Arc::new(Health::default());
        // The directory was opened beneath the host root; watching the open descriptor watches
        // that very directory, wherever its name leads by now.
        let watched: Vec<_> = targets.iter().map(|t| (descriptor_path(&t.directory), t)).collect();
        let root = HostPath::root();
        let first = targets.iter().next().map_or_else(|| root.clone(), |t| t.path.clone());
        let listener = Listener {
            names: watched.iter().map(|(path, t)| (path.clone(), t.names.clone())).collect(),
            changed: changed.clone(),
            health: Arc::downgrade(&health),
        };
        let mut watcher =
            RecommendedWatcher::new(move |event| listener.hear(event), Config::default())
                .map_err(|error| unavailable(&first, &error))?;
        for (path, target) in watched {
            watcher
                .watch(&path, RecursiveMode::NonRecursive)
                .map_err(|error| unavailable(&target.path, &error))?;
        }
        Ok(Self { _watcher: watcher, health, first })
    }

    /// What keeps it from telling every change, if anything does.
    pub(super) fn failure(&self) -> Option<Problem> {
        let why = match self.health.0.load(Ordering::Relaxed) {
            WORKING => return None,
            OVERFLOWED => {
                "more changed at once than inotify could queue (fs.inotify.max_queued_events)"
            }
            _ => "the thread that listens to inotify has stopped",
        };
        Some(problem(&self.first, why))
    }
}

/// Lives in notify's thread, and is dropped with it.
struct Listener {
    names: HashMap<PathBuf, Names>,
    changed: watch::Sender<()>,
    /// Gone once the agent has given up this instance.
    health: Weak<Health>,
}

impl Listener {
    fn hear(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => self.fail(OVERFLOWED),
            Ok(event) if self.matters(&event) => self.changed.send_replace(()),
            Ok(_) => (),
            Err(_) => self.fail(STOPPED),
        }
    }

    fn fail(&self, how: u8) {
        if let Some(health) = self.health.upgrade() {
            health.0.store(how, Ordering::Relaxed);
            self.changed.send_replace(());
        }
    }

    /// The agent's own reading is an event too, and must not start another scan.
    fn matters(&self, event: &Event) -> bool {
        let changes = match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            _ => true,
        };
        changes && event.paths.iter().any(|path| self.concerns(path))
    }

    fn concerns(&self, path: &Path) -> bool {
        if let Some(names) = self.names.get(path) {
            return names.concern(None);
        }
        let names = path.parent().and_then(|directory| self.names.get(directory));
        names.is_none_or(|names| names.concern(path.file_name()))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.fail(STOPPED);
    }
}

fn unavailable(path: &HostPath, error: &notify::Error) -> Problem {
    let why = match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "no inotify watch is left for this user (fs.inotify.max_user_watches)".to_owned()
        }
        ErrorKind::Io(io) if io.raw_os_error() == Some(libc::EMFILE) => {
            "no inotify instance is left for this user (fs.inotify.max_user_instances), or no file \
             descriptor for this process"
                .to_owned()
        }
        ErrorKind::Io(io) => io.to_string(),
        kind => format!("{kind:?}"),
    };
    problem(path, &why)
}

fn problem(path: &HostPath, why: &str) -> Problem {
    let message = format!(
        "inotify cannot watch it: {why}; changes are found by looking every {} seconds",
        super::POLL.as_secs()
    );
    Problem::new(path, Reason::WatchUnavailable, message)
}
