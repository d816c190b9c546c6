//! The report: when a machine's certificates end, which one first, and what could not be read.

use serde::Serialize;

use crate::{
    Node, Publication, RenewedBy, ReportedCertificate, ReportedProblem, Served, ServerRestarts,
    Timestamp, closed_list,
};

/// The version of the report's form.
pub const API_VERSION: &str = "expiryd.dev/v1";

/// The report's kind.
pub const KIND: &str = "ExpiryReport";

/// The port that an agent serves it on unless told otherwise.
pub const PORT: u16 = 9797;

closed_list! {
    /// What a report is worth.
    Status {
        /// Everything was read.
        Ok = "ok",
        /// Something could not be read; the report says what.
        Degraded = "degraded",
        /// There is no PKI, or no leaf in it yet.
        Waiting = "waiting",
        /// A worker: it has nothing that a rollout would renew.
        None = "none",
    }
}

/// The first expiry among some certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Earliest {
    /// When it ends.
    pub not_after: Timestamp,
    /// The file it is in.
    pub path: String,
    /// Its place in the file.
    pub index: usize,
    /// Who renews it; a CA has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_by: Option<RenewedBy>,
}

/// See the module. Certificates and problems may be anything that is written as theirs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpiryReport<C = Vec<ReportedCertificate<'static>>, P = Vec<ReportedProblem<'static>>> {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// [`KIND`].
    pub kind: &'static str,
    /// When the machine was observed.
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
    /// The first expiry of those that only a rollout of etcd renews.
    pub etcd_rollout: Option<Earliest>,
    /// The first expiry of the CAs.
    #[serde(rename = "earliestCA")]
    pub earliest_ca: Option<Earliest>,
    /// What the machine's servers show, in the order of their ports.
    pub served: Vec<Served>,
    /// By path and index.
    pub certificates: C,
    /// By path.
    pub problems: P,
    /// How the publishers that talk to others get on.
    pub publications: Vec<Publication>,
    /// How often the process that answers had to be started again; none while it never had to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_restarts: Option<ServerRestarts>,
    /// How often since its start the agent gave up remembering a file that the machine cannot be without.
    /// For its publishers; nobody else is told.
    #[serde(skip)]
    pub forgotten: u64,
}

impl<C, P> ExpiryReport<C, P> {
    /// The one line of `text/plain`: the earliest expiry; `none` on a worker; what is missing
    /// otherwise. A report that may not have seen everything says so behind it, so that nobody takes the
    /// date for more than it is.
    pub fn line(&self) -> String {
        let date = self.date();
        if self.status == Status::Degraded { format!("{date} {}", self.status) } else { date }
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
