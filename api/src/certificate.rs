//! The certificates of a report.

use std::borrow::Cow;

use serde::Serialize;

use crate::{Timestamp, closed_list};

closed_list! {
    /// Who renews a certificate.
    RenewedBy {
        /// The node makes it anew when its Machine is replaced.
        MachineRollout = "machine-rollout",
        /// It is delivered from the etcd client Secret, which only a rollout of etcd refreshes.
        EtcdRollout = "etcd-rollout",
        /// The kubelet rotates it by itself.
        Kubelet = "kubelet",
        /// Somebody put the file there, and has to put the next one there too.
        Operator = "operator",
    }
}

closed_list! {
    /// How a source is read.
    SourceKind {
        /// A file of certificates, PEM or DER, one or many.
        File = "file",
        /// A kubeconfig with client certificates embedded in it.
        Kubeconfig = "kubeconfig",
        /// The kubelet's client certificate and key in one PEM file.
        Kubelet = "kubelet",
    }
}

closed_list! {
    /// Something odd about a certificate that was read.
    Warning {
        /// basicConstraints is malformed, doubled or has an unreadable pathLen: it counts.
        CaUnknown = "ca-unknown",
        /// CA:TRUE in the first certificate of a file that holds a leaf: it counts.
        CaFlagInLeafFile = "ca-flag-in-leaf-file",
        /// A CA certificate behind a leaf ends before the leaf does.
        ChainExpiresFirst = "chain-expires-first",
        /// A certificate in a CA's file says that it is not a CA: it counts.
        LeafInCaFile = "leaf-in-ca-file",
        /// The same, and it looks like a CA of old: it counts, and drives no rollout.
        SuspectCa = "suspect-ca",
        /// notBefore is still to come.
        NotYetValid = "not-yet-valid",
        /// A date is not written as RFC 5280 wants it; the value is right all the same.
        NonstandardTime = "nonstandard-time",
        /// A strict PEM reader, such as kubeadm's, would refuse or miss this block.
        RepairedPem = "repaired-pem",
        /// Bytes follow the certificate in its PEM block.
        TrailingData = "trailing-data",
    }
}

/// One certificate of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedCertificate<'a> {
    /// The file it is in.
    pub path: Cow<'a, str>,
    /// Its place in the file, from 0.
    pub index: usize,
    /// How the file was read.
    pub source: SourceKind,
    /// Who it is for.
    pub subject: Cow<'a, str>,
    /// Who signed it; the signature is not verified.
    pub issuer: Cow<'a, str>,
    /// The serial number in hexadecimal.
    pub serial: Cow<'a, str>,
    /// SHA-256 over its DER, in hexadecimal.
    pub sha256: Cow<'a, str>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid, inclusive.
    pub not_after: Timestamp,
    /// Whether it is a CA.
    #[serde(rename = "isCA")]
    pub is_ca: bool,
    /// Whether it takes part in `earliest`.
    pub counted: bool,
    /// Who renews it; `None` for a CA.
    pub renewed_by: Option<RenewedBy>,
    /// Whether it is the last good state of a file that cannot be read now.
    pub stale: bool,
    /// What is odd about it.
    pub warnings: Cow<'a, [Warning]>,
}
