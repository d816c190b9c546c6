//! Goes through every order of events from a beginning, and looks for one that ends badly.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use expiryd_controller::parameters::Parameters;

use crate::invariants::{Violation, broken};
use crate::settle::{is_renewed, settle, window};
use crate::state::{Event, Sight, State};

/// A beginning, and what is asked of it.
#[derive(Clone)]
pub struct Scenario {
    /// What it is.
    pub name: &'static str,
    /// How it begins.
    pub state: State,
    /// What an instance is kept from seeing.
    pub sight: Sight,
    /// What it is to find.
    pub expected: Option<Violation>,
    /// How many machines of etcd and of the control plane may be made until it is settled.
    pub most: (usize, usize),
    /// Whether everything is renewed in the end.
    pub renews: bool,
    /// One of so many states is left to itself, to see whether it settles.
    pub settle_one_of: u64,
}

/// What a search found.
#[derive(Debug, Clone)]
pub struct Found {
    /// How many states there are.
    pub states: usize,
    /// How many of them were left to themselves.
    pub settled: usize,
    /// What does not hold, and the shortest way there.
    pub violation: Option<(Violation, Vec<Event>)>,
}

/// Searches, breadth first, so that the way to what it finds is as short as can be.
///
/// States are told apart by a hash of 64 bits: among ten million two are taken for one another once in three
/// hundred thousand searches.
pub fn search(scenario: &Scenario, parameters: &Parameters) -> Found {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let first = scenario.state.clone();
    let mut seen = HashSet::from([hasher.hash_one(&first)]);
    let mut ways: Vec<(usize, Option<Event>)> = vec![(0, None)];
    let mut waiting = VecDeque::from([(0, first)]);
    let mut settled = 0;
    if let Some(violation) = unsettled(&scenario.state, scenario, parameters) {
        return Found { states: 1, settled: 1, violation: Some((violation, Vec::new())) };
    }
    while let Some((index, state)) = waiting.pop_front() {
        for event in state.events() {
            let (next, effect) = state.after(event, parameters, scenario.sight);
            let mut violation = broken(&state, event, effect, &next);
            let hash = hasher.hash_one(&next);
            if !seen.insert(hash) && violation.is_none() {
                continue;
            }
            ways.push((index, Some(event)));
            if violation.is_none() && hash % scenario.settle_one_of == 0 {
                settled += 1;
                violation = unsettled(&next, scenario, parameters);
            }
            if let Some(violation) = violation {
                let way = way(&ways, ways.len() - 1);
                return Found { states: seen.len(), settled, violation: Some((violation, way)) };
            }
            waiting.push_back((ways.len() - 1, next));
        }
    }
    Found { states: seen.len(), settled, violation: None }
}

/// Whether a state does not come to rest as it should.
fn unsettled(state: &State, scenario: &Scenario, parameters: &Parameters) -> Option<Violation> {
    let world = match settle(state, parameters, scenario.sight) {
        Ok(world) => world,
        Err(violation) => return Some(violation),
    };
    let days = world.opt_in.unwrap_or(0);
    if scenario.renews && !is_renewed(&world, window(days, parameters)) {
        return Some(Violation::NeverSettles);
    }
    let (etcd, control_plane) = scenario.most;
    let made = world.etcd.as_ref().map_or(0, |etcd| etcd.made);
    (made > etcd || world.control_plane.made > control_plane).then_some(Violation::Needless)
}

fn way(ways: &[(usize, Option<Event>)], end: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let mut index = end;
    while let Some((before, Some(event))) = ways.get(index) {
        events.push(*event);
        index = *before;
    }
    events.reverse();
    events
}
