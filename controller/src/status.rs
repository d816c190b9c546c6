//! What people are told of one cluster: the one form that the plan, the page, `/clusters`, the metrics and the
//! condition show.

mod machine;

use expiryd_api::{Timestamp, closed_list};
use serde::Serialize;

pub use self::machine::{AgentStatus, CarriedBy, End, MachineRole, MachineStatus, Source};

use crate::decide::{ActionName, Concern, Decision, Guard, OptIn, Reason};
use crate::facts::{EtcdCluster, Facts};
use crate::parameters::DAY;
use crate::unheard::Unheard;

/// One cluster, as it was read and decided about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The namespace of Cluster API's Cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was read; never, if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// Why it could not be read since; the rest is what was known of it before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether it is opted in.
    pub opt_in: OptedIn,
    /// So many days before an expiry something is done; with an opt-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<i64>,
    /// What ends first in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earliest: Option<End>,
    /// When the first machine of its control plane is rolled, as far as that is known now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_rollout_from: Option<Timestamp>,
    /// When its etcd is rolled, as far as that is known now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd_rollout_from: Option<Timestamp>,
    /// Whether an etcd rollout that we began goes on.
    pub etcd_rolling: bool,
    /// When the client pair in the Secret `<c>-apiserver-etcd-client` ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd_client_pair: Option<Timestamp>,
    /// When the first of its CAs ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<Timestamp>,
    /// Its Machines of the control plane and of etcd.
    pub machines: Vec<MachineStatus>,
    /// What would be, or was, done about it.
    pub actions: Vec<ActionStatus>,
    /// Why more is not.
    pub findings: Vec<FindingStatus>,
    /// Who was asked and did not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unheard: Vec<Unheard>,
}

closed_list! {
    /// Whether a cluster is opted in.
    OptedIn {
        /// It was never read.
        Unknown = "unknown",
        /// Nobody asked for anything.
        No = "no",
        /// Somebody did, in a way that cannot be followed.
        Invalid = "invalid",
        /// The control plane's days were set by somebody else: its dates are published, and nothing else.
        ControlPlaneOnly = "control-plane-only",
        /// All of it.
        Full = "full",
    }
}

/// Something that is done, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionStatus {
    /// One word for it.
    pub action: ActionName,
    /// In words.
    pub what: String,
    /// Why.
    pub reason: Reason,
    /// Why it was not done, if that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Why something is not done, and for which Machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingStatus {
    /// One word for it.
    pub guard: Guard,
    /// Who has to act.
    pub concern: Concern,
    /// The Machines that it is about; none for the cluster.
    pub machines: Vec<String>,
    /// In words.
    pub meaning: &'static str,
}

impl ClusterStatus {
    /// Of a cluster that was read.
    pub fn of(
        (namespace, name): (&str, &str),
        facts: &Facts,
        decision: &Decision,
        now: Timestamp,
    ) -> Self {
        let control_plane = facts.control_plane.iter().flat_map(|cp| &cp.machines);
        let etcd = facts.etcd.iter().flat_map(|etcd| &etcd.machines);
        let control_plane = control_plane.map(MachineStatus::of_control_plane);
        let machines: Vec<_> = control_plane.chain(etcd.map(MachineStatus::of_etcd)).collect();
        let pair = facts.etcd.as_ref().and_then(EtcdCluster::client_pair_ends);
        let of_pair = pair.map(|not_after| End {
            not_after,
            of: format!("{name}-apiserver-etcd-client"),
            source: Source::Secret,
            path: None,
        });
        let staying = machines.iter().filter(|machine| !machine.leaving);
        let earliest =
            staying.filter_map(|machine| machine.ends.first().cloned()).chain(of_pair).min();
        let opt_in = OptIn::of(facts);
        let of_etcd = facts.etcd.as_ref().and_then(|etcd| etcd.ca_not_after);
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            observed_at: Some(now),
            error: None,
            opt_in: match opt_in {
                OptIn::No => OptedIn::No,
                OptIn::Invalid => OptedIn::Invalid,
                OptIn::Full(_) => OptedIn::Full,
                OptIn::ControlPlaneOnly(_) => OptedIn::ControlPlaneOnly,
            },
            days: Some(opt_in.days()).filter(|days| *days > 0),
            earliest,
            control_plane_rollout_from: decision.control_plane_from,
            etcd_rollout_from: decision.etcd_start.map(|start| start.from),
            etcd_rolling: decision.etcd_rolling,
            etcd_client_pair: pair,
            ca: [facts.cluster.ca_not_after, of_etcd].into_iter().flatten().min(),
            machines,
            actions: decision
                .actions
                .iter()
                .map(|planned| ActionStatus {
                    action: planned.action.name(),
                    what: planned.action.to_string(),
                    reason: planned.reason,
                    refused: None,
                })
                .collect(),
            findings: findings(decision),
            unheard: Vec::new(),
        }
    }

    /// The same, with who was not heard.
    #[must_use]
    pub fn without(self, unheard: Vec<Unheard>) -> Self {
        Self { unheard, ..self }
    }

    /// The same, with those of its actions that were not done, by their places, and why.
    #[must_use]
    pub fn refused(mut self, refused: Vec<(usize, String)>) -> Self {
        for (place, why) in refused {
            if let Some(action) = self.actions.get_mut(place) {
                action.refused = Some(why);
            }
        }
        self
    }

    /// The same, which could not be read any more: nothing is done about what was known of it.
    #[must_use]
    pub fn stale(self, error: String) -> Self {
        Self { error: Some(error), actions: Vec::new(), ..self }
    }

    /// Of a cluster that was never read.
    pub fn unread((namespace, name): (&str, &str), error: String) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            observed_at: None,
            error: Some(error),
            opt_in: OptedIn::Unknown,
            days: None,
            earliest: None,
            control_plane_rollout_from: None,
            etcd_rollout_from: None,
            etcd_rolling: false,
            etcd_client_pair: None,
            ca: None,
            machines: Vec::new(),
            actions: Vec::new(),
            findings: Vec::new(),
            unheard: Vec::new(),
        }
    }

    /// How bad it is at `now`.
    pub fn severity(&self, now: Timestamp) -> Severity {
        let left = self.earliest.as_ref().map(|end| end.not_after.seconds_since(now));
        match left {
            _ if self.error.is_some() => Severity::Unknown,
            Some(left) if left < 7 * DAY => Severity::Critical,
            None => Severity::Unknown,
            Some(left) if left < 30 * DAY => Severity::Warning,
            Some(_) => Severity::Fine,
        }
    }
}

/// How bad it is, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing ends within 30 days.
    Fine,
    /// Within 30 days.
    Warning,
    /// It could not be read.
    Unknown,
    /// Within 7 days, or it has ended.
    Critical,
}

impl Severity {
    /// As `expiryd check` has it.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

/// One entry for each kind of finding.
fn findings(decision: &Decision) -> Vec<FindingStatus> {
    let mut all: Vec<FindingStatus> = Vec::new();
    for finding in &decision.findings {
        let guard = finding.guard;
        let machine = finding.machine.clone();
        match all.iter_mut().find(|known| known.guard == guard) {
            Some(known) => known.machines.extend(machine),
            None => all.push(FindingStatus {
                guard,
                concern: guard.concern(),
                machines: machine.into_iter().collect(),
                meaning: guard.meaning(),
            }),
        }
    }
    // What somebody has to act on comes first.
    all.sort_by_key(|finding| (std::cmp::Reverse(finding.concern), finding.guard));
    all
}
