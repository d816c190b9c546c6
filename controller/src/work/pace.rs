//! How soon a cluster is looked at again.

use std::time::{Duration, Instant};

use expiryd_api::Timestamp;

use crate::decide::Decision;
use crate::parameters::DAY;

/// A cluster in which something goes on, or will within a day, is looked at so often.
const BUSY: Duration = Duration::from_secs(10);
const NEAR: Duration = Duration::from_mins(1);

/// As soon as what was written can be read.
const AT_ONCE: Duration = Duration::from_millis(500);

/// After a failure a cluster is looked at again after this, doubled each time.
const BACKOFF: Duration = Duration::from_secs(2);
const BACKOFF_CAP: Duration = Duration::from_mins(5);

/// When a cluster is looked at next, and what has failed in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    pub(super) at: Instant,
    failures: u32,
    /// How often it could not be read.
    pub(super) unread: u32,
}

/// Why a cluster is looked at again soon, and later each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// It could not be read.
    Read,
    /// Something could not be written.
    Write,
}

/// How soon to look at a cluster again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Conflict,
    AtOnce,
    Busy,
    Near,
    Usual,
}

/// Once something was written that something else rests on, everything is read again before the next decision.
pub(super) fn look(decision: &Decision, dry_run: bool, now: Timestamp) -> Look {
    let near = |from: Timestamp| from.unix() <= now.unix().saturating_add(DAY);
    if decision.is_followed_up() && !dry_run {
        Look::AtOnce
    } else if decision.etcd_rolling {
        Look::Busy
    } else if !decision.actions.is_empty()
        || decision.is_near
        || decision.etcd_start.is_some_and(|start| near(start.from))
    {
        Look::Near
    } else {
        Look::Usual
    }
}

impl Next {
    /// At this time, for the first time.
    pub(super) const fn at(at: Instant) -> Self {
        Self { at, failures: 0, unread: 0 }
    }

    /// Once a look was done, at `now`; `chance` is from 0 to 1, so that clusters do not keep in step.
    pub(super) fn done(
        &mut self,
        done: Result<Look, Failed>,
        period: Duration,
        now: Instant,
        chance: f64,
    ) {
        let failed = matches!(done, Err(_) | Ok(Look::Conflict));
        let doubled = |from: Duration| {
            let doubled = from.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_CAP);
            doubled.mul_f64(0.5 + 0.5 * chance)
        };
        let wait = match done {
            Ok(Look::AtOnce) => AT_ONCE,
            // A second one in a row may be for ever: somebody refuses the write with this word.
            Ok(Look::Conflict) => doubled(AT_ONCE),
            Ok(Look::Busy) => BUSY.min(period),
            Ok(Look::Near) => NEAR.min(period),
            // Spread, so that a fleet that was started at once is not looked at once; never later than promised.
            Ok(Look::Usual) => period.mul_f64(0.9 + 0.1 * chance),
            Err(_) => doubled(BACKOFF),
        };
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        self.unread = if done == Err(Failed::Read) { self.unread.saturating_add(1) } else { 0 };
        self.at = now + wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_mins(10);

    /// How long is waited after these looks, with the same chance each time.
    fn waits(looks: &[Result<Look, Failed>], chance: f64) -> Vec<Duration> {
        let start = Instant::now();
        let mut next = Next::at(start);
        let after = |look: &Result<Look, Failed>| {
            next.done(*look, PERIOD, start, chance);
            next.at - start
        };
        looks.iter().map(after).collect()
    }

    #[test]
    fn failures_in_a_row_wait_longer_and_longer_and_never_more_than_five_minutes() {
        let seconds = [2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map(Duration::from_secs);
        assert_eq!(waits(&[Err(Failed::Read); 10], 1.0), seconds);
        let half = waits(&[Err(Failed::Write); 2], 0.0);
        assert_eq!(half, [1, 2].map(Duration::from_secs), "spread over the second half");
        let again = waits(&[Err(Failed::Read), Ok(Look::Near), Err(Failed::Read)], 1.0);
        assert_eq!(again, [2, 60, 2].map(Duration::from_secs), "a success forgets them");
    }

    #[test]
    fn a_write_that_is_refused_as_a_conflict_for_ever_is_no_storm() {
        let waits = waits(&[Ok(Look::Conflict); 12], 1.0);
        assert_eq!(waits.first(), Some(&AT_ONCE));
        assert_eq!(waits.last(), Some(&BACKOFF_CAP));
    }

    #[test]
    fn where_nothing_is_near_it_is_looked_at_within_the_period_and_not_in_step() {
        for (chance, wait) in [(0.0, 540), (1.0, 600)] {
            assert_eq!(waits(&[Ok(Look::Usual)], chance), [Duration::from_secs(wait)]);
        }
    }

    #[test]
    fn only_what_cannot_be_read_counts_as_unread() {
        let mut next = Next::at(Instant::now());
        for (look, unread) in [
            (Err(Failed::Read), 1),
            (Err(Failed::Read), 2),
            (Err(Failed::Write), 0),
            (Err(Failed::Read), 1),
            (Ok(Look::Usual), 0),
        ] {
            next.done(look, PERIOD, Instant::now(), 1.0);
            assert_eq!(next.unread, unread);
        }
    }
}
