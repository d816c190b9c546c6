//! Whose turn it is: one etcd rollout at a time, the earliest deadline first.
//!
//! All of it follows from what the clusters' own decisions say; it is worked out anew after each of them, and
//! nobody has a turn before every cluster was looked at once.

use std::collections::BTreeMap;

use expiryd_api::Timestamp;

use crate::decide::{Decision, Start, Turn};

/// What one cluster asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Request {
    start: Option<Start>,
    rolling: bool,
    marks_pending: bool,
}

/// What the clusters ask for; a cluster that was not looked at yet asks for nothing and keeps all others
/// waiting.
#[derive(Debug, Clone)]
pub struct Schedule<K> {
    limit: usize,
    requests: BTreeMap<K, Option<Request>>,
    refresh_secret_alone: bool,
    finish_upgrades: bool,
}

impl<K: Ord + Clone> Schedule<K> {
    /// At most `limit` etcd rollouts at a time, with these liberties for all clusters (E8, E12).
    pub const fn new(limit: usize, refresh_secret_alone: bool, finish_upgrades: bool) -> Self {
        Self { limit, requests: BTreeMap::new(), refresh_secret_alone, finish_upgrades }
    }

    /// These are the clusters that there are.
    pub fn clusters(&mut self, keys: impl IntoIterator<Item = K>) {
        let mut known = std::mem::take(&mut self.requests);
        self.requests = keys
            .into_iter()
            .map(|key| {
                let request = known.remove(&key).flatten();
                (key, request)
            })
            .collect();
    }

    /// Notes what a decision about a cluster asks for.
    pub fn decided(&mut self, key: &K, decision: &Decision) {
        let request = Request {
            start: decision.etcd_start,
            rolling: decision.etcd_rolling,
            marks_pending: decision.marks_pending,
        };
        self.requests.insert(key.clone(), Some(request));
    }

    /// What a cluster may do at `now`.
    pub fn turn(&self, key: &K, now: Timestamp) -> Turn {
        Turn {
            etcd: self.has_turn(key, now),
            marks_pending: self.requests.values().flatten().any(|request| request.marks_pending),
            refresh_secret_alone: self.refresh_secret_alone,
            finish_upgrades: self.finish_upgrades,
        }
    }

    fn has_turn(&self, key: &K, now: Timestamp) -> bool {
        let rolling = self.requests.iter().filter(|(other, request)| {
            *other != key && request.is_some_and(|request| request.rolling)
        });
        let Some(free) = self.limit.checked_sub(rolling.count()).filter(|free| *free > 0) else {
            return false;
        };
        if self.requests.values().any(Option::is_none) {
            return false;
        }
        let mut due: Vec<_> = self
            .requests
            .iter()
            .filter_map(|(key, request)| {
                let request = request.filter(|request| !request.rolling)?;
                let start = request.start.filter(|start| start.from <= now)?;
                Some((start.deadline, key))
            })
            .collect();
        due.sort();
        due.iter().take(free).any(|(_, first)| *first == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    /// A cluster whose etcd is due from `from` on and ends at `deadline`.
    fn due(from: i64, deadline: i64) -> Decision {
        let start = Start { from: at(from), deadline: at(deadline) };
        Decision { etcd_start: Some(start), ..Decision::default() }
    }

    fn rolling() -> Decision {
        Decision { etcd_rolling: true, ..Decision::default() }
    }

    fn schedule(limit: usize, decisions: &[(&'static str, Decision)]) -> Schedule<&'static str> {
        let mut schedule = Schedule::new(limit, false, false);
        schedule.clusters(decisions.iter().map(|(key, _)| *key));
        for (key, decision) in decisions {
            schedule.decided(key, decision);
        }
        schedule
    }

    fn turns(schedule: &Schedule<&'static str>, keys: &[&'static str]) -> Vec<bool> {
        keys.iter().map(|key| schedule.turn(key, NOW).etcd).collect()
    }

    #[test]
    fn the_earliest_deadline_of_those_that_are_due_goes_first() {
        let all = [("a", due(900, 3_000)), ("b", due(999, 2_000)), ("c", due(1_001, 1_500))];
        assert_eq!(turns(&schedule(1, &all), &["a", "b", "c"]), [false, true, false]);
        assert_eq!(turns(&schedule(2, &all), &["a", "b", "c"]), [true, true, false]);
    }

    #[test]
    fn a_rollout_that_goes_on_keeps_the_others_waiting_and_not_itself() {
        let all = [("a", rolling()), ("b", due(0, 2_000))];
        assert_eq!(turns(&schedule(1, &all), &["b"]), [false]);
        assert_eq!(turns(&schedule(2, &all), &["b"]), [true]);
    }

    #[test]
    fn nobody_has_a_turn_before_every_cluster_was_looked_at() {
        let mut schedule = schedule(1, &[("a", due(0, 2_000))]);
        schedule.clusters(["a", "b"]);
        assert_eq!(turns(&schedule, &["a"]), [false]);
        schedule.decided(&"b", &Decision::default());
        assert_eq!(turns(&schedule, &["a"]), [true]);
        // One that is gone is waited for no longer.
        schedule.decided(&"b", &rolling());
        schedule.clusters(["a"]);
        assert_eq!(turns(&schedule, &["a"]), [true]);
    }

    #[test]
    fn marks_of_any_cluster_are_told_to_all() {
        let pending = Decision { marks_pending: true, ..Decision::default() };
        let schedule = schedule(1, &[("a", pending), ("b", Decision::default())]);
        assert!(schedule.turn(&"b", NOW).marks_pending);
    }
}
