//! All certificates and problems of the machine, settled: what is published never moves later and
//! never vanishes because a renewal was seen half done.
//!
//! kubeadm truncates a file and writes it again, EKS Anywhere's renewal of etcd empties the
//! directory first, and the kubelet swaps its link with a gap. So, for each file that was good:
//!
//! * another good state is taken at once;
//! * while it is unreadable, torn or empty, its last good certificates stand, `stale`;
//! * when it is gone, its last good certificates stand, `stale`, until the machine has been quiet
//!   for the settle time; if every leaf of its PKI directory or of the machine went with it, for
//!   the grace. No longer than the grace in any case.
//!
//! All of it is memory of this process: after a restart an emptied directory is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Moment, Timestamp};
use crate::host_root::HostPath;
use crate::pki::authority::{Standing, standings};
use crate::pki::renewal::{EtcdTopology, RenewedBy, Role, Slot, holds, renewed_by};
use crate::pki::{Certificate, Contents, Kind};
use crate::problem::{Problem, Reason};
use crate::scan::{File, Scan};

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
    good: BTreeMap<HostPath, Remembered>,
    since: BTreeMap<Problem, Timestamp>,
    role: Option<Role>,
    etcd_topology: Option<EtcdTopology>,
    last: Option<Fingerprint>,
    changed_at: Duration,
    settled: bool,
}

/// The last state of a file that had certificates.
#[derive(Debug, Clone)]
struct Remembered {
    file: File,
    /// Whether all of it could be read.
    complete: bool,
    gone_since: Option<Duration>,
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
    pub const fn new(timing: Timing) -> Self {
        Self {
            timing,
            good: BTreeMap::new(),
            since: BTreeMap::new(),
            role: None,
            etcd_topology: None,
            last: None,
            changed_at: Duration::ZERO,
            settled: false,
        }
    }

    /// Goes on with another configuration: what the machine is may now be seen otherwise.
    pub fn reconfigure(&mut self, timing: Timing) {
        self.timing = timing;
        self.role = None;
        self.etcd_topology = None;
    }

    /// Takes in a look, and says what is to be believed now.
    pub fn take(&mut self, scan: Scan, now: Moment) -> Inventory {
        self.notice_change(&scan, now.monotonic);
        let mut problems = scan.layout.problems.clone();
        let unreadable = self.take_files(&scan, &mut problems);
        let held = self.hold_vanished(&scan, now.monotonic, &mut problems);

        let role = self.settle_role(scan.layout.role);
        // Which files are there decides the topology, so it holds as long as a missing one does.
        if !held || self.etcd_topology.is_none() {
            self.etcd_topology = scan.layout.etcd_topology;
        }
        let entries = self.entries(&unreadable);
        let something = role == Role::Worker || entries.iter().any(Entry::counted);
        self.settled = something
            && (self.settled
                || now.monotonic.saturating_sub(self.changed_at) >= self.timing.settle);
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
        let gone = self.good.values().filter_map(|r| r.gone_since);
        let graces = gone.map(|since| since.saturating_add(self.timing.grace)).min();
        let settles = (!self.settled || graces.is_some()).then_some(quiet);
        settles.into_iter().chain(graces).filter(|deadline| *deadline > now).min()
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

    /// Remembers what is good; returns the paths whose remembered state stands in for what is
    /// there now.
    fn take_files(&mut self, scan: &Scan, problems: &mut Vec<Problem>) -> BTreeSet<HostPath> {
        let mut unreadable = BTreeSet::new();
        for (path, file) in &scan.files {
            problems.extend(file.problems(path));
            let complete = file.contents.faults.is_empty();
            let empty = file.contents.certificates.is_empty();
            match self.good.get_mut(path) {
                Some(known) if empty || (known.complete && !complete) => {
                    known.gone_since = None;
                    unreadable.insert(path.clone());
                    if complete {
                        problems.push(Problem {
                            path: path.clone(),
                            index: None,
                            reason: Reason::NoCertificate,
                            message: "it has no certificate any more; its last good one stands \
                                      until expiryd is restarted"
                                .to_owned(),
                        });
                    }
                }
                _ if empty => {}
                _ => {
                    let remembered = Remembered { file: file.clone(), complete, gone_since: None };
                    self.good.insert(path.clone(), remembered);
                }
            }
        }
        unreadable
    }

    /// Holds the last good state of what is gone, as long as it may be; says whether any is held.
    fn hold_vanished(&mut self, scan: &Scan, now: Duration, problems: &mut Vec<Problem>) -> bool {
        let live: BTreeSet<Slot> = scan
            .files
            .values()
            .filter(|file| file.kind != Kind::Kubelet && has_leaf(file))
            .map(|file| file.slot)
            .collect();
        let emptied = |slot: Slot| {
            live.is_empty()
                || (matches!(slot, Slot::ControlPlanePki | Slot::EtcdPki) && !live.contains(&slot))
        };
        let quiet = now.saturating_sub(self.changed_at) >= self.timing.settle;
        let grace = self.timing.grace;
        let mut held = false;
        self.good.retain(|path, known| {
            if scan.files.contains_key(path) {
                return true;
            }
            if scan.layout.unlisted.iter().any(|directory| path.beneath(directory).is_some()) {
                // Its directory cannot be read, which is a problem of its own: it may be there.
                known.gone_since = None;
                held = true;
                return true;
            }
            let since = *known.gone_since.get_or_insert(now);
            let over = now.saturating_sub(since) >= grace;
            if over || (quiet && !emptied(known.file.slot)) {
                return false;
            }
            held = true;
            problems.push(Problem {
                path: path.clone(),
                index: None,
                reason: Reason::Vanished,
                message: "it is gone; its last good certificates stand until that is sure"
                    .to_owned(),
            });
            true
        });
        held
    }

    /// A control plane or etcd machine stays one for as long as this process lives: Machines are
    /// replaced, not changed, and an emptied directory must not make a worker of it.
    fn settle_role(&mut self, seen: Role) -> Role {
        let role = match (self.role, seen) {
            (Some(Role::ControlPlane), _) => Role::ControlPlane,
            (Some(Role::Etcd), Role::Worker | Role::Unknown) => Role::Etcd,
            _ => seen,
        };
        if self.role.replace(role).is_some_and(|before| before != role) {
            self.settled = false;
        }
        role
    }

    fn entries(&self, unreadable: &BTreeSet<HostPath>) -> Vec<Entry> {
        let last = self.last.as_ref();
        let mut entries = Vec::new();
        for (path, Remembered { file, .. }) in &self.good {
            let there = last.is_some_and(|l| l.files.contains_key(path));
            let stale = !there || unreadable.contains(path);
            let holds = holds(file.slot, &file.name);
            let certificates = &file.contents.certificates;
            let judged = standings(holds, certificates).into_iter().zip(certificates);
            for (standing, (index, certificate)) in judged {
                let renewed_by = (standing.counts || !standing.is_ca)
                    .then(|| renewed_by(file.slot, &file.name, self.etcd_topology));
                entries.push(Entry {
                    path: path.clone(),
                    index: *index,
                    kind: file.kind,
                    standing,
                    renewed_by,
                    stale,
                    certificate: Arc::clone(certificate),
                });
            }
        }
        entries
    }

    fn date(&mut self, mut problems: Vec<Problem>, now: Timestamp) -> Vec<Lasting> {
        problems.sort();
        problems.dedup();
        let before = std::mem::take(&mut self.since);
        let dated = problems.into_iter().map(|problem| {
            let since = before.get(&problem).copied().unwrap_or(now);
            self.since.insert(problem.clone(), since);
            Lasting { problem, since }
        });
        dated.collect()
    }
}

fn has_leaf(file: &File) -> bool {
    let standings = standings(holds(file.slot, &file.name), &file.contents.certificates);
    standings.iter().any(|standing| standing.counts)
}

#[cfg(test)]
mod tests;
