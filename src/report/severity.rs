//! What `expiryd check` concludes from a report: the exit code that monitoring systems expect.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::report::{Report, Status};

/// How long before an expiry it is worth a warning, and how long before it is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Less than this: warning.
    pub warning: Duration,
    /// Less than this: critical.
    pub critical: Duration,
}

impl Thresholds {
    /// A month and a week: time to plan a roll-out, and time to do it now.
    pub const USUAL: Self =
        Self { warning: Duration::from_hours(30 * 24), critical: Duration::from_hours(7 * 24) };
}

/// How near an expiry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// Farther than both thresholds.
    Far,
    /// Within the warning's.
    Warning,
    /// Within the critical one's, or over.
    Critical,
}

impl Thresholds {
    /// How near `not_after` is at `now`.
    pub fn judge(self, not_after: Timestamp, now: Timestamp) -> Nearness {
        let left = not_after.seconds_since(now);
        let within = |limit: Duration| left < i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        if left < 0 || within(self.critical) {
            Nearness::Critical
        } else if within(self.warning) {
            Nearness::Warning
        } else {
            Nearness::Far
        }
    }
}

/// The conclusion, with the exit code of the monitoring plugins' convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was read and nothing ends soon.
    Ok,
    /// Something ends within the warning threshold.
    Warning,
    /// Something ends within the critical threshold, or has ended.
    Critical,
    /// Something could not be read, so that the rest does not tell.
    Unknown,
}

impl Verdict {
    /// Concludes from the earliest expiry of the counted certificates and of the CAs, whose end is
    /// an outage too. What is known to be critical stays so whatever else could not be read.
    pub fn of(report: &Report, thresholds: Thresholds, now: Timestamp) -> Self {
        let ends = [&report.earliest, &report.earliest_ca].into_iter().flatten();
        let nearest = ends.map(|end| thresholds.judge(end.not_after, now)).max();
        match (nearest, report.status) {
            (Some(Nearness::Critical), _) => Self::Critical,
            (_, Status::Degraded | Status::Waiting) => Self::Unknown,
            (Some(Nearness::Warning), _) => Self::Warning,
            _ => Self::Ok,
        }
    }

    /// 0, 1, 2 or 3.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const THRESHOLDS: Thresholds = Thresholds {
        warning: Duration::from_secs(30 * DAY),
        critical: Duration::from_secs(7 * DAY),
    };

    fn judged(seconds_left: i64) -> Nearness {
        let now = Timestamp::from_unix(1_800_000_000);
        THRESHOLDS.judge(Timestamp::from_unix(now.unix() + seconds_left), now)
    }

    #[test]
    fn an_expiry_is_near_when_less_than_the_threshold_is_left() {
        let day = DAY.cast_signed();
        assert_eq!(judged(30 * day), Nearness::Far);
        assert_eq!(judged(30 * day - 1), Nearness::Warning);
        assert_eq!(judged(7 * day), Nearness::Warning);
        assert_eq!(judged(7 * day - 1), Nearness::Critical);
    }

    #[test]
    fn a_certificate_is_valid_in_the_second_of_its_not_after() {
        let none = Thresholds { warning: Duration::ZERO, critical: Duration::ZERO };
        let now = Timestamp::from_unix(1_800_000_000);
        assert_eq!(none.judge(now, now), Nearness::Far);
        assert_eq!(none.judge(Timestamp::from_unix(now.unix() - 1), now), Nearness::Critical);
    }
}
