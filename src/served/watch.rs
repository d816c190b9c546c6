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
    if wanted.changed().await.is_err() {
        return false;
    }
    loop {
        let now_asked = wanted.borrow_and_update().asked;
        let Some(settle) = settle.filter(|_| now_asked == asked) else { return true };
        let quiet = Instant::now() + settle;
        tokio::select! {
            () = sleep_until(quiet.max(earliest)) => return true,
            more = wanted.changed() => if more.is_err() { return false; }
        }
    }
}

fn jittered(period: Duration) -> Duration {
    period.mul_f64(fastrand::f64().mul_add(0.2, 0.9))
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);

    fn asked(asked: u64) -> Wanted {
        Wanted { asked, ..Wanted::default() }
    }

    /// How long it is waited after a change where somebody asks so often, and another look may be so soon.
    async fn waited(times: u64, settle: Option<Duration>, earliest: Duration) -> Duration {
        let (sender, mut wanted) = watch::channel(asked(0));
        let began = Instant::now();
        sender.send_replace(asked(times));
        assert!(changed(&mut wanted, 0, settle, began + earliest).await);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_looked_at_once_it_has_settled_and_no_sooner_than_ten_minutes_after_the_last_look()
     {
        let near = |waited: Duration, wanted: Duration| waited.abs_diff(wanted) < SETTLE / 100;
        assert!(near(waited(0, Some(SETTLE), Duration::ZERO).await, SETTLE));
        assert!(near(waited(0, Some(SETTLE), LEAST).await, LEAST));
        assert!(near(waited(0, None, LEAST).await, Duration::ZERO), "the first look");
        assert!(near(waited(1, Some(SETTLE), LEAST).await, Duration::ZERO), "asked for");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_whoever_wants_it() {
        let (sender, mut wanted) = watch::channel(asked(0));
        drop(sender);
        assert!(!changed(&mut wanted, 0, Some(SETTLE), Instant::now()).await);
    }
}
