//! The annotations of the Node: what they say, and what the Node's own dates hold against it.

use std::collections::BTreeSet;

use expiryd_api::annotation::{
    self, ALL, EARLIEST_CERTIFICATE, EARLIEST_EXPIRY, ETCD_EXPIRY, HELD, MACHINE_CERTIFICATE,
    MACHINE_EXPIRY, OBSERVED_AT, STATUS,
};
use expiryd_api::{Earliest, Reason, Status, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::host_root::HostPath;
use crate::problem::Problem;
use crate::report::Report;

/// Bytes of the list of what could not be read; of a longer one a digest is told.
const UNREAD_LIMIT: usize = 1_024;

/// What the annotations say, all but the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotations {
    /// The date of the machine's rollout.
    machine: Option<Dated>,
    /// The date of etcd's rollout.
    etcd: Option<Dated>,
    /// The earliest expiry.
    earliest: Dated,
    status: Status,
    unread: Unread,
    /// Whether an earlier date of the Node is held against a degraded report.
    held: bool,
    /// See [`expiryd_api::ExpiryReport::forgotten`].
    forgotten: u64,
}

/// A date and the path of the certificate that it is from; empty where a Node does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dated {
    not_after: Timestamp,
    path: String,
}

/// What a degraded report could not read; empty for any other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Unread {
    /// Files and directories whose last good state is not in the report.
    places: BTreeSet<String>,
    /// Those of them that such a machine always has.
    missing: BTreeSet<String>,
    /// What the Node is told of them.
    told: Option<String>,
}

/// What a publisher knows of a machine besides the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Whether the agent has seen, since its start, all that the Node's dates are from: then, what it had
    /// forgotten by then. Until it forgets more it remembers whatever becomes unreadable.
    complete: Option<u64>,
}

impl Memory {
    /// Of an agent that has just started.
    pub const fn none() -> Self {
        Self { complete: None }
    }

    /// Takes note that a Node was told of a report that is not degraded.
    pub fn told(&mut self, annotations: &Annotations) {
        self.complete = Some(annotations.forgotten);
    }
}

impl Annotations {
    /// What they say of a report with this earliest expiry.
    pub fn new(report: &Report, earliest: &Earliest) -> Self {
        let dated = |end: &Earliest| Dated { not_after: end.not_after, path: end.path.clone() };
        Self {
            machine: report.machine_rollout.as_ref().map(dated),
            etcd: report.etcd_rollout.as_ref().map(dated),
            earliest: dated(earliest),
            status: report.status,
            unread: Unread::of(report),
            held: false,
            forgotten: report.forgotten,
        }
    }

    /// Whether what the Node says already has to be heard first.
    pub fn is_degraded(&self) -> bool {
        self.status == Status::Degraded
    }

    /// What a Node that says this is told.
    ///
    /// After a restart a degraded report may lack the earliest date, because an agent forgets the last
    /// good state of a file when it ends. So one that cannot read something that could be read when the
    /// Node's dates were written brings them forward and moves none later. One that could read no more
    /// then does: an agent that can never read everything still follows a renewal.
    #[must_use]
    pub fn held_against(mut self, node: &Value, memory: &mut Memory) -> Self {
        let machine = said(node, MACHINE_EXPIRY, MACHINE_CERTIFICATE);
        let etcd = said(node, ETCD_EXPIRY, "");
        let earliest = said(node, EARLIEST_EXPIRY, EARLIEST_CERTIFICATE);
        let before = text(node, annotation::UNREAD);
        let new = machine.is_none() && etcd.is_none() && earliest.is_none();
        let remembers = memory.complete == Some(self.forgotten);
        let complete = new || self.unread.are_all_in(before, remembers);
        memory.complete = complete.then_some(self.forgotten);
        if complete {
            return self;
        }
        let earlier = |said: Option<Dated>, new: Option<&Dated>| {
            said.filter(|said| new.is_none_or(|new| said.not_after < new.not_after))
        };
        let machine = earlier(machine, self.machine.as_ref());
        let etcd = earlier(etcd, self.etcd.as_ref());
        let earliest = earlier(earliest, Some(&self.earliest));
        self.held = machine.is_some() || etcd.is_some() || earliest.is_some();
        self.machine = machine.or(self.machine);
        self.etcd = etcd.or(self.etcd);
        self.earliest = earliest.unwrap_or(self.earliest);
        // What could not be read then, and not now: so that a second restart does not forget.
        self.unread.told = before.map(str::to_owned);
        self
    }

    /// What is held against the report, for a person; `None` when nothing is.
    pub fn holds(&self) -> Option<String> {
        let Dated { not_after, path } = &self.earliest;
        self.held.then(|| {
            let path = if path.is_empty() { String::new() } else { format!(" ({path})") };
            format!(
                "the Node keeps {not_after}{path} from an earlier report: this one is degraded and may \
                 not see everything; mend its problems"
            )
        })
    }

    /// JSON merge patch (RFC 7396) of the Node's annotations and nothing else. Never an empty value:
    /// Cluster API stops on one that is not a date. null removes the key.
    pub fn patch(&self, now: Timestamp) -> Value {
        let date = |dated: &Option<Dated>| dated.as_ref().map(|dated| dated.not_after);
        let path = self.machine.as_ref().map(|machine| &machine.path);
        json!({ "metadata": { "annotations": {
            MACHINE_EXPIRY: date(&self.machine),
            MACHINE_CERTIFICATE: path.filter(|path| !path.is_empty()),
            ETCD_EXPIRY: date(&self.etcd),
            EARLIEST_EXPIRY: self.earliest.not_after,
            EARLIEST_CERTIFICATE: self.earliest.path,
            STATUS: self.status,
            annotation::UNREAD: self.unread.told,
            HELD: self.held.then_some("true"),
            OBSERVED_AT: now,
        } } })
    }
}

impl Unread {
    fn of(report: &Report) -> Self {
        if report.status != Status::Degraded {
            return Self::default();
        }
        let remembered = |place: &HostPath| {
            report.certificates.iter().any(|entry| entry.stale && entry.path == *place)
        };
        let remembered_beneath = |place: &HostPath| {
            let mut stale = report.certificates.iter().filter(|entry| entry.stale);
            stale.any(|entry| entry.path.beneath(place).is_some())
        };
        let problems = report.problems.iter().map(|active| &active.problem);
        let degrading = problems.filter(|problem| problem.reason.degrades());
        let all: Vec<_> = degrading.filter(|problem| !remembered(&problem.path)).collect();
        let names = |which: &dyn Fn(&Problem) -> bool| -> BTreeSet<String> {
            all.iter().filter(|problem| which(problem)).map(|problem| place(problem)).collect()
        };
        Self {
            places: names(&|_| true),
            missing: names(&|problem| problem.reason == Reason::Missing),
            told: list(&names(&|problem| !remembered_beneath(&problem.path))),
        }
    }

    /// Whether each of them could not be read before either, or whether an agent that remembers all that
    /// could misses nothing that such a machine always has.
    fn are_all_in(&self, before: Option<&str>, remembers: bool) -> bool {
        let places = if remembers { &self.missing } else { &self.places };
        let before = before.unwrap_or_default();
        let known: BTreeSet<_> = before.split(',').collect();
        places.iter().all(|place| known.contains(place.as_str()))
            || list(places).as_deref() == Some(before)
    }
}

/// What a problem is about: a path, and the certificate of a file where one is meant. Without commas, which
/// stand between two of them.
fn place(problem: &Problem) -> String {
    let path = problem.path.to_string().replace(',', "\\x2c");
    problem.index.map_or(path.clone(), |index| format!("{path}#{index}"))
}

/// As the Node is told; of a long list the number and a digest, so that the same one is known again.
fn list(places: &BTreeSet<String>) -> Option<String> {
    let all = places.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    if all.len() <= UNREAD_LIMIT {
        return Some(all).filter(|all| !all.is_empty());
    }
    let digest: [u8; 32] = Sha256::digest(&all).into();
    let digest = digest.first_chunk().copied().map_or(0, u128::from_be_bytes);
    Some(format!("{} places, sha256:{digest:032x}", places.len()))
}

/// A date of a Node, with the path where it says one; what is not a date counts as none.
fn said(node: &Value, date: &str, path: &str) -> Option<Dated> {
    let not_after = Timestamp::parse(text(node, date)?).ok()?;
    Some(Dated { not_after, path: text(node, path).unwrap_or_default().to_owned() })
}

fn text<'a>(node: &'a Value, annotation: &str) -> Option<&'a str> {
    node.pointer("/metadata/annotations")?.get(annotation)?.as_str()
}

/// The earliest expiry that a Node holds against a degraded report.
pub fn held_earliest(node: &Value) -> Option<Earliest> {
    text(node, HELD).filter(|held| *held == "true")?;
    let Dated { not_after, path } = said(node, EARLIEST_EXPIRY, EARLIEST_CERTIFICATE)?;
    Some(Earliest { not_after, path, index: 0, renewed_by: None })
}

/// The patch that removes all of them.
pub fn removal_patch() -> Value {
    let nulls: Map<_, _> = ALL.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
    json!({ "metadata": { "annotations": nulls } })
}

/// Whether this is the Node of a control plane: it carries a date for its Machine, or the label of
/// kubeadm (`constants.LabelNodeRoleControlPlane`). Such a Node is not a worker's, whatever its files look
/// like from here.
pub fn is_of_a_control_plane(node: &Value) -> bool {
    let has = |map: &str, key: &str| {
        let map = node.pointer(map).and_then(Value::as_object);
        map.is_some_and(|map| map.contains_key(key))
    };
    has("/metadata/annotations", MACHINE_EXPIRY)
        || has("/metadata/labels", "node-role.kubernetes.io/control-plane")
}

/// Whether a Node carries any of them.
pub fn are_on(node: &Value) -> bool {
    let annotations = node.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations.is_some_and(|map| ALL.iter().any(|key| map.contains_key(*key)))
}

#[cfg(test)]
mod tests;
