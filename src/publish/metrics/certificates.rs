//! Metrics of each certificate, under the names and labels that x509-certificate-exporter's users
//! have in their dashboards and alerts, and an info metric with what only expiryd knows.

use std::collections::HashSet;

use prometheus_client::registry::Registry;

use super::family::{Family, Labels, count, number, truth};
use crate::pki::Kind;
use crate::pki::name::Name;
use crate::problem::Reason;
use crate::report::{Report, ReportedCertificate};
use crate::vitals::Vitals;

/// Attributes of a name that become labels.
const ATTRIBUTES: [(&str, &str, &str); 6] = [
    ("C", "subject_C", "issuer_C"),
    ("ST", "subject_ST", "issuer_ST"),
    ("L", "subject_L", "issuer_L"),
    ("O", "subject_O", "issuer_O"),
    ("OU", "subject_OU", "issuer_OU"),
    ("CN", "subject_CN", "issuer_CN"),
];

/// What is said of the source as a whole: x509-certificate-exporter has one for each entry of its
/// configuration, expiryd looks at one machine.
const SOURCE: [(&str, &str); 2] = [("source_kind", "file"), ("source_name", "expiryd")];

pub(super) fn register(registry: &mut Registry, report: &Report) {
    let mut certificates: Vec<_> = report.certificates.iter().collect();
    certificates.sort_by_key(|c| c.certificate.not_after);
    // The same certificate twice in a file would be the same series twice, which Prometheus
    // refuses; of two that only look the same the earlier one is told.
    let mut seen = HashSet::new();
    let certificates: Vec<_> = certificates
        .into_iter()
        .map(|c| (labels(c), c))
        .filter(|(labels, _)| seen.insert(labels.clone()))
        .collect();
    let each = |value: fn(&ReportedCertificate, &Report) -> f64| {
        certificates.iter().map(move |(labels, c)| (labels.clone(), value(c, report)))
    };
    Family::gauge("x509_cert_not_after", "End of the certificate's validity, Unix seconds")
        .with_all(each(|c, _| number(c.certificate.not_after.unix())))
        .register(registry);
    Family::gauge("x509_cert_not_before", "Start of the certificate's validity, Unix seconds")
        .with_all(each(|c, _| number(c.certificate.not_before.unix())))
        .register(registry);
    Family::gauge("x509_cert_expired", "Whether the certificate had ended at the last look")
        .with_all(each(|c, r| truth(c.certificate.not_after < r.observed_at)))
        .register(registry);
    Family::gauge(
        "expiryd_certificate_info",
        "1 for each certificate: who renews it, whether it is a CA, whether it is counted, and \
         whether it is the last good state of a file that cannot be read now",
    )
    .with_all(report.certificates.iter().map(|c| (info(c), 1.0)))
    .register(registry);

    let source = || SOURCE.map(|(key, value)| (key, value.to_owned())).to_vec();
    let paths: HashSet<_> = report.certificates.iter().map(|c| &c.path).collect();
    let all_read = !report.problems.iter().any(|p| p.problem.reason.degrades());
    Family::gauge("x509_source_up", "Whether everything on the machine could be read")
        .with(source(), truth(all_read))
        .register(registry);
    Family::gauge("x509_source_bundles", "Files in which certificates were found")
        .with(source(), count(paths.len()))
        .register(registry);
}

/// The counter that x509-certificate-exporter's users alert on, with its own words for reasons.
pub(super) fn errors(vitals: &Vitals) -> Family {
    let mut met = std::collections::BTreeMap::new();
    for (reason, times) in &vitals.problems_met {
        *met.entry(word(*reason)).or_insert(0u64) += times;
    }
    Family::counter("x509_source_errors", "Problems met in all looks, by reason").with_all(
        met.into_iter().map(|(reason, times)| {
            let mut labels: Labels = SOURCE.map(|(key, value)| (key, value.to_owned())).to_vec();
            labels.push(("reason", reason.to_owned()));
            (labels, count(times))
        }),
    )
}

fn labels(c: &ReportedCertificate) -> Labels {
    let path = c.path.to_string();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut labels = vec![("serial_number", c.certificate.serial_decimal())];
    let first = |name: &Name, attribute| name.values(attribute).next().map(str::to_owned);
    for (attribute, subject, _) in ATTRIBUTES {
        labels.extend(first(&c.certificate.subject, attribute).map(|value| (subject, value)));
    }
    for (attribute, _, issuer) in ATTRIBUTES {
        labels.extend(first(&c.certificate.issuer, attribute).map(|value| (issuer, value)));
    }
    labels.push(("filename", name));
    labels.push(("filepath", path));
    if c.source == Kind::Kubeconfig {
        labels.push(("embedded_kind", "user".to_owned()));
    }
    labels
}

fn info(c: &ReportedCertificate) -> Labels {
    vec![
        ("serial_number", c.certificate.serial_decimal()),
        ("filepath", c.path.to_string()),
        ("index", c.index.to_string()),
        ("renewed_by", c.renewed_by.map_or("", |by| by.as_str()).to_owned()),
        ("is_ca", c.is_ca.to_string()),
        ("counted", c.counted.to_string()),
        ("stale", c.stale.to_string()),
    ]
}

const fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::PermissionDenied => "permission_denied",
        Reason::NotFound | Reason::Missing | Reason::Vanished => "not_found",
        Reason::DanglingLink | Reason::LinkLoop => "broken_symlink",
        Reason::BadPem => "bad_pem",
        Reason::NoCertificate => "no_certificate_found",
        Reason::BadCertificate
        | Reason::BadKubeconfig
        | Reason::UnsupportedContainer
        | Reason::ParserPanic => "decode_failed",
        Reason::WatchUnavailable => "walk_error",
        Reason::NotRegularFile
        | Reason::TooLarge
        | Reason::TooMany
        | Reason::Changing
        | Reason::ReadError
        | Reason::TlsUnavailable => "read_failed",
    }
}
