//! A bounded set of connections that gives up the ones that can best be spared.
//!
//! A connection is in one of two pools, by what it costs: it is arriving (perhaps a TLS handshake), or it has asked
//! a whole question (an answer, perhaps of megabytes). So no flood of the first pushes out a client that is being
//! answered. In a full pool the client with the most connections gives up the one that was idle for longest, and so
//! does a client that has all that one may have: one machine's flood is at the expense of that machine.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{AbortHandle, AbortRegistration};

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Of all clients together.
    pub all: usize,
    /// Of one client.
    pub of_client: usize,
}

/// The open connections, and when each was last used.
#[derive(Debug)]
pub(super) struct Connections(Mutex<Pools>);

#[derive(Debug)]
struct Pools {
    /// Counts uses; the connection with the lowest number was idle for longest.
    uses: u64,
    arriving: Pool,
    asking: Pool,
}

/// Connections by their key.
#[derive(Debug)]
struct Pool {
    limit: Limit,
    open: BTreeMap<u64, Open>,
}

/// An open connection, and how to end it.
#[derive(Debug)]
struct Open {
    client: IpAddr,
    last_use: u64,
    end: AbortHandle,
}

/// One connection's place among them, given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    key: u64,
    connections: Arc<Connections>,
}

impl Connections {
    /// None yet, and at most so many of each.
    pub(super) fn new(arriving: Limit, asking: Limit) -> Arc<Self> {
        let pools = Pools { uses: 0, arriving: Pool::new(arriving), asking: Pool::new(asking) };
        Arc::new(Self(Mutex::new(pools)))
    }

    /// Makes room for one more connection, closing one that has asked nothing if there is none. Its task ends with
    /// the registration.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> (Place, AbortRegistration) {
        let (end, registration) = AbortHandle::new_pair();
        let mut pools = self.lock();
        let key = pools.next_use();
        pools.arriving.insert(key, Open { client: client(address), last_use: key, end });
        drop(pools);
        (Place { key, connections: Arc::clone(self) }, registration)
    }

    /// Nothing here panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Pools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where connections come from, as far as one party can be told from another: a machine has all loopback addresses,
/// and all addresses of a /64 of IPv6 (RFC 4291 section 2.5.1).
fn client(address: IpAddr) -> IpAddr {
    let address = address.to_canonical();
    match address {
        _ if address.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

impl Pools {
    const fn next_use(&mut self) -> u64 {
        self.uses = self.uses.saturating_add(1);
        self.uses
    }
}

impl Pool {
    const fn new(limit: Limit) -> Self {
        Self { limit, open: BTreeMap::new() }
    }

    fn insert(&mut self, key: u64, open: Open) {
        let client = open.client;
        self.open.insert(key, open);
        while (self.open.len() > self.limit.all.max(1)
            || self.of(client) > self.limit.of_client.max(1))
            && self.give_one_up()
        {}
    }

    /// How many a client has.
    fn of(&self, client: IpAddr) -> usize {
        self.open.values().filter(|open| open.client == client).count()
    }

    /// Gives up the connection that can best be spared; `false` when there is none.
    fn give_one_up(&mut self) -> bool {
        let mut clients = BTreeMap::<IpAddr, (usize, Option<Reverse<(u64, u64)>>)>::new();
        for (key, open) in &self.open {
            let (count, longest_idle) = clients.entry(open.client).or_default();
            *count += 1;
            *longest_idle = (*longest_idle).max(Some(Reverse((open.last_use, *key))));
        }
        let Some((_, Some(Reverse((_, key))))) = clients.into_values().max() else { return false };
        let Some(open) = self.open.remove(&key) else { return false };
        open.end.abort();
        true
    }
}

impl Place {
    /// The client has asked something: its connection is now the last to be closed for being idle. Says whether
    /// there is room for it to stay: where all places are taken, one that asks again and again costs the others
    /// their answers.
    pub(super) fn asks(&self) -> bool {
        let mut pools = self.connections.lock();
        let last_use = pools.next_use();
        // A connection that was given up already is in no pool, and ends at its next chance.
        if let Some(open) = pools.arriving.open.remove(&self.key) {
            pools.asking.insert(self.key, Open { last_use, ..open });
        } else if let Some(open) = pools.asking.open.get_mut(&self.key) {
            open.last_use = last_use;
        }
        pools.asking.open.len() < pools.asking.limit.all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pools = self.connections.lock();
        pools.arriving.open.remove(&self.key);
        pools.asking.open.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn connections(all: usize, of_client: usize) -> Arc<Connections> {
        Connections::new(Limit { all, of_client }, Limit { all: 2, of_client: 2 })
    }

    fn many(connections: &Arc<Connections>, address: IpAddr, count: usize) -> Vec<Place> {
        (0..count).map(|_| connections.admit(address).0).collect()
    }

    fn is_open(place: &Place) -> bool {
        let pools = place.connections.lock();
        [&pools.arriving, &pools.asking].iter().any(|pool| pool.open.contains_key(&place.key))
    }

    fn open(places: &[Place]) -> Vec<bool> {
        places.iter().map(is_open).collect()
    }

    #[test]
    fn no_flood_of_those_that_ask_nothing_pushes_out_one_that_asked() {
        let connections = connections(3, 3);
        let (asked, _) = connections.admit(HERE);
        asked.asks();
        let flood = many(&connections, HERE, 10);
        assert!(is_open(&asked));
        assert_eq!(flood.iter().filter(|place| is_open(place)).count(), 3);
        drop((flood, asked));
        let pools = connections.lock();
        assert!(pools.arriving.open.is_empty() && pools.asking.open.is_empty());
    }

    #[test]
    fn the_one_that_was_idle_for_longest_is_given_up_for_one_more_and_its_task_ends() {
        let connections = connections(9, 9);
        let (first, registration) = connections.admit(HERE);
        first.asks();
        let others = many(&connections, HERE, 2);
        others[0].asks();
        first.asks();
        others[1].asks();
        assert!(is_open(&first) && !is_open(&others[0]) && is_open(&others[1]));
        let task = futures::future::Abortable::new(std::future::pending::<()>(), registration);
        assert!(!task.is_aborted());
        others[1].asks();
        connections.admit(HERE).0.asks();
        assert!(task.is_aborted());
    }

    #[test]
    fn a_flood_is_at_the_expense_of_the_client_that_it_comes_from() {
        let connections = connections(4, 4);
        let mut quiet = many(&connections, ELSEWHERE, 2);
        let flood = many(&connections, HERE, 100);
        assert_eq!(open(&quiet), [true, true]);
        assert_eq!(flood.iter().filter(|place| is_open(place)).count(), 2);
        // A third one is at the expense of its own client.
        quiet.push(connections.admit(ELSEWHERE).0);
        assert_eq!(open(&quiet), [false, true, true]);
    }

    #[test]
    fn one_client_has_no_more_than_its_part_where_there_is_room_for_others() {
        let connections = connections(9, 2);
        let places = many(&connections, HERE, 3);
        assert_eq!(open(&places), [false, true, true]);
        assert_eq!(open(&many(&connections, ELSEWHERE, 2)), [true, true]);
    }

    #[test]
    fn a_client_is_a_machine_and_not_an_address() {
        let client = |address: &str| client(address.parse().unwrap());
        assert_eq!(client("127.0.0.1"), client("127.8.9.1"));
        assert_eq!(client("127.0.0.1"), client("::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_eq!(client("2001:db8:0:1::1"), client("2001:db8:0:1:ffff::2"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn a_connection_stays_only_while_there_is_a_place_that_nobody_has() {
        let connections = connections(9, 9);
        let places = many(&connections, HERE, 2);
        assert!(places[0].asks() && places[0].asks());
        assert!(!places[1].asks() && !places[0].asks());
    }
}
