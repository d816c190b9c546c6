//! The words on the wire: what expiryd's agent says, and its controller and everybody else reads.
//!
//! A report ([`ExpiryReport`]) is served as JSON at `/expiry` and written to the Node as [`annotation`]s.
//! Its form only grows: a reader ignores fields and words that it does not know. Nothing here reads a
//! file, a clock or the network.

pub mod annotation;
mod certificate;
mod closed_list;
mod machine;
mod problem;
mod publication;
mod report;
mod served;
mod server_restarts;
mod timestamp;

pub use certificate::{RenewedBy, ReportedCertificate, SourceKind, Warning};
pub use machine::{EtcdTopology, Node, Role};
pub use problem::{Reason, ReportedProblem};
pub use publication::{Publication, PublicationState};
pub use report::{API_VERSION, Earliest, ExpiryReport, KIND, PORT, Status};
pub use served::Served;
pub use server_restarts::ServerRestarts;
pub use timestamp::Timestamp;
