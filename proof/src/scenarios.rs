//! Beginnings for the search: what is due, and what somebody else is doing.

use expiryd_api::Timestamp;
use expiryd_controller::facts::{EtcdMachine as EtcdMachineFacts, EtcdPlace, Facts, Progress};
use expiryd_controller::memory::{ClientPair, Published, Record};

use crate::controller::Instance;
use crate::invariants::Violation;
use crate::search::Scenario;
use crate::state::{Budget, Sight, State};
use crate::world::{DAY, EtcdMachine, Id, LIFETIME, Made, Pair, World};

/// When each of them begins.
const NOW: i64 = 1_800_000_000;
/// Days of the opt-in.
const DAYS: i64 = 7;
/// Machines of the control plane.
const CONTROL_PLANE: usize = 1;

fn carries(not_after: i64) -> Published {
    Published::Ours(Record { date: Timestamp::from_unix(not_after), degraded: false })
}

/// A cluster at rest that we look after, whose etcd, Secret and control plane end at these times.
fn at_rest(members: usize, etcd: i64, secret: i64, control_plane: i64) -> World {
    let mut world = late(members, etcd, secret, control_plane);
    let control_plane = &mut world.control_plane;
    (control_plane.days, control_plane.our_days) = (Some(DAYS), Some(DAYS));
    for machine in &mut control_plane.machines {
        machine.published = carries(machine.leaf);
    }
    for machine in world.etcd.iter_mut().flat_map(|etcd| &mut etcd.machines) {
        machine.published = carries(machine.leaf);
    }
    world
}

/// The same, and nobody was opted in before: no days, no dates.
fn late(members: usize, etcd: i64, secret: i64, control_plane: i64) -> World {
    let born = NOW - LIFETIME + 30 * DAY;
    let made = Made {
        born,
        control_plane: CONTROL_PLANE,
        members,
        control_plane_ends: control_plane,
        etcd_ends: etcd,
        secret_ends: secret,
    };
    let mut world = World::at_rest(NOW, DAYS, &made);
    if let Some(etcd) = &mut world.etcd {
        etcd.pairs = vec![ClientPair {
            sha256: etcd.secret.id.to_string(),
            not_after: Timestamp::from_unix(secret),
            first_seen: Timestamp::from_unix(born),
        }];
    }
    world
}

fn scenario(name: &'static str, world: World, left: Budget) -> Scenario {
    let members = world.etcd.as_ref().map_or(0, |etcd| etcd.replicas);
    // In the worst case each member is replaced by a rollout of its own, and the control plane follows each;
    // what a person asks for comes besides.
    let asked =
        usize::from(left.upgrades) + usize::from(world.control_plane.rollout_after.is_some());
    let most = (members, (members.max(1) + asked) * CONTROL_PLANE);
    let (first, second) = (Instance::default(), Instance::default());
    let state = State { world, first, second, left, is_quiet: false };
    Scenario { name, state, sight: |_| {}, expected: None, most, renews: true, settle_one_of: 64 }
}

/// So long ahead that nothing of it is due.
const LATER: i64 = NOW + 300 * DAY;

/// A lead and a window ahead, less a second: the first rollout of etcd begins now.
const DUE: i64 = NOW + (DAYS + 1) * DAY - 1;

const CALM: Budget =
    Budget { crashes: 0, looks_of_second: 0, steps: 6, upgrades: 0, kills: 0, stale: 0 };
const CRASH: Budget = Budget { crashes: 1, ..CALM };
const KILL: Budget = Budget { kills: 1, ..CALM };

/// Beginnings from which nothing may end badly.
pub fn sound() -> Vec<Scenario> {
    let etcd = || at_rest(2, DUE, LATER, LATER);
    let soon = DUE + 20 * DAY;
    vec![
        scenario("three members of etcd are due", at_rest(3, DUE, LATER, LATER), CALM),
        scenario("etcd is due, and we crash twice", etcd(), Budget { crashes: 2, ..CALM }),
        scenario("etcd is due, and another leads", etcd(), Budget { looks_of_second: 1, ..CALM }),
        scenario("etcd is due, and its controller is killed", etcd(), Budget { kills: 1, ..CRASH }),
        scenario(
            "etcd is due, and its controller sees no mark yet",
            etcd(),
            Budget { stale: 2, ..CALM },
        ),
        scenario("etcd is due, and a person rolls", etcd(), Budget { upgrades: 1, ..CALM }),
        scenario("one member is due, its controller is killed", at_rest(1, DUE, DUE, LATER), KILL),
        scenario("one of two is due, its controller is killed", one_is_new(), KILL),
        scenario("only the Secret is due", at_rest(2, LATER, DUE, LATER), CRASH),
        scenario("all of it is due", at_rest(2, DUE, DUE, DUE), CRASH),
        scenario("the control plane is due, etcd soon after", at_rest(2, soon, soon, DUE), CRASH),
        scenario("all is due at a late opt-in", late(2, DUE, DUE, DUE - DAY), CRASH),
        scenario("etcd is due while the control plane rolls", rolled(etcd()), CALM),
        scenario("etcd is due over a leftover member", left_over(etcd()), CALM),
        scenario("its controller's pair ends", stale(at_rest(2, LATER, LATER, LATER)), CALM),
        scenario("its controller's pair ends, and etcd is due", stale(etcd()), CRASH),
        scenario("a machine is born due", born_due(), CALM).unrenewed(),
    ]
}

/// One of two members was just made.
fn one_is_new() -> World {
    let mut world = at_rest(2, DUE, DUE, LATER);
    for machine in world.etcd.iter_mut().flat_map(|etcd| &mut etcd.machines).skip(1) {
        machine.born = NOW - 10 * DAY;
        machine.leaf = machine.born + LIFETIME;
        machine.published = carries(machine.leaf);
    }
    world
}

/// Somebody has just asked for the control plane to be rolled.
fn rolled(mut world: World) -> World {
    world.control_plane.rollout_after = Some(NOW);
    world.control_plane.up_to_date = Some(false);
    world
}

/// A member of an earlier rollout stands still.
fn left_over(mut world: World) -> World {
    if let Some(etcd) = &mut world.etcd
        && let Some(first) = etcd.machines.first().cloned()
    {
        etcd.machines.push(EtcdMachine { id: 50, owned: false, ..first });
    }
    // The control plane has yet to follow.
    world.control_plane.up_to_date = Some(false);
    world.control_plane.rollout_after = Some(NOW);
    world
}

/// The Secret was made anew, and etcdadm-controller keeps a pair that ends within the window.
fn stale(mut world: World) -> World {
    if let Some(etcd) = &mut world.etcd {
        let old = Pair { id: 80, not_after: NOW + 3 * DAY };
        etcd.controller.held = Some(old);
        let seen = |id: Id, not_after, days: i64| ClientPair {
            sha256: id.to_string(),
            not_after: Timestamp::from_unix(not_after),
            first_seen: Timestamp::from_unix(NOW - days * DAY),
        };
        etcd.pairs =
            vec![seen(old.id, old.not_after, 300), seen(etcd.secret.id, etcd.secret.not_after, 30)];
    }
    world
}

/// The same with a rule taken out, which must be found.
pub fn taken_out() -> Vec<Scenario> {
    let etcd = || at_rest(2, DUE, LATER, LATER);
    let pair_ends = || stale(at_rest(2, LATER, LATER, LATER));
    vec![
        scenario("without E2, while the control plane rolls", rolled(etcd()), CALM)
            .without(blind_to_unrest, Violation::StartedWhileRolling),
        scenario("without E2, over a leftover member", left_over(etcd()), CALM)
            .without(blind_to_unrest, Violation::TooManyMembers),
        scenario("without E7, and we crash", etcd(), CRASH)
            .without(blind_to_missing_marks, Violation::NeverSettles),
        scenario("without E9", pair_ends(), CALM).without(blind_to_pairs, Violation::StalePair),
        scenario("without E11, its controller killed", one_is_new(), KILL)
            .without(blind_to_ends, Violation::Needless),
        scenario("without C5, a machine is born due", born_due(), CALM)
            .without(blind_to_birth, Violation::NeverSettles),
    ]
}

impl Scenario {
    /// What an instance does not see any more, and what that has to lead to.
    fn without(self, sight: Sight, expected: Violation) -> Self {
        Self { sight, expected: Some(expected), ..self }
    }

    /// Nothing of it can be renewed: it has to come to rest all the same, however often it was tried.
    fn unrenewed(self) -> Self {
        Self { renews: false, most: (usize::MAX, usize::MAX), ..self }
    }
}

/// A control plane whose agents always report a date that is due.
fn born_due() -> World {
    World { leaves_end_in: DAY, ..at_rest(2, LATER, LATER, NOW + DAY) }
}

/// Everything is at rest (E2).
fn blind_to_unrest(facts: &mut Facts) {
    if let Some(control_plane) = &mut facts.control_plane {
        control_plane.progress = Progress { ready: true, observed: true, ..Progress::default() };
        control_plane.machines.truncate(control_plane.replicas);
        control_plane.machines.iter_mut().for_each(|machine| machine.deleting = false);
        if let Some(etcd) = &facts.etcd {
            control_plane.etcd = EtcdPlace::External(etcd.endpoints.clone());
        }
    }
    if let Some(etcd) = &mut facts.etcd {
        etcd.machines.retain(|machine| machine.owned && !machine.deleting);
        (etcd.ready, etcd.upgrade_complete, etcd.upgrading) = (true, false, false);
    }
}

/// A set of marks that was begun is taken for complete (E7).
fn blind_to_missing_marks(facts: &mut Facts) {
    let Some(etcd) = &mut facts.etcd else { return };
    let Some(intent) = etcd.intent.clone().filter(|intent| intent.closed.is_none()) else { return };
    let is_meant =
        |machine: &EtcdMachineFacts| machine.owned && intent.machines.contains(&machine.name);
    let meant = etcd.machines.iter().filter(|machine| is_meant(machine));
    let has_begun = meant.clone().any(|machine| machine.mark.is_some());
    if has_begun || meant.count() < intent.machines.len() {
        for machine in etcd.machines.iter_mut().filter(|machine| is_meant(machine)) {
            machine.mark = Some(intent.id.clone());
        }
    }
}

/// etcdadm-controller keeps what the Secret has (E9).
fn blind_to_pairs(facts: &mut Facts) {
    if let Some(etcd) = &mut facts.etcd {
        etcd.controller.started_at = Some(Timestamp::from_unix(i64::MAX));
    }
}

/// A rollout is over once its last machine is replaced (E11).
fn blind_to_ends(facts: &mut Facts) {
    blind_to_unrest(facts);
    if let Some(etcd) = &mut facts.etcd
        && let Some(intent) = &mut etcd.intent
    {
        intent.secret_not_after = None;
    }
}

/// No machine is young (C5).
fn blind_to_birth(facts: &mut Facts) {
    for machine in facts.control_plane.iter_mut().flat_map(|cp| &mut cp.machines) {
        machine.born = Timestamp::from_unix(0);
    }
}
