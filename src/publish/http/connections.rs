//! A bounded set of connections that gives up the one that was idle for longest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// The open connections, by when they were last used.
#[derive(Debug)]
pub struct Connections {
    limit: AtomicUsize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// Counts uses; the one with the lowest number was idle for longest.
    clock: u64,
    by_use: BTreeMap<u64, Option<AbortHandle>>,
}

/// One connection's place among them; given up when its last clone is dropped.
#[derive(Debug, Clone)]
pub(super) struct Place(Arc<Held>);

#[derive(Debug)]
struct Held {
    last_use: AtomicU64,
    connections: Arc<Connections>,
}

impl Connections {
    /// None yet, and at most `limit` of them.
    pub fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), open: Mutex::default() }
    }

    /// Allows another number of them from the next one on.
    pub fn limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Makes room for one more connection, closing the longest idle one if there is none.
    pub(super) fn admit(self: &Arc<Self>) -> Place {
        let mut open = self.lock();
        while open.by_use.len() >= self.limit.load(Ordering::Relaxed) {
            if let Some((_, Some(longest_idle))) = open.by_use.pop_first() {
                longest_idle.abort();
            }
        }
        let last_use = open.enter(None);
        let last_use = AtomicU64::new(last_use);
        Place(Arc::new(Held { last_use, connections: Arc::clone(self) }))
    }

    /// Nothing here panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn enter(&mut self, task: Option<AbortHandle>) -> u64 {
        self.clock += 1;
        self.by_use.insert(self.clock, task);
        self.clock
    }
}

impl Place {
    /// Says which task to stop when the place is needed.
    pub(super) fn hold(&self, task: AbortHandle) {
        let last_use = self.0.last_use.load(Ordering::Relaxed);
        if let Some(held) = self.0.connections.lock().by_use.get_mut(&last_use) {
            *held = Some(task);
        }
    }

    /// Moves the connection to the end of the queue for closing.
    pub(super) fn used(&self) {
        let mut open = self.0.connections.lock();
        if let Some(task) = open.by_use.remove(&self.0.last_use.load(Ordering::Relaxed)) {
            let now = open.enter(task);
            self.0.last_use.store(now, Ordering::Relaxed);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connections.lock().by_use.remove(self.last_use.get_mut());
    }
}
