//! One rollout of etcd: begun once, brought to its end whatever happens, and never twice (E5 to E12).

use expiryd_api::Timestamp;

use super::etcd::{has_endpoints_of, is_quiet};
use super::{Action, Case, Decision, Guard, Reason, Start, after, before};
use crate::facts::{ControlPlane, EtcdCluster, EtcdMachine};
use crate::memory::{Cause, Intent, Nudge};

/// How long etcdadm-controller is given before it is asked to look again.
const NUDGE_PAUSE: i64 = 30;

/// How long everything has to be at rest before an upgrade that nobody finished is finished (E12).
const UPGRADE_OVER: i64 = 3_600;

impl Case<'_> {
    /// Brings the rollout that was begun to its end, or begins one that is due.
    pub(super) fn etcd_rollout(&self, decision: &mut Decision, gate: Option<Guard>) {
        let (Some(etcd), Some(control_plane)) = (&self.facts.etcd, &self.facts.control_plane)
        else {
            return;
        };
        if let Some(intent) = etcd.begun() {
            self.go_on(etcd, control_plane, intent, decision, gate);
        } else {
            self.leftovers(etcd, control_plane, decision, gate);
            self.begin(etcd, control_plane, decision, gate);
        }
    }

    fn begin(
        &self,
        etcd: &EtcdCluster,
        control_plane: &ControlPlane,
        decision: &mut Decision,
        gate: Option<Guard>,
    ) {
        let Some((start, cause)) = self.etcd_start() else { return };
        decision.etcd_start = Some(start);
        let waits = self.start_waits(etcd, control_plane, start);
        let enough = after(self.now, self.parameters.rollout);
        let held = self.held_until(etcd).is_some_and(|held| held > enough);
        let refreshes = cause == Cause::SecretDue && self.turn.refresh_secret_alone;
        // It would come up among the marks.
        let restarts = decision.actions.iter().any(|p| p.action == Action::RestartEtcdController)
            && !self.is_urgent(start.deadline);
        // A pair that has to be made or taken first is no rollout, and nobody waits for it.
        decision.etcd_start_waits =
            gate.is_some() || waits.is_some() || !held || refreshes || restarts;
        // Where many are due at once the schedule has one begin earlier.
        if gate.is_some() || before(start.from, self.turn.early) > self.now {
            return;
        }
        if let Some(guard) = waits {
            decision.find(guard);
            return;
        }
        if !held {
            let newest = etcd.client_pair_ends();
            if self.is_put_back() {
                // Whatever it takes or makes is not what it finds the next time.
                decision.find(Guard::StalePair);
            } else if newest.is_some_and(|newest| newest <= enough) {
                // After a restart it would hold the same one.
                refresh(etcd, Reason::EtcdDue, decision);
            } else if etcd.controller.may_restart {
                self.restart(etcd, decision);
            } else {
                decision.find(Guard::StalePair);
            }
            return;
        }
        if refreshes {
            refresh(etcd, Reason::EtcdDue, decision);
            return;
        }
        let queued = !self.turn.etcd && !self.is_urgent(start.deadline);
        if restarts || queued {
            decision.find(if restarts { Guard::StalePair } else { Guard::Queued });
            return;
        }
        let intent = Intent {
            id: format!("{:x}", self.now.unix()),
            cause,
            machines: self.replaced_by_a_start(etcd, start.deadline),
            secret_not_after: etcd.client_pair_ends(),
            at: self.now,
            closed: None,
        };
        // Written ahead: the marks follow from it, once everything was read again.
        decision.act(Action::RecordIntent(intent), Reason::EtcdDue);
        decision.etcd_rolling = true;
        decision.marks_pending = true;
    }

    /// The Machines that a rollout replaces: all of them, so that they end together from then on, but those
    /// that were just made, as by one that a crash has cut short.
    fn replaced_by_a_start(&self, etcd: &EtcdCluster, deadline: Timestamp) -> Vec<String> {
        let is_fresh = |machine: &EtcdMachine| {
            let align = self.parameters.align;
            let date = self.date(machine);
            machine.born > self.ago(align) && date > Some(after(deadline, align))
        };
        let names = |fresh| {
            let owned = etcd.owned().filter(move |machine| fresh || !is_fresh(machine));
            owned.map(|machine| machine.name.clone()).collect()
        };
        let old: Vec<_> = names(false);
        if old.is_empty() { names(true) } else { old }
    }

    /// What of the cluster itself a start has to wait for.
    fn start_waits(
        &self,
        etcd: &EtcdCluster,
        control_plane: &ControlPlane,
        start: Start,
    ) -> Option<Guard> {
        let closed = etcd.intent.as_ref().and_then(|intent| intent.closed);
        let cools = closed.is_some_and(|closed| {
            // What was closed in the future was closed by another clock.
            closed > self.ago(self.parameters.cool) && closed <= self.within(self.parameters.skew)
        });
        if !is_quiet(etcd, control_plane) || etcd.controller.is_starting() {
            Some(if start.deadline <= self.now { Guard::Expired } else { Guard::NotQuiet })
        } else if etcd.replicas == 1 && !etcd.allow_single {
            Some(Guard::SingleEtcd)
        } else if cools && !self.is_urgent(start.deadline) {
            Some(Guard::Cooling)
        } else {
            None
        }
    }

    fn go_on(
        &self,
        etcd: &EtcdCluster,
        control_plane: &ControlPlane,
        intent: &Intent,
        decision: &mut Decision,
        gate: Option<Guard>,
    ) {
        // Nothing that we write has an effect while etcdadm-controller is paused. Who is paused for too long gives
        // its place to others, and is no storm: somebody did that.
        if etcd.paused || etcd.deleting {
            self.note_progress(etcd, intent, decision);
            decision.etcd_stuck = false;
            return;
        }
        let left: Vec<_> =
            etcd.owned().filter(|machine| intent.machines.contains(&machine.name)).collect();
        if left.len() == intent.machines.len() {
            self.before_effect(etcd, control_plane, intent, &left, decision, gate);
        } else {
            self.after_effect(etcd, control_plane, intent, &left, decision);
            self.leftovers(etcd, control_plane, decision, gate);
        }
    }

    /// Nothing was let go of yet: the set of marks is completed, or taken back.
    fn before_effect(
        &self,
        etcd: &EtcdCluster,
        control_plane: &ControlPlane,
        intent: &Intent,
        left: &[&EtcdMachine],
        decision: &mut Decision,
        gate: Option<Guard>,
    ) {
        let rests = etcd.unowned().next().is_none() && !control_plane.is_rolling();
        if gate.is_some() || !rests {
            for machine in left.iter().filter(|machine| machine.mark.is_some()) {
                let machine = machine.name.clone();
                decision.act(Action::Unmark { machine }, Reason::RolloutWithdrawn);
            }
            if of_intent(etcd, intent).is_some() {
                decision.act(Action::TakeBackNudge, Reason::RolloutWithdrawn);
            }
            self.close(intent, Reason::RolloutWithdrawn, decision);
            return;
        }
        self.note_progress(etcd, intent, decision);
        let unmarked: Vec<_> =
            left.iter().filter(|machine| machine.mark.as_ref() != Some(&intent.id)).collect();
        let nudge = of_intent(etcd, intent);
        // Once all of it is there a restart only has it seen.
        decision.marks_pending = !unmarked.is_empty() || nudge.is_none();
        let nudged = nudge.is_some_and(|nudge| nudge.at > self.ago(NUDGE_PAUSE));
        if unmarked.is_empty() && nudged {
            return;
        }
        // In one burst, and asked to be looked at last: one mark at a time would roll the control plane
        // once for each.
        for machine in unmarked {
            let (machine, id) = (machine.name.clone(), intent.id.clone());
            decision.act(Action::Mark { machine, id }, Reason::RolloutBegun);
        }
        decision.act(Action::Nudge { id: intent.id.clone() }, Reason::RolloutBegun);
    }

    /// Some are let go of: what was not marked by then is no part of it any more.
    fn after_effect(
        &self,
        etcd: &EtcdCluster,
        control_plane: &ControlPlane,
        intent: &Intent,
        left: &[&EtcdMachine],
        decision: &mut Decision,
    ) {
        self.note_progress(etcd, intent, decision);
        let unmarked = |name: &String| {
            left.iter()
                .any(|machine| machine.name == *name && machine.mark.as_ref() != Some(&intent.id))
        };
        let machines: Vec<_> =
            intent.machines.iter().filter(|name| !unmarked(name)).cloned().collect();
        if machines.len() < intent.machines.len() {
            let shrunk = Intent { machines, ..intent.clone() };
            decision.act(Action::RecordIntent(shrunk), Reason::RolloutBegun);
            return;
        }
        let standing = |machine: &EtcdMachine| machine.owned && !machine.deleting;
        let whole =
            etcd.machines.iter().filter(|machine| standing(machine)).count() == etcd.replicas;
        if !left.is_empty() || !whole || !etcd.ready {
            return;
        }
        if self.opt_in.is_full() && !self.is_refreshed(etcd, intent) {
            // etcdadm-controller was killed between letting go of the last and making the pair anew.
            decision.find(Guard::SecretNotRefreshed);
            if etcd.secret.is_some() {
                refresh(etcd, Reason::SecretNotRefreshed, decision);
            }
            return;
        }
        if etcd.upgrading && of_intent(etcd, intent).is_some() {
            // The same crash; before v1.0.17 it does not know that it was upgrading, and KCP waits for ever.
            decision.act(Action::TakeBackNudge, Reason::RolloutBegun);
            return;
        }
        let rests = !control_plane.is_rolling() && has_endpoints_of(control_plane, etcd);
        if rests && etcd.unowned().next().is_none() && !etcd.upgrade_complete {
            self.close(intent, Reason::RolloutOver, decision);
        }
    }

    /// Whether the Secret has another pair than before a rollout: a later one, or one that was first seen since.
    fn is_refreshed(&self, etcd: &EtcdCluster, intent: &Intent) -> bool {
        let is_new = self.pairs.last().is_some_and(|newest| newest.first_seen > intent.at);
        let later = etcd.secret.as_ref().map(|secret| secret.not_after) > intent.secret_not_after;
        etcd.secret.is_some() && (is_new || later)
    }

    fn close(&self, intent: &Intent, reason: Reason, decision: &mut Decision) {
        let closed = Intent { closed: Some(self.now), ..intent.clone() };
        decision.act(Action::RecordIntent(closed), reason);
    }

    /// Notes whether it goes on, or no machine has made progress for too long.
    fn note_progress(&self, etcd: &EtcdCluster, intent: &Intent, decision: &mut Decision) {
        let new = etcd.machines.iter().filter(|machine| !intent.machines.contains(&machine.name));
        let progress = new.map(|machine| machine.born).chain([intent.at]).max();
        let stuck = progress < Some(self.ago(self.parameters.stuck));
        let acknowledged = self.facts.cluster.acknowledged.as_ref() == Some(&intent.id);
        decision.etcd_rolling = !stuck;
        decision.etcd_stuck = stuck && !acknowledged;
        if stuck {
            decision.find(Guard::Stuck);
        }
    }

    /// Members that stay although nothing goes on: they vote, so quorum is lost with fewer failures (E12).
    fn leftovers(
        &self,
        etcd: &EtcdCluster,
        control_plane: &ControlPlane,
        decision: &mut Decision,
        gate: Option<Guard>,
    ) {
        let youngest: Option<Timestamp> = etcd.owned().map(|machine| machine.born).max();
        let since = |seconds| youngest.is_some_and(|born| born < self.ago(seconds));
        if etcd.unowned().next().is_none() || !since(self.parameters.stuck) {
            return;
        }
        decision.find(Guard::Leftovers);
        let over = gate.is_none()
            && since(UPGRADE_OVER)
            && etcd.ready
            && !etcd.upgrade_complete
            && !control_plane.is_rolling()
            && has_endpoints_of(control_plane, etcd);
        if over && self.turn.finish_upgrades {
            decision.act(Action::FinishUpgrade, Reason::UpgradeOver);
        }
    }
}

/// The nudge for this intent's marks.
fn of_intent<'a>(etcd: &'a EtcdCluster, intent: &Intent) -> Option<&'a Nudge> {
    etcd.nudge.as_ref().filter(|nudge| nudge.id == intent.id)
}

/// Has the client pair in the Secret made anew, unless that was asked for and is not done yet.
fn refresh(etcd: &EtcdCluster, reason: Reason, decision: &mut Decision) {
    if etcd.refresh_asked {
        decision.find(Guard::SecretNotRefreshed);
    } else {
        decision.act(Action::RefreshSecret, reason);
    }
}
