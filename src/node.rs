//! The Node publisher: annotations on this machine's own Node, through the kubelet's identity.
//!
//! It sees the report and nothing of the machine but its own credential. It runs beside the loop,
//! so that an API server that is away, slow or hostile holds up nothing else, and says how it gets
//! on in the next report.

pub mod annotations;
mod client;
mod condition;
mod identity;
mod schedule;
mod track;
pub mod wanted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::page::Page;
use crate::host_root::HostRoot;
use crate::publication::{Publication, State};
use crate::report::Report;
pub use identity::Reads;
use identity::{Identity, Missing, Source};
use track::{NodeSeen, Track};
use wanted::{Extras, Want, Wanted};

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

/// What the publisher has to read; nothing when there is nothing to publish. Blocks for as long as the
/// disk does.
pub fn reads(root: &Arc<HostRoot>, settings: Settings) -> Reads {
    if settings.annotate { Source::find(Arc::clone(root)).reads() } else { Reads::default() }
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
    let mut tracks = TRACKS.map(|name| Track::new(name, spread, settings));
    let mut seen = None;
    loop {
        let page = lines.pages.borrow_and_update().clone();
        let wanted = wanted(page.as_deref(), settings.extras, seen, &tracks);
        for (track, wanted) in tracks.iter_mut().zip(&wanted) {
            if let Wanted::Nothing(why) = wanted {
                track.rests(why);
            }
        }
        let due = tracks.iter().zip(&wanted).filter_map(|(track, wanted)| match wanted {
            Wanted::This(want) => Some(track.schedule.due(want)),
            _ => None,
        });
        let due = due.min();
        announce(&tracks, settings.extras, &lines.publications);
        if due.is_some_and(|due| due <= start.elapsed()) {
            let identity = load(source.clone(), page.as_ref().map(|page| &*page.report)).await;
            for (track, wanted) in tracks.iter_mut().zip(wanted) {
                let Wanted::This(want) = wanted else { continue };
                if track.schedule.due(&want) <= start.elapsed() {
                    track.take(&identity, want, &mut seen, start).await;
                }
            }
            continue;
        }
        let wait = due.map_or(Duration::MAX, |due| due.saturating_sub(start.elapsed()));
        tokio::select! {
            changed = lines.pages.changed() => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
    }
}

/// Names of the publications, in the order of [`wanted()`].
const TRACKS: [&str; 3] = ["node-annotations", "node-condition", "node-event"];

fn wanted(
    page: Option<&Page>,
    extras: Extras,
    seen: Option<NodeSeen>,
    [annotations, ..]: &[Track; 3],
) -> [Wanted; 3] {
    let Some(Page { report, .. }) = page else {
        return [Wanted::NotYet, Wanted::NotYet, Wanted::NotYet];
    };
    let shows = seen.is_some_and(|seen| seen.condition.is_some());
    let of_annotations = wanted::annotations(report);
    let [mut condition, event] = wanted::extras(report, extras, shows, report.observed_at);
    // A machine that only looks like a worker keeps both.
    if of_annotations == Wanted::This(Want::NoAnnotations)
        && !annotations.schedule.holds(&Want::NoAnnotations)
    {
        condition = Wanted::NotYet;
    }
    [of_annotations, condition, event]
}

async fn sleep(wait: Duration) {
    if wait == Duration::MAX {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(wait).await;
}

/// Reads the identity where that may block, and sees whether it is that of this machine.
async fn load(source: Source, report: Option<&Report>) -> Result<Arc<Identity>, Missing> {
    let loaded = tokio::task::spawn_blocking(move || source.load()).await;
    let identity = loaded.unwrap_or_else(|error| Err(Missing::Broken(error.to_string())))?;
    match report.and_then(Report::kubelet_node) {
        Some(node) if node != identity.node => Err(Missing::Broken(format!(
            "{} is for the Node {}, but the kubelet's certificate of this machine is that of the \
             Node {node}: nothing is written to either until the two agree",
            identity.name, identity.node
        ))),
        _ => Ok(Arc::new(identity)),
    }
}

fn announce(tracks: &[Track; 3], extras: Extras, publications: &watch::Sender<Vec<Publication>>) {
    let asked_for = [true, extras.condition_window.is_some(), extras.event];
    let now: Vec<_> = tracks
        .iter()
        .zip(asked_for)
        .filter(|(track, asked_for)| *asked_for || track.publication.state == State::Failing)
        .map(|(track, _)| track.publication.clone())
        .collect();
    publications.send_if_modified(|before| {
        let changed = *before != now;
        if changed {
            *before = now;
        }
        changed
    });
}
