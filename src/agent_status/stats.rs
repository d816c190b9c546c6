//! How the agent itself is doing: counted by the loop, shown in the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::problem::Reason;

/// Counts since the start of the process, and what it runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals {
    /// When the process started.
    pub started: Timestamp,
    /// Looks at the machine.
    pub looks: u64,
    /// Time that all of them took.
    pub looking: Duration,
    /// Time that the last one took.
    pub last_look: Duration,
    /// When what was found last differed from the look before.
    pub last_change: Option<Timestamp>,
    /// Whether inotify does not work and changes are found by polling.
    pub polling: bool,
    /// Problems met in all looks, by reason: one that stays counts with each look.
    pub problems_met: BTreeMap<Reason, u64>,
    /// Each layer of the sandbox, and whether it is on.
    pub sandbox: Arc<[(&'static str, bool)]>,
}

impl Vitals {
    /// Those of a process that has just started.
    pub fn new(started: Timestamp) -> Self {
        Self {
            started,
            looks: 0,
            looking: Duration::ZERO,
            last_look: Duration::ZERO,
            last_change: None,
            polling: false,
            problems_met: BTreeMap::new(),
            sandbox: Arc::new([]),
        }
    }
}
