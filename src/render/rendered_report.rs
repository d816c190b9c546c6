//! A report in the forms that are served: rendered once, shared by every answer.

use std::sync::Arc;

use expiryd_api::{Status, Timestamp};
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, VARY};
use sha2::{Digest, Sha256};

use super::cached::Cached;
use super::metrics::{ContentEncoding, Format, RenderedMetrics};
use crate::agent_status::AgentStats;
use crate::report::Report;

/// One body with its entity tag.
#[derive(Debug, Clone)]
pub struct Body {
    /// The bytes, ending in a newline.
    pub bytes: Bytes,
    /// A strong entity tag (RFC 9110 section 8.8.3): equal tags, equal bytes.
    pub etag: HeaderValue,
    /// The head of every answer with it.
    pub headers: HeaderMap,
}

/// Content type of the report as JSON.
pub const JSON: &str = "application/json";

/// Content type of the report as a line, and of the probes' answers.
pub const TEXT: &str = "text/plain; charset=utf-8";

impl Body {
    fn new(mut text: String, kind: &'static str) -> Self {
        use std::fmt::Write as _;
        text.push('\n');
        let digest = Sha256::digest(text.as_bytes());
        let tag = digest.iter().take(12).fold("\"".to_owned(), |mut tag, byte| {
            let _ = write!(tag, "{byte:02x}");
            tag
        }) + "\"";
        // Hexadecimal digits between quotes are always a header value.
        let etag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""));
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(kind)),
            (ETAG, etag.clone()),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (VARY, HeaderValue::from_static("accept")),
        ]);
        // Without the room that it grew into: it may be kept for long.
        Self { bytes: text.into_boxed_str().into_string().into(), etag, headers }
    }
}

/// Seconds for which the page for a person is good, which says how long ago things were.
const PAGE_MAX_AGE: i64 = 10;

/// A report, rendered.
#[derive(Debug)]
pub struct RenderedReport {
    /// As JSON.
    pub json: Body,
    /// As one line of text.
    pub text: Body,
    report: Arc<Report>,
    /// How the agent was doing when it made the report.
    stats: AgentStats,
    metrics: RenderedMetrics,
    page: Cached<Bytes>,
}

impl RenderedReport {
    /// Renders a report.
    pub fn new(report: Arc<Report>, stats: AgentStats) -> Self {
        Self {
            json: Body::new(super::json::write(&report), JSON),
            text: Body::new(report.line(), TEXT),
            report,
            stats,
            metrics: RenderedMetrics::default(),
            page: Cached::new(PAGE_MAX_AGE),
        }
    }

    /// The page for a person as it is at `now`, or was a few seconds ago: everybody gets the same bytes.
    pub fn page(&self, now: Timestamp) -> Bytes {
        self.page.get(now, || super::html::render(Some(&self.report), now).into())
    }

    /// The report and the agent as metrics, in parts.
    pub fn metrics(&self, format: Format, encoding: ContentEncoding) -> Vec<Bytes> {
        self.metrics.get(&self.report, &self.stats, format, encoding)
    }

    /// Whether there is an answer: a machine whose PKI is waited for has none yet.
    pub fn is_available(&self) -> bool {
        self.report.status != Status::Waiting
    }

    /// Whether the report is to be acted on.
    pub fn is_settled(&self) -> bool {
        self.report.settled
    }
}
