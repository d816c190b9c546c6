//! What the loop counts for the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use expiryd_api::{Reason, ServerRestarts, Timestamp};

/// Counts since the start of the process, and what it runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStats {
    /// When the process started.
    pub started: Timestamp,
    /// Scans of the machine.
    pub scans: u64,
    /// Time that all of them took.
    pub scanning: Duration,
    /// Time that the last one took.
    pub last_scan: Duration,
    /// When what was found last differed from the scan before.
    pub last_change: Option<Timestamp>,
    /// Whether inotify does not work and changes are found by polling.
    pub polling: bool,
    /// Problems met in all scans, by reason: one that stays counts with each scan.
    pub problems_met: BTreeMap<Reason, u64>,
    /// Each layer of the agent's sandbox, and whether it is on.
    pub sandbox: Arc<[(&'static str, bool)]>,
    /// What is known of its server.
    pub server: ServerStatus,
}

/// What the agent knows of its server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerStatus {
    /// How often it had to be started again; `None` while it never had to.
    pub restarts: Option<ServerRestarts>,
    /// Each layer of its sandbox, and whether it is on.
    pub sandbox: Arc<[(&'static str, bool)]>,
}

impl AgentStats {
    /// Of a process that has just started.
    pub fn new(started: Timestamp) -> Self {
        Self {
            started,
            scans: 0,
            scanning: Duration::ZERO,
            last_scan: Duration::ZERO,
            last_change: None,
            polling: false,
            problems_met: BTreeMap::new(),
            sandbox: Arc::new([]),
            server: ServerStatus::default(),
        }
    }
}
