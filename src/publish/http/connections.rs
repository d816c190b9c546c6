//! A bounded set of connections that gives up the one that was idle for longest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// The open connections, and when each was last used.
#[derive(Debug)]
pub struct Connections {
    limit: AtomicUsize,
    /// Counts uses; the connection with the lowest number was idle for longest.
    clock: AtomicU64,
    open: Mutex<BTreeMap<u64, Open>>,
}

#[derive(Debug)]
struct Open {
    last_use: Arc<AtomicU64>,
    task: Option<AbortHandle>,
}

/// One connection's place among them, given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    key: u64,
    last_use: Arc<AtomicU64>,
    connections: Arc<Connections>,
}

impl Connections {
    /// None yet, and at most `limit` of them.
    pub fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), clock: AtomicU64::new(0), open: Mutex::default() }
    }

    /// Allows another number of them from the next one on.
    pub fn limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Makes room for one more connection, closing the longest idle one if there is none.
    pub(super) fn admit(self: &Arc<Self>) -> Place {
        let mut open = self.lock();
        while open.len() >= self.limit.load(Ordering::Relaxed).max(1) {
            let used = |(_, open): &(&u64, &Open)| open.last_use.load(Ordering::Relaxed);
            let Some(key) = open.iter().min_by_key(used).map(|(key, _)| *key) else { break };
            if let Some(Open { task: Some(longest_idle), .. }) = open.remove(&key) {
                longest_idle.abort();
            }
        }
        let key = self.tick();
        let last_use = Arc::new(AtomicU64::new(key));
        open.insert(key, Open { last_use: Arc::clone(&last_use), task: None });
        Place { key, last_use, connections: Arc::clone(self) }
    }

    /// Says which task to stop when the place is needed.
    pub(super) fn hold(&self, key: u64, task: AbortHandle) {
        if let Some(open) = self.lock().get_mut(&key) {
            open.task = Some(task);
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// Nothing here panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What it is known by.
    pub(super) const fn key(&self) -> u64 {
        self.key
    }

    /// Moves the connection to the end of the queue for closing.
    pub(super) fn used(&self) {
        self.last_use.store(self.connections.tick(), Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.key);
    }
}
