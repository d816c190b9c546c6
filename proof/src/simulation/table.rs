//! What a simulation counts.

use std::collections::BTreeMap;
use std::fmt;

use expiryd_controller::decide::{Action, Planned};
use expiryd_controller::memory::{Intent, Published};

use super::cluster::UPGRADE;
use crate::invariants::{Violation, broken_by_letting_go, let_go};
use crate::world::{DAY, World};

/// Why a machine was replaced for which there is no reason.
const NEEDLESS: &str = "needless";

/// How far a date may be away for a rollout not to be needless: a window, a lead and what is aligned with it.
const SOON: i64 = 75 * DAY;

/// What I3 forbids.
const I3: [Violation; 3] =
    [Violation::StartedWhileRolling, Violation::StartedOverLeftovers, Violation::TooManyMembers];

/// The counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Clusters.
    pub clusters: usize,
    /// Years.
    pub years: i64,
    /// Rollouts of etcd that we began, by their cause.
    pub etcd_rollouts: BTreeMap<&'static str, u64>,
    /// Machines of the control plane that were replaced, by why.
    pub control_plane_machines: BTreeMap<&'static str, u64>,
    /// Machines of etcd that were let go of, by why.
    pub etcd_machines: BTreeMap<&'static str, u64>,
    /// What happened besides.
    pub happenings: BTreeMap<&'static str, u64>,
    /// Clusters of which a certificate ended while it was used.
    pub ended: u64,
    /// Machines that were replaced in a third rollout within a month that nobody asked for.
    pub endless: u64,
    /// Writes of ours.
    pub writes: u64,
    /// Rollouts of etcd begun by us within the time that is aligned after a control plane was rolled alone.
    pub out_of_order: u64,
    /// Decisions that ask for a write again that was just made.
    pub repeated: u64,
    /// What must never be.
    pub violations: BTreeMap<Violation, u64>,
}

impl Table {
    /// Whether all is as it should be.
    pub fn is_fine(&self) -> bool {
        let needless = |of: &BTreeMap<&str, u64>| of.contains_key(NEEDLESS);
        self.ended == 0
            && self.endless == 0
            && self.repeated == 0
            && self.violations.is_empty()
            && !needless(&self.etcd_machines)
            && !needless(&self.control_plane_machines)
    }

    pub(super) fn happened(&mut self, what: &'static str) {
        *self.happenings.entry(what).or_default() += 1;
    }

    /// We write something; `after_alone` if the control plane was rolled alone not long before.
    pub(super) fn wrote(&mut self, planned: &Planned, after_alone: bool) {
        self.writes += 1;
        match &planned.action {
            Action::RecordIntent(Intent { cause, closed: None, .. }) => {
                *self.etcd_rollouts.entry(cause.as_str()).or_default() += 1;
                self.out_of_order += u64::from(after_alone);
            }
            Action::RestartEtcdController => self.happened("restarts of etcdadm-controller by us"),
            _ => {}
        }
    }

    pub(super) const fn ended(&mut self) {
        self.ended += 1;
    }

    pub(super) fn violated(&mut self, violation: Violation) {
        *self.violations.entry(violation).or_default() += 1;
    }

    /// etcdadm-controller lets go of a machine of this world.
    pub(super) fn let_go(&mut self, before: &World, after: &World, lies: bool) {
        let Some((etcd, machine)) = before.etcd.as_ref().zip(let_go(before, after)) else { return };
        let soon = before.now + SOON;
        let is_due = etcd.secret.not_after <= soon || etcd.owned().any(|m| m.leaf <= soon);
        let by_others = machine.mark.as_deref() == Some(UPGRADE);
        if let Some(violation) = broken_by_letting_go(before, machine).filter(|_| !by_others) {
            self.violated(violation);
        }
        let why = match (!by_others, is_due) {
            (false, _) => "by others",
            (true, true) => "due",
            (true, false) if lies => "for a liar",
            (true, false) => NEEDLESS,
        };
        *self.etcd_machines.entry(why).or_default() += 1;
    }

    /// KCP deletes a machine; says why.
    pub(super) fn deleted(
        &mut self,
        before: &World,
        after: &World,
        lies: bool,
        is_endless: bool,
    ) -> Option<&'static str> {
        let was = before.control_plane.machines.iter().find(|machine| {
            let now = after.control_plane.machines.iter().find(|now| now.id == machine.id);
            !machine.deleting && now.is_some_and(|now| now.deleting)
        });
        let machine = was?;
        let soon = before.now + SOON;
        let asked = before.control_plane.rollout_after.is_some_and(|at| machine.born < at);
        let why = if asked {
            "by others"
        } else if machine.endpoints != before.control_plane.endpoints {
            "follows etcd"
        } else if machine.leaf <= soon || machine.client.is_some_and(|p| p.not_after <= soon) {
            "due"
        } else if lies {
            "for a liar"
        } else if matches!(&machine.published, Published::Ours(r) if r.date.unix() <= soon) {
            "renewed in place while due"
        } else {
            NEEDLESS
        };
        *self.control_plane_machines.entry(why).or_default() += 1;
        self.endless += u64::from(is_endless);
        Some(why)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} clusters, {} years", self.clusters, self.years)?;
        for (what, counts) in [
            ("rollout of etcd begun", &self.etcd_rollouts),
            ("machine of etcd replaced", &self.etcd_machines),
            ("machine of the control plane replaced", &self.control_plane_machines),
            ("besides", &self.happenings),
        ] {
            for (why, count) in counts {
                writeln!(f, "{:<56} {count:>8}", format!("{what}: {why}"))?;
            }
        }
        let sum = |violations: &[Violation]| -> u64 {
            violations.iter().filter_map(|one| self.violations.get(one)).sum()
        };
        for (what, count) in [
            ("I1: cluster of which a certificate ended", self.ended),
            ("I2: replaced outside of an intent", sum(&[Violation::OutsideIntent])),
            ("I2: replaced without end", self.endless),
            ("I3: begun at the wrong time, or too many members", sum(&I3)),
            ("I4: etcd soon after a control plane alone", self.out_of_order),
            ("I7: written twice", self.repeated),
            ("I9: etcdadm-controller has a stale pair", sum(&[Violation::StalePair])),
            ("writes", self.writes),
        ] {
            writeln!(f, "{what:<56} {count:>8}")?;
        }
        Ok(())
    }
}
