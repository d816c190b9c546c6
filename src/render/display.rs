//! The words for a person, the same in the table and on the page.

use std::fmt;

use expiryd_api::{Status, Timestamp};

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
pub(super) fn remarks(entry: &CertificateEntry) -> impl Iterator<Item = &'static str> {
    let stale = entry.stale.then_some("stale");
    stale.into_iter().chain(entry.warnings.iter().map(|warning| warning.as_str()))
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

/// In the largest unit of which there are at least two, as `kubectl get` does.
pub(super) fn time_left(not_after: Timestamp, now: Timestamp) -> String {
    let left = not_after.seconds_since(now);
    let seconds = left.unsigned_abs();
    let amount = match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    };
    if left < 0 { format!("ended {amount} ago") } else { amount }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_shown_in_the_largest_unit_of_which_there_are_two() {
        let left = |seconds| time_left(Timestamp::from_unix(seconds), Timestamp::from_unix(0));
        assert_eq!(left(0), "0s");
        assert_eq!(left(119), "119s");
        assert_eq!(left(7_199), "119m");
        assert_eq!(left(172_799), "47h");
        assert_eq!(left(364 * 86_400 + 5), "364d");
        assert_eq!(left(-3 * 86_400), "ended 3d ago");
    }
}
