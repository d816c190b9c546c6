//! Metrics of each certificate, under the names and labels that x509-certificate-exporter's users
//! have in their dashboards and alerts, and an info metric with what only expiryd knows.

use std::collections::HashSet;

use expiryd_api::{Reason, SourceKind};

use super::family::{ConstFamily, Labels, count, number, truth};
use crate::agent_status::AgentStats;
use crate::host_root::HostPath;
use crate::inventory::CertificateEntry;
use crate::pki::name::Name;
use crate::report::Report;

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
/// configuration, expiryd scans one machine.
const SOURCE: [(&str, &str); 2] = [("source_kind", "file"), ("source_name", "expiryd")];

/// The families with a sample for each certificate. Each is made when it is asked for: of ten thousand
/// certificates one takes megabytes.
pub(super) fn families(report: &Report) -> impl Iterator<Item = ConstFamily> {
    // The same certificate twice in a file would be the same series twice, which Prometheus
    // refuses; of two that only look the same the earlier one is told.
    let mut certificates: Vec<_> = report.certificates.iter().collect();
    certificates.sort_by_key(|c| c.certificate.not_after);
    let mut seen = HashSet::new();
    certificates.retain(|c| seen.insert(Series::of(c)));
    drop(seen);
    let families: [fn(&[&CertificateEntry], &Report) -> ConstFamily; 4] =
        [not_after, not_before, expired, renewed];
    families.into_iter().map(move |family| family(&certificates, report))
}

fn not_after(certificates: &[&CertificateEntry], _: &Report) -> ConstFamily {
    ConstFamily::gauge("x509_cert_not_after", "End of the certificate's validity, Unix seconds")
        .with_all(each(certificates, |c| number(c.certificate.not_after.unix())))
}

fn not_before(certificates: &[&CertificateEntry], _: &Report) -> ConstFamily {
    ConstFamily::gauge("x509_cert_not_before", "Start of the certificate's validity, Unix seconds")
        .with_all(each(certificates, |c| number(c.certificate.not_before.unix())))
}

fn expired(certificates: &[&CertificateEntry], report: &Report) -> ConstFamily {
    ConstFamily::gauge("x509_cert_expired", "Whether the certificate had ended at the last scan")
        .with_all(each(certificates, |c| truth(c.certificate.not_after < report.observed_at)))
}

fn renewed(_: &[&CertificateEntry], report: &Report) -> ConstFamily {
    ConstFamily::gauge(
        "expiryd_certificate_info",
        "1 for each certificate: who renews it, whether it is a CA, whether it is counted, and \
         whether it is the last good state of a file that cannot be read now",
    )
    .with_all(report.certificates.iter().map(|c| (info(c), 1.0)))
}

fn each(
    certificates: &[&CertificateEntry],
    value: impl Fn(&CertificateEntry) -> f64,
) -> impl Iterator<Item = (Labels, f64)> {
    certificates.iter().map(move |c| (labels(c), value(c)))
}

/// What is said of the certificates as a whole.
pub(super) fn register_source(families: &mut Vec<ConstFamily>, report: &Report) {
    let source = || SOURCE.map(|(key, value)| (key, value.to_owned())).to_vec();
    let paths: HashSet<_> = report.certificates.iter().map(|c| &c.path).collect();
    let all_read = !report.problems.iter().any(|p| p.problem.reason.degrades());
    ConstFamily::gauge("x509_source_up", "Whether everything on the machine could be read")
        .with(source(), truth(all_read))
        .register(families);
    ConstFamily::gauge("x509_source_bundles", "Files in which certificates were found")
        .with(source(), count(paths.len()))
        .register(families);
}

/// The counter that x509-certificate-exporter's users alert on, with its own words for reasons.
pub(super) fn errors(stats: &AgentStats) -> ConstFamily {
    let mut met = std::collections::BTreeMap::new();
    for (reason, times) in &stats.problems_met {
        *met.entry(word(*reason)).or_insert(0u64) += times;
    }
    ConstFamily::counter("x509_source_errors", "Problems met in all scans, by reason").with_all(
        met.into_iter().map(|(reason, times)| {
            let mut labels: Labels = SOURCE.map(|(key, value)| (key, value.to_owned())).to_vec();
            labels.push(("reason", reason.to_owned()));
            (labels, count(times))
        }),
    )
}

/// What tells one series from another: everything that becomes a label of [`labels`].
#[derive(PartialEq, Eq, Hash)]
struct Series<'a> {
    path: &'a HostPath,
    serial: &'a [u8],
    subject: [Option<&'a str>; ATTRIBUTES.len()],
    issuer: [Option<&'a str>; ATTRIBUTES.len()],
}

impl<'a> Series<'a> {
    fn of(c: &'a CertificateEntry) -> Self {
        let names =
            |name: &'a Name| ATTRIBUTES.map(|(attribute, ..)| name.values(attribute).next());
        Self {
            path: &c.path,
            serial: &c.certificate.serial,
            subject: names(&c.certificate.subject),
            issuer: names(&c.certificate.issuer),
        }
    }
}

fn labels(c: &CertificateEntry) -> Labels {
    let Series { path, subject, issuer, .. } = Series::of(c);
    let path = path.to_string();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut labels = vec![("serial_number", c.certificate.serial_decimal())];
    let values = subject.into_iter().zip(ATTRIBUTES.map(|(_, label, _)| label));
    let values = values.chain(issuer.into_iter().zip(ATTRIBUTES.map(|(_, _, label)| label)));
    labels.extend(values.filter_map(|(value, label)| Some((label, value?.to_owned()))));
    labels.push(("filename", name));
    labels.push(("filepath", path));
    if c.source == SourceKind::Kubeconfig {
        labels.push(("embedded_kind", "user".to_owned()));
    }
    labels
}

fn info(c: &CertificateEntry) -> Labels {
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
        | Reason::PrivateKey
        | Reason::TooLarge
        | Reason::TooMany
        | Reason::Changing
        | Reason::ReadError
        | Reason::ServedDiffers
        | Reason::TlsUnavailable => "read_failed",
    }
}
