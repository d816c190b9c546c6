//! Whose turn it is: one etcd rollout at a time, the earliest deadline first.
//!
//! All of it follows from what the clusters' own decisions say; it is worked out anew after each of them, and
//! nobody has a turn before every cluster was looked at once.

use std::collections::BTreeMap;

use expiryd_api::Timestamp;

use crate::decide::{Decision, Start, Turn};
use crate::parameters::Parameters;

/// What one cluster asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Request {
    start: Option<Start>,
    /// It waits for something of its own, so nobody waits for its turn.
    waits: bool,
    rolling: bool,
    stuck: bool,
    marks_pending: bool,
    alone: bool,
    /// Until then it has no turn, because what it last wrote for a rollout was refused.
    refused: Option<Timestamp>,
}

impl Request {
    fn waits(&self, now: Timestamp) -> bool {
        self.waits || self.refused.is_some_and(|until| until > now)
    }
}

/// What is allowed for all clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Etcd rollouts at a time.
    pub rollouts: usize,
    /// See [`Turn::refresh_secret_alone`].
    pub refresh_secret_alone: bool,
    /// See [`Turn::finish_upgrades`].
    pub finish_upgrades: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { rollouts: 1, refresh_secret_alone: false, finish_upgrades: false }
    }
}

/// So many rollouts that are stuck are a storm: nothing new is begun until somebody has looked.
const STORM: usize = 2;

/// How long, in seconds, a cluster whose writes are refused leaves its turn to others before it tries again.
const REFUSED: i64 = 600;

/// What the clusters ask for; a cluster that was not looked at yet asks for nothing and keeps all others
/// waiting.
#[derive(Debug, Clone)]
pub struct Schedule<K> {
    policy: Policy,
    expected: i64,
    earliest: i64,
    requests: BTreeMap<K, Option<Request>>,
}

/// A cluster that has not begun.
struct Next<'a, K> {
    /// When it begins at the latest.
    from: Timestamp,
    /// So many seconds before its own start.
    early: i64,
    alone: bool,
    waits: bool,
    key: &'a K,
}

impl<K: Ord + Clone> Schedule<K> {
    /// Nothing is known of any cluster yet.
    pub const fn new(policy: Policy, parameters: &Parameters) -> Self {
        let (expected, earliest) = (parameters.expected_rollout, parameters.align);
        Self { policy, expected, earliest, requests: BTreeMap::new() }
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
        let known = self.requests.get(key).copied().flatten();
        let request = Request {
            refused: known.and_then(|known| known.refused),
            start: decision.etcd_start,
            waits: decision.etcd_start_waits,
            rolling: decision.etcd_rolling,
            stuck: decision.etcd_stuck,
            marks_pending: decision.marks_pending,
            alone: decision.goes_alone,
        };
        self.requests.insert(key.clone(), Some(request));
    }

    /// Notes that what a decision wrote for a rollout of etcd was not written.
    pub fn refused(&mut self, key: &K, now: Timestamp) {
        if let Some(Some(request)) = self.requests.get_mut(key) {
            request.refused = Some(Timestamp::from_unix(now.unix().saturating_add(REFUSED)));
        }
    }

    /// Notes that a cluster cannot be read: the others wait for it no longer. A rollout of it that was stuck stays so.
    pub fn unread(&mut self, key: &K) {
        let known = self.requests.get(key).copied().flatten().unwrap_or_default();
        let request = Request { stuck: known.stuck, ..Request::default() };
        self.requests.insert(key.clone(), Some(request));
    }

    /// What a cluster may do at `now`.
    pub fn turn(&self, key: &K, now: Timestamp) -> Turn {
        let early = self.early(key, now);
        Turn {
            etcd: early.is_some(),
            early: early.unwrap_or(0),
            // Of a cluster that was not looked at yet nobody knows.
            marks_pending: self
                .requests
                .values()
                .any(|request| request.is_none_or(|request| request.marks_pending)),
            refresh_secret_alone: self.policy.refresh_secret_alone,
            finish_upgrades: self.policy.finish_upgrades,
        }
    }

    /// How many seconds before its own start a cluster may begin; `None` when it is not its turn.
    fn early(&self, key: &K, now: Timestamp) -> Option<i64> {
        // Whoever is far from its own start need not be compared with all others.
        let start = self.requests.get(key).copied().flatten()?.start?;
        if start.from.unix() - self.earliest > now.unix()
            || self.requests.values().any(Option::is_none)
        {
            return None;
        }
        let known = || self.requests.values().flatten();
        let mut rolling = self.requests.iter().filter_map(|(other, request)| {
            request.filter(|request| request.rolling && other != key)
        });
        let count = rolling.clone().count();
        if count >= self.policy.rollouts
            || rolling.any(|request| request.alone)
            || known().filter(|request| request.stuck).count() >= STORM
        {
            return None;
        }
        let due = self.starts(now).into_iter().filter(|next| next.from <= now && !next.waits);
        let due: Vec<_> = due.collect();
        let free = match due.first() {
            Some(first) if first.alone => usize::from(count == 0),
            _ => self.policy.rollouts - count,
        };
        due.iter().take(free).find(|next| next.key == key).map(|next| next.early)
    }

    /// When each cluster that has not begun begins at the latest, in the order of their turns: early enough
    /// for those after it, where many are due at once.
    fn starts(&self, now: Timestamp) -> Vec<Next<'_, K>> {
        let mut starts: Vec<_> = self
            .requests
            .iter()
            .filter_map(|(key, request)| {
                let request = request.filter(|request| !request.rolling)?;
                Some((request.start?, request, key))
            })
            .collect();
        starts.sort_by_key(|(start, request, key)| (!request.alone, start.deadline, *key));
        // From the last to the first: whoever begins ends before the one begins that takes its place.
        let mut planned: Vec<Next<'_, K>> = Vec::with_capacity(starts.len());
        for (start, request, key) in starts.into_iter().rev() {
            let next = planned.len().checked_sub(self.policy.rollouts).and_then(|i| planned.get(i));
            let own = start.from.unix();
            let for_others = next.map_or(own, |next| next.from.unix() - self.expected);
            let from = own.min(for_others).max(own - self.earliest);
            let (early, from) = (own - from, Timestamp::from_unix(from));
            let (alone, waits) = (request.alone, request.waits(now));
            planned.push(Next { from, early, alone, waits, key });
        }
        planned.reverse();
        planned
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
        let policy = Policy { rollouts: limit, ..Policy::default() };
        let mut schedule = Schedule::new(policy, &Parameters::default());
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
        let all = [("a", due(900, 3_000)), ("b", due(999, 2_000)), ("c", due(9_001, 9_500))];
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
    fn where_many_are_due_at_once_the_first_begin_so_early_that_the_last_has_its_time() {
        const DAYS: i64 = 86_400;
        let all = [("a", 0), ("b", 0), ("c", 0)].map(|(key, _)| (key, due(90 * DAYS, 100 * DAYS)));
        let hours = |n: i64| Timestamp::from_unix(90 * DAYS - n * 3_600);
        let turn = |limit, now| {
            let schedule = schedule(limit, &all);
            ["a", "b", "c"].map(|key| schedule.turn(&key, now).etcd)
        };
        assert_eq!(turn(1, hours(3)), [false, false, false]);
        assert_eq!(turn(1, hours(2)), [true, false, false]);
        // Two at a time: the last needs the place of the first.
        assert_eq!(turn(2, hours(2)), [false, false, false]);
        assert_eq!(turn(2, hours(1)), [true, false, false]);
        assert_eq!(turn(2, hours(0)), [true, true, false]);
        // Those that end far apart wait for their own time.
        let far = [("a", due(90 * DAYS, 100 * DAYS)), ("b", due(190 * DAYS, 200 * DAYS))];
        assert!(!schedule(1, &far).turn(&"a", hours(1)).etcd);
    }

    #[test]
    fn nobody_begins_earlier_than_a_control_plane_is_aligned_with_its_etcd() {
        const DAYS: i64 = 86_400;
        let keys: Vec<String> = (0..5_000).map(|i| format!("{i:04}")).collect();
        let mut schedule = Schedule::new(Policy::default(), &Parameters::default());
        schedule.clusters(keys.iter().cloned());
        for key in &keys {
            schedule.decided(key, &due(900 * DAYS, 910 * DAYS));
        }
        let first = keys.first().unwrap();
        assert!(!schedule.turn(first, at(840 * DAYS - 1)).etcd);
        assert!(schedule.turn(first, at(840 * DAYS)).etcd);
    }

    #[test]
    fn the_management_cluster_goes_before_all_others_and_alone() {
        let alone = |decision| Decision { goes_alone: true, ..decision };
        let all = [("a", due(0, 1_500)), ("m", alone(due(0, 9_000)))];
        assert_eq!(turns(&schedule(2, &all), &["a", "m"]), [false, true]);
        let all = [("a", due(0, 1_500)), ("m", alone(rolling()))];
        assert_eq!(turns(&schedule(2, &all), &["a", "m"]), [false, false]);
        let all = [("a", rolling()), ("b", due(0, 1_500)), ("m", alone(due(0, 9_000)))];
        assert_eq!(turns(&schedule(2, &all), &["b", "m"]), [false, false]);
    }

    #[test]
    fn one_that_is_stuck_gives_its_place_up_and_two_stop_all_others() {
        let stuck = || Decision { etcd_stuck: true, ..Decision::default() };
        let one = [("a", stuck()), ("b", due(0, 2_000))];
        assert_eq!(turns(&schedule(1, &one), &["b"]), [true]);
        let two = [("a", stuck()), ("b", due(0, 2_000)), ("c", stuck())];
        assert_eq!(turns(&schedule(1, &two), &["b"]), [false]);
    }

    #[test]
    fn marks_of_any_cluster_are_told_to_all() {
        let pending = Decision { marks_pending: true, ..Decision::default() };
        let schedule = schedule(1, &[("a", pending), ("b", Decision::default())]);
        assert!(schedule.turn(&"b", NOW).marks_pending);
    }

    #[test]
    fn who_waits_for_itself_or_cannot_be_read_keeps_nobody_waiting() {
        let waits = |decision| Decision { etcd_start_waits: true, ..decision };
        let all = [("a", waits(due(0, 1_500))), ("b", due(0, 2_000))];
        assert_eq!(turns(&schedule(1, &all), &["a", "b"]), [false, true]);
        let mut schedule = schedule(1, &[("a", rolling()), ("b", due(0, 2_000))]);
        assert_eq!(turns(&schedule, &["b"]), [false]);
        schedule.unread(&"a");
        assert_eq!(turns(&schedule, &["b"]), [true]);
    }

    #[test]
    fn who_is_refused_what_it_writes_leaves_its_turn_to_others_for_a_while() {
        let mut schedule = schedule(1, &[("a", due(900, 1_500)), ("b", due(900, 2_000))]);
        schedule.refused(&"a", NOW);
        // Also after it was looked at again.
        schedule.decided(&"a", &due(900, 1_500));
        assert_eq!(turns(&schedule, &["a", "b"]), [false, true]);
        assert!(schedule.turn(&"a", at(NOW.unix() + REFUSED)).etcd);
    }

    #[test]
    fn a_cluster_that_was_not_looked_at_yet_may_have_marks() {
        let mut schedule = schedule(1, &[("a", Decision::default())]);
        schedule.clusters(["a", "b"]);
        assert!(schedule.turn(&"a", NOW).marks_pending);
        schedule.decided(&"b", &Decision::default());
        assert!(!schedule.turn(&"a", NOW).marks_pending);
    }
}
