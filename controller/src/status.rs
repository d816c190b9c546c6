//! What people are told of one cluster: the one form that the plan, the page, `/clusters`, the metrics and the
//! condition show.

use expiryd_api::{Status, Timestamp, closed_list};
use serde::Serialize;

use crate::decide::{Concern, Decision, Guard, OptIn, Reason};
use crate::facts::{ControlPlaneMachine, EtcdMachine, Expiry, Facts, NodeReport, NotHeard, Report};
use crate::memory::Published;
use crate::parameters::DAY;

/// One cluster, as it was read and decided about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The namespace of Cluster API's Cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was read.
    pub observed_at: Timestamp,
    /// Why it could not be read; then nothing else is said.
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
}

closed_list! {
    /// Whether a cluster is opted in.
    OptedIn {
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

/// Something that ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// When.
    pub not_after: Timestamp,
    /// Whose it is: a Machine, or the Secret of etcd's client pair.
    pub of: String,
    /// Who says so.
    pub source: Source,
    /// The file that it is in, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

closed_list! {
    /// Where a date comes from.
    Source {
        /// The machine's agent.
        Agent = "agent",
        /// Cluster API itself, which asks the API server's port.
        ClusterApi = "cluster-api",
        /// What etcd serves at :2379.
        Served = "served",
        /// What the Machine carries, where nobody says anything else.
        Machine = "machine",
        /// The Secret of etcd's client pair.
        Secret = "secret",
    }
}

/// A Machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineStatus {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: MachineRole,
    /// When it was made, or first seen.
    pub born: Timestamp,
    /// Whether it is on its way out: being deleted, or let go of by etcdadm-controller.
    pub leaving: bool,
    /// Whether its agent is heard, and what its report is worth.
    pub agent: AgentStatus,
    /// When its agent looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// Each date that somebody says, the earliest first.
    pub ends: Vec<End>,
    /// The date that the Machine carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried: Option<Timestamp>,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried_by: Option<CarriedBy>,
}

closed_list! {
    /// See [`MachineStatus`].
    MachineRole {
        /// A Machine of the control plane.
        ControlPlane = "control-plane",
        /// A Machine of an etcd of its own.
        Etcd = "etcd",
    }
}

closed_list! {
    /// See [`MachineStatus`].
    AgentStatus {
        /// All was read.
        Ok = "ok",
        /// Something could not be read.
        Degraded = "degraded",
        /// There is no PKI yet.
        Waiting = "waiting",
        /// It takes the machine for a worker.
        None = "none",
        /// The Machine has no Node with its providerID.
        NoNode = "no-node",
        /// The workload cluster was not heard.
        Unreachable = "unreachable",
        /// Nothing answers, or the Node says nothing.
        NoAgent = "no-agent",
        /// Its certificate is for other names.
        NameMismatch = "name-mismatch",
    }
}

closed_list! {
    /// See [`MachineStatus`].
    CarriedBy {
        /// We did.
        Expiryd = "expiryd",
        /// Somebody else did.
        SomebodyElse = "somebody-else",
    }
}

/// Something that is done, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionStatus {
    /// One word for it.
    pub action: &'static str,
    /// In words.
    pub what: String,
    /// Why.
    pub reason: Reason,
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
        let machines: Vec<_> =
            control_plane.map(control_plane_machine).chain(etcd.map(etcd_machine)).collect();
        let pair = facts.etcd.as_ref().and_then(|etcd| etcd.secret.as_ref());
        let pair = pair.map(|secret| secret.not_after);
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
            observed_at: now,
            error: None,
            opt_in: match opt_in {
                OptIn::No => OptedIn::No,
                OptIn::Invalid => OptedIn::Invalid,
                OptIn::Full(_) => OptedIn::Full,
                OptIn::ControlPlaneOnly(_) => OptedIn::ControlPlaneOnly,
            },
            days: Some(opt_in.days()).filter(|days| *days > 0),
            earliest,
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
                })
                .collect(),
            findings: findings(decision),
        }
    }

    /// Of a cluster that could not be read.
    pub fn unread((namespace, name): (&str, &str), error: String, now: Timestamp) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            observed_at: now,
            error: Some(error),
            opt_in: OptedIn::No,
            days: None,
            earliest: None,
            etcd_rollout_from: None,
            etcd_rolling: false,
            etcd_client_pair: None,
            ca: None,
            machines: Vec::new(),
            actions: Vec::new(),
            findings: Vec::new(),
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
    /// Within 7 days, or it has ended.
    Critical,
    /// It could not be read.
    Unknown,
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

fn control_plane_machine(machine: &ControlPlaneMachine) -> MachineStatus {
    let report = match &machine.report {
        NodeReport::Of(report) => Ok(report),
        NodeReport::NoNode => Err(AgentStatus::NoNode),
        NodeReport::Unreachable => Err(AgentStatus::Unreachable),
        NodeReport::NoAgent => Err(AgentStatus::NoAgent),
    };
    let own = machine.own.map(|not_after| (not_after, Source::ClusterApi));
    let described = Described {
        name: &machine.name,
        role: MachineRole::ControlPlane,
        born: machine.born,
        leaving: machine.deleting,
        report,
        other: own,
        published: &machine.published,
    };
    described.status()
}

fn etcd_machine(machine: &EtcdMachine) -> MachineStatus {
    let report = machine.report.as_ref().map_err(|why| match why {
        NotHeard::NoAnswer => AgentStatus::NoAgent,
        NotHeard::OtherName => AgentStatus::NameMismatch,
    });
    let served = machine.served.map(|not_after| (not_after, Source::Served));
    let described = Described {
        name: &machine.name,
        role: MachineRole::Etcd,
        born: machine.born,
        leaving: machine.deleting || !machine.owned,
        report,
        other: served,
        published: &machine.published,
    };
    described.status()
}

/// What both kinds of Machines have.
struct Described<'a> {
    name: &'a str,
    role: MachineRole,
    born: Timestamp,
    leaving: bool,
    report: Result<&'a Report, AgentStatus>,
    other: Option<(Timestamp, Source)>,
    published: &'a Published,
}

impl Described<'_> {
    fn status(self) -> MachineStatus {
        let (carried, carried_by) = match self.published {
            Published::Ours(record) => (Some(record.date), Some(CarriedBy::Expiryd)),
            Published::Foreign(date) => (*date, Some(CarriedBy::SomebodyElse)),
            Published::Nothing | Published::Lost(_) => (None, None),
        };
        let end =
            |not_after, source, path| End { not_after, of: self.name.to_owned(), source, path };
        let reported = self.report.ok().and_then(|report| report.machine_rollout.as_ref());
        let reported =
            reported.map(|Expiry { not_after, path }| end(*not_after, Source::Agent, path.clone()));
        let other = self.other.map(|(not_after, source)| end(not_after, source, None));
        let mut ends: Vec<_> = reported.into_iter().chain(other).collect();
        if ends.is_empty() {
            ends.extend(carried.map(|not_after| end(not_after, Source::Machine, None)));
        }
        ends.sort();
        MachineStatus {
            name: self.name.to_owned(),
            role: self.role,
            born: self.born,
            leaving: self.leaving,
            agent: match self.report {
                Ok(report) => match report.status {
                    Status::Ok => AgentStatus::Ok,
                    Status::Degraded => AgentStatus::Degraded,
                    Status::Waiting => AgentStatus::Waiting,
                    Status::None => AgentStatus::None,
                },
                Err(why) => why,
            },
            observed_at: self.report.ok().map(|report| report.observed_at),
            ends,
            carried,
            carried_by,
        }
    }
}
