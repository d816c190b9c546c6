//! The control plane's days before expiry: set where nobody did, and taken back where they would have it rolled for
//! ever (C0, C5, C11).

use expiryd_api::Timestamp;

use super::opt_in::most_of_control_plane;
use super::{Action, Case, Decision, Guard, OptIn, Reason, before};
use crate::facts::{ControlPlane, ControlPlaneMachine};
use crate::memory::Published;
use crate::parameters::DAY;

impl Case<'_> {
    /// Sets the control plane's days where nobody did, or takes back ours (C0, C5, C11). With days KCP acts on
    /// its own dates as well, so not where one is due and ours is only being written by this decision.
    pub(super) fn days(&self, control_plane: &ControlPlane, decision: &mut Decision) {
        let OptIn::Full(wanted) = *self.opt_in else { return };
        let living = || control_plane.living();
        let due_for_ever =
            self.born_due_by_kcp(control_plane).chain(self.due_by_template(control_plane));
        for machine in due_for_ever {
            decision.find_of(&machine.name, Guard::BornDue);
        }
        if self.rolls_for_ever(control_plane) {
            self.take_endless_days_back(decision);
            return;
        }
        let set_by_others = control_plane.days.is_some() && !control_plane.has_our_days();
        if control_plane.days == Some(wanted) || set_by_others {
            return;
        }
        let dated = |machine: &ControlPlaneMachine| {
            machine.published.date().is_some() || machine.own.is_some()
        };
        if living().next().is_none() || !living().all(dated) {
            return;
        }
        let is_due = |date: &Timestamp| before(*date, self.opt_in.window()) <= self.now;
        let ours = || living().filter_map(|machine| machine.published.ours()).map(|ours| ours.date);
        let bare = || {
            let dated = living().filter_map(|machine| Some((machine, machine.own_alone()?)));
            dated.filter(|(_, own)| is_due(own))
        };
        let is_written = |name: &str| {
            decision.actions.iter().any(|planned| {
                matches!(&planned.action, Action::Annotate { machine, .. } if machine == name)
            })
        };
        if bare().any(|(machine, _)| is_written(&machine.name)) {
            decision.is_near = true;
            return;
        }
        let first = ours().chain(bare().map(|(_, own)| own)).min();
        let is_unconfirmed = |own: Timestamp| own <= self.now || !self.is_urgent(own);
        // One machine too many is less than all that others say, one that is about to end, or that a person wants
        // replaced.
        let is_urgent = |machine: &ControlPlaneMachine| {
            let date = machine.published.date().filter(|_| machine.own_alone().is_none());
            date.is_some_and(|date| self.is_urgent(date))
        };
        let ends = || bare().any(|(_, own)| own > self.now && self.is_urgent(own));
        if first
            .is_some_and(|date| is_due(&date) && !self.is_urgent(date) && self.etcd_comes_first())
        {
            decision.find(Guard::EtcdFirst);
        } else if bare().any(|(_, own)| is_unconfirmed(own)) && !ends() && !living().any(is_urgent)
        {
            decision.find(Guard::OwnDateUnconfirmed);
        } else if control_plane.topology_owned {
            decision.find(Guard::DaysOwned);
        } else {
            decision.act(Action::SetDays(Some(wanted)), Reason::OptedIn);
        }
    }

    /// The days that the control plane has once a decision's writes are made, and those that it gets after that.
    pub(super) fn days_then(
        &self,
        control_plane: &ControlPlane,
        decision: &Decision,
    ) -> Option<i64> {
        let planned = decision.actions.iter().find_map(|planned| match planned.action {
            Action::SetDays(days) => Some(days),
            _ => None,
        });
        let withheld =
            [Guard::EtcdFirst, Guard::OwnDateUnconfirmed, Guard::DaysOwned, Guard::BornDue];
        let is_withheld = || decision.findings.iter().any(|one| withheld.contains(&one.guard));
        let wanted = || Some(self.opt_in.days()).filter(|days| *days > 0 && !is_withheld());
        planned.unwrap_or_else(|| control_plane.days.or_else(wanted))
    }

    /// Machines that KCP would replace for ever, by its own dates alone: a lie of one machine must not take the
    /// others' protection.
    fn born_due_by_kcp<'a>(
        &self,
        control_plane: &'a ControlPlane,
    ) -> impl Iterator<Item = &'a ControlPlaneMachine> {
        let window = control_plane.window(self.opt_in.window());
        let case = *self;
        control_plane.living().filter(move |machine| {
            let is_bare = matches!(machine.published, Published::Nothing | Published::Lost(_));
            let is_due = |own| case.is_born_due(machine.born, own, window);
            is_bare && machine.own.is_some_and(is_due)
        })
    }

    /// Machines whose date comes from the template and is about to be due: each replacement has the same.
    fn due_by_template<'a>(
        &self,
        control_plane: &'a ControlPlane,
    ) -> impl Iterator<Item = &'a ControlPlaneMachine> {
        let case = *self;
        let from_template = control_plane.living().filter(|_| control_plane.template_has_key);
        from_template.filter(move |machine| match machine.published {
            Published::Foreign(Some(date)) => case.is_due(control_plane, date, DAY),
            _ => false,
        })
    }

    /// Whether the control plane would be rolled for ever.
    fn rolls_for_ever(&self, control_plane: &ControlPlane) -> bool {
        control_plane.days.is_some_and(|days| days > most_of_control_plane(self.facts))
            || self.born_due_by_kcp(control_plane).next().is_some()
            || self.due_by_template(control_plane).next().is_some()
    }

    /// Takes back days of ours with which the control plane would be rolled for ever, in mid-rollout, too: it would
    /// never be over.
    pub(super) fn take_endless_days_back(&self, decision: &mut Decision) {
        let Some(control_plane) = &self.facts.control_plane else { return };
        if control_plane.has_our_days() && self.rolls_for_ever(control_plane) {
            decision.act(Action::SetDays(None), Reason::Withdrawn);
        }
    }
}
