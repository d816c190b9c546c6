//! A bounded set of connections that gives up the ones that can best be spared.
//!
//! A connection is in one of three pools, by what it costs and what it has earned: it has said nothing
//! (next to nothing), it has begun to speak (buffers, perhaps a TLS handshake), or it has asked a whole
//! question. So no flood of the first two pushes out a client that is being answered. In a full pool the
//! client with the most connections gives up the one that was idle for longest, so that one machine's
//! flood is at the expense of that machine.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    speaking: Pool,
    asking: Pool,
}

/// Where connections come from, as far as one party can be told from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Client {
    /// This machine.
    Loopback,
    V4(Ipv4Addr),
    /// The first 64 bits: a machine has all addresses of such a network (RFC 4291 section 2.5.1).
    V6Network(u64),
}

/// Connections by their key.
#[derive(Debug)]
struct Pool {
    limit: usize,
    open: BTreeMap<u64, Open>,
    queues: BTreeMap<Client, Queue>,
    /// The last is the client that gives one up next.
    order: BTreeSet<Rank>,
}

/// A client's connections, by when each was last seen to be used; the first is the next to be given up.
type Queue = BTreeSet<(u64, u64)>;

/// How many connections a client has, when the longest idle of them was queued, and the client.
type Rank = (usize, Reverse<u64>, Client);

/// An open connection, and how to end it once its task is there.
#[derive(Debug)]
struct Open {
    client: Client,
    /// Its place in the client's queue.
    queued: u64,
    last_use: Arc<AtomicU64>,
    task: Option<AbortHandle>,
}

/// One connection's place among them, given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    key: u64,
    last_use: Arc<AtomicU64>,
    asking: AtomicBool,
    connections: Arc<Connections>,
}

impl Connections {
    /// None yet, and at most so many of each.
    pub fn new(asking: usize, speaking: usize, silent: usize) -> Self {
        let pools = Pools {
            silent: Pool::new(silent),
            speaking: Pool::new(speaking),
            asking: Pool::new(asking),
        };
        Self { uses: AtomicU64::new(0), pools: Mutex::new(pools) }
    }

    /// Allows other numbers of each, from the next one on.
    pub fn limit(&self, asking: usize, speaking: usize, silent: usize) {
        let mut pools = self.lock();
        pools.asking.limit = asking;
        pools.speaking.limit = speaking;
        pools.silent.limit = silent;
    }

    /// Makes room for one more connection, closing one that has said nothing if there is none.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr) -> Place {
        let key = self.next_use();
        let last_use = Arc::new(AtomicU64::new(key));
        let open = Open {
            client: client.into(),
            queued: key,
            last_use: Arc::clone(&last_use),
            task: None,
        };
        self.lock().silent.insert(key, open);
        Place { key, last_use, asking: AtomicBool::new(false), connections: Arc::clone(self) }
    }

    /// Says which task to stop when the place is needed.
    pub(super) fn hold(&self, key: u64, task: AbortHandle) {
        let mut pools = self.lock();
        let found = pools.all().into_iter().find_map(|pool| pool.open.get_mut(&key));
        if let Some(open) = found {
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

impl Pools {
    const fn all(&mut self) -> [&mut Pool; 3] {
        [&mut self.silent, &mut self.speaking, &mut self.asking]
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Self::Loopback,
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                let join = |bits: u64, segment: u16| (bits << 16) | u64::from(segment);
                Self::V6Network([a, b, c, d].into_iter().fold(0, join))
            }
        }
    }
}

impl Pool {
    const fn new(limit: usize) -> Self {
        Self { limit, open: BTreeMap::new(), queues: BTreeMap::new(), order: BTreeSet::new() }
    }

    fn insert(&mut self, key: u64, open: Open) {
        self.change(open.client, |queue| _ = queue.insert((open.queued, key)));
        self.open.insert(key, open);
        while self.open.len() > self.limit.max(1) && self.give_one_up() {}
    }

    fn remove(&mut self, key: u64) -> Option<Open> {
        let open = self.open.remove(&key)?;
        self.change(open.client, |queue| _ = queue.remove(&(open.queued, key)));
        Some(open)
    }

    /// Gives up the connection that can best be spared; `false` when there is none.
    fn give_one_up(&mut self) -> bool {
        while let Some((_, _, client)) = self.order.last().copied() {
            let first = self.queues.get(&client).and_then(|queue| queue.first().copied());
            let Some((queued, key)) = first else { return false };
            let Some(open) = self.open.get_mut(&key) else { return false };
            let last_use = open.last_use.load(Ordering::Relaxed);
            if last_use == queued {
                if let Some(Open { task: Some(task), .. }) = self.remove(key) {
                    task.abort();
                }
                return true;
            }
            // It was used since it was queued.
            open.queued = last_use;
            self.change(client, |queue| {
                queue.remove(&(queued, key));
                queue.insert((last_use, key));
            });
        }
        false
    }

    /// Changes a client's queue, and its rank with it.
    fn change(&mut self, client: Client, change: impl FnOnce(&mut Queue)) {
        let rank = |queue: &Queue| {
            let longest_idle = queue.first().map(|(queued, _)| Reverse(*queued))?;
            Some((queue.len(), longest_idle, client))
        };
        let queue = self.queues.entry(client).or_default();
        if let Some(before) = rank(queue) {
            self.order.remove(&before);
        }
        change(queue);
        match rank(queue) {
            Some(now) => _ = self.order.insert(now),
            None => _ = self.queues.remove(&client),
        }
    }
}

impl Place {
    /// What it is known by.
    pub(super) const fn key(&self) -> u64 {
        self.key
    }

    /// The client has begun to say something.
    pub(super) fn heard(&self) {
        let mut pools = self.connections.lock();
        // A connection that was given up already is in no pool, and ends at its next chance.
        if let Some(open) = pools.silent.remove(self.key) {
            pools.speaking.insert(self.key, open);
        }
    }

    /// The client has asked something: its connection is now the last to be closed for being idle. Says whether
    /// there is room for it to stay: where all places are taken, one that asks again and again costs the others
    /// their answers.
    pub(super) fn used(&self) -> bool {
        self.last_use.store(self.connections.next_use(), Ordering::Relaxed);
        let mut pools = self.connections.lock();
        if !self.asking.swap(true, Ordering::Relaxed)
            && let Some(open) = pools.speaking.remove(self.key)
        {
            pools.asking.insert(self.key, open);
        }
        pools.asking.open.len() < pools.asking.limit
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pools = self.connections.lock();
        for pool in pools.all() {
            drop(pool.remove(self.key));
        }
    }
}

#[cfg(test)]
mod tests;
