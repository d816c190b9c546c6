//! How early, how late and how long: every span of time that a decision rests on.

/// Spans in seconds. The defaults are meant for production; the tests against real controllers set
/// seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// How long before the control plane's window etcd's own begins.
    pub lead: i64,
    /// The same for the management cluster itself, which is rolled before all others.
    pub management_lead: i64,
    /// A control plane that is due so soon after etcd is rolled with it: its machines would otherwise be
    /// replaced twice.
    pub align: i64,
    /// How old a report over HTTP may be.
    pub fresh_http: i64,
    /// How old the annotations of a Node may be. The agent refreshes them within a day.
    pub fresh_node: i64,
    /// How old a machine has to be before a date of its own counts against it: what is born due would be
    /// replaced for ever.
    pub birth: i64,
    /// An etcd machine whose certificates last no longer than this is left out: whoever lies gets one
    /// rollout in this time.
    pub min_lifetime: i64,
    /// The least time between two etcd rollouts of a cluster.
    pub cool: i64,
    /// Without progress of any machine for so long a rollout is stuck.
    pub stuck: i64,
    /// What an etcd rollout may take.
    pub rollout: i64,
    /// What one is expected to take: where many are due at once, the first begin so much earlier.
    pub expected_rollout: i64,
    /// Within so much of an expiry nothing waits for its turn any more.
    pub urgent: i64,
    /// How far two clocks may be apart.
    pub skew: i64,
    /// How far the clock of etcdadm-controller's node may be from that of the API server.
    pub node_skew: i64,
    /// The least time between two restarts of etcdadm-controller: one serves all clusters.
    pub restart_pause: i64,
}

const HOUR: i64 = 3_600;
/// Seconds of a day.
pub const DAY: i64 = 24 * HOUR;

/// Cluster API's least `rolloutBefore.certificatesExpiryDays` (KubeadmControlPlane, v1beta2, a minimum in
/// the schema).
pub const LEAST_DAYS: i64 = 7;

impl Default for Parameters {
    fn default() -> Self {
        Self {
            lead: DAY,
            management_lead: 3 * DAY,
            align: 60 * DAY,
            fresh_http: HOUR / 2,
            fresh_node: 26 * HOUR,
            birth: DAY,
            min_lifetime: 30 * DAY,
            cool: DAY,
            stuck: 2 * HOUR,
            rollout: 4 * HOUR,
            expected_rollout: HOUR,
            urgent: 2 * DAY,
            skew: HOUR,
            node_skew: 300,
            restart_pause: HOUR,
        }
    }
}
