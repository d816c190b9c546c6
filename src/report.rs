//! The answer: when this machine's certificates end, which one first, and what could not be read.
//!
//! A pure function of the inventory and the time. Its JSON is `expiryd.dev/v1`, which only grows.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::clock::Timestamp;
use crate::closed_list::closed_list;
use crate::host_root::HostPath;
use crate::inventory::{Entry, Inventory, Lasting};
use crate::pki::renewal::{EtcdTopology, RenewedBy, Role};
use crate::pki::{Certificate, Kind, Warning};
use crate::problem::Problem;
use crate::publication::Publication;

/// The version of the report's form.
pub const API_VERSION: &str = "expiryd.dev/v1";

closed_list! {
    /// What the report is worth.
    Status {
        /// Everything was read.
        Ok = "ok",
        /// Something could not be read; the report says what.
        Degraded = "degraded",
        /// There is no PKI, or no leaf in it yet.
        Waiting = "waiting",
        /// A worker: it has nothing that a roll-out would renew.
        None = "none",
    }
}

/// The machine, as the report names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The Node's name, from the kubelet's certificate; without one the host's name.
    pub name: Option<String>,
    /// `ID` of os-release.
    pub os: String,
    /// What the machine is.
    pub role: Role,
    /// Where its etcd runs.
    pub etcd_topology: Option<EtcdTopology>,
}

/// The first expiry among some certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Earliest {
    /// When it ends.
    pub not_after: Timestamp,
    /// The file it is in.
    pub path: HostPath,
    /// Its place in the file.
    pub index: usize,
    /// Who renews it; a CA has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_by: Option<RenewedBy>,
}

/// One certificate of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedCertificate {
    /// The file it is in.
    pub path: HostPath,
    /// Its place in the file.
    pub index: usize,
    /// How the file was read.
    pub source: Kind,
    /// What it says.
    pub certificate: Arc<Certificate>,
    /// Whether it is a CA.
    pub is_ca: bool,
    /// Whether it takes part in `earliest`.
    pub counted: bool,
    /// Who renews it; `None` for a CA.
    pub renewed_by: Option<RenewedBy>,
    /// Whether it is the last good state of a file that cannot be read now.
    pub stale: bool,
    /// What is odd about it.
    pub warnings: Vec<Warning>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When the machine was looked at.
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
    pub certificates: Vec<ReportedCertificate>,
    /// By path.
    pub problems: Vec<Lasting>,
    /// How the publishers that talk to others get on.
    pub publications: Vec<Publication>,
}

impl Report {
    /// The report on an inventory, with `more` problems that are not about a source, at `now`.
    pub fn of(inventory: Inventory, more: Vec<Lasting>, now: Timestamp) -> Self {
        let Inventory { os, hostname, role, etcd_topology, settled, entries, mut problems } =
            inventory;
        problems.extend(more);
        problems.sort_by(|a, b| a.problem.cmp(&b.problem));
        let certificates: Vec<_> = entries.into_iter().map(|e| reported(e, now)).collect();
        let counted = |c: &ReportedCertificate| c.counted;
        let earliest = first(&certificates, counted);
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
            publications: Vec::new(),
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

fn status(role: Role, any: bool, problems: &[Lasting]) -> Status {
    let degraded = problems.iter().any(|p| p.problem.reason.degrades());
    match (any, role) {
        (false, Role::ControlPlane | Role::Etcd | Role::Unknown) => Status::Waiting,
        _ if degraded => Status::Degraded,
        (true, _) => Status::Ok,
        (false, Role::Worker) => Status::None,
    }
}

fn reported(entry: Entry, now: Timestamp) -> ReportedCertificate {
    let counted = entry.counted();
    let mut warnings = entry.standing.warnings;
    if entry.certificate.not_before > now {
        warnings.push(Warning::NotYetValid);
        warnings.sort_unstable();
    }
    ReportedCertificate {
        path: entry.path,
        index: entry.index,
        source: entry.kind,
        is_ca: entry.standing.is_ca,
        counted,
        renewed_by: entry.renewed_by,
        stale: entry.stale,
        warnings,
        certificate: entry.certificate,
    }
}

/// The earliest of some certificates; of equal ones the first by path, bytewise.
fn first(
    certificates: &[ReportedCertificate],
    which: impl Fn(&ReportedCertificate) -> bool,
) -> Option<Earliest> {
    let earliest = certificates
        .iter()
        .filter(|c| which(c))
        .min_by_key(|c| (c.certificate.not_after, &c.path, c.index))?;
    Some(Earliest {
        not_after: earliest.certificate.not_after,
        path: earliest.path.clone(),
        index: earliest.index,
        renewed_by: earliest.renewed_by,
    })
}

/// The name that the API server knows the Node by: `system:node:NAME`, the subject that the
/// NodeRestriction admission compares.
fn kubelet_node(certificates: &[ReportedCertificate]) -> Option<&str> {
    let kubelet = certificates.iter().find(|c| c.source == Kind::Kubelet && c.index == 0)?;
    kubelet.certificate.node_name()
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("ExpiryReport", 12)?;
        report.serialize_field("apiVersion", API_VERSION)?;
        report.serialize_field("kind", "ExpiryReport")?;
        report.serialize_field("observedAt", &self.observed_at)?;
        report.serialize_field("node", &self.node)?;
        report.serialize_field("status", &self.status)?;
        report.serialize_field("settled", &self.settled)?;
        report.serialize_field("earliest", &self.earliest)?;
        report.serialize_field("machineRollout", &self.machine_rollout)?;
        report.serialize_field("earliestCA", &self.earliest_ca)?;
        report.serialize_field("certificates", &self.certificates)?;
        report.serialize_field("problems", &self.problems)?;
        report.serialize_field("publications", &self.publications)?;
        report.end()
    }
}

impl Serialize for ReportedCertificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let certificate = &self.certificate;
        let mut entry = serializer.serialize_struct("Certificate", 14)?;
        entry.serialize_field("path", &self.path)?;
        entry.serialize_field("index", &self.index)?;
        entry.serialize_field("source", &self.source)?;
        entry.serialize_field("subject", &Shown(&certificate.subject))?;
        entry.serialize_field("issuer", &Shown(&certificate.issuer))?;
        entry.serialize_field("serial", &certificate.serial_hex())?;
        entry.serialize_field("sha256", &certificate.sha256_hex())?;
        entry.serialize_field("notBefore", &certificate.not_before)?;
        entry.serialize_field("notAfter", &certificate.not_after)?;
        entry.serialize_field("isCA", &self.is_ca)?;
        entry.serialize_field("counted", &self.counted)?;
        entry.serialize_field("renewedBy", &self.renewed_by)?;
        entry.serialize_field("stale", &self.stale)?;
        entry.serialize_field("warnings", &self.warnings)?;
        entry.end()
    }
}

impl Serialize for Lasting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Problem { path, index, reason, message } = &self.problem;
        let fields = if index.is_some() { 5 } else { 4 };
        let mut problem = serializer.serialize_struct("Problem", fields)?;
        problem.serialize_field("path", path)?;
        match index {
            Some(index) => problem.serialize_field("index", index)?,
            None => problem.skip_field("index")?,
        }
        problem.serialize_field("reason", reason)?;
        problem.serialize_field("message", message)?;
        problem.serialize_field("since", &self.since)?;
        problem.end()
    }
}

/// Serialized as it is displayed.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
