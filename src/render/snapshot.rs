//! A report in every form in which it is served, rendered once: all that the server gets to know of it.

use bytes::Bytes;
use expiryd_api::Status;
use sha2::{Digest, Sha256};

use super::metrics::{self, Format};
use super::page_template::PageTemplate;
use super::{html, json, whole};
use crate::agent_status::AgentStats;
use crate::report::Report;

/// One body with its entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The bytes, ending in a newline.
    pub bytes: Bytes,
    /// A strong entity tag (RFC 9110 section 8.8.3): equal tags, equal bytes.
    pub etag: String,
}

impl Body {
    fn new(mut text: String) -> Self {
        text.push('\n');
        // So many of its hexadecimal digits that no two bodies share them.
        let etag = format!("\"{:.24x}\"", Sha256::digest(text.as_bytes()));
        Self { bytes: whole(text), etag }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether there is an answer: a machine whose PKI is waited for has none yet.
    pub available: bool,
    /// Whether the report is to be acted on.
    pub settled: bool,
    /// As JSON.
    pub json: Body,
    /// As one line of text.
    pub text: Body,
    /// For a person.
    pub page: PageTemplate,
    /// The machine's and the agent's metrics, in each format.
    pub machine_metrics: [Bytes; Format::COUNT],
    /// The certificates' metrics, which are the same in each, in parts of which none need be copied.
    pub certificate_metrics: Vec<Bytes>,
}

impl Snapshot {
    /// Stands for a report that cannot be served, and says why.
    pub fn refused(why: &dyn std::fmt::Display) -> Self {
        let why = format!("the report cannot be served: {why}");
        Self {
            available: false,
            settled: false,
            json: Body::new(json::refusal(&why)),
            text: Body::new(why.clone()),
            page: html::notice(&why),
            machine_metrics: [Bytes::new(), Bytes::new()],
            certificate_metrics: Vec::new(),
        }
    }

    /// Renders a report, and how the agent was doing when it made it.
    pub fn render(report: &Report, stats: &AgentStats) -> Self {
        Self {
            available: report.status != Status::Waiting,
            settled: report.settled,
            json: Body::new(json::write(report)),
            text: Body::new(report.line()),
            page: html::render(Some(report)),
            machine_metrics: Format::ALL
                .map(|format| whole(metrics::machine(report, stats, format))),
            certificate_metrics: metrics::certificates(report).map(whole).collect(),
        }
    }
}
