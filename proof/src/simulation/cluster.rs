//! One cluster of the simulation: its world, what its agents say, and what people do to it.

use std::collections::BTreeSet;

use expiryd_api::Timestamp;
use expiryd_controller::facts::{Facts, NodeReport, NotHeard, Report};
use fastrand::Rng;

use super::{Job, Options, Table};
use crate::controller;
use crate::invariants::always;
use crate::world::{DAY, Etcd, Id, LIFETIME, Made, World};

/// Machines of each kind.
const REPLICAS: usize = 3;

/// Days of the opt-in.
const DAYS: i64 = 7;

/// A mark of somebody else: an upgrade.
pub(super) const UPGRADE: &str = "upgrade";

pub(super) struct SimulatedCluster {
    pub(super) world: World,
    /// When it is looked at next, by us and by both controllers.
    due: [i64; 3],
    /// How far its machines' clocks are off.
    skew: i64,
    /// Whose agent says that it always ends tomorrow.
    liar: Option<Liar>,
    /// Until when none of its agents is heard.
    silent_until: i64,
    /// When it was at rest last.
    at_rest: i64,
    /// Since when people are told to restart etcdadm-controller.
    told: Option<i64>,
    /// Whether a certificate has ended, or something is as it must never be: what comes then is no matter.
    pub(super) is_lost: bool,
    /// When a machine failed last.
    lost: i64,
    /// When machines of the control plane were deleted lately.
    deletions: Vec<i64>,
    seen_leaving: BTreeSet<Id>,
    /// When a machine of its control plane was replaced last because it was due, and etcd was not rolled.
    pub(super) rolled_alone: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Liar {
    ControlPlane,
    Etcd,
}

impl SimulatedCluster {
    pub(super) fn new(number: usize, start: i64, options: &Options, random: &mut Rng) -> Self {
        // Half of the fleet was made on one day.
        let age = if number.is_multiple_of(2) { 200 } else { random.i64(1..330) };
        let born = start - age * DAY;
        let end = born + LIFETIME;
        let made = Made {
            born,
            control_plane: REPLICAS,
            members: if number % 10 < 7 { REPLICAS } else { 0 },
            control_plane_ends: end,
            etcd_ends: end,
            secret_ends: end,
        };
        let mut world = World::at_rest(start, DAYS, &made);
        world.opt_in = world.opt_in.filter(|_| options.opted_in);
        if let Some(etcd) = &mut world.etcd {
            // One of five installs gives no right to restart it.
            etcd.controller.may_restart = !number.is_multiple_of(5);
        }
        let liar = match number % 200 {
            0 => Some(Liar::ControlPlane),
            1 => Some(Liar::Etcd),
            _ => None,
        };
        Self {
            world,
            due: [i64::MAX; 3],
            skew: random.i64(-3_600..=3_600),
            liar,
            silent_until: 0,
            at_rest: start,
            told: None,
            is_lost: false,
            lost: 0,
            deletions: Vec::new(),
            seen_leaving: BTreeSet::new(),
            rolled_alone: 0,
        }
    }

    /// When one of those that look again and again looks next.
    pub(super) const fn due(&mut self, job: Job) -> Option<&mut i64> {
        let [look, etcd, control_plane] = &mut self.due;
        match job {
            Job::Look => Some(look),
            Job::Etcd => Some(etcd),
            Job::ControlPlane => Some(control_plane),
            Job::Up(_) | Job::Gone(_) | Job::Happening => None,
        }
    }

    /// Whether an agent of it lies.
    pub(super) const fn lies(&self) -> bool {
        self.liar.is_some()
    }

    /// What we read of it.
    pub(super) fn facts(&self, now: i64) -> Facts {
        let mut facts = controller::facts(&self.world);
        let tell = |report: &mut Report, lies: bool| {
            report.observed_at = Timestamp::from_unix(now + self.skew);
            if let Some(end) = report.machine_rollout.as_mut().filter(|_| lies) {
                end.not_after = Timestamp::from_unix(now + DAY);
            }
        };
        let silent = now < self.silent_until;
        let machines = facts.control_plane.iter_mut().flat_map(|cp| &mut cp.machines);
        for (n, machine) in machines.enumerate() {
            if let NodeReport::Of(report) = &mut machine.report {
                tell(report, self.liar == Some(Liar::ControlPlane) && n == 0);
                if silent {
                    machine.report = NodeReport::NoAgent;
                }
            }
        }
        let machines = facts.etcd.iter_mut().flat_map(|etcd| &mut etcd.machines);
        for (n, machine) in machines.enumerate() {
            if let Ok(report) = &mut machine.report {
                tell(report, self.liar == Some(Liar::Etcd) && n == 0);
            }
            if silent {
                machine.report = Err(NotHeard::NoAnswer);
            }
        }
        facts
    }

    /// Something happens; the machines that leave by it.
    pub(super) fn happen(&mut self, now: i64, random: &mut Rng, table: &mut Table) -> Vec<Id> {
        if !self.is_quiet() {
            return Vec::new();
        }
        let happened = random.u8(..100);
        match happened {
            // An upgrade, as EKS Anywhere makes it: etcd first.
            0..25 => {
                self.world.control_plane.rollout_after = Some(now);
                if let Some(etcd) = &mut self.world.etcd {
                    etcd.upgrading = true;
                    for machine in &mut etcd.machines {
                        machine.mark = Some(UPGRADE.to_owned());
                    }
                }
                table.happened("upgrades");
            }
            // Of the control plane alone.
            25..45 => {
                self.world.control_plane.rollout_after = Some(now);
                table.happened("rollouts of a control plane by a person");
            }
            // `kubeadm certs renew all` on each machine.
            45..55 => {
                for machine in &mut self.world.control_plane.machines {
                    machine.leaf = now + LIFETIME;
                }
                table.happened("renewals in place");
            }
            55..80 => {
                self.silent_until = now + random.i64(3_600..7 * DAY);
                table.happened("silences of all agents of a cluster");
            }
            80..90 => {
                let index = random.usize(..REPLICAS);
                table.happened("machines that failed");
                return self.lose(now, index, random.bool());
            }
            _ => self.restart_etcd_controller(now, table),
        }
        Vec::new()
    }

    fn is_quiet(&self) -> bool {
        self.world.control_plane.up_to_date != Some(false)
            && self.world.control_plane.machines.len() == REPLICAS
            && self.world.etcd.as_ref().is_none_or(|etcd| {
                etcd.ready && etcd.machines.len() == REPLICAS && !etcd.upgrade_complete
            })
    }

    /// People who are told for two days that etcdadm-controller holds a stale pair restart it.
    pub(super) fn tell(&mut self, now: i64, is_stale: bool, table: &mut Table) {
        if !is_stale {
            self.told = None;
        } else if now > *self.told.get_or_insert(now) + 2 * DAY {
            self.told = None;
            self.restart_etcd_controller(now, table);
        }
    }

    fn restart_etcd_controller(&mut self, now: i64, table: &mut Table) {
        if let Some(etcd) = &mut self.world.etcd {
            etcd.controller.started = now;
            etcd.controller.held = None;
            table.happened("restarts of etcdadm-controller by others");
        }
    }

    fn lose(&mut self, now: i64, index: usize, of_etcd: bool) -> Vec<Id> {
        self.lost = now;
        if let Some(etcd) = self.world.etcd.as_mut().filter(|_| of_etcd) {
            let lost = etcd.machines.get_mut(index).map(|machine| {
                machine.deleting = true;
                machine.id
            });
            return lost.into_iter().collect();
        }
        let lost = self.world.control_plane.machines.get_mut(index).map(|machine| {
            machine.deleting = true;
            machine.id
        });
        lost.into_iter().collect()
    }

    /// Machines newer than this one, and those that are on their way out since the last time.
    pub(super) fn moving(&mut self, newest: Id) -> (Vec<Id>, Vec<Id>) {
        let all: Vec<_> = self.world.machines().collect();
        let made = all.iter().filter(|(id, ..)| *id > newest).map(|(id, ..)| *id).collect();
        let leaving =
            all.iter().filter(|(id, _, deleting)| *deleting && self.seen_leaving.insert(*id));
        let leaving = leaving.map(|(id, ..)| *id).collect();
        (made, leaving)
    }

    /// Notes that KCP has deleted a machine; whether that is more than two rollouts within a month, without a
    /// person asking, and without a machine of etcd that failed: the control plane follows its replacement.
    pub(super) fn deleted(&mut self, now: i64, before: &World) -> bool {
        let asked = before.control_plane.rollout_after.is_some_and(|at| at > now - 30 * DAY)
            || self.lost > now - 30 * DAY;
        self.deletions.retain(|at| *at > now - 30 * DAY);
        if !asked {
            self.deletions.push(now);
        }
        self.deletions.len() > 2 * REPLICAS && !self.lies()
    }

    /// What has ended while it is used, and what must never be.
    pub(super) fn check(&mut self, now: i64, table: &mut Table) {
        // Whoever is told that a cluster does not come to rest looks at it after two days, and starts
        // etcdadm-controller again.
        if self.is_quiet() {
            self.at_rest = now;
        } else if now > self.at_rest + 2 * DAY {
            self.at_rest = now;
            self.restart_etcd_controller(now, table);
        }
        if let Some(violation) = always(&self.world) {
            table.violated(violation);
            self.is_lost = true;
        }
        let control_plane = self.world.control_plane.machines.iter();
        let control_plane = control_plane.filter(|machine| machine.up && !machine.deleting);
        let control_plane = control_plane.map(|machine| {
            let client = machine.client.map_or(i64::MAX, |pair| pair.not_after);
            machine.leaf.min(client)
        });
        let etcd = self.world.etcd.iter().flat_map(Etcd::owned);
        let etcd = etcd.filter(|machine| machine.up && !machine.deleting);
        let etcd = etcd.map(|machine| machine.leaf);
        if control_plane.chain(etcd).any(|end| end <= now) {
            table.ended();
            self.is_lost = true;
        }
    }
}
