//! Has the models go through what the real controllers went through: whatever came from outside comes when it
//! came, and what they did is compared, step by step.

mod beginning;

use std::collections::{BTreeMap, VecDeque};

use expiryd_controller::memory::Published;

use crate::control_plane_controller::{self, Reconciled as ControlPlaneReconciled};
use crate::etcd_controller::{self, Reconciled};
use crate::state::{Effect, gone, killed, up};
use crate::trace::{Entry, Kind, Line, Millis};
use crate::world::{Etcd, Id, World};

/// What one of the two controllers did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It made a Machine.
    Made,
    /// It let go of a Machine.
    LetGo(String),
    /// It made the Secret anew.
    Refreshed,
    /// It said whether etcd is ready.
    Ready(bool),
    /// It deleted a Machine.
    Deleted(String),
    /// It took upgrade-complete away.
    TookUpgradeAway,
    /// KCP took etcd's endpoints.
    Endpoints,
    /// KCP wrote upgrade-complete.
    UpgradeComplete,
}

/// What each controller did, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// etcdadm-controller.
    pub etcd: Vec<(Millis, Step)>,
    /// KubeadmControlPlane's controller.
    pub control_plane: Vec<(Millis, Step)>,
}

/// A day on which the traces were watched (2026-11-24), in seconds since 1970.
const WATCHED: i64 = 1_795_478_400;

/// A part of a trace.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// All of what was seen of one cluster.
    pub seen: &'a [Line],
    /// What the experiment did.
    pub done: &'a [Line],
    /// From when; whatever was before is how it begins.
    pub from: Millis,
    /// Until when.
    pub until: Millis,
}

/// What the real ones did.
pub fn real(part: &Part<'_>) -> Steps {
    let mut steps = Steps::default();
    let mut upgrade_complete = false;
    let by_hand = |at: Millis| {
        let near = |line: &Line| (line.at - at).abs() < 200;
        part.done.iter().any(|line| near(line) && line.entry == Entry::UpgradeComplete)
    };
    for Line { at, entry } in part.seen {
        let (etcd, step) = match entry {
            Entry::Made(kind, _) => (*kind == Kind::Etcd, Step::Made),
            Entry::Deleting(kind, name) => (*kind == Kind::Etcd, Step::Deleted(name.clone())),
            Entry::LetGo(name) => (true, Step::LetGo(name.clone())),
            Entry::Ready(is) => (true, Step::Ready(*is)),
            Entry::Secret(_) => (true, Step::Refreshed),
            Entry::Endpoints => (false, Step::Endpoints),
            Entry::Annotations(now) => {
                let before = std::mem::replace(&mut upgrade_complete, now.upgrade_complete);
                match (before, now.upgrade_complete) {
                    (true, false) => (true, Step::TookUpgradeAway),
                    (false, true) if !by_hand(*at) => (false, Step::UpgradeComplete),
                    _ => continue,
                }
            }
            _ => continue,
        };
        if (part.from..part.until).contains(at) {
            let list = if etcd { &mut steps.etcd } else { &mut steps.control_plane };
            list.push((*at, step));
        }
    }
    steps
}

/// What the models do.
pub fn modelled(part: &Part<'_>) -> Steps {
    let mut replay = Replay::begin(part);
    let within = |line: &&Line| (part.from..part.until).contains(&line.at);
    let mut outside: Vec<_> = part.seen.iter().chain(part.done).filter(within).collect();
    outside.sort_by_key(|line| line.at);
    // Each second they look again at what they wait for.
    let mut second = part.from / 1_000;
    for line in outside {
        while (second + 1) * 1_000 <= line.at {
            second += 1;
            replay.etcd(second * 1_000, part);
            replay.control_plane(second * 1_000);
        }
        replay.happens(line);
        replay.etcd(line.at, part);
    }
    replay.steps
}

struct Replay {
    world: World,
    steps: Steps,
    names: BTreeMap<Id, String>,
    /// Names of the machines that the real ones are about to make, in their order.
    members: VecDeque<String>,
    control_planes: VecDeque<String>,
    /// Whether etcdadm-controller runs, and when it looks again by itself.
    runs: bool,
    looks_at: Millis,
    paused: bool,
    cluster_paused: bool,
}

impl Replay {
    /// Whatever comes from outside.
    fn happens(&mut self, line: &Line) {
        let now = seconds(line.at);
        let id = |name: &String| self.names.iter().find(|(_, n)| *n == name).map(|(id, _)| *id);
        match &line.entry {
            Entry::Up(_, name) => {
                if let Some(id) = id(name) {
                    up(&mut self.world, id);
                }
            }
            Entry::Gone(_, name) => {
                if let Some(id) = id(name) {
                    gone(&mut self.world, id);
                }
            }
            Entry::Dated(name, date) => {
                let dated = id(name);
                let machines = self.world.control_plane.machines.iter_mut();
                for machine in machines.filter(|machine| Some(machine.id) == dated) {
                    machine.published =
                        date.map_or(Published::Nothing, |date| Published::Foreign(Some(date)));
                }
            }
            Entry::RolloutAfter => self.world.control_plane.rollout_after = Some(now),
            _ => {}
        }
        let marked = match &line.entry {
            Entry::Marked(name) => id(name),
            _ => None,
        };
        let Some(etcd) = &mut self.world.etcd else { return };
        let triggers = match &line.entry {
            Entry::Annotations(now) => {
                self.paused = now.paused;
                true
            }
            Entry::ClusterPaused(is) => {
                self.cluster_paused = *is;
                true
            }
            Entry::UpgradeComplete => {
                etcd.upgrade_complete = true;
                true
            }
            Entry::Touched => true,
            Entry::CertificatesUnavailable => {
                etcd.certificates_available = false;
                true
            }
            Entry::Started => {
                etcd.controller.held = None;
                etcd.controller.started = now;
                true
            }
            _ => false,
        };
        etcd.controller.triggered |= triggers;
        etcd.paused = self.paused || self.cluster_paused;
        for machine in etcd.machines.iter_mut().filter(|machine| Some(machine.id) == marked) {
            machine.mark = Some("marked".to_owned());
        }
        match line.entry {
            Entry::Killed => self.runs = false,
            Entry::Started => self.runs = true,
            _ => {}
        }
    }

    /// etcdadm-controller looks until there is nothing to do.
    fn etcd(&mut self, at: Millis, part: &Part<'_>) {
        self.world.now = seconds(at);
        let soon = |line: &&Line| (at..at + KILLED_WITHIN).contains(&line.at);
        let dies = part.done.iter().filter(soon).any(|line| line.entry == Entry::Killed);
        loop {
            let Some(before) = self.world.etcd.clone() else { return };
            if !self.runs || !(before.controller.triggered || self.looks_at <= at) {
                return;
            }
            if dies && killed(&mut self.world) == Effect::LetGo {
                self.runs = false;
                return self.note(at, &before);
            }
            let done = etcd_controller::reconcile(&mut self.world);
            self.note(at, &before);
            let Some(etcd) = &self.world.etcd else { return };
            self.looks_at = match done {
                Reconciled::Waits => at + 1_000,
                _ if etcd.ready => Millis::MAX,
                _ => at + RETRY,
            };
            if !etcd.controller.triggered {
                return;
            }
        }
    }

    /// What etcdadm-controller has done.
    fn note(&mut self, at: Millis, before: &Etcd) {
        let Some(after) = &self.world.etcd else { return };
        let mut steps = Vec::new();
        for new in
            after.machines.iter().filter(|new| before.machines.iter().all(|m| m.id != new.id))
        {
            self.names.insert(new.id, self.members.pop_front().unwrap_or_default());
            steps.push(Step::Made);
        }
        for (old, new) in before.machines.iter().zip(&after.machines) {
            let name = self.names.get(&new.id).cloned().unwrap_or_default();
            if old.owned && !new.owned {
                steps.push(Step::LetGo(name));
            } else if !old.deleting && new.deleting {
                steps.push(Step::Deleted(name));
            }
        }
        if after.secret != before.secret {
            steps.push(Step::Refreshed);
        }
        if after.ready != before.ready {
            steps.push(Step::Ready(after.ready));
        }
        if before.upgrade_complete && !after.upgrade_complete {
            steps.push(Step::TookUpgradeAway);
        }
        self.steps.etcd.extend(steps.into_iter().map(|step| (at, step)));
    }

    /// KCP's controller looks once: from one step to the next it takes about a second.
    fn control_plane(&mut self, at: Millis) {
        if self.world.control_plane.replicas == 0 {
            return;
        }
        self.world.now = seconds(at);
        let before = self.world.control_plane.machines.clone();
        let step = match control_plane_controller::reconcile(&mut self.world) {
            ControlPlaneReconciled::Made => {
                let made = self.world.control_plane.machines.last().map(|machine| machine.id);
                let name = self.control_planes.pop_front().unwrap_or_default();
                self.names.extend(made.map(|id| (id, name)));
                Step::Made
            }
            ControlPlaneReconciled::Deleted => {
                let after = &self.world.control_plane.machines;
                let mut both = before.iter().zip(after);
                let deleted = both.find(|(old, new)| !old.deleting && new.deleting);
                let deleted = deleted.map(|(_, new)| new.id);
                let name = deleted.and_then(|id| self.names.get(&id));
                Step::Deleted(name.cloned().unwrap_or_default())
            }
            ControlPlaneReconciled::Endpoints => Step::Endpoints,
            ControlPlaneReconciled::Complete => Step::UpgradeComplete,
            _ => return,
        };
        self.steps.control_plane.push((at, step));
    }
}

/// Within so long of letting go of a Machine it was killed before it had written that down.
const KILLED_WITHIN: Millis = 150;

/// It asks again so much later whether etcd is healthy, if nothing that it watches changes.
const RETRY: Millis = 20_000;

/// Seconds since 1970.
const fn seconds(at: Millis) -> i64 {
    WATCHED + at / 1_000
}

#[cfg(test)]
mod tests;
