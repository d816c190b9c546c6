//! All certificates and problems of the machine, settled: what is published never moves later and
//! never vanishes because a renewal was seen half done.
//!
//! kubeadm truncates a file and writes it again, EKS Anywhere's renewal of etcd empties the
//! directory first, and the kubelet swaps its link with a gap. So, for each file that was good:
//!
//! * another good state is taken at once;
//! * while it is unreadable, torn or empty, its last good certificates are kept, `stale`;
//! * when it is whole but has fewer certificates that count than it had, those are kept until the new
//!   state was the same for the settle time;
//! * when it is gone, its last good certificates are kept, `stale`, until the machine has been quiet
//!   for the settle time; if every leaf of its PKI directory or of the machine went with it, for
//!   the grace. No longer than the grace in any case.
//!
//! All of it is memory of this process: after a restart an emptied directory is empty.

mod entry;
mod last_good;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use expiryd_api::{EtcdTopology, Role, Timestamp};

use crate::clock::Moment;
use crate::config::Timing;
use crate::host_root::HostPath;
use crate::layout::Server;
use crate::layout::known_files::{ExpectedFile, expected_files};
use crate::pki::Contents;
use crate::problem::{ActiveProblem, Problem, Reason};
use crate::rules::renewal::renewed_by;
use crate::scan::Scan;
pub use entry::CertificateEntry;
use last_good::{LastGood, Observed};

/// Problems of one report; more are counted and not listed.
const PROBLEMS: usize = 1_000;

/// The machine as far as it is believed.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// `ID` of os-release.
    pub os: String,
    /// The machine's name, from etc/hostname.
    pub hostname: Option<String>,
    /// What the machine is.
    pub role: Role,
    /// Where its etcd runs.
    pub etcd_topology: Option<EtcdTopology>,
    /// Whether this is to be believed as a whole: quiet for the settle time, with something to
    /// report.
    pub settled: bool,
    /// The servers that such a machine runs.
    pub servers: Vec<Server>,
    /// By path and index.
    pub certificates: Vec<CertificateEntry>,
    /// By path.
    pub problems: Vec<ActiveProblem>,
    /// How often since the start a file was given up that such a machine cannot be without.
    pub forgotten: u64,
}

/// Turns one scan after another into what is believed.
#[derive(Debug, Clone)]
pub struct Stabilizer {
    timing: Timing,
    good: LastGood,
    problems: Vec<ActiveProblem>,
    role: Option<Role>,
    /// Since when nothing on the machine tells of its role any more.
    role_gone_since: Option<Duration>,
    etcd_topology: Option<EtcdTopology>,
    last: Option<Fingerprint>,
    changed_at: Duration,
    settled: bool,
    /// Since when there is something to settle.
    unsettled_since: Option<Duration>,
}

/// What two scans are compared by.
#[derive(Debug, Clone, PartialEq)]
struct Fingerprint {
    role: Role,
    files: BTreeMap<HostPath, Arc<Contents>>,
    problems: Vec<Problem>,
}

impl Stabilizer {
    /// Knows nothing yet.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            good: LastGood::default(),
            problems: Vec::new(),
            role: None,
            role_gone_since: None,
            etcd_topology: None,
            last: None,
            changed_at: Duration::ZERO,
            settled: false,
            unsettled_since: None,
        }
    }

    /// Goes on with another configuration: unless it says the same of the `layout`, what the machine is may
    /// now be seen otherwise. Files that
    /// the configuration added before and that are not `configured` now are forgotten.
    pub fn reconfigure(
        &mut self,
        timing: Timing,
        same_layout: bool,
        configured: impl Fn(&HostPath) -> bool,
    ) {
        self.timing = timing;
        if !same_layout {
            self.role = None;
            self.etcd_topology = None;
        }
        self.good.forget_unless(configured);
    }

    /// Takes in a scan, and says what is to be believed now.
    pub fn observe(&mut self, scan: Scan, now: Moment) -> Inventory {
        self.notice_change(&scan, now.monotonic);
        let role = self.settle_role(scan.layout.role, now.monotonic);
        // A member's files prove a stacked etcd; none of them proves an external one only below.
        if scan.layout.etcd_topology == Some(EtcdTopology::Stacked) || self.etcd_topology.is_none()
        {
            self.etcd_topology = scan.layout.etcd_topology;
        }
        let needed = self.needed(&scan, role);
        let Observed { stale, gone, problems: more } = self.good.observe(
            &scan,
            |path| {
                needed.iter().flatten().any(|needed| needed == path) || scan.layout.is_wanted(path)
            },
            self.changed_at,
            now.monotonic,
            self.timing,
        );
        let mut problems = scan.layout.problems.clone();
        problems.extend(more);
        // Which files are there decides the topology, so it holds as long as a missing one does.
        if !gone {
            self.etcd_topology = scan.layout.etcd_topology;
        }
        problems.extend(self.missing(&scan, &needed, role));
        let servers = scan.layout.servers(role, self.etcd_topology);
        let certificates = self.certificates(role, &stale, now.wall);
        let something = role == Role::Worker || certificates.iter().any(|entry| entry.counted);
        self.settle(something, now.monotonic);
        Inventory {
            os: scan.layout.os,
            hostname: scan.layout.hostname,
            role,
            etcd_topology: self.etcd_topology,
            settled: self.settled,
            servers,
            certificates,
            problems: self.activate(problems, now.wall),
            forgotten: self.good.forgotten(),
        }
    }

    /// When, after `now`, to scan again although nothing changes, on the monotonic clock:
    /// something settles, or a grace ends.
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        let quiet = self.changed_at.saturating_add(self.timing.settle);
        let settles = (!self.settled || self.good.holds_gone()).then_some(quiet);
        let grace = |since: Duration| since.saturating_add(self.timing.grace);
        let at_the_latest = self.unsettled_since.filter(|_| !self.settled).map(grace);
        let role = self.role_gone_since.map(grace);
        let files = self.good.deadlines(self.timing);
        let all = files.chain(settles).chain(at_the_latest).chain(role);
        all.filter(|deadline| *deadline > now).min()
    }

    fn notice_change(&mut self, scan: &Scan, now: Duration) {
        let fingerprint = Fingerprint {
            role: scan.layout.role,
            files: scan.files.iter().map(|(p, f)| (p.clone(), Arc::clone(&f.contents))).collect(),
            problems: scan.layout.problems.clone(),
        };
        if self.last.as_ref() != Some(&fingerprint) {
            self.changed_at = now;
            self.last = Some(fingerprint);
        }
    }

    /// Settles once the machine was quiet for the settle time. A file that never stops changing has
    /// its own rules, and must not keep the rest unsettled for longer than the grace.
    fn settle(&mut self, something: bool, now: Duration) {
        if !something {
            self.settled = false;
            self.unsettled_since = None;
            return;
        }
        let since = *self.unsettled_since.get_or_insert(now);
        let quiet = now.saturating_sub(self.changed_at) >= self.timing.settle;
        let overdue = now.saturating_sub(since) >= self.timing.grace;
        self.settled = self.settled || quiet || overdue;
    }

    /// A control plane or etcd machine stays one while anything tells so, and for the grace: Machines
    /// are replaced, not changed, and an emptied directory must not make a worker of one.
    fn settle_role(&mut self, seen: Role, now: Duration) -> Role {
        let weaker = match self.role {
            Some(Role::ControlPlane) => seen != Role::ControlPlane,
            Some(Role::Etcd) => matches!(seen, Role::Worker | Role::Unknown),
            Some(Role::Worker | Role::Unknown) | None => false,
        };
        let role = match self.role {
            Some(before) if weaker => {
                let since = *self.role_gone_since.get_or_insert(now);
                if now.saturating_sub(since) < self.timing.grace { before } else { seen }
            }
            _ => seen,
        };
        if role == seen {
            self.role_gone_since = None;
        }
        if self.role.replace(role).is_some_and(|before| before != role) {
            self.settled = false;
            self.unsettled_since = None;
        }
        role
    }

    /// The files that such a machine always has and that are not there, each by all its names.
    fn needed(&self, scan: &Scan, role: Role) -> Vec<Vec<HostPath>> {
        let all = expected_files(role, self.etcd_topology).map(|ExpectedFile { origin, names }| {
            let directory = scan.layout.directory(origin);
            names.iter().map(|name| directory.join(name)).collect::<Vec<_>>()
        });
        all.filter(|paths| !paths.iter().any(|path| scan.files.contains_key(path))).collect()
    }

    /// What is needed and was never good since the start: a date that nobody sees may be the earliest.
    fn missing(&self, scan: &Scan, needed: &[Vec<HostPath>], role: Role) -> Vec<Problem> {
        let told = |path: &HostPath| self.good.knows(path) || scan.layout.is_unlisted(path);
        let missing = needed.iter().filter(|paths| !paths.iter().any(told));
        let problem = |paths: &Vec<HostPath>| {
            let (path, others) = paths.split_first()?;
            let others: Vec<_> = others.iter().map(|other| format!(", nor is {other}")).collect();
            let message = format!(
                "it is not there{}, and a working {role} machine has it; if this folder is not \
                 the machine's PKI, or is not mounted here, mend that or set layout in the \
                 configuration",
                others.concat()
            );
            Some(Problem::new(path, Reason::Missing, message))
        };
        missing.filter_map(problem).collect()
    }

    fn certificates(
        &self,
        role: Role,
        stale: &BTreeSet<HostPath>,
        now: Timestamp,
    ) -> Vec<CertificateEntry> {
        let mut entries = Vec::new();
        for (path, file) in self.good.files() {
            let stale = stale.contains(path);
            let renewed_by = renewed_by(file.origin, &file.name, role, self.etcd_topology);
            entries.extend(CertificateEntry::of_file(path, file, renewed_by, stale, now));
        }
        entries
    }

    /// Dates the problems; of more than a report lists the rest are counted.
    fn activate(&mut self, mut problems: Vec<Problem>, now: Timestamp) -> Vec<ActiveProblem> {
        problems.sort();
        problems.dedup();
        let more = problems.len().saturating_sub(PROBLEMS);
        if more > 0 {
            problems.truncate(PROBLEMS);
            let message = format!("{more} more problems are not listed; mend these first");
            problems.insert(0, Problem::new(&HostPath::root(), Reason::TooMany, message));
        }
        self.problems = ActiveProblem::date(problems, &self.problems, now);
        self.problems.clone()
    }
}

#[cfg(test)]
mod tests;
