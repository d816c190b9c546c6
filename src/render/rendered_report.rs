//! A report in the forms that HTTP serves: rendered once, shared by every answer.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, VARY};
use sha2::{Digest, Sha256};

use super::metrics::Rendered;
use crate::clock::Timestamp;
use crate::report::{Report, Status};
use crate::vitals::Vitals;

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

/// For how long the page for a person stands, which says how long ago things were.
const PAGE_FRESH: i64 = 10;

/// A report, rendered.
#[derive(Debug)]
pub struct Page {
    /// The report itself.
    pub report: Arc<Report>,
    /// How the agent was doing when it made it.
    pub vitals: Vitals,
    /// As JSON.
    pub json: Body,
    /// As one line of text.
    pub text: Body,
    /// As metrics.
    pub metrics: Rendered,
    /// As a page for a person, as of a time.
    overview: Mutex<Option<(Timestamp, Bytes)>>,
}

impl Page {
    /// Renders a report.
    pub fn of(report: Arc<Report>, vitals: Vitals) -> Self {
        Self {
            json: Body::new(super::json::write(&report), JSON),
            text: Body::new(report.line(), TEXT),
            metrics: Rendered::default(),
            overview: Mutex::default(),
            vitals,
            report,
        }
    }

    /// The page for a person as it is at `now`, or was a few seconds ago: everybody gets the same bytes.
    pub fn overview(&self, now: Timestamp) -> Bytes {
        let mut kept = self.overview.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((at, bytes)) if (0..PAGE_FRESH).contains(&now.seconds_since(*at)) => bytes.clone(),
            _ => {
                let bytes = Bytes::from(super::html::render(Some(&self.report), now));
                *kept = Some((now, bytes.clone()));
                bytes
            }
        }
    }

    /// Whether the answer is there: a machine whose PKI is waited for has none yet.
    pub fn available(&self) -> bool {
        self.report.status != Status::Waiting
    }
}
