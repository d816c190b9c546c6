//! Looks at the machine, and keeps the watch on what it saw. Blocks: for a thread of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::{Moment, Timestamp};
use crate::config::Config;
use crate::failure::Failure;
use crate::host_root::HostRoot;
use crate::layout::{self, Watched, Wishes};
use crate::problem::Problem;
use crate::publish::http::tls::{Keeper, Tls};
use crate::scan::{Scan, Scanner};
use crate::watch::{Armed, Watch};

/// How often a look is repeated at once because the directories to watch keep changing.
const REPEATS: usize = 3;

/// The part of the agent that touches the disk.
#[derive(Debug)]
pub(super) struct Lookout {
    root: Arc<HostRoot>,
    scanner: Scanner,
    watch: Watch,
    /// What the last look wanted to be watched.
    watched: Vec<Watched>,
    wishes: Wishes,
    keeper: Keeper,
    tls: Tls,
    start: Instant,
}

/// What the lookout reports.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) scan: Scan,
    pub(super) at: Moment,
    /// How long looking took.
    pub(super) took: Duration,
    /// Whether inotify does not work and changes are found by polling.
    pub(super) polling: bool,
    /// What is wrong with the agent itself and not with the machine.
    pub(super) problems: Vec<Problem>,
    /// How to serve from now on.
    pub(super) tls: Tls,
}

impl Lookout {
    /// # Errors
    /// The host root cannot be opened.
    pub(super) fn open(
        config: &Config,
        changed: watch::Sender<()>,
        start: Instant,
    ) -> Result<Self, Failure> {
        let root = HostRoot::open(&config.host_root).map_err(Failure::HostRoot)?;
        let root = Arc::new(root);
        let scanner = Scanner::new(Arc::clone(&root), config.wishes.clone(), config.limits);
        let mut keeper = Keeper::new(config.tls.clone());
        let (tls, _) = keeper.look(&root, &layout::etcd_pki(&root, &config.wishes));
        let (watch, wishes) = (Watch::new(changed), config.wishes.clone());
        Ok(Self { root, scanner, watch, watched: Vec::new(), wishes, keeper, tls, start })
    }

    /// How to serve as of the last look.
    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    pub(super) fn host_root(&self) -> Arc<HostRoot> {
        Arc::clone(&self.root)
    }

    /// Whether the directories that are watched are no longer the ones that matter.
    pub(super) fn has_moved(&self) -> bool {
        self.watch.has_moved(&self.root, &self.watched)
    }

    /// Looks, and looks again when something may have changed before it was watched.
    pub(super) fn look(&mut self) -> Sighting {
        let begun = Instant::now();
        let etcd_pki = layout::etcd_pki(&self.root, &self.wishes);
        let mut at = self.now();
        let mut scan = self.scanner.look(at.wall);
        for _ in 0..REPEATS {
            scan.layout.watched.extend(self.keeper.watched(&etcd_pki));
            match self.watch.arm(&self.root, &scan.layout.watched, at.monotonic) {
                Armed::Same | Armed::Polling => break,
                Armed::Anew => {
                    at = self.now();
                    scan = self.scanner.look(at.wall);
                }
            }
        }
        self.watched = std::mem::take(&mut scan.layout.watched);
        let tls_problem;
        (self.tls, tls_problem) = self.keeper.look(&self.root, &etcd_pki);
        let watch_problem = self.watch.problem().cloned();
        Sighting {
            scan,
            at,
            took: begun.elapsed(),
            polling: watch_problem.is_some(),
            problems: watch_problem.into_iter().chain(tls_problem).collect(),
            tls: self.tls(),
        }
    }

    fn now(&self) -> Moment {
        Moment { monotonic: self.start.elapsed(), wall: Timestamp::now() }
    }
}
