//! Waiting for a fact.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that ought to happen. Nothing is measured by it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something is there.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_up_to(PATIENCE, what, look)
}

/// Waits for what may take longer than usual.
pub fn wait_up_to<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
