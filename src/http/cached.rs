//! Something that moves with time and is rendered no more often than it has to be.

use std::sync::{Mutex, PoisonError};

use expiryd_api::Timestamp;

/// The last rendering, and when it was made.
#[derive(Debug)]
pub(super) struct Cached<T> {
    /// Seconds after which it is made anew.
    max_age: i64,
    last: Mutex<Option<(Timestamp, T)>>,
}

impl<T: Clone> Cached<T> {
    /// Nothing yet.
    pub(super) const fn new(max_age: i64) -> Self {
        Self { max_age, last: Mutex::new(None) }
    }

    /// The last rendering if it is young enough at `now`, else a new one.
    pub(super) fn get(&self, now: Timestamp, render: impl FnOnce() -> T) -> T {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, value)) = &*last
            && (0..self.max_age).contains(&now.seconds_since(*at))
        {
            return value.clone();
        }
        let value = render();
        *last = Some((now, value.clone()));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_rendered_anew_when_it_is_too_old_or_the_clock_went_back() {
        let cached = Cached::new(10);
        let at = |seconds, value: u8| cached.get(Timestamp::from_unix(seconds), || value);
        assert_eq!([at(100, 1), at(109, 2), at(110, 3), at(109, 4)], [1, 1, 3, 4]);
    }
}
