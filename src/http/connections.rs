//! A bounded set of connections that gives up the ones that were idle for longest.
//!
//! Those that have not said anything yet are counted by themselves: a flood of them must not push out a
//! client that is being answered, and they cost next to nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// The open connections, and when each was last used.
#[derive(Debug)]
pub struct Connections {
    /// Counts uses; the connection with the lowest number was idle for longest.
    uses: AtomicU64,
    pools: Mutex<Pools>,
}

#[derive(Debug)]
struct Pools {
    silent: Pool,
    heard: Pool,
}

/// Connections by their key.
#[derive(Debug)]
struct Pool {
    limit: usize,
    open: BTreeMap<u64, Open>,
}

/// An open connection, and how to end it once its task is there.
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
    /// None yet, and at most `limit` that have asked something and `silent` that have not.
    pub fn new(limit: usize, silent: usize) -> Self {
        let pool = |limit| Pool { limit, open: BTreeMap::new() };
        let pools = Pools { silent: pool(silent), heard: pool(limit) };
        Self { uses: AtomicU64::new(0), pools: Mutex::new(pools) }
    }

    /// Allows another number of those that have asked something, from the next one on.
    pub fn limit(&self, limit: usize) {
        self.lock().heard.limit = limit;
    }

    /// Makes room for one more connection, closing the longest silent one if there is none.
    pub(super) fn admit(self: &Arc<Self>) -> Place {
        let key = self.next_use();
        let last_use = Arc::new(AtomicU64::new(key));
        let open = Open { last_use: Arc::clone(&last_use), task: None };
        self.lock().silent.insert(key, open);
        Place { key, last_use, connections: Arc::clone(self) }
    }

    /// Says which task to stop when the place is needed.
    pub(super) fn hold(&self, key: u64, task: AbortHandle) {
        if let Some(open) = self.lock().silent.open.get_mut(&key) {
            open.task = Some(task);
        }
    }

    fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    /// Nothing here panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn insert(&mut self, key: u64, open: Open) {
        while self.open.len() >= self.limit.max(1) {
            let used = |(_, open): &(&u64, &Open)| open.last_use.load(Ordering::Relaxed);
            let Some(key) = self.open.iter().min_by_key(used).map(|(key, _)| *key) else { break };
            if let Some(Open { task: Some(longest_idle), .. }) = self.open.remove(&key) {
                longest_idle.abort();
            }
        }
        self.open.insert(key, open);
    }
}

impl Place {
    /// What it is known by.
    pub(super) const fn key(&self) -> u64 {
        self.key
    }

    /// The client has begun to say something: from now on the connection is one of those that have.
    pub(super) fn heard(&self) {
        self.used();
        let mut pools = self.connections.lock();
        // One that was given up already ends at its next chance.
        if let Some(open) = pools.silent.open.remove(&self.key) {
            pools.heard.insert(self.key, open);
        }
    }

    /// Moves the connection to the end of the queue for closing.
    pub(super) fn used(&self) {
        self.last_use.store(self.connections.next_use(), Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pools = self.connections.lock();
        pools.silent.open.remove(&self.key);
        pools.heard.open.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(connections: &Connections) -> (usize, usize) {
        let pools = connections.lock();
        (pools.silent.open.len(), pools.heard.open.len())
    }

    #[test]
    fn a_flood_of_silent_ones_pushes_out_none_that_was_heard() {
        let connections = Arc::new(Connections::new(2, 3));
        let heard = connections.admit();
        heard.heard();
        let silent: Vec<_> = (0..10).map(|_| connections.admit()).collect();
        assert_eq!(counts(&connections), (3, 1));
        drop((silent, heard));
        assert_eq!(counts(&connections), (0, 0));
    }

    #[test]
    fn the_longest_idle_one_is_given_up_for_one_more() {
        let connections = Arc::new(Connections::new(2, 3));
        let places: Vec<_> = (0..3).map(|_| connections.admit()).collect();
        places.iter().for_each(Place::heard);
        let open = |place: &Place| connections.lock().heard.open.contains_key(&place.key());
        assert!(!open(&places[0]) && open(&places[1]) && open(&places[2]));
        places[1].used();
        let more = connections.admit();
        more.heard();
        assert!(open(&places[1]) && !open(&places[2]) && open(&more));
    }
}
