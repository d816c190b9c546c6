//! The control plane's Machines: which date each of them carries (C0 to C11).

use expiryd_api::Timestamp;

use super::date::{Movement, moved};
use super::{Action, Case, Decision, Guard, Planned, Reason, after, before};
use crate::facts::{ControlPlane, ControlPlaneMachine, EtcdCluster, EtcdPlace, Expiry, NodeReport};
use crate::memory::{Published, Record, RolledFor};
use crate::parameters::DAY;

/// The certificate out of the Secret, under either of its names.
const ETCD_CLIENT: &str = "apiserver-etcd-client";

/// How long before a date is due it is written down that the control plane is rolled for it: longer than
/// between two looks at a cluster.
const AHEAD: i64 = 3_600;

/// What renews a certificate of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewal {
    /// A new machine has a new one.
    Machine,
    /// A new machine has that of the Secret, as it is by then.
    Secret,
}

/// What a Machine should carry.
enum Wanted {
    /// This, for this certificate.
    Date(Record, Expiry),
    /// What it carries.
    AsItIs,
    /// Somebody else's business.
    HandsOff(Guard),
    /// Nothing of ours, and why.
    Nothing(Guard),
}

impl Wanted {
    /// The date by which Cluster API goes for this machine then: its key, else what it found out by itself.
    fn date_of(&self, machine: &ControlPlaneMachine) -> Option<Timestamp> {
        match self {
            Self::Date(record, _) => Some(record.date),
            Self::AsItIs | Self::HandsOff(_) => machine.published.date().or(machine.own),
            Self::Nothing(_) => machine.own,
        }
    }
}

impl ControlPlane {
    /// Its Machines that are to stay.
    pub(super) fn living(&self) -> impl Iterator<Item = &ControlPlaneMachine> {
        self.machines.iter().filter(|machine| !machine.deleting)
    }

    /// Whether its days are those that we set.
    pub(super) fn has_our_days(&self) -> bool {
        self.days.is_some() && self.days == self.our_days
    }

    /// Whether it is being rolled, or has not as many Machines again as it should (C8, E2).
    pub(super) fn is_rolling(&self) -> bool {
        let standing = self.living().count();
        self.progress.moving
            || self.progress.outdated
            || standing != self.replicas
            || standing != self.machines.len()
    }

    /// The window in which it rolls a Machine, where we asked for `window` seconds.
    pub(super) fn window(&self, window: i64) -> i64 {
        window.max(self.days.unwrap_or(0).saturating_mul(DAY))
    }
}

impl Case<'_> {
    /// Publishes what the agents say.
    pub(super) fn control_plane(&self, decision: &mut Decision) {
        let Some(control_plane) = &self.facts.control_plane else { return };
        if matches!(control_plane.etcd, EtcdPlace::External(_)) && self.facts.etcd.is_none() {
            decision.find(Guard::EtcdUnmanaged);
        }
        let mut due = Vec::new();
        let mut writes = Vec::new();
        let mut first = None::<Timestamp>;
        for machine in control_plane.living() {
            let wanted = self.wanted(control_plane, machine, decision);
            first = first.into_iter().chain(wanted.date_of(machine)).min();
            match wanted {
                Wanted::Date(record, expiry) => {
                    decision.is_near |= self.is_due(control_plane, record.date, DAY);
                    if self.is_due(control_plane, record.date, AHEAD) {
                        due.push((machine.name.clone(), expiry));
                    }
                    if machine.published != Published::Ours(record) {
                        let machine = machine.name.clone();
                        let action = Action::Annotate { machine, record };
                        writes.push(Planned { action, reason: Reason::DateChanged });
                    }
                }
                Wanted::AsItIs => {
                    let carried = machine.published.ours();
                    decision.is_near |=
                        carried.is_some_and(|ours| self.is_due(control_plane, ours.date, DAY));
                }
                Wanted::HandsOff(guard) => decision.find_of(&machine.name, guard),
                Wanted::Nothing(guard) => {
                    decision.find_of(&machine.name, guard);
                    if machine.published.ours().is_some() && !control_plane.is_rolling() {
                        let machine = machine.name.clone();
                        let action = Action::Unannotate { machine };
                        writes.push(Planned { action, reason: Reason::Withdrawn });
                    }
                }
            }
        }
        // Written down before anything can be rolled for it.
        self.record(control_plane, due, decision);
        decision.actions.extend(writes);
        self.days(control_plane, decision);
        let days = self.days_then(control_plane, decision);
        decision.control_plane_from =
            first.zip(days).map(|(first, days)| before(first, days.saturating_mul(DAY)));
    }

    /// Whether a date is in the control plane's window, or will be so soon.
    pub(super) fn is_due(&self, control_plane: &ControlPlane, date: Timestamp, ahead: i64) -> bool {
        before(date, control_plane.window(self.opt_in.window()).saturating_add(ahead)) <= self.now
    }

    fn wanted(
        &self,
        control_plane: &ControlPlane,
        machine: &ControlPlaneMachine,
        decision: &mut Decision,
    ) -> Wanted {
        if control_plane.template_has_key {
            return Wanted::HandsOff(Guard::Overridden);
        }
        if let Published::Foreign(date) = machine.published {
            let guard = date.map_or(Guard::OverriddenByNoDate, |_| Guard::Overridden);
            return Wanted::HandsOff(guard);
        }
        match self.agents_record(control_plane, machine) {
            Ok((record, expiry, renewal)) => {
                if expiry.not_after <= self.now {
                    decision.find_of(&machine.name, Guard::Expired);
                }
                if let Some(guard) =
                    self.in_vain(control_plane, machine, record.date, &expiry, renewal)
                {
                    return Wanted::Nothing(guard);
                }
                if self.waits_for_etcd(control_plane, record.date) {
                    decision.find_of(&machine.name, Guard::EtcdFirst);
                    return Wanted::AsItIs;
                }
                Wanted::Date(record, expiry)
            }
            Err(guard) => {
                decision.find_of(&machine.name, guard);
                // Absence never removes protection; the key that somebody took is put back (C9).
                match machine.published {
                    Published::Lost(record) => {
                        Wanted::Date(record, Expiry { not_after: record.date, path: None })
                    }
                    _ => Wanted::AsItIs,
                }
            }
        }
    }

    /// The record that the agent's report asks for, and the certificate it is for.
    fn agents_record(
        &self,
        control_plane: &ControlPlane,
        machine: &ControlPlaneMachine,
    ) -> Result<(Record, Expiry, Renewal), Guard> {
        let report = match &machine.report {
            NodeReport::NoNode | NodeReport::NoAgent if self.is_starting(machine.born) => {
                return Err(Guard::Starting);
            }
            NodeReport::NoNode => return Err(Guard::NoNode),
            NodeReport::Unreachable => return Err(Guard::Unreachable),
            NodeReport::NoAgent => return Err(Guard::NoAgent),
            NodeReport::Of(report) => report,
        };
        let mut movement = self.usable(report, self.parameters.fresh_node)?;
        let mut expiry = report.machine_rollout.clone().ok_or(Guard::Waiting)?;
        // C3: once the Secret has a later pair, rolling the machine renews the file of the old one.
        let mut renewal = Renewal::Machine;
        let file = report.etcd_rollout.filter(|file| *file < expiry.not_after);
        let secret = self.facts.etcd.as_ref().map(EtcdCluster::client_pair_ends);
        // A degraded report may lack apiserver.crt, whose date is KCP's own, which ours would hide.
        let degraded = movement == Movement::Earlier(Guard::Degraded);
        match (file, secret) {
            (Some(file), Some(Some(secret))) if secret > after(file, DAY) => {
                expiry = Expiry { not_after: file, path: Some(ETCD_CLIENT.to_owned()) };
                renewal = Renewal::Secret;
            }
            (Some(_), Some(None)) => movement = Movement::Earlier(Guard::SecretUnread),
            _ => {}
        }
        let own = machine.own_as_renewed().filter(|own| degraded && *own < expiry.not_after);
        if let Some(own) = own {
            expiry = Expiry { not_after: own, path: None };
            renewal = Renewal::Machine;
        }
        if !self.is_plausible(expiry.not_after) {
            return Err(Guard::Implausible);
        }
        let old = machine.published.last();
        // Where KCP's own date is known to be of before a renewal, that has to be known after this one, too.
        let renewed = machine.own.is_some_and(|own| own < expiry.not_after);
        let new = Record { date: expiry.not_after, degraded: degraded && !renewed };
        // Also over a degraded report's leave to follow a renewal: KCP would see a machine that need not be replaced.
        if control_plane.is_rolling() {
            movement = Movement::Earlier(Guard::Rolling);
        }
        let record = moved(new, old, movement)?.or(old).unwrap_or(new);
        Ok((record, expiry, renewal))
    }

    /// Whether rolling the machine for this would be in vain (C5, C6).
    fn in_vain(
        &self,
        control_plane: &ControlPlane,
        machine: &ControlPlaneMachine,
        date: Timestamp,
        expiry: &Expiry,
        renewal: Renewal,
    ) -> Option<Guard> {
        let same = |entry: &&RolledFor| {
            machine.born > entry.at
                && expiry.path.as_ref() == Some(&entry.path)
                && date <= self.covered_by(entry)
        };
        if let Some(entry) = control_plane.rolled_for.iter().find(same) {
            let acknowledged = self.facts.cluster.acknowledged.as_deref();
            if acknowledged != Some(entry.id().as_str()) {
                return Some(Guard::NotRenewed);
            }
        }
        let window = control_plane.window(self.opt_in.window());
        let in_vain = match self.pairs.last().filter(|_| renewal == Renewal::Secret) {
            // A replacement has the Secret's pair, however old the one is that this machine was born with; and a
            // machine that was made since the Secret has that pair has it, too.
            Some(pair) => {
                machine.born > after(pair.first_seen, self.parameters.skew)
                    || self.is_born_due(self.now, pair.not_after, window)
            }
            None => self.is_born_due(machine.born, date, window),
        };
        in_vain.then_some(Guard::BornDue)
    }

    /// Whether the control plane would be rolled now and once more for etcd (C11).
    fn waits_for_etcd(&self, control_plane: &ControlPlane, date: Timestamp) -> bool {
        !self.is_urgent(date)
            && (control_plane.days.is_none() || control_plane.has_our_days())
            && self.is_due(control_plane, date, 0)
            && self.etcd_comes_first()
    }

    /// Takes back what is ours, once, and not while the control plane is rolled.
    pub(super) fn withdraw(&self, decision: &mut Decision) {
        let Some(control_plane) = &self.facts.control_plane else { return };
        if control_plane.is_rolling() {
            self.take_endless_days_back(decision);
            return;
        }
        // Before the dates: KCP would act on its own where ours are gone.
        if control_plane.has_our_days() {
            decision.act(Action::SetDays(None), Reason::Withdrawn);
            decision.is_near = true;
            return;
        }
        let of_etcd = self.facts.etcd.iter().flat_map(|etcd| &etcd.machines);
        let of_etcd = of_etcd.map(|machine| (&machine.name, &machine.published));
        // Under days of somebody else KCP would act on a date of before a renewal in place.
        let hides = |machine: &&ControlPlaneMachine| {
            let own = machine.own.filter(|own| self.is_due(control_plane, *own, 0));
            let ours = machine.published.ours().map(|ours| ours.date);
            control_plane.days.is_some() && own.is_some() && ours > own
        };
        let machines = control_plane.machines.iter().filter(|machine| !hides(machine));
        let machines = machines.map(|machine| (&machine.name, &machine.published));
        for (name, published) in machines.chain(of_etcd) {
            decision.take_back(name, published);
        }
    }
}
