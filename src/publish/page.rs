//! A report in the forms that HTTP serves: rendered once, shared by every answer.

use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};

use crate::report::{Report, Status};

/// One body with its entity tag.
#[derive(Debug, Clone)]
pub struct Body {
    /// The bytes, ending in a newline.
    pub bytes: Bytes,
    /// A strong entity tag (RFC 9110 section 8.8.3): equal tags, equal bytes.
    pub etag: HeaderValue,
}

impl Body {
    fn new(mut text: String) -> Self {
        use std::fmt::Write as _;
        text.push('\n');
        let digest = Sha256::digest(text.as_bytes());
        let tag = digest.iter().take(12).fold("\"".to_owned(), |mut tag, byte| {
            let _ = write!(tag, "{byte:02x}");
            tag
        }) + "\"";
        // Hexadecimal digits between quotes are always a header value.
        let etag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { bytes: text.into(), etag }
    }
}

/// A report, rendered.
#[derive(Debug, Clone)]
pub struct Page {
    /// The report itself.
    pub report: Arc<Report>,
    /// As JSON.
    pub json: Body,
    /// As one line of text.
    pub text: Body,
}

impl Page {
    /// Renders a report.
    pub fn of(report: Arc<Report>) -> Self {
        let json = serde_json::to_string_pretty(&*report).unwrap_or_else(|error| {
            // Every map key of a report is text, so this cannot happen; if it does, be loud.
            format!("{{\"error\": \"the report cannot be written as JSON: {error}\"}}")
        });
        Self { json: Body::new(json), text: Body::new(report.line()), report }
    }

    /// Whether the answer is there: a machine whose PKI is waited for has none yet.
    pub fn available(&self) -> bool {
        self.report.status != Status::Waiting
    }
}
