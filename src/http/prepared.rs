//! A snapshot as it is answered with: what is the same in every answer is made once, and what not everybody
//! asks for when somebody does.

use std::sync::OnceLock;

use expiryd_api::Timestamp;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, VARY};

use super::cached::Cached;
use crate::render::metrics::{ContentEncoding, Format};
use crate::render::{Body, PageTemplate, Snapshot};

/// Content type of the report as JSON.
pub(super) const JSON: &str = "application/json";

/// Content type of the report as a line, and of the probes' answers.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// Seconds for which the page for a person is good, which says how long ago things were.
const PAGE_MAX_AGE: i64 = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) available: bool,
    pub(super) settled: bool,
    pub(super) json: PreparedBody,
    pub(super) text: PreparedBody,
    template: PageTemplate,
    page: Cached<Bytes>,
    machine_metrics: [Encoded; Format::COUNT],
    certificate_metrics: Encoded,
}

/// One body, with the head of every answer with it.
#[derive(Debug)]
pub(super) struct PreparedBody {
    pub(super) bytes: Bytes,
    pub(super) etag: HeaderValue,
    pub(super) headers: HeaderMap,
}

/// Parts as they are, and compressed once that was asked for.
#[derive(Debug)]
struct Encoded {
    parts: Vec<Bytes>,
    gzip: OnceLock<Vec<Bytes>>,
}

impl Prepared {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self {
            available: snapshot.available,
            settled: snapshot.settled,
            json: PreparedBody::new(snapshot.json, JSON),
            text: PreparedBody::new(snapshot.text, TEXT),
            template: snapshot.page,
            page: Cached::new(PAGE_MAX_AGE),
            machine_metrics: snapshot.machine_metrics.map(|text| Encoded::new(vec![text])),
            certificate_metrics: Encoded::new(snapshot.certificate_metrics),
        }
    }

    /// The page for a person as it is at `now`, or was a few seconds ago: everybody gets the same bytes.
    pub(super) fn page(&self, now: Timestamp) -> Bytes {
        self.page.get(now, || self.template.fill(now).into())
    }

    /// The metrics of the certificates, the machine and the agent, in parts.
    pub(super) fn metrics(&self, format: Format, encoding: ContentEncoding) -> Vec<Bytes> {
        let machine = format.pick(self.machine_metrics.each_ref());
        [self.certificate_metrics.get(encoding), machine.get(encoding)].concat()
    }
}

impl PreparedBody {
    fn new(body: Body, kind: &'static str) -> Self {
        let etag = HeaderValue::from_str(&body.etag).unwrap_or(HeaderValue::from_static("\"\""));
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(kind)),
            (ETAG, etag.clone()),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (VARY, HeaderValue::from_static("accept")),
        ]);
        Self { bytes: body.bytes, etag, headers }
    }
}

impl Encoded {
    const fn new(parts: Vec<Bytes>) -> Self {
        Self { parts, gzip: OnceLock::new() }
    }

    fn get(&self, encoding: ContentEncoding) -> &[Bytes] {
        match encoding {
            ContentEncoding::Identity => &self.parts,
            ContentEncoding::Gzip => self.gzip.get_or_init(|| encoding.encode(&self.parts)),
        }
    }
}
