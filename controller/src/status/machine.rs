//! What people are told of one Machine: each date that somebody says of it, and what it carries.

use expiryd_api::{Status, Timestamp, closed_list};
use serde::Serialize;

use crate::facts::{ControlPlaneMachine, EtcdMachine, Expiry, NodeReport, NotHeard, Report};
use crate::memory::Published;

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

impl MachineStatus {
    /// Of a Machine of the control plane.
    pub(super) fn of_control_plane(machine: &ControlPlaneMachine) -> Self {
        let report = match &machine.report {
            NodeReport::Of(report) => Ok(report),
            NodeReport::NoNode => Err(AgentStatus::NoNode),
            NodeReport::Unreachable => Err(AgentStatus::Unreachable),
            NodeReport::NoAgent => Err(AgentStatus::NoAgent),
        };
        let own = machine.own.map(|not_after| (not_after, Source::ClusterApi));
        let says = Says { report, other: own, published: &machine.published };
        let role = MachineRole::ControlPlane;
        says.of(&machine.name, role, machine.born, machine.deleting)
    }

    /// Of a Machine of an etcd of its own.
    pub(super) fn of_etcd(machine: &EtcdMachine) -> Self {
        let report = machine.report.as_ref().map_err(|why| match why {
            NotHeard::NoAnswer => AgentStatus::NoAgent,
            NotHeard::OtherName => AgentStatus::NameMismatch,
        });
        let served = machine.served.map(|not_after| (not_after, Source::Served));
        let says = Says { report, other: served, published: &machine.published };
        let leaving = machine.deleting || !machine.owned;
        says.of(&machine.name, MachineRole::Etcd, machine.born, leaving)
    }
}

/// Who says what of a Machine, of either kind.
struct Says<'a> {
    report: Result<&'a Report, AgentStatus>,
    other: Option<(Timestamp, Source)>,
    published: &'a Published,
}

impl Says<'_> {
    fn of(self, name: &str, role: MachineRole, born: Timestamp, leaving: bool) -> MachineStatus {
        let (carried, carried_by) = match self.published {
            Published::Ours(record) => (Some(record.date), Some(CarriedBy::Expiryd)),
            Published::Foreign(date) => (*date, Some(CarriedBy::SomebodyElse)),
            Published::Nothing | Published::Lost(_) => (None, None),
        };
        let end = |not_after, source, path| End { not_after, of: name.to_owned(), source, path };
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
            name: name.to_owned(),
            role,
            born,
            leaving,
            agent: self.report.map_or_else(|why| why, |report| report.status.into()),
            observed_at: self.report.ok().map(|report| report.observed_at),
            ends,
            carried,
            carried_by,
        }
    }
}

impl From<Status> for AgentStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Self::Ok,
            Status::Degraded => Self::Degraded,
            Status::Waiting => Self::Waiting,
            Status::None => Self::None,
        }
    }
}
