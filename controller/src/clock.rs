//! The one place that reads the clock; from here on the time is handed on.

use std::time::{SystemTime, UNIX_EPOCH};

use expiryd_api::Timestamp;

/// The time by the system's clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
