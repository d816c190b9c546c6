//! What must hold after each event, by the numbers of the design.

use crate::state::{Effect, Event, State};
use crate::world::{EtcdMachine, World};

/// What does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Violation {
    /// I2: etcdadm-controller let go of a Machine for a mark that is not of the rollout that goes on.
    OutsideIntent,
    /// I3: a rollout of etcd took effect while the control plane was rolled.
    StartedWhileRolling,
    /// I3: a rollout of etcd took effect while members of another were standing.
    StartedOverLeftovers,
    /// I3: there are more than twice as many machines of etcd as there should be.
    TooManyMembers,
    /// I9: etcdadm-controller keeps a pair that has ended while the Secret has a newer one.
    StalePair,
    /// I7, I1: left alone, it does not come to rest with everything renewed.
    NeverSettles,
    /// I2: more machines were replaced than had to be.
    Needless,
}

/// What must not be in any world.
pub fn always(world: &World) -> Option<Violation> {
    let etcd = world.etcd.as_ref()?;
    if etcd.machines.len() > 2 * etcd.replicas {
        return Some(Violation::TooManyMembers);
    }
    let held = etcd.controller.held?;
    let is_stale = held.not_after <= world.now && held.id != etcd.secret.id;
    let is_looked_after = !etcd.skipped_health_checks && !etcd.paused;
    (is_stale && is_looked_after).then_some(Violation::StalePair)
}

/// The Machine that etcdadm-controller let go of, as it was.
pub fn let_go<'a>(before: &'a World, after: &World) -> Option<&'a EtcdMachine> {
    let new = after.etcd.as_ref()?;
    before
        .etcd
        .as_ref()?
        .owned()
        .find(|machine| new.machines.iter().any(|other| other.id == machine.id && !other.owned))
}

/// What was broken by letting go of a Machine for a mark of ours.
pub fn broken_by_letting_go(before: &World, machine: &EtcdMachine) -> Option<Violation> {
    let etcd = before.etcd.as_ref()?;
    let intent = etcd.intent.as_ref().filter(|intent| intent.closed.is_none());
    let Some(intent) = intent.filter(|intent| machine.mark.as_ref() == Some(&intent.id)) else {
        return Some(Violation::OutsideIntent);
    };
    let standing = etcd.machines.iter().filter(|machine| !machine.owned);
    let mut others = standing.filter(|machine| machine.mark.as_ref() != Some(&intent.id));
    if others.next().is_some() {
        return Some(Violation::StartedOverLeftovers);
    }
    let is_first = etcd.machines.iter().all(|machine| machine.owned);
    let control_plane = &before.control_plane;
    let rolls = control_plane.up_to_date == Some(false)
        || control_plane.machines.len() != control_plane.replicas;
    (is_first && rolls).then_some(Violation::StartedWhileRolling)
}

/// What an event broke.
pub fn broken(before: &State, event: Event, effect: Effect, after: &State) -> Option<Violation> {
    if let Some(violation) = always(&after.world) {
        return Some(violation);
    }
    if effect != Effect::LetGo || !matches!(event, Event::Etcd | Event::EtcdKilled) {
        return None;
    }
    let machine = let_go(&before.world, &after.world)?;
    broken_by_letting_go(&before.world, machine)
}
