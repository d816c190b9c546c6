//! Waiting for the next thing to do, while everything else goes on.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Agent;
use crate::file_watch::COMPARE;
use crate::system::signals::SignalAction;
use crate::task::pass_on_panic;

/// What ends a wait.
pub(super) enum Event {
    /// Something changed on the disk.
    Changed,
    /// It is time to scan, or to see whether the watched directories are still the ones.
    Tick,
    /// The machine's servers were looked at.
    Looked,
    /// A signal.
    Signal(SignalAction),
}

impl<F> Agent<F> {
    /// Waits for the next event.
    pub(super) async fn wait(&mut self) -> Event {
        // Both go on while the others are served: a change that was noticed is not to be lost.
        let mut change = pin!(settled_change(&mut self.changes, self.config.debounce));
        let tick = self.next_scan.min(Instant::now() + COMPARE);
        let mut tick = pin!(tokio::time::sleep_until(tick.into()));
        loop {
            tokio::select! {
                action = self.signals.next() => return Event::Signal(action),
                () = &mut change => return Event::Changed,
                () = &mut tick => return Event::Tick,
                Some(ended) = self.publishers.join_next() => pass_on_panic(ended),
                Some(ended) = self.looks.join_next() => pass_on_panic(ended),
                Some(ended) = self.supervisor.join_next() => pass_on_panic(ended),
                Ok(()) = self.server_status.changed() => {
                    self.reporter.set_server(self.server_status.borrow_and_update().clone());
                }
                Ok(()) = self.sightings.changed() => {
                    self.reporter.set_sightings(&self.sightings.borrow_and_update());
                    return Event::Looked;
                }
                Ok(()) = self.publications.changed() => {
                    self.reporter.set_publications(&self.publications.borrow_and_update());
                }
            }
        }
    }
}

/// Waits for a change and then for `debounce`, in which more changes are part of the same. The change
/// stays marked: dropped half-way, the next call begins with it.
async fn settled_change(changes: &mut watch::Receiver<()>, debounce: Duration) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    changes.mark_changed();
    tokio::time::sleep(debounce).await;
}
