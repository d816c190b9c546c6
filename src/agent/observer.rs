//! Looks at the machine, and keeps the watch on what it saw. Blocks: for a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::{Moment, Timestamp};
use crate::config::Config;
use crate::failure::Failure;
use crate::host_root::{Granted, Grants, HostPath, HostRoot};
use crate::layout::{self, Watched, Wishes};
use crate::problem::Problem;
use crate::publish::http::tls::{Keeper, Tls};
use crate::publish::node;
use crate::scan::{Scan, Scanner};
use crate::system::sandbox::Sandbox;
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
    node: node::Settings,
    /// What the configuration is read from.
    files: Vec<PathBuf>,
    /// This process's own file system.
    own: HostRoot,
    /// What can be read, once reading is confined.
    granted: Option<Granted>,
    /// A look that was made to find what has to be readable, and that nobody was told of yet.
    first: Option<(Moment, Scan)>,
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
    /// Something that is to be read and was not there, or was another, when reading was confined.
    pub(super) beyond: Option<PathBuf>,
}

impl Lookout {
    /// # Errors
    /// The host root cannot be opened.
    pub(super) fn open(
        config: &Config,
        files: Vec<PathBuf>,
        changed: watch::Sender<()>,
        start: Instant,
    ) -> Result<Self, Failure> {
        let root = HostRoot::open(&config.host_root).map_err(Failure::HostRoot)?;
        let own = HostRoot::open(Path::new("/")).map_err(Failure::HostRoot)?;
        let root = Arc::new(root);
        let scanner = Scanner::new(Arc::clone(&root), config.wishes.clone(), config.limits);
        let mut keeper = Keeper::new(config.tls.clone());
        let (tls, _) = keeper.look(&root, &layout::etcd_pki(&root, &config.wishes));
        let (watch, wishes) = (Watch::new(changed), config.wishes.clone());
        Ok(Self {
            root,
            scanner,
            watch,
            watched: Vec::new(),
            wishes,
            keeper,
            tls,
            start,
            node: config.node,
            files,
            own,
            granted: None,
            first: None,
        })
    }

    /// Looks once, and then confines reading to what is read by a look, by the publisher and by a reload,
    /// for this thread and all that it starts later.
    pub(super) fn confine(&mut self, sandbox: &mut Sandbox) {
        let at = self.now();
        let scan = self.scanner.look(at.wall);
        let grants = self.grants(&scan);
        sandbox.confine_reading(grants.descriptors());
        self.granted = sandbox.confines_reading().then(|| grants.granted());
        self.first = Some((at, scan));
    }

    /// Takes over what can be read from the one before: a process that is confined stays so.
    pub(super) fn inherit(&mut self, before: &Self) {
        self.granted.clone_from(&before.granted);
    }

    /// What has to be readable, given what a look saw.
    fn grants(&self, scan: &Scan) -> Grants {
        let mut grants = Grants::default();
        for place in &scan.layout.places {
            grants.directory(&self.root, place);
        }
        let node = node::reads(&self.root, self.node);
        let tls = self.keeper.files(&scan.layout.etcd_pki);
        let files = scan.files.keys().cloned().chain(layout::small_files());
        for file in files.chain(tls).chain(node.of_host) {
            grants.file(&self.root, &file);
        }
        let own = node.own.iter().map(Path::new).chain(self.files.iter().map(PathBuf::as_path));
        for file in own.filter_map(|path| HostPath::new(path).ok()) {
            grants.file(&self.own, &file);
        }
        grants
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
        let (mut at, mut scan) = self.first.take().unwrap_or_else(|| {
            let at = self.now();
            (at, self.scanner.look(at.wall))
        });
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
        let granted = self.granted.as_ref();
        let beyond =
            granted.and_then(|granted| self.grants(&scan).beyond(granted).map(Path::to_owned));
        Sighting {
            scan,
            beyond,
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
