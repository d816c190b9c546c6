//! The client pair that etcdadm-controller holds: it keeps the old one for ever, and once that has ended it
//! takes healthy members for failed and removes them, without end (E9).

use expiryd_api::Timestamp;

use super::{Action, Case, Decision, Guard, OptIn, Reason, after, before};
use crate::facts::EtcdCluster;
use crate::memory::ClientPair;
use crate::parameters::DAY;

/// Pairs that are remembered; a cluster gets about two a year.
const PAIRS: usize = 20;

/// After how long a pair that was put back is taken for what the Secret has.
const LEFT_ALONE: i64 = 2 * DAY;

/// How long a pair lives that etcdadm-controller makes (a year, `CertificateValidity` of etcdadm).
const LIFETIME: i64 = 365 * DAY;

/// Until when the pair that etcdadm-controller holds can be relied upon: the earliest end among the pairs
/// that the Secret has had since it was started, or ever, where nobody saw it start. If it was started before
/// the first pair that was seen was made, it holds one that nobody has seen, and that can be relied upon no
/// longer than until that start. The clocks may be so many seconds apart.
pub fn held_until(
    pairs: &[ClientPair],
    started_at: Option<Timestamp>,
    skew: i64,
) -> Option<Timestamp> {
    if let (Some(first), Some(started)) = (pairs.first(), started_at)
        && after(started, skew) < first.first_seen.min(before(first.not_after, LIFETIME))
    {
        return Some(started);
    }
    let since = started_at.map(|started| before(started, skew));
    let replaced = pairs.iter().skip(1).map(|next| Some(next.first_seen)).chain([None]);
    let had = pairs.iter().zip(replaced).filter(|(_, replaced)| match (since, replaced) {
        (Some(since), Some(replaced)) => *replaced >= since,
        _ => true,
    });
    had.map(|(pair, _)| pair.not_after).min()
}

/// The pairs that the Secret has had, with the one that it has now.
pub(super) fn pairs(etcd: &EtcdCluster, now: Timestamp) -> Vec<ClientPair> {
    let mut pairs = etcd.pairs.clone();
    if let Some(secret) = &etcd.secret
        && pairs.last().is_none_or(|last| last.sha256 != secret.sha256)
    {
        pairs.push(ClientPair {
            sha256: secret.sha256.clone(),
            not_after: secret.not_after,
            first_seen: now,
        });
    }
    pairs.split_off(pairs.len().saturating_sub(PAIRS))
}

impl Case<'_> {
    /// Until when the pair that it holds can be relied upon, of those that the Secret has had.
    pub(super) fn held_until(&self, etcd: &EtcdCluster) -> Option<Timestamp> {
        // Where nobody can see when it was started, a person says that it was, since the newest pair is there.
        let newest = self.pairs.last().filter(|newest| {
            etcd.controller.started_at.is_none()
                && self.facts.cluster.acknowledged.as_ref() == Some(&newest.sha256)
        });
        match newest {
            Some(newest) => Some(newest.not_after),
            None => held_until(self.pairs, etcd.controller.started_at, self.parameters.node_skew),
        }
    }

    /// Whether somebody puts an old pair back into the Secret again and again, as a backup or a pipeline would: one
    /// that is made anew does not stay there. Until it was left alone for a while, or a person says that it will be.
    pub(super) fn is_put_back(&self) -> bool {
        let Some(newest) = self.pairs.last() else { return false };
        self.pairs.iter().filter(|pair| pair.sha256 == newest.sha256).count() > 2
            && newest.first_seen > self.ago(LEFT_ALONE)
            && self.facts.cluster.acknowledged.as_ref() != Some(&newest.sha256)
    }

    /// Remembers the Secret's pairs, and has etcdadm-controller take the new one before the old one ends.
    pub(super) fn client_pair(&self, decision: &mut Decision, gate: Option<Guard>) {
        let Some(etcd) = &self.facts.etcd else { return };
        if gate == Some(Guard::Deleting) {
            return;
        }
        let held = self.held_until(etcd);
        let newest = etcd.client_pair_ends();
        let skew = self.parameters.node_skew;
        let settled = self.pairs.last().is_none_or(|newest| newest.first_seen < self.ago(skew));
        let window = self.opt_in.window().max(7 * DAY);
        let near = after(self.now, window + self.parameters.lead);
        let stale =
            held.filter(|held| newest.is_some_and(|newest| *held < newest) && *held <= near);
        // Then its health checks remove nobody who is well, and are to be done: they alone replace members that fail.
        // Also where the Secret has a later pair by now, if the one that it holds is good for long.
        let reliable = held.is_some_and(|held| held > near || Some(held) == newest);
        // A slip of the pen takes no protection from who is opted in.
        let published = || etcd.machines.iter().any(|machine| machine.published.last().is_some());
        let slipped = *self.opt_in == OptIn::Invalid && published();
        if !self.opt_in.is_full() && !slipped {
            if stale.is_some() && !etcd.controller.is_starting() {
                decision.find(Guard::StalePair);
            } else if etcd.skipped_health_checks && reliable {
                decision.act(Action::SkipHealthChecks(false), Reason::Withdrawn);
            }
            return;
        }
        if etcd.secret.is_none() {
            decision.find(Guard::SecretUnread);
        }
        if self.is_put_back() {
            decision.find(Guard::SecretPutBack);
        }
        if self.pairs != etcd.pairs {
            decision.act(Action::RecordPairs(self.pairs.to_vec()), Reason::PairChanged);
        }
        if etcd.controller.is_starting() {
            // It holds no pair yet, and takes the newest.
            let lately = |at: Timestamp| at > self.ago(self.parameters.stuck);
            if !etcd.controller.restarted_at.is_some_and(lately) {
                decision.find(Guard::EtcdControllerDown);
            }
            return;
        }
        // Without the right to restart it a window before the end: people have had a lead's time by then, and we may be
        // away for a window. With it once no restart has worked: one that is refused, or waits for marks of another
        // cluster, must not become what it would prevent.
        let left = if etcd.controller.may_restart { self.parameters.urgent } else { window };
        if stale.is_some_and(|held| held <= self.within(left)) && !etcd.skipped_health_checks {
            decision.act(Action::SkipHealthChecks(true), Reason::StalePair);
        }
        match stale {
            // So soon after another pair a start could not be told from one before it, and would be followed
            // by another.
            Some(held) if etcd.controller.may_restart && !settled && held > self.within(skew) => {}
            Some(_) if etcd.controller.may_restart => self.restart(etcd, decision),
            Some(_) => decision.find(Guard::StalePair),
            None if etcd.skipped_health_checks && reliable => {
                decision.act(Action::SkipHealthChecks(false), Reason::PairFresh);
            }
            None => {}
        }
    }

    /// Restarts etcdadm-controller, unless it was just restarted or would find half of an intent's marks.
    pub(super) fn restart(&self, etcd: &EtcdCluster, decision: &mut Decision) {
        let lately = |at: Timestamp| at > self.ago(self.parameters.restart_pause);
        let restarted = etcd.controller.restarted_at.is_some_and(lately);
        let planned = |p: &super::Planned| p.action == Action::RestartEtcdController;
        if restarted || self.turn.marks_pending || decision.actions.iter().any(planned) {
            decision.find(Guard::StalePair);
        } else {
            decision.act(Action::RestartEtcdController, Reason::StalePair);
        }
    }
}
