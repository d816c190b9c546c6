//! expiryd-controller in a world: its own decisions over what it reads, and each of its writes as
//! `expiryd_controller::act` makes them.

use std::collections::{BTreeSet, VecDeque};

use expiryd_api::{Status, Timestamp};
use expiryd_controller::decide::{Action, Decision, Planned, Turn, decide};
use expiryd_controller::facts::{
    Cluster, ControlPlane, ControlPlaneMachine, EtcdCluster, EtcdController, EtcdMachine,
    EtcdPlace, Expiry, Facts, NodeReport, NotHeard, Progress, Report, SecretPair,
};
use expiryd_controller::memory::Published;
use expiryd_controller::parameters::Parameters;

use crate::world::{Id, World};

/// What is in a control plane's own leaves, for the rules that ask for the path.
const APISERVER: &str = "/etc/kubernetes/pki/apiserver.crt";

/// An object that a write is guarded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// The KubeadmControlPlane.
    ControlPlane,
    /// The EtcdadmCluster.
    Etcd,
    /// A Machine.
    Machine(Id),
    /// An EtcdadmConfig.
    Config(Id),
}

/// One instance of the program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Instance {
    /// It has read the control plane, and not etcd yet: an observation is not made in one moment.
    read: Option<(Cluster, ControlPlane)>,
    /// What is left of its plan.
    plan: VecDeque<Planned>,
    /// What has changed since it was read.
    changed: BTreeSet<Object>,
    /// The newest machine when it began to read.
    newest: Id,
}

impl Instance {
    /// Whether it is about to do something.
    pub fn is_idle(&self) -> bool {
        self.read.is_none() && self.plan.is_empty()
    }

    /// Whether it has written some of its plan, and not all.
    pub fn has_plan(&self) -> bool {
        !self.plan.is_empty()
    }

    /// Another instance leads now. What was sent before may arrive still, and no more
    /// (`expiryd_controller::leader::Held::allows`).
    pub fn lose_lease(&mut self) {
        self.read = None;
        self.plan.truncate(1);
        if self.plan.is_empty() {
            *self = Self::default();
        }
    }

    /// A machine is up. What an instance decided before that machine was made is too old by now
    /// (`DECISION_AGE` in `expiryd_controller::run`).
    pub fn grow_old(&mut self, up: Id) {
        if up > self.newest {
            *self = Self::default();
        }
    }

    /// Something else has changed an object.
    pub fn notice(&mut self, object: Object) {
        if !self.is_idle() {
            self.changed.insert(object);
        }
    }

    /// Its next step: it reads the control plane, then etcd and decides, then writes one thing after the other.
    /// Says what it wrote to.
    pub fn step(
        &mut self,
        world: &mut World,
        parameters: &Parameters,
        sight: impl Fn(&mut Facts),
    ) -> Option<Object> {
        if let Some(Planned { action, .. }) = self.plan.pop_front() {
            let object = object(&action);
            // A conflict ends the plan; all is read again.
            if object.is_some_and(|object| self.changed.contains(&object)) {
                self.plan.clear();
            } else {
                apply(world, &action);
            }
            if self.plan.is_empty() {
                *self = Self::default();
            }
            return object;
        }
        match self.read.take() {
            None => {
                self.changed.clear();
                self.newest = world.next_id;
                self.read = Some((cluster(world), control_plane(world)));
            }
            Some((cluster, control_plane)) => {
                let etcd = etcd(world);
                let mut facts = Facts { cluster, control_plane: Some(control_plane), etcd };
                sight(&mut facts);
                // The schedule has tests of its own.
                let Decision { actions, .. } =
                    decide(&facts, parameters, Turn::ALONE, world.time());
                self.plan = actions.into();
                if self.plan.is_empty() {
                    *self = Self::default();
                }
            }
        }
        None
    }
}

/// What a decision about the world as it is now rests on.
pub fn facts(world: &World) -> Facts {
    Facts { cluster: cluster(world), control_plane: Some(control_plane(world)), etcd: etcd(world) }
}

/// The object that a write is guarded by.
fn object(action: &Action) -> Option<Object> {
    Some(match action {
        Action::Annotate { machine, .. } | Action::Unannotate { machine } => {
            Object::Machine(number(machine))
        }
        Action::SetDays(_) | Action::RecordRolledFor(_) => Object::ControlPlane,
        Action::Mark { machine, .. } | Action::Unmark { machine } => {
            Object::Config(number(machine))
        }
        Action::RecordPairs(_)
        | Action::RecordIntent(_)
        | Action::Nudge { .. }
        | Action::TakeBackNudge
        | Action::RefreshSecret
        | Action::SkipHealthChecks(_)
        | Action::FinishUpgrade => Object::Etcd,
        Action::RestartEtcdController => return None,
    })
}

fn number(machine: &str) -> Id {
    machine.parse().unwrap_or_default()
}

/// Carries an action out.
pub fn apply(world: &mut World, action: &Action) {
    let now = world.now;
    match action {
        Action::Annotate { machine, record } => {
            publish(world, number(machine), &Published::Ours(*record));
        }
        Action::Unannotate { machine } => publish(world, number(machine), &Published::Nothing),
        Action::SetDays(days) => {
            world.control_plane.days = *days;
            world.control_plane.our_days = *days;
        }
        Action::RecordRolledFor(entries) => world.control_plane.rolled_for.clone_from(entries),
        _ => {}
    }
    let Some(etcd) = &mut world.etcd else { return };
    match action {
        Action::RecordPairs(pairs) => etcd.pairs.clone_from(pairs),
        Action::RecordIntent(intent) => etcd.intent = Some(intent.clone()),
        Action::Mark { machine, id } => mark(etcd, number(machine), Some(id)),
        Action::Unmark { machine } => mark(etcd, number(machine), None),
        Action::Nudge { id } => {
            etcd.nudge = Some((id.clone(), now));
            etcd.upgrading = true;
        }
        Action::TakeBackNudge => {
            etcd.nudge = None;
            etcd.upgrading = false;
        }
        Action::RefreshSecret => etcd.certificates_available = false,
        Action::RestartEtcdController => {
            etcd.controller.started = now;
            etcd.controller.held = None;
        }
        Action::SkipHealthChecks(skip) => etcd.skipped_health_checks = *skip,
        Action::FinishUpgrade => etcd.upgrade_complete = true,
        Action::Annotate { .. }
        | Action::Unannotate { .. }
        | Action::SetDays(_)
        | Action::RecordRolledFor(_) => {}
    }
    // It watches its Machines and its own object, and looks at all when it starts; not at EtcdadmConfigs.
    let of_etcd = |machine: &str| etcd.owned().any(|owned| owned.id == number(machine));
    let triggers = match action {
        Action::SetDays(_)
        | Action::RecordRolledFor(_)
        | Action::Mark { .. }
        | Action::Unmark { .. } => false,
        Action::Annotate { machine, .. } | Action::Unannotate { machine } => of_etcd(machine),
        _ => true,
    };
    etcd.controller.triggered |= triggers;
}

fn publish(world: &mut World, id: Id, published: &Published) {
    for machine in &mut world.control_plane.machines {
        if machine.id == id {
            machine.published.clone_from(published);
        }
    }
    for machine in world.etcd.iter_mut().flat_map(|etcd| &mut etcd.machines) {
        if machine.id == id {
            machine.published.clone_from(published);
        }
    }
}

fn mark(etcd: &mut crate::world::Etcd, id: Id, mark: Option<&String>) {
    if let Some(machine) = etcd.machines.iter_mut().find(|machine| machine.id == id) {
        machine.mark = mark.cloned();
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

fn report(now: i64, leaf: i64, client: Option<i64>) -> Report {
    Report {
        observed_at: at(now),
        status: Status::Ok,
        settled: true,
        machine_rollout: Some(Expiry { not_after: at(leaf), path: Some(APISERVER.to_owned()) }),
        etcd_rollout: client.map(at),
    }
}

fn cluster(world: &World) -> Cluster {
    Cluster {
        opt_in: world.opt_in.map(|days| format!("{days}d")),
        hold: world.hold,
        ..Cluster::default()
    }
}

fn control_plane(world: &World) -> ControlPlane {
    let World { now, control_plane, .. } = world;
    let name = |id: &Id| id.to_string();
    let standing = control_plane.machines.len();
    ControlPlane {
        days: control_plane.days,
        our_days: control_plane.our_days,
        replicas: control_plane.replicas,
        progress: Progress {
            moving: control_plane.rolling || standing != control_plane.replicas,
            outdated: control_plane.up_to_date == Some(false),
            ready: control_plane.machines.iter().all(|machine| machine.up),
            observed: true,
        },
        etcd: if world.etcd.is_some() {
            EtcdPlace::External(control_plane.endpoints.iter().map(name).collect())
        } else {
            EtcdPlace::Stacked
        },
        rolled_for: control_plane.rolled_for.clone(),
        machines: control_plane
            .machines
            .iter()
            .map(|machine| ControlPlaneMachine {
                name: name(&machine.id),
                born: at(machine.born),
                deleting: machine.deleting,
                published: machine.published.clone(),
                own: machine.own.map(at),
                report: if machine.up {
                    let client = machine.client.map(|pair| pair.not_after);
                    NodeReport::Of(report(*now, machine.leaf, client))
                } else {
                    NodeReport::NoNode
                },
            })
            .collect(),
        ..ControlPlane::default()
    }
}

fn etcd(world: &World) -> Option<EtcdCluster> {
    let etcd = world.etcd.as_ref()?;
    let name = |id: &Id| id.to_string();
    let healthy = etcd.owned().filter(|machine| machine.up && !machine.deleting).count();
    let machines = etcd.machines.iter().map(|machine| EtcdMachine {
        name: name(&machine.id),
        born: at(machine.born),
        deleting: machine.deleting,
        owned: machine.owned,
        mark: machine.mark.clone(),
        published: machine.published.clone(),
        report: if machine.up {
            Ok(report(world.now, machine.leaf, None))
        } else {
            Err(NotHeard::NoAnswer)
        },
        served: Some(at(machine.leaf)).filter(|_| machine.up),
    });
    Some(EtcdCluster {
        paused: etcd.paused,
        replicas: etcd.replicas,
        allow_single: true,
        ready: etcd.ready && healthy >= etcd.replicas,
        upgrade_complete: etcd.upgrade_complete,
        upgrading: etcd.upgrading,
        endpoints: etcd.endpoints.iter().map(name).collect(),
        nudge: etcd
            .nudge
            .as_ref()
            .map(|(id, when)| expiryd_controller::memory::Nudge { id: id.clone(), at: at(*when) }),
        intent: etcd.intent.clone(),
        pairs: etcd.pairs.clone(),
        secret: Some(SecretPair {
            sha256: name(&etcd.secret.id),
            not_after: at(etcd.secret.not_after),
        }),
        skipped_health_checks: etcd.skipped_health_checks,
        controller: EtcdController {
            started_at: Some(at(etcd.controller.started)),
            may_restart: etcd.controller.may_restart,
            restarted_at: Some(at(etcd.controller.started)),
        },
        machines: machines.collect(),
        ..EtcdCluster::default()
    })
}
