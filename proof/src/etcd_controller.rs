//! etcdadm-controller v1.0.28 as a model: one call of its `Reconcile` (`controllers/controller.go`,
//! `upgrade.go`, `status.go`).

use crate::world::{Etcd, EtcdMachine, LIFETIME, Pair, World};
use expiryd_controller::memory::Published;

/// How old a new member has to be before the next is replaced (`minEtcdMemberReadySeconds`).
pub const MEMBER_READY: i64 = 60;

/// What one call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reconciled {
    /// Nothing.
    Nothing,
    /// It waits for the newest member.
    Waits,
    /// It let go of a Machine, which stays a member.
    LetGo,
    /// It made a Machine.
    Made,
    /// It removed members that it had let go of.
    Removed,
    /// It made the Secret anew.
    Refreshed,
    /// Only status or annotations changed.
    Noted,
}

/// One call. A pause of the Cluster stops it as its own does.
pub fn reconcile(world: &mut World) -> Reconciled {
    let now = world.now;
    let id = world.next_id + 1;
    let Some(etcd) = &mut world.etcd else { return Reconciled::Nothing };
    etcd.controller.triggered = false;
    if etcd.paused {
        return Reconciled::Nothing;
    }
    let before = etcd.clone();
    let mut done = spec(etcd, now, id);
    if matches!(done, Reconciled::Made | Reconciled::Refreshed) {
        world.next_id = id;
    }
    status(etcd, now);
    if done == Reconciled::Nothing && *etcd != before {
        done = Reconciled::Noted;
    }
    if !matches!(done, Reconciled::Nothing | Reconciled::Waits) {
        // It watches what it writes.
        etcd.controller.triggered = true;
    }
    done
}

/// One call whose cache has the annotations of the EtcdadmCluster, and not yet the marks that were written just
/// before them: they come over two watches.
pub fn reconcile_before_marks(world: &mut World) -> Reconciled {
    let machines = |world: &mut World| {
        let machines = world.etcd.iter_mut().flat_map(|etcd| &mut etcd.machines);
        machines.map(|machine| (machine.id, machine.mark.take())).collect::<Vec<_>>()
    };
    let marks = machines(world);
    let done = reconcile(world);
    for machine in world.etcd.iter_mut().flat_map(|etcd| &mut etcd.machines) {
        let mark = marks.iter().find(|(id, _)| *id == machine.id);
        machine.mark = mark.and_then(|(_, mark)| mark.clone());
    }
    done
}

fn spec(etcd: &mut Etcd, now: i64, id: u16) -> Reconciled {
    if etcd.machines.iter().any(|machine| !machine.owned) {
        if etcd.upgrade_complete {
            let mut removed = false;
            for machine in etcd.machines.iter_mut().filter(|machine| !machine.owned) {
                removed |= !machine.deleting;
                machine.deleting = true;
            }
            return if removed { Reconciled::Removed } else { Reconciled::Waits };
        }
    } else {
        etcd.upgrade_complete = false;
    }
    let outdated = |machine: &EtcdMachine| machine.mark.is_some();
    let needs = |machine: &EtcdMachine| machine.owned && !machine.deleting && outdated(machine);
    let owned = etcd.owned().count();
    if etcd.machines.iter().any(needs) {
        if etcd.machines.len()
            > etcd.machines.iter().filter(|m| outdated(m)).count() + etcd.replicas
        {
            return Reconciled::Waits;
        }
        let fresh =
            etcd.owned().filter(|machine| !needs(machine)).max_by_key(|machine| machine.born);
        let is_ready =
            |fresh: &EtcdMachine| fresh.born + MEMBER_READY <= now && etcd.answers(fresh, now);
        if etcd.spec_up_to_date == Some(false) && fresh.is_some_and(|fresh| !is_ready(fresh)) {
            return Reconciled::Waits;
        }
        etcd.spec_up_to_date = Some(false);
        etcd.certificates_available = false;
        let makes = if etcd.replicas == 1 { owned == 1 } else { owned < etcd.replicas };
        if makes {
            make(etcd, now, id);
            return Reconciled::Made;
        }
        let oldest = etcd.machines.iter_mut().filter(|machine| needs(machine));
        let Some(oldest) = oldest.min_by_key(|machine| (machine.born, machine.id)) else {
            return Reconciled::Nothing;
        };
        oldest.owned = false;
        return Reconciled::LetGo;
    }
    if etcd.spec_up_to_date.is_some() {
        etcd.spec_up_to_date = Some(true);
        etcd.upgrading = false;
    }
    if !etcd.certificates_available {
        etcd.certificates_available = true;
        etcd.secret = Pair { id, not_after: now + LIFETIME };
        return Reconciled::Refreshed;
    }
    if owned < etcd.replicas {
        make(etcd, now, id);
        return Reconciled::Made;
    }
    etcd.upgrading &= owned != etcd.replicas;
    Reconciled::Nothing
}

fn make(etcd: &mut Etcd, now: i64, id: u16) {
    etcd.made += 1;
    etcd.machines.push(EtcdMachine {
        id,
        born: now,
        up: false,
        deleting: false,
        owned: true,
        mark: None,
        leaf: now + LIFETIME,
        published: Published::Nothing,
    });
}

fn status(etcd: &mut Etcd, now: i64) {
    if etcd.controller.held.is_none() {
        etcd.controller.held = Some(etcd.secret);
    }
    let healthy = etcd.owned().filter(|machine| etcd.answers(machine, now)).count();
    etcd.ready = healthy == etcd.replicas && healthy == etcd.owned().count();
    if etcd.ready {
        etcd.endpoints = etcd.owned().map(|machine| machine.id).collect();
        etcd.endpoints.sort_unstable();
    }
    if etcd.spec_up_to_date == Some(false) {
        etcd.ready = false;
    }
}
