//! Whether the agent's loop still turns, as far as its server hears.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Beats at every turn of the loop, so that it can be told when the loop has stopped.
#[derive(Debug)]
pub(super) struct Heartbeat {
    start: Instant,
    /// Milliseconds from `start` until when the loop has to turn again.
    due: AtomicU64,
}

impl Heartbeat {
    /// Due within `first`.
    pub(super) fn new(first: Duration) -> Self {
        let heartbeat = Self { start: Instant::now(), due: AtomicU64::new(0) };
        heartbeat.beat(first);
        heartbeat
    }

    /// Beats; the next beat is due within `next`.
    pub(super) fn beat(&self, next: Duration) {
        let due = self.start.elapsed().saturating_add(next).as_millis();
        self.due.store(u64::try_from(due).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether the loop turned in time.
    pub(super) fn alive(&self) -> bool {
        self.start.elapsed().as_millis() <= u128::from(self.due.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_is_overdue_has_stopped() {
        let start = Instant::now().checked_sub(Duration::from_mins(10)).unwrap();
        let due = |minutes: u64| Heartbeat { start, due: AtomicU64::new(minutes * 60_000) };
        assert!(due(20).alive());
        assert!(!due(9).alive());
    }
}
