//! What the loop counts for the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use expiryd_api::{Reason, Timestamp};

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
    /// Each layer of the sandbox, and whether it is on.
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
        }
    }
}
