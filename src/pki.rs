//! From the bytes of a file to its certificates: pure, without files, clock or node.

mod bundle;
pub mod certificate;
mod kubeconfig;
pub mod name;
mod pem;
pub mod signature;
pub mod subject_names;

use std::sync::Arc;

use expiryd_api::SourceKind;

pub use certificate::{BasicConstraints, Certificate};

use crate::host_root::HostPath;
use crate::problem::Problem;

/// What a file holds. Every BEGIN marker of a certificate and every raw DER certificate is either
/// in `certificates` or, with its index, in `problems`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The certificates with their index in the file.
    pub certificates: Vec<(usize, Arc<Certificate>)>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// Files that a kubeconfig names instead of embedding a certificate, as it writes them.
    pub references: Vec<String>,
}

impl From<Problem> for Contents {
    /// Nothing but this problem.
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], ..Self::default() }
    }
}

/// Reads the certificates in a file of the given kind; the path is that of its problems.
///
/// Never fails as a whole: what cannot be read is a [`Problem`] beside what can.
pub fn read(path: &HostPath, kind: SourceKind, bytes: &[u8]) -> Contents {
    match kind {
        SourceKind::File | SourceKind::Kubelet => bundle::read(path, bytes),
        SourceKind::Kubeconfig => kubeconfig::read(path, bytes),
    }
}
