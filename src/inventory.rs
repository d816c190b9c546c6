//! All certificates and problems of the machine, settled: what is published never moves later and
//! never vanishes because a renewal was seen half done.
//!
//! kubeadm truncates a file and writes it again, EKS Anywhere's renewal of etcd empties the
//! directory first, and the kubelet swaps its link with a gap. So, for each file that was good:
//!
//! * another good state is taken at once;
//! * while it is unreadable, torn or empty, its last good certificates stand, `stale`;
//! * when it is whole but has fewer certificates that count than it had, those stand until the new
//!   state was the same for the settle time;
//! * when it is gone, its last good certificates stand, `stale`, until the machine has been quiet
//!   for the settle time; if every leaf of its PKI directory or of the machine went with it, for
//!   the grace. No longer than the grace in any case.
//!
//! All of it is memory of this process: after a restart an emptied directory is empty.

mod last_good;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Moment, Timestamp};
use crate::host_root::HostPath;
use crate::pki::authority::{Standing, standings};
use crate::pki::renewal::{
    EtcdTopology, Expected, RenewedBy, Role, Slot, expected, holds, renewed_by,
};
use crate::pki::{Certificate, Contents, Kind};
use crate::problem::{Problem, Reason};
use crate::scan::Scan;
use last_good::{LastGood, Observed};

/// Problems of one report; more are counted and not listed.
const PROBLEMS: usize = 1_000;

/// How long to wait before something is taken for a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the machine must have been quiet.
    pub settle: Duration,
    /// How long the certificates of an emptied directory stand.
    pub grace: Duration,
}

/// One certificate of the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The file it is in.
    pub path: HostPath,
    /// Its place in the file, from 0.
    pub index: usize,
    /// How the file was read.
    pub kind: Kind,
    /// Whether it is a CA, and what is odd about it.
    pub standing: Standing,
    /// Who renews it; `None` for a CA.
    pub renewed_by: Option<RenewedBy>,
    /// Whether it is the last good state of a file that cannot be read now.
    pub stale: bool,
    /// The certificate itself.
    pub certificate: Arc<Certificate>,
}

impl Entry {
    /// Whether it takes part in the earliest expiry.
    pub fn counted(&self) -> bool {
        self.standing.counts && self.renewed_by != Some(RenewedBy::Kubelet)
    }
}

/// A problem, and since when it has been there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lasting {
    /// The problem.
    pub problem: Problem,
    /// When it was first seen.
    pub since: Timestamp,
}

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
    /// By path and index.
    pub entries: Vec<Entry>,
    /// By path.
    pub problems: Vec<Lasting>,
}

/// Turns one look after another into what is believed.
#[derive(Debug, Clone)]
pub struct Settling {
    timing: Timing,
    good: LastGood,
    since: BTreeMap<Problem, Timestamp>,
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

/// What two looks are compared by.
#[derive(Debug, Clone, PartialEq)]
struct Fingerprint {
    role: Role,
    files: BTreeMap<HostPath, Arc<Contents>>,
    problems: Vec<Problem>,
}

impl Settling {
    /// Knows nothing yet.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            good: LastGood::default(),
            since: BTreeMap::new(),
            role: None,
            role_gone_since: None,
            etcd_topology: None,
            last: None,
            changed_at: Duration::ZERO,
            settled: false,
            unsettled_since: None,
        }
    }

    /// Goes on with another configuration: what the machine is may now be seen otherwise. Files that
    /// the configuration added before and that are not `configured` now are forgotten.
    pub fn reconfigure(&mut self, timing: Timing, configured: impl Fn(&HostPath) -> bool) {
        self.timing = timing;
        self.role = None;
        self.etcd_topology = None;
        self.good.forget_unless(configured);
    }

    /// Takes in a look, and says what is to be believed now.
    pub fn take(&mut self, scan: Scan, now: Moment) -> Inventory {
        self.notice_change(&scan, now.monotonic);
        let role = self.settle_role(scan.layout.role, now.monotonic);
        let needed = self.needed(&scan, role);
        let Observed { stale, gone, problems: more } = self.good.observe(
            &scan,
            |path| needed.iter().flatten().any(|needed| needed == path),
            self.changed_at,
            now.monotonic,
            self.timing,
        );
        let mut problems = scan.layout.problems.clone();
        problems.extend(more);
        // Which files are there decides the topology, so it holds as long as a missing one does.
        if !gone || self.etcd_topology.is_none() {
            self.etcd_topology = scan.layout.etcd_topology;
        }
        problems.extend(self.missing(&scan, &needed, role));
        let entries = self.entries(role, &stale);
        let something = role == Role::Worker || entries.iter().any(Entry::counted);
        self.settle(something, now.monotonic);
        Inventory {
            os: scan.layout.os,
            hostname: scan.layout.hostname,
            role,
            etcd_topology: self.etcd_topology,
            settled: self.settled,
            entries,
            problems: self.date(problems, now.wall),
        }
    }

    /// When, after `now`, to look again although nothing changes, on the monotonic clock:
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
        let etcd = self.etcd_topology.or(scan.layout.etcd_topology);
        let all = expected(role, etcd).map(|Expected { slot, names }| {
            let directory = match slot {
                Slot::EtcdPki => &scan.layout.etcd_pki,
                _ => &scan.layout.control_plane_pki,
            };
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
            let nor = others.concat();
            Some(Problem {
                path: path.clone(),
                index: None,
                reason: Reason::Missing,
                message: format!(
                    "it is not there{nor}, and a working {role} machine has it; if this folder is not \
                     the machine's PKI, or is not mounted here, mend that or set layout in the \
                     configuration"
                ),
            })
        };
        missing.filter_map(problem).collect()
    }

    fn entries(&self, role: Role, stale: &BTreeSet<HostPath>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (path, file) in self.good.files() {
            let holds = holds(file.slot, &file.name);
            let certificates = &file.contents.certificates;
            let judged = standings(holds, certificates).into_iter().zip(certificates);
            for (standing, (index, certificate)) in judged {
                let renewed_by = (standing.counts || !standing.is_ca)
                    .then(|| renewed_by(file.slot, &file.name, role, self.etcd_topology));
                entries.push(Entry {
                    path: path.clone(),
                    index: *index,
                    kind: file.kind,
                    standing,
                    renewed_by,
                    stale: stale.contains(path),
                    certificate: Arc::clone(certificate),
                });
            }
        }
        entries
    }

    fn date(&mut self, mut problems: Vec<Problem>, now: Timestamp) -> Vec<Lasting> {
        problems.sort();
        problems.dedup();
        let more = problems.len().saturating_sub(PROBLEMS);
        if more > 0 {
            problems.truncate(PROBLEMS);
            problems.insert(
                0,
                Problem {
                    path: HostPath::root(),
                    index: None,
                    reason: Reason::TooMany,
                    message: format!("{more} more problems are not listed; mend these first"),
                },
            );
        }
        let before = std::mem::take(&mut self.since);
        let dated = problems.into_iter().map(|problem| {
            let since = before.get(&problem).copied().unwrap_or(now);
            self.since.insert(problem.clone(), since);
            Lasting { problem, since }
        });
        dated.collect()
    }
}

#[cfg(test)]
mod tests;
