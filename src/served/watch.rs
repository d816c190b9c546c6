//! When to look: at all after a change has settled, and then hourly at every other one. Etcd refuses whoever has no
//! certificate, and writes a line about it: so it writes one an hour for its two ports.

use std::time::Duration;

use tokio::sync::watch::{Receiver, Sender};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Sighting, Target, look};

/// How often to look although nothing changes, or a little less often.
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
    // Of hourly looks; `None` for one at all.
    let mut round = None;
    let mut rounds = 0_usize;
    loop {
        let now = wanted.borrow_and_update().clone();
        let looked = !now.targets.is_empty();
        let sightings = match round {
            None => look(now.targets).await,
            Some(round) => {
                let before = seen.borrow().clone();
                let due = due(&now.targets, &before, round);
                merged(before, look(due).await)
            }
        };
        let at = Instant::now();
        seen.send_if_modified(|before| {
            let changed = *before != sightings;
            *before = sightings;
            changed
        });
        let least = if looked { LEAST } else { Duration::ZERO };
        tokio::select! {
            () = sleep(jittered(PERIOD)), if looked => {
                round = Some(rounds);
                rounds = rounds.wrapping_add(1);
            }
            changed = changed(&mut wanted, now.asked, looked.then_some(now.settle), at + least) => {
                if !changed {
                    return;
                }
                round = None;
            }
        }
    }
}

/// What is looked at in a round: every other one, and each that was not seen to be as its file.
fn due(targets: &[Target], before: &[Sighting], round: usize) -> Vec<Target> {
    let is_as_its_file = |target: &Target| {
        let is_it = |seen: &Sighting| seen.target == *target && seen.matches() == Some(true);
        before.iter().any(is_it)
    };
    let due = targets
        .iter()
        .enumerate()
        .filter(|(place, target)| place % 2 == round % 2 || !is_as_its_file(target));
    due.map(|(_, target)| target.clone()).collect()
}

/// What was seen before, with what was seen now in the place of what it is about.
fn merged(before: Vec<Sighting>, now: Vec<Sighting>) -> Vec<Sighting> {
    let is_new = |old: &Sighting| now.iter().any(|new| new.target.address == old.target.address);
    let kept: Vec<_> = before.into_iter().filter(|old| !is_new(old)).collect();
    kept.into_iter().chain(now).collect()
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
    period.mul_f64(fastrand::f64().mul_add(0.1, 1.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expiryd_api::{SourceKind, Timestamp};
    use testkit::certificate::CertificateBuilder;
    use tokio::sync::watch;

    use super::super::Shown;
    use super::*;
    use crate::host_root::HostPath;
    use crate::pki::{self, Certificate};

    fn target(port: u16, not_after: &str) -> Target {
        let pem = CertificateBuilder::leaf(not_after).pem();
        let contents = pki::read(&HostPath::root(), SourceKind::File, pem.as_bytes());
        Target {
            name: "etcd",
            address: ([127, 0, 0, 1], port).into(),
            path: HostPath::new("/etc/etcd/pki/server.crt").unwrap(),
            leaf: Arc::clone(&contents.certificates[0].1),
            authorities: Vec::new(),
        }
    }

    fn sighting(target: &Target, leaf: &Arc<Certificate>) -> Sighting {
        let shown = Shown { leaf: Arc::clone(leaf), has_key: true, is_ours: true };
        Sighting { target: target.clone(), shown: Ok(shown), at: Timestamp::from_unix(0) }
    }

    #[test]
    fn in_an_hour_every_other_server_is_looked_at_and_each_that_differs_from_its_file() {
        let all = [6443, 2379, 2380].map(|port| target(port, "20270101000000Z"));
        let seen: Vec<_> = all.iter().map(|one| sighting(one, &one.leaf)).collect();
        let ports = |seen: &[Sighting], round| {
            due(&all, seen, round).iter().map(|one| one.address.port()).collect::<Vec<_>>()
        };
        assert_eq!(ports(&seen, 0), [6443, 2380]);
        assert_eq!(ports(&seen, 1), [2379]);
        assert_eq!(ports(&[], 1), [6443, 2379, 2380]);
        let other = target(2380, "20260101000000Z");
        let differs = [seen[0].clone(), seen[1].clone(), sighting(&all[2], &other.leaf)];
        assert_eq!(ports(&differs, 1), [2379, 2380]);
        // What was not looked at stays as it was.
        let merged = merged(differs.to_vec(), vec![seen[2].clone()]);
        assert_eq!(merged, seen);
    }

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
