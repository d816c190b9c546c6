//! The report as metrics, for Prometheus and what speaks its formats.
//!
//! What follows from the report is rendered once per report and format; what moves with time, the
//! process's own figures, by itself.

mod certificates;
mod exposition;
mod family;
mod machine;
mod process;

use std::iter::once;
use std::sync::OnceLock;

use expiryd_api::Timestamp;
use hyper::body::Bytes;

use crate::agent_status::{AgentStats, ProcessStats};
use crate::report::Report;
pub use exposition::{ContentEncoding, Format};
use family::ConstFamily;

/// One of something for each format and encoding.
pub type Each<T> = [[T; ContentEncoding::COUNT]; Format::COUNT];

/// That of `each` which is for this format and encoding.
pub fn pick<T>(each: &Each<T>, format: Format, encoding: ContentEncoding) -> &T {
    encoding.pick(format.pick(each.each_ref()).each_ref())
}

/// A report's metrics, rendered when they are first asked for.
#[derive(Debug, Default)]
pub(super) struct RenderedMetrics {
    /// The certificates', which are the same in both formats.
    certificates: [OnceLock<Vec<Bytes>>; ContentEncoding::COUNT],
    machine: Each<OnceLock<Vec<Bytes>>>,
}

impl RenderedMetrics {
    /// Them in parts.
    pub(super) fn get(
        &self,
        report: &Report,
        stats: &AgentStats,
        format: Format,
        encoding: ContentEncoding,
    ) -> Vec<Bytes> {
        let certificates = encoding.pick(self.certificates.each_ref()).get_or_init(|| {
            encoding.encode(certificates::families(report).map(|family| family.write(format)))
        });
        let machine = pick(&self.machine, format, encoding).get_or_init(|| {
            encoding.encode(once(text_of(of_machine(report, Some(stats)), format)))
        });
        [certificates.as_slice(), machine].concat()
    }
}

/// The process's own figures at `now`: the last part of what is scraped. Gzip members one behind the
/// other are one gzip file (RFC 1952 section 2.2).
pub fn of_process(
    stats: &ProcessStats,
    now: Timestamp,
    format: Format,
    encoding: ContentEncoding,
) -> Vec<Bytes> {
    encoding.encode(once(text_of(process::families(stats, now), format) + format.end()))
}

/// The report alone in the text format, for `node_exporter`'s textfile collector.
pub fn textfile(report: &Report) -> String {
    let certificates = certificates::families(report).map(|family| family.write(Format::Text));
    certificates.chain(once(text_of(of_machine(report, None), Format::Text))).collect()
}

/// What is said of the machine, and of the agent if there is one.
fn of_machine(report: &Report, stats: Option<&AgentStats>) -> Vec<ConstFamily> {
    let mut families = Vec::new();
    certificates::register_source(&mut families, report);
    machine::register_report(&mut families, report);
    if let Some(stats) = stats {
        machine::register_agent(&mut families, report, stats);
    }
    families
}

fn text_of(families: Vec<ConstFamily>, format: Format) -> String {
    families.into_iter().map(|family| family.write(format)).collect()
}
