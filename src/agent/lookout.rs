//! Looks at the machine, and keeps the watch on what it saw. Blocks: for a thread of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::{Moment, Timestamp};
use crate::config::Config;
use crate::host_root::HostRoot;
use crate::problem::Problem;
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
    start: Instant,
}

/// What the lookout reports.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) scan: Scan,
    pub(super) at: Moment,
    /// How long looking took.
    pub(super) took: Duration,
    /// Why changes are found by polling, if they are.
    pub(super) watch_problem: Option<Problem>,
}

impl Lookout {
    /// # Errors
    /// A sentence for the operator: the host root cannot be opened.
    pub(super) fn open(
        config: &Config,
        changed: watch::Sender<()>,
        start: Instant,
    ) -> Result<Self, String> {
        let root = Arc::new(HostRoot::open(&config.host_root)?);
        let scanner = Scanner::new(Arc::clone(&root), config.wishes.clone(), config.limits);
        Ok(Self { root, scanner, watch: Watch::new(changed), start })
    }

    pub(super) fn host_root(&self) -> Arc<HostRoot> {
        Arc::clone(&self.root)
    }

    /// Looks, and looks again when something may have changed before it was watched.
    pub(super) fn look(&mut self) -> Sighting {
        let begun = Instant::now();
        let mut at = self.now();
        let mut scan = self.scanner.look(at.wall);
        for _ in 0..REPEATS {
            match self.watch.arm(&self.root, &scan.layout.watched, at.monotonic) {
                Armed::Same | Armed::Polling => break,
                Armed::Anew => {
                    at = self.now();
                    scan = self.scanner.look(at.wall);
                }
            }
        }
        Sighting { scan, at, took: begun.elapsed(), watch_problem: self.watch.problem().cloned() }
    }

    fn now(&self) -> Moment {
        Moment { monotonic: self.start.elapsed(), wall: Timestamp::now() }
    }
}
