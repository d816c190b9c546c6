//! What is known of all clusters, for whoever asks: written by the loop, read by the endpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use expiryd_api::closed_list;

use crate::decide::{ActionName, Reason};
use crate::observe::ClusterKey;
use crate::status::ClusterStatus;

/// The loop comes round each minute; one that has not for so long hangs.
const HANGS: Duration = Duration::from_mins(10);

/// Shared by the loop and the endpoint.
#[derive(Debug, Clone, Default)]
pub struct Fleet(Arc<Mutex<State>>);

/// What there is to say now.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Each cluster as it was last read.
    pub clusters: BTreeMap<ClusterKey, ClusterStatus>,
    /// Whether this instance leads; another knows no cluster.
    pub leads: bool,
    /// How many writes there were, and how they ended.
    pub writes: BTreeMap<(ActionName, Reason, Outcome), u64>,
    /// Whether the API server was heard and serves Cluster API.
    pub is_ready: bool,
    /// When the loop last came round.
    beat: Option<Instant>,
}

closed_list! {
    /// How a write ended.
    Outcome {
        /// It was accepted.
        Done = "done",
        /// Something had changed the object since it was read.
        Conflict = "conflict",
        /// It was refused, or not heard.
        Failed = "failed",
    }
}

impl Fleet {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whatever is asked of it.
    pub fn read<T>(&self, ask: impl FnOnce(&State) -> T) -> T {
        ask(&self.state())
    }

    /// The API server was heard.
    pub fn ready(&self) {
        self.state().is_ready = true;
    }

    /// Whether this instance leads.
    pub fn leads(&self, leads: bool) {
        self.state().leads = leads;
    }

    /// The loop has come round.
    pub fn beat(&self, now: Instant) {
        self.state().beat = Some(now);
    }

    /// These are the clusters that there are.
    pub fn clusters(&self, keys: &[ClusterKey]) {
        self.state().clusters.retain(|key, _| keys.binary_search(key).is_ok());
    }

    /// What a cluster is like now.
    pub fn cluster(&self, key: &ClusterKey, status: ClusterStatus) {
        self.state().clusters.insert(key.clone(), status);
    }

    /// A cluster cannot be read: what was known of it stands, so that nobody takes its end for gone.
    pub fn unread(&self, key: &ClusterKey, error: String) {
        let mut state = self.state();
        let status = match state.clusters.remove(key) {
            Some(known) => known.stale(error),
            None => ClusterStatus::unread(key.names(), error),
        };
        state.clusters.insert(key.clone(), status);
    }

    /// A write has ended.
    pub fn wrote(&self, action: ActionName, reason: Reason, outcome: Outcome) {
        let mut state = self.state();
        let count = state.writes.entry((action, reason, outcome)).or_default();
        *count = count.saturating_add(1);
    }
}

impl State {
    /// Whether the loop goes round, where it should.
    pub fn is_alive(&self, now: Instant) -> bool {
        !self.leads || self.beat.is_none_or(|beat| now.duration_since(beat) < HANGS)
    }
}

#[cfg(test)]
mod tests {
    use expiryd_api::Timestamp;

    use super::*;
    use crate::status::{End, OptedIn, Source};

    #[test]
    fn what_is_known_of_a_cluster_stands_when_it_cannot_be_read_any_more() {
        let (fleet, key) =
            (Fleet::default(), ClusterKey { namespace: "a".into(), name: "b".into() });
        let known = || fleet.read(|state| state.clusters.get(&key).cloned()).unwrap();
        fleet.unread(&key, "refused".to_owned());
        assert_eq!((known().opt_in, known().earliest), (OptedIn::Unknown, None));

        let not_after = Timestamp::from_unix(1_800_000_000);
        let end = End { not_after, of: "cp-1".into(), source: Source::Agent, path: None };
        let read =
            ClusterStatus { opt_in: OptedIn::Full, earliest: Some(end), error: None, ..known() };
        fleet.cluster(&key, read.clone());
        fleet.unread(&key, "refused".to_owned());
        assert_eq!(known(), ClusterStatus { error: Some("refused".to_owned()), ..read });
    }

    #[test]
    fn a_loop_that_does_not_come_round_any_more_is_told() {
        let (fleet, now) = (Fleet::default(), Instant::now());
        fleet.leads(true);
        fleet.beat(now);
        assert!(fleet.read(|state| state.is_alive(now + Duration::from_mins(9))));
        assert!(!fleet.read(|state| state.is_alive(now + Duration::from_mins(10))));
        fleet.leads(false);
        assert!(fleet.read(|state| state.is_alive(now + Duration::from_hours(10))));
    }
}
