//! Dates of certificates: the clocks of the controllers cannot be set, so what is to become due ends soon.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// The time, in whole seconds, as a certificate has it.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc().replace_nanosecond(0).unwrap()
}

/// So many days and seconds from now.
pub fn in_days(days: i64, seconds: i64) -> OffsetDateTime {
    now() + Duration::days(days) + Duration::seconds(seconds)
}

/// What kubeadm and etcdadm give a leaf (kubeadm `constants.go`, `CertificateValidityPeriod`; etcdadm
/// `certs/pkiutil/pki_helpers.go`).
pub fn usual() -> OffsetDateTime {
    in_days(365, 0)
}

/// As Kubernetes writes it.
pub fn rfc3339(date: OffsetDateTime) -> String {
    date.format(&Rfc3339).unwrap()
}

/// As DER has it: `YYYYMMDDHHMMSSZ`.
pub fn der(date: OffsetDateTime) -> String {
    rfc3339(date).replace(['-', ':', 'T'], "")
}
