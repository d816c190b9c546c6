//! The answer: when this machine's certificates end, which one first, and what could not be read.
//!
//! A pure function of the inventory and the time. Its JSON is `expiryd.dev/v1`, which only grows.

pub mod severity;

use expiryd_api::{
    API_VERSION, Earliest, ExpiryReport, KIND, Node, Publication, RenewedBy, Role, Served,
    ServerRestarts, SourceKind, Status, Timestamp,
};

use crate::inventory::{CertificateEntry, Inventory};
use crate::problem::ActiveProblem;

/// The report, with its certificates and problems as the agent has them.
pub type Report = ExpiryReport<Vec<CertificateEntry>, Vec<ActiveProblem>>;

/// What a report says beside the machine's files.
#[derive(Debug, Clone, Default)]
pub struct Besides {
    /// The problems of the agent itself, and of what is served.
    pub problems: Vec<ActiveProblem>,
    /// What the machine's servers show.
    pub served: Vec<Served>,
    /// How the agent's publishers get on.
    pub publications: Vec<Publication>,
    /// How often the process that answers had to be started again.
    pub server_restarts: Option<ServerRestarts>,
}

/// The report on an inventory at `now`.
pub fn build(inventory: Inventory, besides: Besides, now: Timestamp) -> Report {
    let Besides { problems: more, served, publications, server_restarts } = besides;
    let Inventory {
        os,
        hostname,
        role,
        etcd_topology,
        settled,
        servers: _,
        certificates,
        mut problems,
        forgotten,
    } = inventory;
    problems.extend(more);
    problems.sort_by(|a, b| a.problem.cmp(&b.problem));
    let first = |which: &dyn Fn(&CertificateEntry) -> bool| first(&certificates, &served, which);
    let earliest = first(&|c| c.counted);
    let renewed_by = |by| move |c: &CertificateEntry| c.counted && c.renewed_by == Some(by);
    Report {
        api_version: API_VERSION,
        kind: KIND,
        observed_at: now,
        status: status(role, earliest.is_some(), &problems),
        settled,
        machine_rollout: first(&renewed_by(RenewedBy::MachineRollout)),
        etcd_rollout: first(&renewed_by(RenewedBy::EtcdRollout)),
        earliest_ca: first(&|c| c.is_ca && !c.counted),
        earliest,
        node: Node {
            name: kubelet_node(&certificates).map(str::to_owned).or(hostname),
            os,
            role,
            etcd_topology,
        },
        served,
        certificates,
        problems,
        publications,
        server_restarts,
        forgotten,
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
    served: &[Served],
    which: &dyn Fn(&CertificateEntry) -> bool,
) -> Option<Earliest> {
    let dated = certificates.iter().filter(|c| which(c)).map(|c| (c.end(served), c));
    let (not_after, earliest) = dated.min_by_key(|(end, c)| (*end, &c.path, c.index))?;
    Some(Earliest {
        not_after,
        path: earliest.path.to_string(),
        index: earliest.index,
        renewed_by: earliest.renewed_by,
    })
}

/// The Node that the kubelet's certificate on this machine is for, as the API server knows it:
/// `system:node:NAME`, the subject that the NodeRestriction admission compares.
pub fn kubelet_node(certificates: &[CertificateEntry]) -> Option<&str> {
    let kubelet = certificates.iter().find(|c| c.source == SourceKind::Kubelet && c.index == 0)?;
    kubelet.certificate.node_name()
}

#[cfg(test)]
mod tests;
