//! Something that is done again and again, until it is dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Ended with this, once what it does just then is done.
pub(crate) struct Worker {
    stop: Arc<AtomicBool>,
    rests: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Does it now, and so long after each time again.
    pub(crate) fn every(period: Duration, mut act: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let rests = Arc::<Mutex<()>>::default();
        let resting = Arc::clone(&rests);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let round = resting.lock().unwrap_or_else(PoisonError::into_inner);
                act();
                drop(round);
                thread::sleep(period);
            }
        });
        Self { stop, rests, thread: Some(thread) }
    }

    /// Does nothing for as long as this is kept.
    pub(crate) fn rest(&self) -> MutexGuard<'_, ()> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
