//! The words for a person, the same in the table and on the page.

use std::fmt;

use expiryd_api::{Served, Status};

use crate::inventory::CertificateEntry;

/// What a status means.
pub(super) const fn status(status: Status) -> &'static str {
    match status {
        Status::Ok => "every certificate was read",
        Status::Degraded => "not everything could be read; see the problems below",
        Status::Waiting => "there is no certificate to report yet",
        Status::None => "a rollout has nothing to renew here",
    }
}

/// What is odd about a certificate.
pub(super) fn remarks<'a>(
    entry: &'a CertificateEntry,
    served: &'a [Served],
) -> impl Iterator<Item = &'static str> + use<'a> {
    let stale = entry.stale.then_some("stale");
    let of_it = move |served: &&Served| {
        entry.index == 0 && served.matches == Some(false) && served.path == entry.path.to_string()
    };
    let unserved = served.iter().any(|served| of_it(&served)).then_some("not-served");
    let warnings = entry.warnings.iter().map(|warning| warning.as_str());
    stale.into_iter().chain(unserved).chain(warnings)
}

/// The issuer's common name, such as kubeadm's `etcd-ca`; the signature is not verified.
pub(super) fn authority(entry: &CertificateEntry) -> String {
    let issuer = &entry.certificate.issuer;
    let name = issuer.values("CN").last().map_or_else(|| issuer.to_string(), str::to_owned);
    if name.is_empty() { "-".to_owned() } else { name }
}

/// The file, and which certificate of it when it is not the first.
pub(super) fn named(path: &impl fmt::Display, index: usize) -> String {
    if index == 0 { path.to_string() } else { format!("{path}#{index}") }
}
