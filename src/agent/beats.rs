//! Whether a server answers each turn of the agent's loop, in turn and in time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a server may take to take in what it is told.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// The beats that a server was told and did not answer yet, by their numbers, each with until when it has to.
#[derive(Debug, Default)]
pub(super) struct Beats(VecDeque<(u64, Instant)>);

impl Beats {
    /// It was told this one.
    pub(super) fn tell(&mut self, number: u64, now: Instant) {
        self.0.push_back((number, now + ANSWER));
    }

    /// Until when the first of them has to be answered.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.front().map(|(_, due)| *due)
    }

    /// Whether this answers one: each has one answer, in turn.
    pub(super) fn answer(&mut self, number: u64) -> bool {
        self.0.pop_front_if(|(told, _)| *told == number).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_beat_is_answered_once_and_the_oldest_is_due_first() {
        let (start, mut beats) = (Instant::now(), Beats::default());
        let later = |seconds| start + Duration::from_secs(seconds);
        beats.tell(7, start);
        beats.tell(9, later(3));
        assert_eq!(beats.due(), Some(start + ANSWER));
        assert!(!beats.answer(9), "not its turn");
        assert!(beats.answer(7));
        assert_eq!(beats.due(), Some(later(3) + ANSWER));
        for wrong in [7, 8, 10] {
            assert!(!beats.answer(wrong), "{wrong} was answered, never told, or is yet to come");
        }
        assert!(beats.answer(9));
        assert_eq!(beats.due(), None);
    }
}
