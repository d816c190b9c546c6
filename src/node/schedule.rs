//! When to talk to the API server: a pure decision, handed time and chance.
//!
//! The API server is down exactly when certificates have ended, and ten thousand agents may start
//! in the same second: so nothing is sent without a spread, a failure is retried with exponential
//! backoff and full jitter, and what was accepted is not sent again before the day's refresh.

use std::time::Duration;

use super::desired::Desired;

/// The first retry's longest delay, doubled for each further one.
const BASE: Duration = Duration::from_secs(1);

/// The longest delay of a retry.
const CAP: Duration = Duration::from_mins(5);

/// The longest delay that the server may ask for with Retry-After.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// A change waits until this long after what was accepted last: a file that flaps must not become a
/// storm of requests.
const PAUSE: Duration = Duration::from_secs(2);

/// What was accepted is said again after this, at the earliest.
const REFRESH: Duration = Duration::from_hours(20);

/// And this much later at the latest.
const REFRESH_SPREAD: Duration = Duration::from_hours(4);

/// When to send what is desired. Durations are points of a monotonic clock.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    accepted: Option<Desired>,
    /// When to say it again although nothing changed.
    refresh: Duration,
    /// When to see whether the Node still says it.
    recheck: Duration,
    /// How often to see that, at least; zero for never.
    recheck_every: Duration,
    failures: u32,
    not_before: Duration,
}

impl Schedule {
    /// Sends nothing before `not_before`, and rechecks every so often.
    pub(super) const fn new(not_before: Duration, recheck_every: Duration) -> Self {
        Self {
            accepted: None,
            refresh: Duration::MAX,
            recheck: Duration::MAX,
            recheck_every,
            failures: 0,
            not_before,
        }
    }

    /// When to send `desired`.
    pub(super) fn due(&self, desired: &Desired) -> Duration {
        if self.accepted.as_ref() == Some(desired) {
            self.refresh.max(self.not_before)
        } else {
            self.not_before
        }
    }

    /// When to see whether the Node still says `desired`.
    pub(super) fn recheck_due(&self, desired: &Desired) -> Duration {
        if self.has_accepted(desired) { self.recheck.max(self.not_before) } else { Duration::MAX }
    }

    /// Whether `desired` is what was accepted last.
    pub(super) fn has_accepted(&self, desired: &Desired) -> bool {
        self.accepted.as_ref() == Some(desired)
    }

    /// It was accepted. `chance` is uniform in 0 to 1.
    pub(super) fn accepted(&mut self, desired: Desired, now: Duration, chance: f64) {
        // An Event is a thing of the past: it is not said twice.
        self.refresh = match desired {
            Desired::Event(_) => Duration::MAX,
            _ => now.saturating_add(REFRESH).saturating_add(REFRESH_SPREAD.mul_f64(chance)),
        };
        self.accepted = Some(desired);
        self.rechecked(now, chance);
    }

    /// The Node was read. `chance` is uniform in 0 to 1.
    pub(super) fn rechecked(&mut self, now: Duration, chance: f64) {
        self.recheck = match self.recheck_every {
            Duration::ZERO => Duration::MAX,
            // Spread, so that agents which were refused together do not ask together for ever.
            every => now.saturating_add(every.mul_f64(0.5 + chance / 2.0)),
        };
        self.failures = 0;
        self.not_before = now.saturating_add(PAUSE);
    }

    /// What was accepted is not said any more, and is to be said again.
    pub(super) fn say_again(&mut self) {
        (self.refresh, self.recheck) = (Duration::ZERO, Duration::MAX);
    }

    /// It was refused or not heard. `chance` is uniform in 0 to 1.
    pub(super) fn failed(&mut self, retry_after: Option<Duration>, now: Duration, chance: f64) {
        let longest = BASE.saturating_mul(1 << self.failures.min(16)).min(CAP);
        let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(asked).saturating_add(longest.mul_f64(chance));
    }
}

#[cfg(test)]
mod tests {
    use super::super::condition::Condition;
    use super::*;
    use expiryd_api::{Earliest, Timestamp};

    const MINUTE: Duration = Duration::from_mins(1);

    fn earliest(path: &str) -> Earliest {
        let not_after = Timestamp::from_unix(0);
        Earliest { not_after, path: path.to_owned(), index: 0, renewed_by: None }
    }

    fn desired(path: &str) -> Desired {
        Desired::Condition(Condition::new(&earliest(path), MINUTE, Timestamp::from_unix(0)))
    }

    #[test]
    fn the_first_one_waits_for_its_spread() {
        assert_eq!(Schedule::new(MINUTE, Duration::ZERO).due(&desired("/a")), MINUTE);
    }

    #[test]
    fn what_was_accepted_is_said_again_once_a_day_and_a_change_after_a_pause() {
        for chance in [0.0, 0.5, 0.999] {
            let mut schedule = Schedule::new(Duration::ZERO, Duration::ZERO);
            schedule.accepted(desired("/a"), MINUTE, chance);
            let again = schedule.due(&desired("/a"));
            assert!(again >= MINUTE + REFRESH && again <= MINUTE + REFRESH + REFRESH_SPREAD);
            assert_eq!(schedule.due(&desired("/b")), MINUTE + PAUSE);
        }
    }

    #[test]
    fn an_event_is_said_once() {
        let earliest = earliest("/a");
        let condition = Condition::new(&earliest, MINUTE, Timestamp::from_unix(0));
        let event = Desired::Event(condition.event(&earliest).unwrap());
        let mut schedule = Schedule::new(Duration::ZERO, Duration::ZERO);
        schedule.accepted(event.clone(), MINUTE, 0.0);
        assert_eq!(schedule.due(&event), Duration::MAX);
    }

    #[test]
    fn the_delay_doubles_to_five_minutes_and_chance_spreads_it_from_nothing() {
        let mut schedule = Schedule::new(Duration::ZERO, Duration::ZERO);
        let mut longest = Vec::new();
        for _ in 0..12 {
            schedule.clone().failed(None, MINUTE, 0.0);
            schedule.failed(None, MINUTE, 1.0);
            longest.push(schedule.due(&desired("/a")).saturating_sub(MINUTE).as_secs());
        }
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        schedule.failed(None, MINUTE, 0.0);
        assert_eq!(schedule.due(&desired("/a")), MINUTE);
    }

    #[test]
    fn retry_after_is_a_minimum_within_reason() {
        let mut schedule = Schedule::new(Duration::ZERO, Duration::ZERO);
        schedule.failed(Some(2 * MINUTE), MINUTE, 0.0);
        assert_eq!(schedule.due(&desired("/a")), 3 * MINUTE);
        schedule.failed(Some(Duration::from_hours(1_000)), MINUTE, 0.0);
        assert_eq!(schedule.due(&desired("/a")), MINUTE + MAX_RETRY_AFTER);
    }

    #[test]
    fn success_forgets_the_failures() {
        let mut schedule = Schedule::new(Duration::ZERO, Duration::ZERO);
        (0..9).for_each(|_| schedule.failed(None, MINUTE, 1.0));
        schedule.accepted(desired("/a"), MINUTE, 0.0);
        schedule.failed(None, MINUTE, 1.0);
        assert_eq!(schedule.due(&desired("/b")), MINUTE + BASE);
    }

    #[test]
    fn what_was_accepted_is_known_and_nothing_else() {
        let mut schedule = Schedule::new(Duration::ZERO, Duration::ZERO);
        assert!(!schedule.has_accepted(&desired("/a")));
        schedule.accepted(desired("/a"), MINUTE, 0.0);
        assert!(schedule.has_accepted(&desired("/a")) && !schedule.has_accepted(&desired("/b")));
    }

    #[test]
    fn a_node_is_read_at_least_as_often_as_was_asked_for_and_told_again_when_it_says_something_else()
     {
        for chance in [0.0, 0.5, 0.999] {
            let mut schedule = Schedule::new(Duration::ZERO, 10 * MINUTE);
            assert_eq!(schedule.recheck_due(&desired("/a")), Duration::MAX);
            schedule.accepted(desired("/a"), MINUTE, chance);
            let due = schedule.recheck_due(&desired("/a"));
            assert!(due >= 6 * MINUTE && due <= 11 * MINUTE);
            assert_eq!(schedule.recheck_due(&desired("/b")), Duration::MAX);
            schedule.rechecked(20 * MINUTE, chance);
            let due = schedule.recheck_due(&desired("/a"));
            assert!(due >= 25 * MINUTE && due <= 30 * MINUTE);
            schedule.say_again();
            assert_eq!(schedule.due(&desired("/a")), 20 * MINUTE + PAUSE);
        }
    }

    #[test]
    fn a_node_that_cannot_be_read_is_read_again_after_the_delay_and_not_told_anew() {
        let mut schedule = Schedule::new(Duration::ZERO, MINUTE);
        schedule.accepted(desired("/a"), MINUTE, 1.0);
        schedule.failed(None, 2 * MINUTE, 1.0);
        assert_eq!(schedule.recheck_due(&desired("/a")), 2 * MINUTE + BASE);
        assert!(schedule.due(&desired("/a")) >= MINUTE + REFRESH);
    }
}
