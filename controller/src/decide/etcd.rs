//! When etcd's machines end, and when it has to be rolled (E0 to E5).

use std::collections::BTreeSet;

use expiryd_api::Timestamp;

use super::date::{Movement, moved};
use super::{Action, Case, Decision, Guard, Reason, Start, after, before};
use crate::facts::{
    ControlPlane, ControlPlaneMachine, EtcdCluster, EtcdMachine, EtcdPlace, NotHeard,
};
use crate::memory::{Cause, Intent, Published, Record};
use crate::parameters::Parameters;

/// What is known of a machine's date.
struct Known {
    record: Option<Record>,
    findings: Vec<Guard>,
}

impl EtcdCluster {
    /// Its Machines that are there and its own.
    pub(super) fn owned(&self) -> impl Iterator<Item = &EtcdMachine> {
        self.machines.iter().filter(|machine| machine.owned)
    }

    /// The rollout of ours that is not over.
    pub(super) fn begun(&self) -> Option<&Intent> {
        self.intent.as_ref().filter(|intent| intent.closed.is_none())
    }

    /// Members that etcdadm-controller let go of: they vote still.
    pub(super) fn unowned(&self) -> impl Iterator<Item = &EtcdMachine> {
        self.machines.iter().filter(|machine| !machine.owned)
    }
}

impl Case<'_> {
    /// Publishes on etcd's Machines when they end: the memory of an agent that is gone.
    pub(super) fn etcd_dates(&self, decision: &mut Decision) {
        let Some(etcd) = &self.facts.etcd else { return };
        if !self.opt_in.is_full() {
            for machine in &etcd.machines {
                decision.take_back(&machine.name, &machine.published);
            }
            return;
        }
        for machine in etcd.owned().filter(|machine| !machine.deleting) {
            let Known { record, findings } = self.known(machine);
            for guard in findings {
                decision.find_of(&machine.name, guard);
            }
            if let Some(record) = record
                && !matches!(machine.published, Published::Foreign(_))
                && machine.published != Published::Ours(record)
            {
                let machine = machine.name.clone();
                decision.act(Action::Annotate { machine, record }, Reason::DateChanged);
            }
            if record.is_some_and(|record| self.is_left_out(machine, record.date)) {
                decision.find_of(&machine.name, Guard::LeftOut);
            }
        }
    }

    /// The earlier of what the agent says and what is served; where one is lost, no later than before.
    fn known(&self, machine: &EtcdMachine) -> Known {
        let mut findings = Vec::new();
        let old = match machine.published {
            Published::Foreign(None) => {
                findings.push(Guard::OverriddenByNoDate);
                None
            }
            Published::Foreign(Some(date)) => {
                let record = Some(Record { date, degraded: false });
                return Known { record, findings: vec![Guard::Overridden] };
            }
            Published::Ours(_) | Published::Lost(_) | Published::Nothing => {
                machine.published.last()
            }
        };
        let agent = machine.report.as_ref().map_err(|why| match why {
            NotHeard::NoAnswer if self.is_starting(machine.born) => Guard::Starting,
            why => guard(*why),
        });
        let agent = agent.and_then(|report| {
            let movement = self.usable(report, self.parameters.fresh_http)?;
            let date = report.machine_rollout.as_ref().ok_or(Guard::Waiting)?.not_after;
            Ok((date, movement))
        });
        let agent = agent.map_err(|guard| findings.push(guard)).ok();
        let plausible = |date: &Timestamp| self.is_plausible(*date);
        let agent = agent.filter(|(date, _)| plausible(date));
        let served = machine.served.filter(plausible);
        let (date, movement) = match (agent, served) {
            (Some((date, movement)), Some(served)) => (date.min(served), movement),
            (Some((date, _)), None) => (date, Movement::Earlier(Guard::NotServed)),
            (None, Some(served)) => (served, Movement::Earlier(Guard::ServedOnly)),
            (None, None) => {
                if !self.is_starting(machine.born) {
                    findings.push(Guard::EtcdExpiryUnknown);
                }
                return Known { record: old, findings };
            }
        };
        if let Movement::Earlier(guard @ (Guard::NotServed | Guard::ServedOnly)) = movement {
            findings.push(guard);
        }
        let degraded = movement == Movement::Earlier(Guard::Degraded);
        let record = match moved(Record { date, degraded }, old, movement) {
            Ok(new) => new.or(old),
            Err(guard) => {
                findings.push(guard);
                old
            }
        };
        Known { record, findings }
    }

    /// When a machine ends, as far as that is known.
    pub(super) fn date(&self, machine: &EtcdMachine) -> Option<Timestamp> {
        Some(self.known(machine).record?.date)
    }

    /// Whether its replacement would be due as soon, or it is too young to tell (E4).
    fn is_left_out(&self, machine: &EtcdMachine, date: Timestamp) -> bool {
        date < after(machine.born, self.parameters.min_lifetime)
            || machine.born > self.ago(self.parameters.birth)
    }

    /// When etcd has to be rolled, and why; `None` when nothing is known that would be renewed.
    pub(super) fn etcd_start(&self) -> Option<(Start, Cause)> {
        let etcd = self.facts.etcd.as_ref().filter(|_| self.opt_in.is_full())?;
        let dates = || {
            let living = etcd.owned().filter(|machine| !machine.deleting);
            living.filter_map(|machine| Some((machine, self.date(machine)?)))
        };
        // A rollout would be for nothing, and for nothing again.
        let secret = etcd.client_pair_ends().filter(|_| !self.is_put_back());
        let start = |date: Timestamp, cause| (self.start(date, self.opt_in.window()), cause);
        let counted = || dates().filter(|(machine, date)| !self.is_left_out(machine, *date));
        let from = counted().map(|(machine, date)| self.start_of(machine, date)).min();
        let machine = from.zip(counted().map(|(_, date)| date).min());
        let all = dates().map(|(_, date)| date).chain(secret).min();
        [
            machine.map(|(from, deadline)| (Start { from, deadline }, Cause::MachineDue)),
            secret.map(|date| start(date, Cause::SecretDue)),
            all.and_then(|etcd| self.joined(etcd)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(start, cause)| (start.from, *cause == Cause::Joined))
    }

    /// So long before `date` that the lead is left before the window begins.
    fn start(&self, date: Timestamp, window: i64) -> Start {
        let Parameters { lead, management_lead, .. } = *self.parameters;
        let lead = if self.facts.cluster.is_management { management_lead } else { lead };
        Start { from: before(date, window + lead), deadline: date }
    }

    /// When a machine has to be rolled, which is no sooner than it has lived for the least lifetime: however wide the
    /// window is, whoever lies gets one rollout in that time. A lead is left in any case: it may be no lie.
    fn start_of(&self, machine: &EtcdMachine, date: Timestamp) -> Timestamp {
        let (wanted, last) =
            (self.start(date, self.opt_in.window()).from, self.start(date, 0).from);
        wanted.max(after(machine.born, self.parameters.min_lifetime).min(last))
    }

    /// The start with the control plane, where etcd ends soon after it. Only KCP's own dates count: a node
    /// of the control plane must not have etcd rolled (E1). That one of them was renewed since puts it off.
    fn joined(&self, etcd: Timestamp) -> Option<(Start, Cause)> {
        let control_plane = self.facts.control_plane.as_ref()?;
        let date = control_plane.living().filter_map(ControlPlaneMachine::own_as_renewed).min()?;
        let start = self.start(date, control_plane.window(self.opt_in.window()));
        (etcd <= after(date, self.parameters.align)).then_some((start, Cause::Joined))
    }

    /// Whether etcd is to be rolled before the control plane is (C11).
    pub(super) fn etcd_comes_first(&self) -> bool {
        self.facts.etcd.as_ref().is_some_and(|etcd| etcd.begun().is_some())
            || self.etcd_start().is_some_and(|(start, _)| start.from <= self.now)
    }
}

const fn guard(why: NotHeard) -> Guard {
    match why {
        NotHeard::NoAnswer => Guard::NoAgent,
        NotHeard::OtherName => Guard::NameMismatch,
    }
}

/// Whether the control plane uses the endpoints that etcd has.
pub(super) fn has_endpoints_of(control_plane: &ControlPlane, etcd: &EtcdCluster) -> bool {
    let EtcdPlace::External(endpoints) = &control_plane.etcd else { return false };
    let set = |endpoints: &[String]| endpoints.iter().cloned().collect::<BTreeSet<_>>();
    set(endpoints) == set(&etcd.endpoints)
}

/// Whether etcd and the control plane are at rest (E2).
pub(super) fn is_quiet(etcd: &EtcdCluster, control_plane: &ControlPlane) -> bool {
    etcd.ready
        && etcd.owned().count() == etcd.replicas
        && etcd.unowned().next().is_none()
        && etcd.machines.iter().all(|machine| !machine.deleting)
        && !etcd.upgrade_complete
        && !etcd.upgrading
        && !control_plane.is_rolling()
        && control_plane.progress.ready
        && control_plane.progress.observed
        && has_endpoints_of(control_plane, etcd)
}
