//! How near an expiry is, and what a check concludes from a report.

use std::time::Duration;

use expiryd_api::{Status, Timestamp};

use super::Report;

/// How long before an expiry it is worth a warning, and how long before it is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Less than this: warning.
    pub warning: Duration,
    /// Less than this: critical.
    pub critical: Duration,
}

impl Thresholds {
    /// A month and a week: time to plan a rollout, and time to do it now.
    pub const DEFAULT: Self =
        Self { warning: Duration::from_hours(30 * 24), critical: Duration::from_hours(7 * 24) };
}

/// How near an expiry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Farther than both thresholds.
    Fine,
    /// Within the warning's.
    Warning,
    /// Within the critical one's, or over.
    Critical,
}

impl Thresholds {
    /// How near `not_after` is at `now`.
    pub fn severity(self, not_after: Timestamp, now: Timestamp) -> Severity {
        let left = not_after.seconds_since(now);
        let within = |limit: Duration| left < i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        if left < 0 || within(self.critical) {
            Severity::Critical
        } else if within(self.warning) {
            Severity::Warning
        } else {
            Severity::Fine
        }
    }
}

/// The conclusion, with the exit code of the monitoring plugins' convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckStatus {
    /// Everything was read and nothing ends soon.
    Ok,
    /// Something ends within the warning threshold.
    Warning,
    /// Something ends within the critical threshold, or has ended.
    Critical,
    /// Something could not be read, so that the rest does not tell.
    Unknown,
}

impl CheckStatus {
    /// Concludes from the earliest expiry of the counted certificates and of the CAs, whose end is
    /// an outage too. What is known to be critical stays so whatever else could not be read.
    pub fn new(report: &Report, thresholds: Thresholds, now: Timestamp) -> Self {
        let ends = [&report.earliest, &report.earliest_ca].into_iter().flatten();
        let nearest = ends.map(|end| thresholds.severity(end.not_after, now)).max();
        match (nearest, report.status) {
            (Some(Severity::Critical), _) => Self::Critical,
            (_, Status::Degraded | Status::Waiting) => Self::Unknown,
            (Some(Severity::Warning), _) => Self::Warning,
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

    fn judged(seconds_left: i64) -> Severity {
        let now = Timestamp::from_unix(1_800_000_000);
        THRESHOLDS.severity(Timestamp::from_unix(now.unix() + seconds_left), now)
    }

    #[test]
    fn an_expiry_is_near_when_less_than_the_threshold_is_left() {
        let day = DAY.cast_signed();
        assert_eq!(judged(30 * day), Severity::Fine);
        assert_eq!(judged(30 * day - 1), Severity::Warning);
        assert_eq!(judged(7 * day), Severity::Warning);
        assert_eq!(judged(7 * day - 1), Severity::Critical);
    }

    #[test]
    fn a_certificate_is_valid_in_the_second_of_its_not_after() {
        let none = Thresholds { warning: Duration::ZERO, critical: Duration::ZERO };
        let now = Timestamp::from_unix(1_800_000_000);
        assert_eq!(none.severity(now, now), Severity::Fine);
        assert_eq!(none.severity(Timestamp::from_unix(now.unix() - 1), now), Severity::Critical);
    }

    #[test]
    fn a_month_and_a_week_are_the_defaults_and_each_status_has_the_code_of_monitoring_plugins() {
        use CheckStatus::{Critical, Ok, Unknown, Warning};
        let Thresholds { warning, critical } = Thresholds::DEFAULT;
        assert_eq!((warning.as_secs(), critical.as_secs()), (30 * DAY, 7 * DAY));
        assert_eq!([Ok, Warning, Critical, Unknown].map(CheckStatus::exit_code), [0, 1, 2, 3]);
    }
}
