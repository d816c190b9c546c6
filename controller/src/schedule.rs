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
mod tests;
