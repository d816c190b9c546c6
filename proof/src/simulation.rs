//! Ten years of a thousand clusters: what happens by itself, what people do, what goes wrong, and what our
//! decisions make of it.

mod cluster;
mod table;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use expiryd_controller::decide::{Guard, Planned, decide};
use expiryd_controller::parameters::Parameters;
use expiryd_controller::schedule::{Policy, Schedule};
use fastrand::Rng;

use self::cluster::SimulatedCluster;
pub use self::table::Table;
use crate::control_plane_controller::{self, Reconciled as ControlPlaneReconciled};
use crate::controller::apply;
use crate::etcd_controller::{self, Reconciled as EtcdReconciled};
use crate::state::{gone, up};
use crate::world::{DAY, Id};

/// When it begins.
const START: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;

/// How often KCP looks at dates without a cause; ten minutes in reality, which no rule depends on.
const SYNC: i64 = DAY;

/// How often they look again at what is not as it should be; 20 seconds and a minute in reality.
const RETRY: i64 = 300;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Clusters; half of them were made on one day.
    pub clusters: usize,
    /// For how long.
    pub years: i64,
    /// The same seed has the same happen.
    pub seed: u64,
    /// Whether they are opted in.
    pub opted_in: bool,
}

/// What comes next in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    /// We look at it.
    Look,
    /// etcdadm-controller reconciles.
    Etcd,
    /// KubeadmControlPlane's controller reconciles.
    ControlPlane,
    /// A machine is up.
    Up(Id),
    /// A machine is gone.
    Gone(Id),
    /// A person does something, or something breaks.
    Happening,
}

struct Simulation {
    clusters: Vec<SimulatedCluster>,
    queue: BinaryHeap<Reverse<(i64, u64, usize, Job)>>,
    count: u64,
    schedule: Schedule<usize>,
    parameters: Parameters,
    /// While we are away.
    outages: Vec<(i64, i64)>,
    random: Rng,
    table: Table,
}

/// Simulates, and says what happened.
pub fn simulate(options: Options) -> Table {
    let mut random = Rng::with_seed(options.seed);
    let end = START + options.years * 365 * DAY;
    let parameters = Parameters::default();
    let clusters: Vec<_> = (0..options.clusters)
        .map(|n| SimulatedCluster::new(n, START, &options, &mut random))
        .collect();
    // Two a year, of up to five days.
    let outages = (0..2 * options.years).map(|_| {
        let from = START + random.i64(0..end - START);
        (from, from + random.i64(HOUR..5 * DAY))
    });
    let outages: Vec<_> = outages.collect();
    let mut schedule = Schedule::new(Policy::default(), &parameters);
    schedule.clusters(0..clusters.len());
    let queue = BinaryHeap::new();
    let mut simulation = Simulation {
        clusters,
        queue,
        count: 0,
        schedule,
        parameters,
        outages,
        random,
        table: Table::default(),
    };
    for cluster in 0..options.clusters {
        for job in [Job::Look, Job::Etcd, Job::ControlPlane, Job::Happening] {
            let at = START + simulation.random.i64(0..DAY);
            simulation.plan(at, cluster, job);
        }
    }
    while let Some(Reverse((at, _, cluster, job))) = simulation.queue.pop() {
        if at >= end {
            break;
        }
        simulation.handle(at, cluster, job);
    }
    simulation.table.clusters = options.clusters;
    simulation.table.years = options.years;
    simulation.table
}

impl Simulation {
    fn plan(&mut self, at: i64, cluster: usize, job: Job) {
        let Some(simulated) = self.clusters.get_mut(cluster) else { return };
        // What is looked at again and again is looked at at the earliest time that anybody asked for.
        if let Some(due) = simulated.due(job) {
            if *due <= at {
                return;
            }
            *due = at;
        }
        self.count += 1;
        self.queue.push(Reverse((at, self.count, cluster, job)));
    }

    fn handle(&mut self, at: i64, cluster: usize, job: Job) {
        let simulated = self.clusters.get_mut(cluster).filter(|simulated| !simulated.is_lost);
        let Some(simulated) = simulated else { return };
        if let Some(due) = simulated.due(job) {
            if *due != at {
                return;
            }
            *due = i64::MAX;
        }
        simulated.world.now = at;
        match job {
            Job::Look => self.look(at, cluster),
            Job::Etcd => self.etcd(at, cluster),
            Job::ControlPlane => self.control_plane(at, cluster),
            Job::Up(id) => {
                up(&mut simulated.world, id);
                self.watched(at, cluster);
            }
            Job::Gone(id) => {
                gone(&mut simulated.world, id);
                self.watched(at, cluster);
            }
            Job::Happening => {
                let leaving = simulated.happen(at, &mut self.random, &mut self.table);
                for id in leaving {
                    self.plan(at + HOUR, cluster, Job::Gone(id));
                }
                // Six a year, on average.
                let next = -self.random.f64().max(1e-9).ln() * 60.0 * 86_400.0;
                self.plan(at + seconds(next), cluster, Job::Happening);
                self.watched(at, cluster);
            }
        }
        if let Some(simulated) = self.clusters.get_mut(cluster) {
            simulated.check(at, &mut self.table);
        }
    }

    /// Both controllers see that something has changed.
    fn watched(&mut self, at: i64, cluster: usize) {
        self.plan(at + 1, cluster, Job::Etcd);
        self.plan(at + 1, cluster, Job::ControlPlane);
    }

    fn look(&mut self, at: i64, cluster: usize) {
        let outage = self.outages.iter().find(|(from, until)| (*from..*until).contains(&at));
        if let Some((_, until)) = outage {
            return self.plan(*until, cluster, Job::Look);
        }
        let Some(simulated) = self.clusters.get_mut(cluster) else { return };
        let facts = simulated.facts(at);
        let now = simulated.world.time();
        let turn = self.schedule.turn(&cluster, now);
        let decision = decide(&facts, &self.parameters, turn, now);
        self.schedule.decided(&cluster, &decision);
        for planned in &decision.actions {
            self.table.wrote(planned, simulated.rolled_alone > at - self.parameters.align);
            apply(&mut simulated.world, &planned.action);
        }
        if !decision.actions.is_empty() {
            let again = decide(&simulated.facts(at), &self.parameters, turn, now).actions;
            let is_same = |again: &Planned| decision.actions.contains(again);
            self.table.repeated += u64::from(again.iter().any(is_same));
        }
        let is_stale = decision.findings.iter().any(|found| found.guard == Guard::StalePair);
        simulated.tell(at, is_stale, &mut self.table);
        let near = decision.is_near
            || decision.etcd_start.is_some_and(|start| start.from.unix() <= at + DAY);
        let wait = match () {
            () if decision.is_followed_up() => 1,
            () if decision.etcd_rolling => 30,
            () if near || !decision.actions.is_empty() => HOUR,
            () => DAY * self.random.i64(90..110) / 100,
        };
        if !decision.actions.is_empty() {
            self.watched(at, cluster);
        }
        self.plan(at + wait, cluster, Job::Look);
    }

    fn etcd(&mut self, at: i64, cluster: usize) {
        let Some(simulated) = self.clusters.get_mut(cluster) else { return };
        let before = simulated.world.clone();
        let done = etcd_controller::reconcile(&mut simulated.world);
        if done == EtcdReconciled::LetGo {
            self.table.let_go(&before, &simulated.world, simulated.lies());
        }
        let is_ready = simulated.world.etcd.as_ref().is_none_or(|etcd| etcd.ready);
        self.machines(at, cluster, before.next_id);
        match done {
            EtcdReconciled::Nothing if is_ready => {}
            EtcdReconciled::Nothing => self.plan(at + RETRY, cluster, Job::Etcd),
            EtcdReconciled::Waits => self.plan(at + 61, cluster, Job::Etcd),
            _ => self.watched(at, cluster),
        }
    }

    fn control_plane(&mut self, at: i64, cluster: usize) {
        let Some(simulated) = self.clusters.get_mut(cluster) else { return };
        let before = simulated.world.clone();
        let done = control_plane_controller::reconcile(&mut simulated.world);
        if done == ControlPlaneReconciled::Deleted {
            let is_endless = simulated.deleted(at, &before);
            let lies = simulated.lies();
            let why = self.table.deleted(&before, &simulated.world, lies, is_endless);
            if why == Some("due") {
                simulated.rolled_alone = at;
            }
        }
        self.machines(at, cluster, before.next_id);
        match done {
            ControlPlaneReconciled::Nothing => self.plan(at + SYNC, cluster, Job::ControlPlane),
            ControlPlaneReconciled::Waits => self.plan(at + RETRY, cluster, Job::ControlPlane),
            _ => self.watched(at, cluster),
        }
    }

    /// What was made comes up, and what was deleted goes.
    fn machines(&mut self, at: i64, cluster: usize, newest: Id) {
        let Some(simulated) = self.clusters.get_mut(cluster) else { return };
        let (made, leaving) = simulated.moving(newest);
        for id in made {
            // Lognormal about five minutes; one of a hundred takes a day.
            let normal: f64 = (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0;
            let usual = seconds(300.0 * (0.6 * normal).exp());
            let boot = if self.random.u8(..100) == 0 { DAY } else { usual.max(30) };
            self.plan(at + boot, cluster, Job::Up(id));
        }
        for id in leaving {
            self.plan(at + 90, cluster, Job::Gone(id));
        }
    }
}

/// At least one; of what is beyond all years the most there is.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float beyond the whole numbers is the largest of them"
)]
fn seconds(of: f64) -> i64 {
    (of as i64).max(1)
}
