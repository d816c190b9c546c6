//! The report as a table for a person at 3 a.m.: what ends when, and who renews it.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use tabwriter::TabWriter;

use super::verdict::{Nearness, Thresholds};
use crate::clock::Timestamp;
use crate::report::{Earliest, Report, ReportedCertificate, Status};

/// How the table looks.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Whether near ends are coloured; for a terminal only.
    pub color: bool,
    /// Whether subject, serial number and notBefore are shown too.
    pub wide: bool,
    /// What is near.
    pub thresholds: Thresholds,
}

/// Renders the report as it is at `now`.
pub fn render(report: &Report, style: Style, now: Timestamp) -> String {
    let mut text = heading(report);
    for (label, earliest) in [
        ("Earliest expiry", &report.earliest),
        ("Machine roll-out", &report.machine_rollout),
        ("Earliest CA", &report.earliest_ca),
    ] {
        let _ = writeln!(text, "{label:<17} {}", Line { earliest: earliest.as_ref(), now });
    }
    let (authorities, leaves): (Vec<_>, Vec<_>) =
        report.certificates.iter().partition(|c| c.is_ca && !c.counted);
    section(&mut text, "CERTIFICATE", &leaves, style, now);
    section(&mut text, "CERTIFICATE AUTHORITY", &authorities, style, now);
    if !report.problems.is_empty() {
        text.push_str("\nPROBLEMS\n");
    }
    for lasting in &report.problems {
        let problem = &lasting.problem;
        let place = named(&problem.path, problem.index.unwrap_or(0));
        let _ = writeln!(text, "{place}: {} ({})", problem.message, problem.reason);
    }
    text
}

fn heading(report: &Report) -> String {
    let node = &report.node;
    let name = node.name.as_deref().unwrap_or("this host");
    let etcd = node.etcd_topology.map_or_else(String::new, |etcd| format!(", {etcd} etcd"));
    let status = match report.status {
        Status::Ok => "every certificate was read",
        Status::Degraded => "not everything could be read; see the problems below",
        Status::Waiting => "there is no certificate to report yet",
        Status::None => "a roll-out has nothing to renew here",
    };
    format!("{name}: {} on {}{etcd}; {status}\n\n", node.role, node.os)
}

struct Line<'a> {
    earliest: Option<&'a Earliest>,
    now: Timestamp,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Earliest { not_after, path, index, renewed_by }) = self.earliest else {
            return f.write_str("none");
        };
        let left = time_left(*not_after, self.now);
        write!(f, "{not_after}  {left}  {}", named(path, *index))?;
        renewed_by.map_or(Ok(()), |by| write!(f, "  ({by})"))
    }
}

fn section(
    text: &mut String,
    title: &str,
    certificates: &[&ReportedCertificate],
    style: Style,
    now: Timestamp,
) {
    if certificates.is_empty() {
        return;
    }
    let remarks = certificates.iter().any(|c| c.stale || !c.warnings.is_empty());
    let mut table = format!("{title}\tEXPIRES\tTIME LEFT\tAUTHORITY\tRENEWED BY");
    if remarks {
        table.push_str("\tREMARKS");
    }
    if style.wide {
        table.push_str("\tNOT BEFORE\tSERIAL\tSUBJECT");
    }
    table.push('\n');
    for certificate in certificates {
        table.push_str(&row(certificate, remarks, style.wide, now));
        table.push('\n');
    }
    text.push('\n');
    for (line, certificate) in
        aligned(&table).lines().zip(std::iter::once(None).chain(certificates.iter().map(Some)))
    {
        let nearness = certificate.map(|c| style.thresholds.judge(c.certificate.not_after, now));
        let color = match nearness.filter(|_| style.color) {
            Some(Nearness::Critical) => Some("31"),
            Some(Nearness::Warning) => Some("33"),
            Some(Nearness::Far) | None => None,
        };
        let line = line.trim_end();
        let _ = match color {
            Some(color) => writeln!(text, "\x1b[{color}m{line}\x1b[0m"),
            None => writeln!(text, "{line}"),
        };
    }
}

fn row(entry: &ReportedCertificate, remarks: bool, wide: bool, now: Timestamp) -> String {
    let certificate = &entry.certificate;
    let mut row = format!(
        "{}\t{}\t{}\t{}\t{}",
        named(&entry.path, entry.index),
        certificate.not_after,
        time_left(certificate.not_after, now),
        authority(entry),
        entry.renewed_by.map_or("-", |by| by.as_str()),
    );
    if remarks {
        let stale = entry.stale.then_some("stale");
        let words: Vec<_> =
            stale.into_iter().chain(entry.warnings.iter().map(|w| w.as_str())).collect();
        let _ = write!(row, "\t{}", if words.is_empty() { "-".into() } else { words.join(",") });
    }
    if wide {
        let serial = certificate.serial_hex();
        let _ = write!(row, "\t{}\t{serial}\t{}", certificate.not_before, certificate.subject);
    }
    row
}

/// The issuer's common name, such as kubeadm's `etcd-ca`; the signature is not verified.
fn authority(entry: &ReportedCertificate) -> String {
    let issuer = &entry.certificate.issuer;
    let name = issuer.values("CN").last().map_or_else(|| issuer.to_string(), str::to_owned);
    if name.is_empty() { "-".to_owned() } else { name }
}

/// The file, and which certificate of it when it is not the first.
fn named(path: &impl fmt::Display, index: usize) -> String {
    if index == 0 { path.to_string() } else { format!("{path}#{index}") }
}

/// In the largest unit of which there are at least two, as `kubectl get` does.
fn time_left(not_after: Timestamp, now: Timestamp) -> String {
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

fn aligned(table: &str) -> String {
    let mut writer = TabWriter::new(Vec::new()).padding(3);
    // Writing to memory does not fail; if it did, the table unaligned is still all there.
    let written = writer.write_all(table.as_bytes()).and_then(|()| writer.flush());
    let bytes = written.ok().and_then(|()| writer.into_inner().ok());
    bytes.and_then(|b| String::from_utf8(b).ok()).unwrap_or_else(|| table.to_owned())
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

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        assert_eq!(aligned("ä\tb\nlong\tc\n"), "ä      b\nlong   c\n");
    }
}
