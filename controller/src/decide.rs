//! What to do about one cluster, and why: a pure function of the facts and the time.
//!
//! The rules have the names that docs/controller.md gives them: G for what stops everything, C for the
//! control plane's machines, E for an external etcd.

mod action;
mod client_pair;
mod control_plane;
mod date;
mod days;
mod etcd;
mod guard;
mod opt_in;
mod rolled_for;
mod rollout;

use expiryd_api::Timestamp;

use crate::facts::Facts;
use crate::memory::{ClientPair, Published};
use crate::parameters::{DAY, Parameters};
pub use action::{Action, ActionName, Part, Planned, Reason};
pub use client_pair::held_until;
use client_pair::pairs;
pub use guard::{Concern, Finding, Guard};
pub use opt_in::OptIn;

/// Days that kubeadm and etcdadm give a certificate (kubeadm `constants.go`,
/// `CertificateValidityPeriod`).
const USUAL_LIFETIME: i64 = 365;

/// What follows for one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Writes, in this order; each rests on those before it.
    pub actions: Vec<Planned>,
    /// Why more is not done.
    pub findings: Vec<Finding>,
    /// When Cluster API rolls the first machine of the control plane, by the dates that they carry once all of this is
    /// written; `None` where it has no days and gets none.
    pub control_plane_from: Option<Timestamp>,
    /// When etcd is to be rolled, and by when at the latest; `None` when nothing of it is due to be.
    pub etcd_start: Option<Start>,
    /// Whether that start waits for something of this cluster itself, so that no other one waits for its turn.
    pub etcd_start_waits: bool,
    /// Whether an etcd rollout of ours goes on, and is not stuck.
    pub etcd_rolling: bool,
    /// Whether one is stuck, and nobody has acknowledged that.
    pub etcd_stuck: bool,
    /// Whether it goes before all others, and while no other does: it is the management cluster.
    pub goes_alone: bool,
    /// Whether its marks may be there and have had no effect yet: etcdadm-controller is not to be restarted.
    pub marks_pending: bool,
    /// Whether a date is within a day of its window, so that it is looked at more often.
    pub is_near: bool,
}

/// When to start an etcd rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// From then on.
    pub from: Timestamp,
    /// The certificate ends.
    pub deadline: Timestamp,
}

/// What the other clusters leave to this one, and what may be done besides dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Whether it is this cluster's turn to start an etcd rollout.
    pub etcd: bool,
    /// So many seconds before it has to, because of those after it.
    pub early: i64,
    /// Whether the first mark of any intent is written and its nudge not: EC is not to be restarted then.
    pub marks_pending: bool,
    /// Have the Secret alone refreshed where it alone is due.
    pub refresh_secret_alone: bool,
    /// Write upgrade-complete where a person would.
    pub finish_upgrades: bool,
}

impl Turn {
    /// As if there were no other cluster, and with nothing allowed that has to be asked for.
    pub const ALONE: Self = Self {
        etcd: true,
        early: 0,
        marks_pending: false,
        refresh_secret_alone: false,
        finish_upgrades: false,
    };
}

impl Decision {
    /// Whether another decision follows from what is written now, and should not wait: a rollout of etcd is
    /// begun or taken back. A date that an agent changes again and again is none of it.
    pub fn is_followed_up(&self) -> bool {
        self.actions.iter().any(|planned| match planned.action {
            Action::RecordIntent(_)
            | Action::Mark { .. }
            | Action::Unmark { .. }
            | Action::Nudge { .. }
            | Action::TakeBackNudge => true,
            Action::Annotate { .. }
            | Action::Unannotate { .. }
            | Action::SetDays(_)
            | Action::RecordRolledFor(_)
            | Action::RecordPairs(_)
            | Action::SkipHealthChecks(_)
            // Others do these, and not at once.
            | Action::RefreshSecret
            | Action::RestartEtcdController
            | Action::FinishUpgrade => false,
        })
    }

    fn act(&mut self, action: Action, reason: Reason) {
        self.actions.push(Planned { action, reason });
    }

    /// Takes what is ours off a Machine, where anything is.
    fn take_back(&mut self, machine: &str, published: &Published) {
        if published.last().is_some() {
            let machine = machine.to_owned();
            self.act(Action::Unannotate { machine }, Reason::Withdrawn);
        }
    }

    fn find(&mut self, guard: Guard) {
        self.findings.push(Finding { machine: None, guard });
    }

    fn find_of(&mut self, machine: &str, guard: Guard) {
        self.findings.push(Finding { machine: Some(machine.to_owned()), guard });
    }
}

/// Decides about one cluster.
pub fn decide(facts: &Facts, parameters: &Parameters, turn: Turn, now: Timestamp) -> Decision {
    let mut decision = Decision { goes_alone: facts.cluster.is_management, ..Decision::default() };
    let opt_in = OptIn::of(facts);
    let pairs = facts.etcd.as_ref().map(|etcd| pairs(etcd, now)).unwrap_or_default();
    let case = Case { facts, parameters, turn, now, opt_in: &opt_in, pairs: &pairs };
    let gate = case.gate();
    decision.findings.extend(gate.map(|guard| Finding { machine: None, guard }));
    match gate {
        Some(Guard::NotOptedIn | Guard::InPlace) => case.withdraw(&mut decision),
        // What cannot be followed takes nothing back, since it may be a slip of the pen in mid-window; but days with
        // which the control plane would be rolled for ever.
        Some(Guard::InvalidOptIn) => case.take_endless_days_back(&mut decision),
        Some(_) => {}
        None => {
            case.control_plane(&mut decision);
            case.etcd_dates(&mut decision);
        }
    }
    if case.ca_ends() {
        decision.find(Guard::CaEnds);
    }
    // What was begun comes to its end, and a pair that goes stale kills members, whatever the gate says.
    case.client_pair(&mut decision, gate);
    case.etcd_rollout(&mut decision, gate);
    decision.findings.sort();
    decision.findings.dedup();
    decision
}

/// One cluster, while it is decided about.
#[derive(Clone, Copy)]
struct Case<'a> {
    facts: &'a Facts,
    parameters: &'a Parameters,
    turn: Turn,
    now: Timestamp,
    opt_in: &'a OptIn,
    /// The client pairs that etcd's Secret has had, with the one that it has now.
    pairs: &'a [ClientPair],
}

impl Case<'_> {
    /// The first gate that is closed (G1 to G4).
    fn gate(&self) -> Option<Guard> {
        let Facts { cluster, control_plane, etcd } = self.facts;
        let Some(control_plane) = control_plane else {
            // Of a cluster that nobody opted in nobody is told that it could not be helped.
            let asked = *self.opt_in != OptIn::No;
            return Some(if asked { Guard::UnsupportedControlPlane } else { Guard::NotOptedIn });
        };
        let etcd_deleting = etcd.as_ref().is_some_and(|etcd| etcd.deleting);
        let etcd_paused = etcd.as_ref().is_some_and(|etcd| etcd.paused);
        if cluster.deleting || control_plane.deleting || etcd_deleting {
            Some(Guard::Deleting)
        } else if cluster.paused || control_plane.paused || etcd_paused {
            Some(Guard::Paused)
        } else if *self.opt_in == OptIn::No {
            Some(Guard::NotOptedIn)
        } else if *self.opt_in == OptIn::Invalid {
            Some(Guard::InvalidOptIn)
        } else if cluster.hold {
            Some(Guard::Hold)
        } else if control_plane.in_place {
            Some(Guard::InPlace)
        } else {
            None
        }
    }

    /// Whether a CA ends within the life of a leaf.
    fn ca_ends(&self) -> bool {
        let life = self.facts.lifetime_days().unwrap_or(USUAL_LIFETIME).saturating_mul(DAY);
        let of_etcd = self.facts.etcd.as_ref().and_then(|etcd| etcd.ca_not_after);
        let mut ends = [self.facts.cluster.ca_not_after, of_etcd].into_iter().flatten();
        ends.any(|end| end <= after(self.now, life))
    }

    /// Whether so little is left that nothing waits for its turn.
    fn is_urgent(&self, date: Timestamp) -> bool {
        before(date, self.parameters.urgent) <= self.now
    }

    /// Whether a machine was made so lately that it need not be heard yet.
    fn is_starting(&self, born: Timestamp) -> bool {
        born > self.ago(self.parameters.stuck)
    }

    fn ago(&self, seconds: i64) -> Timestamp {
        Timestamp::from_unix(self.now.unix().saturating_sub(seconds))
    }

    fn within(&self, seconds: i64) -> Timestamp {
        Timestamp::from_unix(self.now.unix().saturating_add(seconds))
    }
}

/// A time so many seconds before another.
fn before(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix(time.unix().saturating_sub(seconds))
}

/// A time so many seconds after another.
fn after(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix(time.unix().saturating_add(seconds))
}

#[cfg(test)]
mod tests;
