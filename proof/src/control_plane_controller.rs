//! KubeadmControlPlane's controller as a model, with EKS Anywhere's patches: one call of its reconcile
//! (`controlplane/kubeadm/internal/controllers/controller.go`).

use expiryd_api::Timestamp;
use expiryd_controller::memory::Published;

use crate::world::{ControlPlaneMachine, DAY, World};

/// What one call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reconciled {
    /// Nothing.
    Nothing,
    /// It waits: for etcd, or for a Machine that comes or goes.
    Waits,
    /// It took etcd's endpoints.
    Endpoints,
    /// It made a Machine.
    Made,
    /// It deleted one.
    Deleted,
    /// It wrote upgrade-complete on the EtcdadmCluster.
    Complete,
    /// Only its status changed.
    Noted,
}

/// One call.
pub fn reconcile(world: &mut World) -> Reconciled {
    let control_plane = &mut world.control_plane;
    let before = control_plane.clone();
    if let Some(etcd) = &world.etcd {
        // It does nothing at all while etcd is not ready.
        if !etcd.ready {
            return Reconciled::Waits;
        }
        if control_plane.endpoints != etcd.endpoints {
            if etcd.upgrading {
                return Reconciled::Waits;
            }
            control_plane.endpoints.clone_from(&etcd.endpoints);
            return Reconciled::Endpoints;
        }
    }
    let outdated: Vec<_> = world
        .control_plane
        .machines
        .iter()
        .filter(|machine| !machine.deleting && is_outdated(world, machine))
        .map(|machine| machine.id)
        .collect();
    let control_plane = &mut world.control_plane;
    let standing = control_plane.machines.iter().filter(|machine| !machine.deleting).count();
    let settled = control_plane.machines.iter().all(|machine| machine.up && !machine.deleting);
    let leaving = control_plane.machines.iter().any(|machine| machine.deleting);
    control_plane.rolling = !outdated.is_empty() || (control_plane.rolling && leaving);
    if !outdated.is_empty() {
        control_plane.up_to_date = Some(false);
        if !settled {
            return noted(&before, world, Reconciled::Waits);
        }
        if standing <= control_plane.replicas {
            return make(world);
        }
        return delete(world, &outdated);
    }
    if leaving {
        // Its hook has to see a Machine off before anything else is done.
        return noted(&before, world, Reconciled::Waits);
    }
    if control_plane.up_to_date == Some(false) {
        // The annotation is written first, the condition with the rest of the status.
        control_plane.up_to_date = Some(true);
        if let Some(etcd) = &mut world.etcd {
            etcd.upgrade_complete = true;
            etcd.controller.triggered = true;
            return Reconciled::Complete;
        }
    }
    if standing < control_plane.replicas && settled {
        return make(world);
    }
    if standing > control_plane.replicas && settled {
        let all: Vec<_> = control_plane.machines.iter().map(|machine| machine.id).collect();
        return delete(world, &all);
    }
    if settled {
        // Once: a renewal in place leaves it as it was (`reconcileCertificateExpiries`).
        for machine in &mut control_plane.machines {
            machine.own = machine.own.or(Some(machine.leaf));
        }
    }
    noted(&before, world, Reconciled::Nothing)
}

fn make(world: &mut World) -> Reconciled {
    let id = world.id();
    let (now, leaf) = (world.now, world.now + world.leaves_end_in);
    let client = world.etcd.as_ref().map(|etcd| etcd.secret);
    let control_plane = &mut world.control_plane;
    control_plane.made += 1;
    control_plane.machines.push(ControlPlaneMachine {
        id,
        born: now,
        up: false,
        deleting: false,
        endpoints: control_plane.endpoints.clone(),
        leaf,
        client,
        published: Published::Nothing,
        own: None,
    });
    Reconciled::Made
}

fn noted(before: &crate::world::ControlPlane, world: &World, otherwise: Reconciled) -> Reconciled {
    if *before == world.control_plane { otherwise } else { Reconciled::Noted }
}

fn delete(world: &mut World, among: &[u16]) -> Reconciled {
    let machines = world.control_plane.machines.iter_mut();
    let oldest = machines
        .filter(|machine| among.contains(&machine.id))
        .min_by_key(|machine| (machine.born, machine.id));
    let Some(oldest) = oldest else { return Reconciled::Nothing };
    oldest.deleting = true;
    Reconciled::Deleted
}

/// Whether a Machine has to be replaced: other endpoints, somebody's wish, or the date that core has for it.
fn is_outdated(world: &World, machine: &ControlPlaneMachine) -> bool {
    let control_plane = &world.control_plane;
    let annotated = match &machine.published {
        Published::Ours(record) => Some(record.date.unix()),
        Published::Foreign(date) => date.map(Timestamp::unix),
        Published::Nothing | Published::Lost(_) => None,
    };
    let date = annotated.or(machine.own);
    let due =
        control_plane.days.zip(date).is_some_and(|(days, date)| world.now + days * DAY > date);
    let asked =
        control_plane.rollout_after.is_some_and(|after| after <= world.now && machine.born < after);
    machine.endpoints != control_plane.endpoints || due || asked
}
