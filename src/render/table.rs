//! The report as a table for a person at 3 a.m.: what ends when, and who renews it.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use expiryd_api::{Earliest, Served, Timestamp};
use tabwriter::TabWriter;

use super::display::{authority, named, remarks, status};
use crate::inventory::CertificateEntry;
use crate::report::Report;
use crate::report::severity::{Severity, Thresholds};

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
    let etcd_rollout = report.etcd_rollout.as_ref().map(|etcd| ("Etcd rollout", Some(etcd)));
    let dates = [
        Some(("Earliest expiry", report.earliest.as_ref())),
        Some(("Machine rollout", report.machine_rollout.as_ref())),
        etcd_rollout,
        Some(("Earliest CA", report.earliest_ca.as_ref())),
    ];
    for (label, earliest) in dates.into_iter().flatten() {
        let _ = writeln!(text, "{label:<17} {}", Line { earliest, now });
    }
    let (authorities, leaves): (Vec<_>, Vec<_>) =
        report.certificates.iter().partition(|c| c.is_ca && !c.counted);
    for served in report.served.iter().filter(|served| served.matches == Some(false)) {
        let _ = writeln!(text, "{:<17} {}", "Served instead", Instead { served, now });
    }
    section(&mut text, "CERTIFICATE", (&leaves, &report.served), style, now);
    section(&mut text, "CERTIFICATE AUTHORITY", (&authorities, &[]), style, now);
    if !report.problems.is_empty() {
        text.push_str("\nPROBLEMS\n");
    }
    for active in &report.problems {
        let problem = &active.problem;
        let place = named(&problem.path, problem.index.unwrap_or(0));
        let _ = writeln!(text, "{place}: {} ({})", problem.message, problem.reason);
    }
    text
}

fn heading(report: &Report) -> String {
    let node = &report.node;
    let name = node.name.as_deref().unwrap_or("this host");
    let etcd = node.etcd_topology.map_or_else(String::new, |etcd| format!(", {etcd} etcd"));
    format!("{name}: {} on {}{etcd}; {}\n\n", node.role, node.os, status(report.status))
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
        let left = not_after.time_left(self.now);
        write!(f, "{not_after}  {left}  {}", named(path, *index))?;
        renewed_by.map_or(Ok(()), |by| write!(f, "  ({by})"))
    }
}

/// What a server shows in the place of its file's certificate.
struct Instead<'a> {
    served: &'a Served,
    now: Timestamp,
}

impl fmt::Display for Instead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Served { not_after: Some(not_after), address, path, .. } = self.served else {
            return f.write_str("nothing");
        };
        write!(f, "{not_after}  {}  on {address}, not {path}", not_after.time_left(self.now))
    }
}

fn section(
    text: &mut String,
    title: &str,
    (certificates, served): (&[&CertificateEntry], &[Served]),
    style: Style,
    now: Timestamp,
) {
    if certificates.is_empty() {
        return;
    }
    let remarked = certificates.iter().any(|c| remarks(c, served).next().is_some());
    let mut table = format!("{title}\tEXPIRES\tTIME LEFT\tAUTHORITY\tRENEWED BY");
    if remarked {
        table.push_str("\tREMARKS");
    }
    if style.wide {
        table.push_str("\tNOT BEFORE\tSERIAL\tSUBJECT");
    }
    table.push('\n');
    for certificate in certificates {
        let remarks = remarked.then(|| remarks(certificate, served).collect());
        table.push_str(&row(certificate, remarks, style.wide, now));
        table.push('\n');
    }
    text.push('\n');
    for (line, certificate) in
        aligned(&table).lines().zip(std::iter::once(None).chain(certificates.iter().map(Some)))
    {
        let severity = certificate.map(|c| style.thresholds.severity(c.certificate.not_after, now));
        let color = match severity.filter(|_| style.color) {
            Some(Severity::Critical) => Some("31"),
            Some(Severity::Warning) => Some("33"),
            Some(Severity::Fine) | None => None,
        };
        let line = line.trim_end();
        let _ = match color {
            Some(color) => writeln!(text, "\x1b[{color}m{line}\x1b[0m"),
            None => writeln!(text, "{line}"),
        };
    }
}

fn row(entry: &CertificateEntry, remarks: Option<Vec<&str>>, wide: bool, now: Timestamp) -> String {
    let certificate = &entry.certificate;
    let mut row = format!(
        "{}\t{}\t{}\t{}\t{}",
        named(&entry.path, entry.index),
        certificate.not_after,
        certificate.not_after.time_left(now),
        authority(entry),
        entry.renewed_by.map_or("-", |by| by.as_str()),
    );
    if let Some(words) = remarks {
        let _ = write!(row, "\t{}", if words.is_empty() { "-".into() } else { words.join(",") });
    }
    if wide {
        let serial = certificate.serial_hex();
        let _ = write!(row, "\t{}\t{serial}\t{}", certificate.not_before, certificate.subject);
    }
    row
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
    fn columns_are_aligned_by_what_a_terminal_shows() {
        assert_eq!(aligned("ä\tb\nlong\tc\n"), "ä      b\nlong   c\n");
    }
}
