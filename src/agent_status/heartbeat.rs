//! Whether the loop still turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The loop's pulse: it beats at every turn, and whoever asks can tell when it stopped.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    /// Milliseconds from `start` until when the loop promised to turn again.
    due: AtomicU64,
}

impl Pulse {
    /// A pulse that is due within `first`.
    pub fn new(first: Duration) -> Self {
        let pulse = Self { start: Instant::now(), due: AtomicU64::new(0) };
        pulse.beat(first);
        pulse
    }

    /// Beats, and promises the next beat within `next`.
    pub fn beat(&self, next: Duration) {
        let due = self.start.elapsed().saturating_add(next).as_millis();
        self.due.store(u64::try_from(due).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether the promise is kept.
    pub fn alive(&self) -> bool {
        self.start.elapsed().as_millis() <= u128::from(self.due.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_is_overdue_has_stopped() {
        let start = Instant::now().checked_sub(Duration::from_mins(10)).unwrap();
        let due = |minutes: u64| Pulse { start, due: AtomicU64::new(minutes * 60_000) };
        assert!(due(20).alive());
        assert!(!due(9).alive());
    }
}
