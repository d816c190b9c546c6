//! Leaves a world to itself, with one instance that does its work: where it ends.

use expiryd_controller::parameters::Parameters;

use crate::control_plane_controller;
use crate::controller::Instance;
use crate::etcd_controller;
use crate::invariants::{Violation, always};
use crate::state::{Sight, State, gone, up};
use crate::world::{DAY, World};

/// Rounds without any change until it counts as settled, and rounds until it counts as endless.
const QUIET: usize = 80;
const ENDLESS: usize = 2_000;

/// Lets everybody do what there is to do, round after round, until nothing changes for three days.
///
/// # Errors
/// That never comes, or something does not hold on the way.
pub fn settle(state: &State, parameters: &Parameters, sight: Sight) -> Result<World, Violation> {
    let mut world = state.world.clone();
    let mut quiet = 0;
    for _ in 0..ENDLESS {
        let before = world.clone();
        let mut instance = Instance::default();
        instance.step(&mut world, parameters, sight);
        instance.step(&mut world, parameters, sight);
        while instance.has_plan() {
            instance.step(&mut world, parameters, sight);
        }
        for _ in 0..4 {
            etcd_controller::reconcile(&mut world);
            control_plane_controller::reconcile(&mut world);
        }
        machines(&mut world);
        if let Some(violation) = always(&world) {
            return Err(violation);
        }
        if world == before {
            quiet += 1;
            world.now += 3_600;
            if quiet == QUIET {
                return Ok(world);
            }
        } else {
            quiet = 0;
            world.now += 61;
        }
    }
    Err(Violation::NeverSettles)
}

/// Whatever comes is up, whatever goes is gone.
fn machines(world: &mut World) {
    for (id, is_up, deleting) in world.machines().collect::<Vec<_>>() {
        if deleting {
            gone(world, id);
        } else if !is_up {
            up(world, id);
        }
    }
}

/// Whether nothing of it is due within `window` seconds, nothing is begun, and nothing is left over.
pub fn is_renewed(world: &World, window: i64) -> bool {
    let fresh = |not_after: i64| not_after > world.now + window;
    let control_plane = &world.control_plane;
    let machines = control_plane.machines.iter();
    let control_plane_is = control_plane.machines.len() == control_plane.replicas
        && machines.clone().all(|machine| fresh(machine.leaf))
        && machines.clone().all(|machine| machine.client.is_none_or(|pair| fresh(pair.not_after)));
    control_plane_is
        && world.etcd.as_ref().is_none_or(|etcd| {
            etcd.ready
                && etcd.machines.len() == etcd.replicas
                && etcd.machines.iter().all(|machine| machine.owned && fresh(machine.leaf))
                && etcd.machines.iter().all(|machine| machine.mark.is_none())
                && fresh(etcd.secret.not_after)
                && etcd.intent.as_ref().is_none_or(|intent| intent.closed.is_some())
                && control_plane.endpoints == etcd.endpoints
        })
}

/// The window of a cluster that is opted in with so many days, and the lead of its etcd.
pub const fn window(days: i64, parameters: &Parameters) -> i64 {
    days * DAY + parameters.lead
}
