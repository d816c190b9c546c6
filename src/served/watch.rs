//! When to look: after a change has settled, and then hourly. A server's log has a line for each look at etcd, which
//! refuses whoever has no certificate.

use std::time::Duration;

use tokio::sync::watch::{Receiver, Sender};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Sighting, Target, look};

/// How often to look although nothing changes, give or take a tenth.
const PERIOD: Duration = Duration::from_hours(1);

/// The least time between two looks, whatever changes.
const LEAST: Duration = Duration::from_mins(10);

/// What is wanted of the watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What to look at.
    pub targets: Vec<Target>,
    /// How long files must have been quiet before it is looked again.
    pub settle: Duration,
    /// How often somebody asked for a look at once, as by a reload.
    pub asked: u64,
}

/// Looks at what is wanted, and says what was seen, for as long as somebody wants it.
pub async fn watch(mut wanted: Receiver<Wanted>, seen: Sender<Vec<Sighting>>) {
    loop {
        let now = wanted.borrow_and_update().clone();
        let looked = !now.targets.is_empty();
        let sightings = look(now.targets).await;
        let at = Instant::now();
        seen.send_if_modified(|before| {
            let changed = *before != sightings;
            *before = sightings;
            changed
        });
        let least = if looked { LEAST } else { Duration::ZERO };
        tokio::select! {
            () = sleep(jittered(PERIOD)), if looked => {}
            changed = changed(&mut wanted, now.asked, looked.then_some(now.settle), at + least) => {
                if !changed {
                    return;
                }
            }
        }
    }
}

/// Waits until something else is wanted, has been so for the settle time, and the earliest time for another look has
/// come; for neither of them where somebody asks for it at once, or nothing was looked at before.
async fn changed(
    wanted: &mut Receiver<Wanted>,
    asked: u64,
    settle: Option<Duration>,
    earliest: Instant,
) -> bool {
    loop {
        if wanted.changed().await.is_err() {
            return false;
        }
        loop {
            let now = wanted.borrow_and_update().clone();
            if now.asked != asked || settle.is_none() {
                return true;
            }
            let quiet = Instant::now() + settle.unwrap_or(now.settle);
            tokio::select! {
                () = sleep_until(quiet.max(earliest)) => return true,
                more = wanted.changed() => if more.is_err() { return false; }
            }
        }
    }
}

fn jittered(period: Duration) -> Duration {
    period.mul_f64(fastrand::f64().mul_add(0.2, 0.9))
}
