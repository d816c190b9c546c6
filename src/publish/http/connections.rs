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
pub struct Connections(Mutex<Pools>);

#[derive(Debug)]
struct Pools {
    /// Counts uses; the connection with the lowest number was idle for longest.
    uses: u64,
    silent: Pool,
    heard: Pool,
}

/// Connections by their last use.
#[derive(Debug)]
struct Pool {
    limit: usize,
    open: BTreeMap<u64, Open>,
}

/// An open connection, and how to end it once its task is there.
#[derive(Debug, Default)]
struct Open {
    task: Option<AbortHandle>,
}

/// One connection's place among them, given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// Its number among the silent ones.
    silent: u64,
    /// The number of its last use; 0 while it has not said anything.
    heard: AtomicU64,
    connections: Arc<Connections>,
}

impl Connections {
    /// None yet, and at most `limit` that have asked something and `silent` that have not.
    pub fn new(limit: usize, silent: usize) -> Self {
        let pool = |limit| Pool { limit, open: BTreeMap::new() };
        Self(Mutex::new(Pools { uses: 0, silent: pool(silent), heard: pool(limit) }))
    }

    /// Allows another number of those that have asked something, from the next one on.
    pub fn limit(&self, limit: usize) {
        self.lock().heard.limit = limit;
    }

    /// Makes room for one more connection, closing the longest silent one if there is none.
    pub(super) fn admit(self: &Arc<Self>) -> Place {
        let mut pools = self.lock();
        let last_use = pools.next_use();
        pools.silent.insert(last_use, Open::default());
        Place { silent: last_use, heard: AtomicU64::new(0), connections: Arc::clone(self) }
    }

    /// Says which task to stop when the place is needed.
    pub(super) fn hold(&self, last_use: u64, task: AbortHandle) {
        if let Some(open) = self.lock().silent.open.get_mut(&last_use) {
            open.task = Some(task);
        }
    }

    /// Nothing here panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Pools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pools {
    const fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }
}

impl Pool {
    fn insert(&mut self, last_use: u64, open: Open) {
        while self.open.len() >= self.limit.max(1) {
            let Some((_, longest_idle)) = self.open.pop_first() else { break };
            if let Some(task) = longest_idle.task {
                task.abort();
            }
        }
        self.open.insert(last_use, open);
    }
}

impl Place {
    /// What it is known by until it is first used.
    pub(super) const fn key(&self) -> u64 {
        self.silent
    }

    /// The client has said something: moves the connection to the end of the queue of those that have.
    pub(super) fn used(&self) {
        let mut pools = self.connections.lock();
        let last_use = pools.next_use();
        // One that was given up already ends at its next chance.
        if let Some(open) = self.take(&mut pools) {
            pools.heard.insert(last_use, open);
        }
        self.heard.store(last_use, Ordering::Relaxed);
    }

    fn take(&self, pools: &mut Pools) -> Option<Open> {
        match self.heard.load(Ordering::Relaxed) {
            0 => pools.silent.open.remove(&self.silent),
            last_use => pools.heard.open.remove(&last_use),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.take(&mut self.connections.lock());
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
        heard.used();
        let silent: Vec<_> = (0..10).map(|_| connections.admit()).collect();
        assert_eq!(counts(&connections), (3, 1));
        drop((silent, heard));
        assert_eq!(counts(&connections), (0, 0));
    }

    #[test]
    fn the_longest_idle_one_is_given_up_for_one_more() {
        let connections = Arc::new(Connections::new(2, 3));
        let places: Vec<_> = (0..3).map(|_| connections.admit()).collect();
        places.iter().for_each(Place::used);
        let open = |place: &Place| {
            let last_use = place.heard.load(Ordering::Relaxed);
            connections.lock().heard.open.contains_key(&last_use)
        };
        assert!(!open(&places[0]) && open(&places[1]) && open(&places[2]));
        places[1].used();
        let more = connections.admit();
        more.used();
        assert!(open(&places[1]) && !open(&places[2]) && open(&more));
    }
}
