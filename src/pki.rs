//! From the bytes of a file to its certificates: pure, without files, clock or node.
//!
//! [`read`] takes any source; [`authority`] says which certificates are CAs, and [`renewal`] who
//! renews the others.

pub mod authority;
mod bundle;
pub mod certificate;
pub mod holder;
mod kubeconfig;
pub mod name;
mod pem;
pub mod renewal;
#[cfg(test)]
pub(crate) mod specimen;

pub use certificate::{BasicConstraints, Certificate, Warning};

use crate::closed_list::closed_list;
use crate::problem::Reason;
use std::sync::Arc;

closed_list! {
    /// How a source is read.
    Kind {
        /// A file of certificates, PEM or DER, one or many.
        File = "file",
        /// A kubeconfig with client certificates embedded in it.
        Kubeconfig = "kubeconfig",
        /// The kubelet's client certificate and key in one PEM file.
        Kubelet = "kubelet",
    }
}

/// Something in a file that may have been a certificate and could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its place among the certificates of the file; `None` when it is the file as a whole.
    pub index: Option<usize>,
    /// What kind of fault.
    pub reason: Reason,
    /// A sentence for the operator, without any content of the file.
    pub message: String,
}

impl Fault {
    /// One of the file as a whole.
    pub fn of_file(reason: Reason, message: impl Into<String>) -> Self {
        Self { index: None, reason, message: message.into() }
    }
}

/// What a file holds. Every BEGIN marker of a certificate and every raw DER certificate is either
/// in `certificates` or, with its index, in `faults`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The certificates with their index in the file.
    pub certificates: Vec<(usize, Arc<Certificate>)>,
    /// What could not be read.
    pub faults: Vec<Fault>,
    /// Files that a kubeconfig names instead of embedding a certificate, as it writes them.
    pub references: Vec<String>,
}

impl Contents {
    /// Nothing but this fault.
    pub fn fault(fault: Fault) -> Self {
        Self { faults: vec![fault], ..Self::default() }
    }
}

/// Reads the certificates in a file of the given kind.
///
/// Never fails as a whole: what cannot be read is a [`Fault`] beside what can.
pub fn read(kind: Kind, bytes: &[u8]) -> Contents {
    match kind {
        Kind::File | Kind::Kubelet => bundle::read(bytes),
        Kind::Kubeconfig => kubeconfig::read(bytes),
    }
}
