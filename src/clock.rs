//! The clocks: the one place where the time is read. Decisions are handed it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use expiryd_api::Timestamp;

/// The wall clock's time.
#[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
pub fn now() -> Timestamp {
    let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_unix(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => seconds(since),
        Err(before) => -seconds(before.duration()),
    })
}

/// The two clocks that a scan is stamped with.
///
/// Settling and graces are measured on the monotonic one, so that setting the wall clock
/// neither shortens nor stretches them; the wall clock only dates what people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Time since an arbitrary start, never going back.
    pub monotonic: Duration,
    /// The date and time of day.
    pub wall: Timestamp,
}
