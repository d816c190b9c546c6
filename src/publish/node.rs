//! The Node publisher: annotations on this machine's own Node, through the kubelet's identity.
//!
//! It sees the report and nothing of the machine but its own credential. It runs beside the loop,
//! so that an API server that is away, slow or hostile holds up nothing else, and says how it gets
//! on in the next report.

mod client;
mod identity;
mod schedule;
mod track;
pub mod wanted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::page::Page;
use crate::host_root::HostRoot;
use crate::publication::Publication;
use identity::{Identity, Missing, Source};
use track::Track;
use wanted::{Extras, Want};

/// How the publisher is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether to publish to the Node at all.
    pub annotate: bool,
    /// Over how long a time the first requests of agents that start together are spread.
    pub spread: Duration,
    /// How long a request may take, from the name of the server to the end of its answer.
    pub timeout: Duration,
    /// Whether the configuration, and not only a look at the machine, says that it is a worker.
    pub is_worker: bool,
    /// What is told beyond the annotations.
    pub extras: Extras,
}

/// Where the publisher hears of reports, and says how it gets on.
#[derive(Debug, Clone)]
pub struct Lines {
    /// The last report.
    pub pages: watch::Receiver<Option<Arc<Page>>>,
    /// For the next report.
    pub publications: watch::Sender<Vec<Publication>>,
}

/// Publishes until it is dropped, or ends at once when nothing is to be published.
pub async fn publish(root: Arc<HostRoot>, settings: Settings, mut lines: Lines) {
    if !settings.annotate {
        lines.publications.send_replace(Vec::new());
        return;
    }
    let source = Source::find(root);
    let start = Instant::now();
    let spread = settings.spread.mul_f64(fastrand::f64());
    let wished = 1
        + usize::from(settings.extras.condition_window.is_some())
        + usize::from(settings.extras.event);
    let mut tracks: Vec<_> =
        TRACKS.iter().take(wished).map(|name| Track::new(name, spread, settings)).collect();
    loop {
        let page = lines.pages.borrow_and_update().clone();
        let wants = page.map_or([None, None, None], |page| wants(&page, settings.extras));
        let due = tracks
            .iter()
            .zip(&wants)
            .filter_map(|(track, want)| want.as_ref().map(|want| track.schedule.due(want)));
        let due = due.min();
        if due.is_some_and(|due| due <= start.elapsed()) {
            let identity = load(source.clone()).await;
            for (track, want) in tracks.iter_mut().zip(wants) {
                let Some(want) = want else { continue };
                if track.schedule.due(&want) <= start.elapsed() {
                    track.take(&identity, want, start).await;
                }
            }
            announce(&tracks, &lines.publications);
            continue;
        }
        let wait = due.map_or(Duration::MAX, |due| due.saturating_sub(start.elapsed()));
        announce(&tracks, &lines.publications);
        tokio::select! {
            changed = lines.pages.changed() => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
    }
}

/// Names of the publications, in the order of [`wants`].
const TRACKS: &[&str] = &["node-annotations", "node-condition", "node-event"];

fn wants(page: &Page, extras: Extras) -> [Option<Want>; 3] {
    let [condition, event] = wanted::extras(&page.report, extras, page.report.observed_at);
    [wanted::annotations(&page.report), condition, event]
}

async fn sleep(wait: Duration) {
    if wait == Duration::MAX {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(wait).await;
}

/// Reads the identity where that may block.
async fn load(source: Source) -> Result<Arc<Identity>, Missing> {
    let loaded = tokio::task::spawn_blocking(move || source.load()).await;
    let loaded = loaded.unwrap_or_else(|error| Err(Missing::Broken(error.to_string())));
    loaded.map(Arc::new)
}

fn announce(tracks: &[Track], publications: &watch::Sender<Vec<Publication>>) {
    let now: Vec<_> = tracks.iter().map(|track| track.publication.clone()).collect();
    publications.send_if_modified(|before| {
        let changed = *before != now;
        if changed {
            *before = now;
        }
        changed
    });
}
