//! The answer: when this machine's certificates end, which one first, and what could not be read.
//!
//! A pure function of the inventory and the time. Its JSON is `expiryd.dev/v1`, which only grows.

pub mod severity;

use expiryd_api::{
    API_VERSION, Earliest, ExpiryReport, KIND, Node, Publication, RenewedBy, Role, SourceKind,
    Status, Timestamp,
};
use serde::{Serialize, Serializer};

use crate::inventory::{CertificateEntry, Inventory};
use crate::problem::ActiveProblem;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When the machine was scanned.
    pub observed_at: Timestamp,
    /// The machine.
    pub node: Node,
    /// What the report is worth.
    pub status: Status,
    /// Whether it is to be acted on: the machine was quiet for the settle time.
    pub settled: bool,
    /// The first expiry of all counted certificates.
    pub earliest: Option<Earliest>,
    /// The first expiry of those that replacing this Machine renews.
    pub machine_rollout: Option<Earliest>,
    /// The first expiry of the CAs.
    pub earliest_ca: Option<Earliest>,
    /// By path and index.
    pub certificates: Vec<CertificateEntry>,
    /// By path.
    pub problems: Vec<ActiveProblem>,
    /// How the publishers that talk to others get on.
    pub publications: Vec<Publication>,
}

impl Report {
    /// The report on an inventory at `now`, with the problems of the agent itself and how its
    /// publishers get on.
    pub fn new(
        inventory: Inventory,
        of_agent: Vec<ActiveProblem>,
        publications: Vec<Publication>,
        now: Timestamp,
    ) -> Self {
        let Inventory { os, hostname, role, etcd_topology, settled, certificates, mut problems } =
            inventory;
        problems.extend(of_agent);
        problems.sort_by(|a, b| a.problem.cmp(&b.problem));
        let earliest = first(&certificates, |c| c.counted);
        Self {
            observed_at: now,
            status: status(role, earliest.is_some(), &problems),
            settled,
            machine_rollout: first(&certificates, |c| {
                c.counted && c.renewed_by == Some(RenewedBy::MachineRollout)
            }),
            earliest_ca: first(&certificates, |c| c.is_ca && !c.counted),
            earliest,
            node: Node {
                name: kubelet_node(&certificates).map(str::to_owned).or(hostname),
                os,
                role,
                etcd_topology,
            },
            certificates,
            problems,
            publications,
        }
    }

    /// The one line of `text/plain`: the earliest expiry; `none` on a worker; what is missing
    /// otherwise. A report that may not have seen everything says so behind it, so that nobody takes the
    /// date for more than it is.
    pub fn line(&self) -> String {
        let date = self.date();
        if self.status == Status::Degraded { format!("{date} {}", self.status) } else { date }
    }

    /// The Node that the kubelet's certificate on this machine is for, as the API server knows it.
    pub fn kubelet_node(&self) -> Option<&str> {
        kubelet_node(&self.certificates)
    }

    /// The earliest expiry in a word.
    pub fn date(&self) -> String {
        match (&self.earliest, self.status) {
            (Some(earliest), _) => earliest.not_after.to_string(),
            (None, Status::Waiting) => "waiting".to_owned(),
            (None, _) => "none".to_owned(),
        }
    }
}

fn status(role: Role, any: bool, problems: &[ActiveProblem]) -> Status {
    let degraded = problems.iter().any(|p| p.problem.reason.degrades());
    match (any, role) {
        (false, Role::ControlPlane | Role::Etcd | Role::Unknown) => Status::Waiting,
        _ if degraded => Status::Degraded,
        (true, _) => Status::Ok,
        (false, Role::Worker) => Status::None,
    }
}

/// The earliest of some certificates; of equal ones the first by path, bytewise.
fn first(
    certificates: &[CertificateEntry],
    which: impl Fn(&CertificateEntry) -> bool,
) -> Option<Earliest> {
    let earliest = certificates
        .iter()
        .filter(|c| which(c))
        .min_by_key(|c| (c.certificate.not_after, &c.path, c.index))?;
    Some(Earliest {
        not_after: earliest.certificate.not_after,
        path: earliest.path.to_string(),
        index: earliest.index,
        renewed_by: earliest.renewed_by,
    })
}

/// The name that the API server knows the Node by: `system:node:NAME`, the subject that the
/// NodeRestriction admission compares.
fn kubelet_node(certificates: &[CertificateEntry]) -> Option<&str> {
    let kubelet = certificates.iter().find(|c| c.source == SourceKind::Kubelet && c.index == 0)?;
    kubelet.certificate.node_name()
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = ExpiryReport {
            api_version: API_VERSION,
            kind: KIND,
            observed_at: self.observed_at,
            node: self.node.clone(),
            status: self.status,
            settled: self.settled,
            earliest: self.earliest.clone(),
            machine_rollout: self.machine_rollout.clone(),
            earliest_ca: self.earliest_ca.clone(),
            certificates: &self.certificates,
            problems: &self.problems,
            publications: self.publications.clone(),
        };
        report.serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
