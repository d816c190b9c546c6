//! A world with two instances of the program in it, and each event that may come next.

use expiryd_controller::facts::Facts;
use expiryd_controller::parameters::Parameters;

use crate::control_plane_controller;
use crate::controller::{Instance, Object};
use crate::etcd_controller::{self, MEMBER_READY, Reconciled};
use crate::world::{ControlPlane, ControlPlaneMachine, Etcd, EtcdMachine, Id, World};

/// How often events may come that could come for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Crashes of an instance.
    pub crashes: u8,
    /// Looks of the second instance.
    pub looks_of_second: u8,
    /// Steps of time.
    pub steps: u8,
    /// Rollouts of the control plane that a person asks for.
    pub upgrades: u8,
    /// Crashes of etcdadm-controller between letting go of a Machine and writing that down.
    pub kills: u8,
    /// Looks of etcdadm-controller that come before the marks have reached its cache.
    pub stale: u8,
}

/// What a search goes through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The world.
    pub world: World,
    /// The instance that leads.
    pub first: Instance,
    /// One that may take over.
    pub second: Instance,
    /// What may come yet.
    pub left: Budget,
    /// Whether the first instance has looked at all since it crashed, and found nothing to do.
    pub is_quiet: bool,
}

/// One of the two instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// The one that leads at the beginning.
    First,
    /// The other.
    Second,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// An instance reads, decides or writes once.
    Step(Who),
    /// An instance ends, and starts again knowing nothing.
    Crash(Who),
    /// etcdadm-controller reconciles.
    Etcd,
    /// The same, and it is killed before it writes its own status.
    EtcdKilled,
    /// The same with a cache that has no marks yet.
    EtcdBeforeMarks,
    /// KubeadmControlPlane's controller reconciles.
    ControlPlane,
    /// A machine is up.
    Up(Id),
    /// A machine that was deleted is gone.
    Gone(Id),
    /// A person has the control plane rolled.
    Upgrade,
    /// Time goes by: a minute and a second, after which nothing waits for a member any more.
    Time,
}

/// What an event did, for the invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Something.
    Any,
    /// etcdadm-controller let go of a Machine.
    LetGo,
}

/// Machines of the control plane that are made in a search, at most.
const MADE: usize = 5;

/// A step of time.
const STEP: i64 = 61;

/// What an instance is kept from seeing.
pub type Sight = fn(&mut Facts);

impl State {
    /// Events that may come, those alone that change something.
    pub fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Step(Who::First), Event::Etcd];
        // Where KCP would go on for ever it is stopped: we have had our turn by then.
        if self.world.control_plane.made < MADE {
            events.push(Event::ControlPlane);
        }
        if self.left.looks_of_second > 0 || !self.second.is_idle() {
            events.push(Event::Step(Who::Second));
        }
        for (who, instance) in [(Who::First, &self.first), (Who::Second, &self.second)] {
            if self.left.crashes > 0 && instance.has_plan() {
                events.push(Event::Crash(who));
            }
        }
        if self.left.kills > 0 {
            events.push(Event::EtcdKilled);
        }
        let nudged = |etcd: &Etcd| etcd.nudge.as_ref().is_some_and(|(_, at)| *at == self.world.now);
        if self.left.stale > 0 && self.world.etcd.as_ref().is_some_and(nudged) {
            events.push(Event::EtcdBeforeMarks);
        }
        // Marks that are written take effect within milliseconds; a person is not that fast.
        let mut etcd = self.world.etcd.iter().flat_map(Etcd::owned);
        let marked = etcd.any(|machine| machine.mark.is_some());
        if self.left.upgrades > 0 && self.is_quiet && !marked {
            events.push(Event::Upgrade);
        }
        if self.left.steps > 0
            && self.world.etcd.as_ref().is_some_and(|e| is_waiting(e, self.world.now))
        {
            events.push(Event::Time);
        }
        for (id, up, deleting) in self.world.machines() {
            if deleting {
                events.push(Event::Gone(id));
            } else if !up {
                events.push(Event::Up(id));
            }
        }
        events
    }

    /// What is after an event.
    pub fn after(&self, event: Event, parameters: &Parameters, sight: Sight) -> (Self, Effect) {
        let mut next = self.clone();
        let mut effect = Effect::Any;
        let mut author = None;
        match event {
            Event::Step(Who::First) => {
                let was_idle = self.first.is_idle();
                let object = next.first.step(&mut next.world, parameters, sight);
                author = object.map(|object| (Who::First, object));
                next.is_quiet = !was_idle && object.is_none() && next.first.is_idle();
            }
            Event::Step(Who::Second) => {
                if self.second.is_idle() {
                    next.left.looks_of_second -= 1;
                    next.first.lose_lease();
                }
                let object = next.second.step(&mut next.world, parameters, sight);
                author = object.map(|object| (Who::Second, object));
            }
            Event::Crash(who) => {
                next.left.crashes -= 1;
                *next.instance(who) = Instance::default();
                next.is_quiet &= who != Who::First;
            }
            Event::Etcd => {
                if etcd_controller::reconcile(&mut next.world) == Reconciled::LetGo {
                    effect = Effect::LetGo;
                }
            }
            Event::EtcdKilled => {
                next.left.kills -= 1;
                effect = killed(&mut next.world);
            }
            Event::EtcdBeforeMarks => {
                next.left.stale -= 1;
                etcd_controller::reconcile_before_marks(&mut next.world);
            }
            Event::ControlPlane => {
                control_plane_controller::reconcile(&mut next.world);
            }
            Event::Up(id) => {
                up(&mut next.world, id);
                next.first.grow_old(id);
                next.second.grow_old(id);
            }
            Event::Gone(id) => gone(&mut next.world, id),
            Event::Upgrade => {
                next.left.upgrades -= 1;
                next.world.control_plane.rollout_after = Some(next.world.now);
            }
            Event::Time => {
                next.left.steps -= 1;
                next.world.now += STEP;
                next.first.grow_old(Id::MAX);
                next.second.grow_old(Id::MAX);
            }
        }
        next.notice(&self.world, author);
        (next, effect)
    }

    const fn instance(&mut self, who: Who) -> &mut Instance {
        match who {
            Who::First => &mut self.first,
            Who::Second => &mut self.second,
        }
    }

    /// Has the instances know what changed beneath them; whoever wrote knows what it wrote to.
    fn notice(&mut self, before: &World, author: Option<(Who, Object)>) {
        for object in changes(before, &self.world) {
            for who in [Who::First, Who::Second] {
                if author != Some((who, object)) {
                    self.instance(who).notice(object);
                }
            }
        }
    }
}

/// Whether etcdadm-controller waits for its newest member to grow old enough: only then does time matter.
fn is_waiting(etcd: &Etcd, now: i64) -> bool {
    let waits = |machine: &EtcdMachine| machine.up && machine.born + MEMBER_READY > now;
    etcd.spec_up_to_date == Some(false) && etcd.owned().any(waits)
}

/// etcdadm-controller lets go of a Machine and is killed: what it knows of the rollout is in conditions that
/// were not written.
pub fn killed(world: &mut World) -> Effect {
    let before = world.clone();
    if etcd_controller::reconcile(world) != Reconciled::LetGo {
        *world = before;
        return Effect::Any;
    }
    let now = world.now;
    if let Some((etcd, before)) = world.etcd.as_mut().zip(before.etcd) {
        let machines = std::mem::take(&mut etcd.machines);
        *etcd = before;
        etcd.machines = machines;
        etcd.controller.started = now;
        etcd.controller.held = None;
        etcd.controller.triggered = true;
    }
    Effect::LetGo
}

/// A machine is up.
pub fn up(world: &mut World, id: Id) {
    for machine in &mut world.control_plane.machines {
        machine.up |= machine.id == id;
    }
    if let Some(etcd) = &mut world.etcd {
        for machine in etcd.machines.iter_mut().filter(|machine| machine.id == id) {
            machine.up = true;
            etcd.controller.triggered = true;
        }
    }
}

/// A machine is gone.
pub fn gone(world: &mut World, id: Id) {
    world.control_plane.machines.retain(|machine| machine.id != id);
    if let Some(etcd) = &mut world.etcd {
        let before = etcd.machines.len();
        etcd.machines.retain(|machine| machine.id != id);
        etcd.controller.triggered |= etcd.machines.len() != before;
    }
}

/// Objects that differ between two worlds.
fn changes(before: &World, after: &World) -> Vec<Object> {
    let mut changed = Vec::new();
    let (old, new) = (&before.control_plane, &after.control_plane);
    let without = |of: &ControlPlane| {
        (
            of.days,
            of.our_days,
            of.rolled_for.clone(),
            of.endpoints.clone(),
            of.rolling,
            of.up_to_date,
            of.rollout_after,
        )
    };
    if without(old) != without(new) {
        changed.push(Object::ControlPlane);
    }
    for machine in &new.machines {
        let same = |other: &&ControlPlaneMachine| other.id == machine.id;
        let old = old.machines.iter().find(same);
        if old.is_some_and(|old| {
            (old.up, old.deleting, &old.published)
                != (machine.up, machine.deleting, &machine.published)
        }) {
            changed.push(Object::Machine(machine.id));
        }
    }
    let Some((old, new)) = before.etcd.as_ref().zip(after.etcd.as_ref()) else { return changed };
    let without = |of: &Etcd| Etcd {
        machines: Vec::new(),
        secret: old.secret,
        controller: old.controller,
        made: 0,
        ..of.clone()
    };
    if without(old) != without(new) {
        changed.push(Object::Etcd);
    }
    for machine in &new.machines {
        let Some(old) = old.machines.iter().find(|old| old.id == machine.id) else { continue };
        if (old.up, old.deleting, old.owned, &old.published)
            != (machine.up, machine.deleting, machine.owned, &machine.published)
        {
            changed.push(Object::Machine(machine.id));
        }
        if old.mark != machine.mark {
            changed.push(Object::Config(machine.id));
        }
    }
    changed
}
