//! Who gives a connection up, and to whose advantage.

use super::*;

const SPEAKING: usize = 5;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// How many have said nothing, have begun to speak, and have asked.
fn counts(connections: &Connections) -> [usize; 3] {
    connections.lock().all().map(|pool| {
        assert_eq!(pool.queues.values().map(BTreeSet::len).sum::<usize>(), pool.open.len());
        assert_eq!(pool.queues.len(), pool.order.len());
        pool.open.len()
    })
}

fn is_open(place: &Place) -> bool {
    let mut pools = place.connections.lock();
    pools.all().iter().any(|pool| pool.open.contains_key(&place.key))
}

fn many(connections: &Arc<Connections>, client: IpAddr, count: usize) -> Vec<Place> {
    (0..count).map(|_| connections.admit(client)).collect()
}

#[test]
fn no_flood_of_those_that_ask_nothing_pushes_out_one_that_asked() {
    let connections = Arc::new(Connections::new(2, SPEAKING, 3));
    let asked = connections.admit(HERE);
    asked.heard();
    asked.used();
    let silent = many(&connections, HERE, 10);
    assert_eq!(counts(&connections), [3, 0, 1]);
    let speaking = many(&connections, HERE, 2 * SPEAKING);
    for place in &speaking {
        // As they come in, and not when most have been given up already.
        let new = place.connections.admit(HERE);
        new.heard();
        std::mem::forget(new);
    }
    assert!(is_open(&asked));
    assert_eq!(counts(&connections)[1..], [SPEAKING, 1]);
    drop((silent, speaking, asked));
    assert_eq!(counts(&connections), [0, SPEAKING, 0]);
}

#[test]
fn the_one_that_was_idle_for_longest_is_given_up_for_one_more() {
    let connections = Arc::new(Connections::new(2, SPEAKING, 3));
    let ask = |place: &Place| {
        place.heard();
        place.used();
    };
    let places = many(&connections, HERE, 3);
    places.iter().for_each(ask);
    assert_eq!(places.iter().map(is_open).collect::<Vec<_>>(), [false, true, true]);
    places[1].used();
    let more = connections.admit(HERE);
    ask(&more);
    assert!(is_open(&places[1]) && !is_open(&places[2]) && is_open(&more));
}

#[test]
fn a_flood_is_at_the_expense_of_the_client_that_it_comes_from() {
    let connections = Arc::new(Connections::new(4, SPEAKING, 4));
    let mut quiet = many(&connections, ELSEWHERE, 2);
    let flood = many(&connections, HERE, 100);
    assert!(quiet.iter().all(is_open));
    assert_eq!(flood.iter().filter(|place| is_open(place)).count(), 2);
    // A third one is at the expense of its own client.
    quiet.push(connections.admit(ELSEWHERE));
    assert_eq!(quiet.iter().map(is_open).collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn of_clients_with_as_many_the_longest_idle_connection_goes() {
    let connections = Arc::new(Connections::new(4, SPEAKING, 3));
    let clients = [9, 1, 5].map(|last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
    let places = clients.map(|client| connections.admit(client));
    let more = connections.admit(HERE);
    assert_eq!(places.each_ref().map(is_open), [false, true, true]);
    assert!(is_open(&more));
}

#[test]
fn a_client_is_a_machine_and_not_an_address() {
    let client = |address: &str| Client::from(address.parse::<IpAddr>().unwrap());
    assert_eq!(client("127.0.0.1"), client("127.8.9.1"));
    assert_eq!(client("127.0.0.1"), client("::1"));
    assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    assert_eq!(client("2001:db8:0:1::1"), client("2001:db8:0:1:ffff::2"));
    assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
    assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
}

#[test]
fn a_connection_stays_only_while_there_is_a_place_that_nobody_has() {
    let connections = Arc::new(Connections::new(2, SPEAKING, 3));
    let places = many(&connections, HERE, 2);
    places.iter().for_each(Place::heard);
    assert!(places[0].used() && places[0].used());
    assert!(!places[1].used() && !places[0].used());
}
