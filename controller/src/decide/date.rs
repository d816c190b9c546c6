//! The date that an agent's report is good for, on a Machine that says another one or none.

use expiryd_api::{Status, Timestamp};

use super::{Case, Guard, after, before};
use crate::facts::Report;
use crate::memory::Record;
use crate::parameters::DAY;

/// A certificate that ends further away than this is none (C7).
const PAST: i64 = 10 * 366 * DAY;
const FUTURE: i64 = 20 * 366 * DAY;

/// Which way a date may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Movement {
    /// Anywhere.
    Free,
    /// Only forward, to an earlier date, for this reason.
    Earlier(Guard),
}

impl Case<'_> {
    /// Whether a report can be used at all (C2, C4), and which way its date may move (C4, C7).
    pub(super) fn usable(&self, report: &Report, fresh: i64) -> Result<Movement, Guard> {
        match report.status {
            Status::Waiting => return Err(Guard::Waiting),
            Status::None => return Err(Guard::RoleMismatch),
            Status::Ok | Status::Degraded => {}
        }
        if !report.settled {
            return Err(Guard::Unsettled);
        }
        if report.observed_at < self.ago(fresh) {
            return Err(Guard::Stale);
        }
        if report.observed_at > self.within(self.parameters.skew) {
            return Ok(Movement::Earlier(Guard::Implausible));
        }
        Ok(match report.status {
            Status::Degraded => Movement::Earlier(Guard::Degraded),
            _ => Movement::Free,
        })
    }

    /// Whether a certificate may have this date (C7).
    pub(super) fn is_plausible(&self, date: Timestamp) -> bool {
        date > self.ago(PAST) && date < self.within(FUTURE)
    }

    /// Whether a machine of this age was born with a date that is due within `window`: its replacement
    /// would be, too (C5).
    pub(super) fn is_born_due(&self, born: Timestamp, date: Timestamp, window: i64) -> bool {
        before(date, window) <= after(born, self.parameters.birth)
    }
}

/// What to write instead of `published`; `None` for what is there already.
pub(super) fn moved(
    new: Record,
    published: Option<Record>,
    movement: Movement,
) -> Result<Option<Record>, Guard> {
    let Some(old) = published else { return Ok(Some(new)) };
    match movement {
        // A date that was published from a report as degraded follows a renewal all the same.
        Movement::Earlier(Guard::Degraded) if old.degraded => {}
        // One from a report that was not stays one, and holds against the next.
        Movement::Earlier(Guard::Degraded) if new.date == old.date => return Ok(None),
        Movement::Earlier(guard) if new.date > old.date => return Err(guard),
        Movement::Free | Movement::Earlier(_) => {}
    }
    Ok(Some(new).filter(|new| *new != old))
}
