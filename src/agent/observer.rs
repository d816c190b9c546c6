//! Observes the machine: scans it, and watches what the scan found. Blocks: for a thread of its own.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::{self, Moment};
use crate::config::Config;
use crate::failure::Failure;
use crate::file_watch::{Armed, FileWatch};
use crate::host_root::{Granted, Grants, HostPath, HostRoot};
use crate::identity::{IdentitySource, Reads};
use crate::layout::known_files::Origin;
use crate::layout::{self, Watched};
use crate::problem::Problem;
use crate::scan::{File, Scan, Scanner};
use crate::system::program::Program;
use crate::system::sandbox::Sandbox;
use crate::tls::{CertificateReloader, Credentials, Tls};

/// How often a scan is repeated at once because the directories to watch keep changing.
const REPEATS: usize = 3;

/// The part of the agent that touches the disk.
#[derive(Debug)]
pub(super) struct Observer {
    start: Instant,
    root: Arc<HostRoot>,
    scanner: Scanner,
    watch: FileWatch,
    /// What the last scan wanted to be watched.
    watched: Vec<Watched>,
    reloader: CertificateReloader,
    /// As whom the publisher talks to the API server; `None` when it publishes nothing.
    identity: Option<IdentitySource>,
    /// What the configuration is read from.
    config_files: Vec<PathBuf>,
    /// This process's own file system.
    own: HostRoot,
    /// What can be read, once reading is confined.
    granted: Option<Granted>,
    /// Whether the configuration was read again since the last observation.
    reconfigured: bool,
    /// A scan that nobody was told of yet.
    prepared: Option<(Moment, Scan)>,
}

/// What an observation found.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) scan: Scan,
    pub(super) at: Moment,
    /// How long it took.
    pub(super) took: Duration,
    /// Whether inotify does not work and changes are found by polling.
    pub(super) polling: bool,
    /// What is wrong with the agent itself and not with the machine.
    pub(super) problems: Vec<Problem>,
    /// How to serve from now on.
    pub(super) tls: Tls<Credentials>,
    /// Something that has to be read and that the sandbox does not grant.
    pub(super) not_granted: Option<PathBuf>,
}

impl Observer {
    /// Opens what is to be observed, and scans nothing yet.
    ///
    /// # Errors
    /// The host root cannot be opened.
    pub(super) fn open(
        config: &Config,
        config_files: Vec<PathBuf>,
        changed: watch::Sender<()>,
        start: Instant,
    ) -> Result<Self, Failure> {
        let root = Arc::new(HostRoot::open(&config.host_root).map_err(Failure::HostRoot)?);
        let own = HostRoot::open(Path::new("/")).map_err(Failure::HostRoot)?;
        let identity = IdentitySource::new(Arc::clone(&root), &config.node);
        Ok(Self {
            start,
            scanner: Scanner::new(Arc::clone(&root), config.layout.clone(), config.limits),
            root,
            watch: FileWatch::new(changed),
            watched: Vec::new(),
            reloader: CertificateReloader::new(config.tls.clone()),
            identity: config.node.annotate.then_some(identity),
            config_files,
            own,
            granted: None,
            reconfigured: false,
            prepared: None,
        })
    }

    pub(super) fn identity(&self) -> Option<IdentitySource> {
        self.identity.clone()
    }

    /// What it knows of the endpoint's certificate.
    pub(super) fn reloader(&self) -> CertificateReloader {
        self.reloader.clone()
    }

    /// Goes on with a certificate that was good before the configuration was read again.
    pub(super) fn inherit_certificate(&mut self, before: &CertificateReloader) {
        self.reloader.inherit(before);
    }

    /// Scans once for the next observation, and reads the endpoint's certificate.
    pub(super) fn prepare(&mut self) -> Tls<Credentials> {
        let (at, scan) = self.scan();
        let (tls, _) = self.reloader.reload(&self.root, &scan.layout.etcd_pki);
        self.prepared = Some((at, scan));
        tls
    }

    /// Confines reading to what is read by a scan, by the publisher and by a reload, and to this program, for
    /// this thread and all that it starts later.
    pub(super) fn confine(&mut self, sandbox: &mut Sandbox, program: &Program) {
        let Some((_, scan)) = &self.prepared else { return };
        let mut grants = Grants::default();
        self.grant_machine(scan, &mut grants);
        self.grant_configured(scan, &mut grants);
        self.grant_configuration(&mut grants);
        let machine = grants.descriptors().map(AsFd::as_fd);
        sandbox.confine_reading(machine.chain([program.as_fd()]));
        self.granted = sandbox.confines_reading().then(|| grants.granted());
    }

    /// Takes over what can be read from the one before: a process that is confined stays so.
    pub(super) fn inherit(&mut self, before: &Self) {
        self.granted.clone_from(&before.granted);
        self.reconfigured = true;
    }

    /// Whether the directories that are watched are no longer the ones that matter.
    pub(super) fn directories_moved(&self) -> bool {
        self.watch.has_moved(&self.root, &self.watched)
    }

    /// Scans, and scans again when something may have changed before it was watched.
    pub(super) fn observe(&mut self) -> Observation {
        let begun = Instant::now();
        let (mut at, mut scan) = self.prepared.take().unwrap_or_else(|| self.scan());
        for _ in 0..REPEATS {
            scan.layout.watched.extend(self.reloader.watched(&scan.layout.etcd_pki));
            match self.watch.arm(&self.root, &scan.layout.watched, at.monotonic) {
                Armed::Same | Armed::Polling => break,
                Armed::New => (at, scan) = self.scan(),
            }
        }
        self.watched = std::mem::take(&mut scan.layout.watched);
        let (tls, tls_problem) = self.reloader.reload(&self.root, &scan.layout.etcd_pki);
        let watch_problem = self.watch.problem().cloned();
        let not_granted = self.not_granted(&scan);
        Observation {
            scan,
            not_granted,
            at,
            took: begun.elapsed(),
            polling: watch_problem.is_some(),
            problems: watch_problem.into_iter().chain(tls_problem).collect(),
            tls,
        }
    }

    fn scan(&mut self) -> (Moment, Scan) {
        let at = Moment { monotonic: self.start.elapsed(), wall: clock::now() };
        (at, self.scanner.scan(at.wall))
    }

    /// Something that only a new start can read. What the configuration names is such a thing only right
    /// after it was read again: other users may own it, and must not have the agent start again and again.
    fn not_granted(&mut self, scan: &Scan) -> Option<PathBuf> {
        let reconfigured = std::mem::take(&mut self.reconfigured);
        let granted = self.granted.as_ref()?;
        let mut grants = Grants::default();
        self.grant_machine(scan, &mut grants);
        if reconfigured {
            self.grant_configured(scan, &mut grants);
        }
        grants.beyond(granted).map(Path::to_owned)
    }

    /// A file of the configuration that only a new start can read.
    pub(super) fn configuration_beyond_grants(&self) -> Option<PathBuf> {
        let granted = self.granted.as_ref()?;
        let mut grants = Grants::default();
        self.grant_configuration(&mut grants);
        grants.beyond(granted).map(Path::to_owned)
    }

    /// Grants what the machine itself makes necessary: its PKI, and the publisher's identity.
    fn grant_machine(&self, scan: &Scan, grants: &mut Grants) {
        for place in &scan.layout.places {
            grants.directory(&self.root, place);
        }
        let identity = self.identity.as_ref().map_or_else(Reads::default, IdentitySource::reads);
        let files = scan.files.iter().filter(|(_, file)| !is_configured(file));
        let files = files.map(|(path, _)| path.clone()).chain(layout::small_files());
        grants.files(&self.root, files.chain(identity.of_host));
        grants.files(&self.own, identity.own.iter().filter_map(|path| HostPath::new(path).ok()));
    }

    /// Grants what the configuration names: sources, and the endpoint's certificate.
    fn grant_configured(&self, scan: &Scan, grants: &mut Grants) {
        let files = scan.files.iter().filter(|(_, file)| is_configured(file));
        let files = files.map(|(path, _)| path.clone());
        grants.files(&self.root, files.chain(self.reloader.files(&scan.layout.etcd_pki)));
    }

    /// Grants the files of the configuration, for a reload.
    fn grant_configuration(&self, grants: &mut Grants) {
        let files = self.config_files.iter().filter_map(|path| HostPath::new(path).ok());
        grants.files(&self.own, files);
    }
}

const fn is_configured(file: &File) -> bool {
    matches!(file.origin, Origin::Configured(_))
}
