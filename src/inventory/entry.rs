//! One certificate of the machine, judged.

use std::sync::Arc;

use expiryd_api::{RenewedBy, ReportedCertificate, Served, SourceKind, Timestamp, Warning};
use serde::{Serialize, Serializer};

use crate::host_root::HostPath;
use crate::layout::known_files::expected_content;
use crate::pki::Certificate;
use crate::rules::ca::{Classification, classify};
use crate::scan::File;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateEntry {
    /// The file it is in.
    pub path: HostPath,
    /// Its place in the file, from 0.
    pub index: usize,
    /// How the file was read.
    pub source: SourceKind,
    /// What it says.
    pub certificate: Arc<Certificate>,
    /// Whether it is a CA.
    pub is_ca: bool,
    /// Whether it takes part in the earliest expiry.
    pub counted: bool,
    /// Who renews it; `None` for a CA.
    pub renewed_by: Option<RenewedBy>,
    /// Whether it is the last good state of a file that cannot be read now.
    pub stale: bool,
    /// What is odd about it.
    pub warnings: Vec<Warning>,
}

impl CertificateEntry {
    /// Judges the certificates of a file whose leaves are renewed by `renewed_by`.
    pub(super) fn of_file(
        path: &HostPath,
        file: &File,
        renewed_by: RenewedBy,
        stale: bool,
        now: Timestamp,
    ) -> impl Iterator<Item = Self> {
        let certificates = &file.contents.certificates;
        let classified = classify(expected_content(file.origin, &file.name), certificates);
        let judge =
            move |(classification, (index, certificate)): (_, &(usize, Arc<Certificate>))| {
                let Classification { is_ca, counts, mut warnings } = classification;
                if certificate.not_before > now {
                    warnings.push(Warning::NotYetValid);
                    warnings.sort_unstable();
                }
                Self {
                    path: path.clone(),
                    index: *index,
                    source: file.kind,
                    certificate: Arc::clone(certificate),
                    is_ca,
                    counted: counts && renewed_by != RenewedBy::Kubelet,
                    renewed_by: counts.then_some(renewed_by),
                    stale,
                    warnings,
                }
            };
        classified.into_iter().zip(certificates).map(judge)
    }

    /// When it ends for those who meet it: when the file's does, or earlier, where a server shows another one in
    /// its place that does. That stands until the server was looked at again after a change of the file: until
    /// then nobody knows that it shows the new one.
    pub fn end(&self, served: &[Served]) -> Timestamp {
        let end = self.certificate.not_after;
        let in_its_place = |served: &&Served| served.counted && self.index == 0;
        let earlier = served.iter().filter(in_its_place).filter_map(|served| {
            let theirs = served.not_after.filter(|theirs| *theirs < end)?;
            (served.path == self.path.to_string()).then_some(theirs)
        });
        earlier.min().unwrap_or(end)
    }
}

impl Serialize for CertificateEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let certificate = &self.certificate;
        let reported = ReportedCertificate {
            path: self.path.to_string().into(),
            index: self.index,
            source: self.source,
            subject: certificate.subject.to_string().into(),
            issuer: certificate.issuer.to_string().into(),
            serial: certificate.serial_hex().into(),
            sha256: certificate.sha256_hex().into(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            is_ca: self.is_ca,
            counted: self.counted,
            renewed_by: self.renewed_by,
            stale: self.stale,
            warnings: (&self.warnings).into(),
        };
        reported.serialize(serializer)
    }
}
