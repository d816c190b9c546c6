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

use expiryd_api::Timestamp;

use crate::agent_status::AgentStats;
use crate::report::Report;
pub use exposition::{ContentEncoding, Format};
use family::ConstFamily;
pub use process::ProcessFigures;

/// The certificates' metrics, family by family. They are the same in both formats.
pub(super) fn certificates(report: &Report) -> impl Iterator<Item = String> {
    certificates::families(report).map(|family| family.write(Format::Text))
}

/// What is said of the machine and of the agent.
pub(super) fn machine(report: &Report, stats: &AgentStats, format: Format) -> String {
    text_of(of_machine(report, Some(stats)), format)
}

/// The figures of the processes at `now`: the last part of what is scraped.
pub fn of_processes(processes: &ProcessFigures, now: Timestamp, format: Format) -> String {
    text_of(process::families(processes, now), format) + format.end()
}

/// The report alone in the text format, for `node_exporter`'s textfile collector.
pub fn textfile(report: &Report) -> String {
    certificates(report).chain(once(text_of(of_machine(report, None), Format::Text))).collect()
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
