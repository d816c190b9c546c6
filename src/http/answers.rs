//! What each path answers, from the last report: no answer waits for anything.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, VARY,
};
use hyper::{Method, Request, Response, StatusCode};

use super::heartbeat::Heartbeat;
use super::payload::Payload;
use super::prepared::{JSON, Prepared, TEXT};
use super::process_metrics::ProcessMetrics;
use crate::agent_status::ProcessStats;
use crate::clock;
use crate::render::metrics::{ContentEncoding, Format};
use crate::render::{Snapshot, html, json};

/// What the endpoint answers from. Clones share it.
#[derive(Debug, Clone)]
pub struct Answers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The last snapshot; none until the first scan is over.
    current: Mutex<Option<Arc<Prepared>>>,
    heartbeat: Heartbeat,
    process: ProcessMetrics,
}

impl Answers {
    /// Nothing yet. The agent's first beat is due within `first`.
    pub fn new(first: Duration) -> Self {
        Self(Arc::new(Shared {
            current: Mutex::default(),
            heartbeat: Heartbeat::new(first),
            process: ProcessMetrics::new(),
        }))
    }

    /// Answers with this from now on.
    pub fn show(&self, snapshot: Snapshot) {
        let prepared = Arc::new(Prepared::new(snapshot));
        *self.0.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(prepared);
    }

    /// The agent's loop turned, with these figures, and turns again within `next`.
    pub fn beat(&self, next: Duration, agent: ProcessStats) {
        self.0.heartbeat.beat(next);
        self.0.process.set_agent(agent);
    }

    fn current(&self) -> Option<Arc<Prepared>> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The answer to one request; the request's body is never read.
pub(super) fn answer<B>(request: &Request<B>, answers: &Answers) -> Response<Payload> {
    let uri = request.uri();
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    match uri.path() {
        "/" | "/expiry" | "/metrics" | "/healthz" | "/readyz" if !get => {
            let mut response = refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD are answered here; expiryd never changes anything",
            );
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        "/expiry" => expiry(request.headers(), uri.query(), answers.current().as_deref()),
        "/metrics" => scrape(request, answers),
        "/" => page(request, answers.current().as_deref()),
        "/healthz" if answers.0.heartbeat.alive() => plain(StatusCode::OK, "ok\n"),
        "/healthz" => plain(StatusCode::SERVICE_UNAVAILABLE, "the loop has stopped\n"),
        "/readyz" if answers.current().is_some_and(|current| current.settled) => {
            plain(StatusCode::OK, "ok\n")
        }
        "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, "the report has not settled yet\n"),
        _ => refusal(
            StatusCode::NOT_FOUND,
            "there is nothing here; ask for /, /expiry, /metrics, /healthz or /readyz",
        ),
    }
}

/// The answer to a client that is not on the list of names.
pub(super) fn forbidden() -> Response<Payload> {
    refusal(
        StatusCode::FORBIDDEN,
        "no name of your certificate is among the tls.client-names of this machine's expiryd",
    )
}

fn expiry(
    headers: &HeaderMap,
    query: Option<&str>,
    current: Option<&Prepared>,
) -> Response<Payload> {
    let Some(current) = current else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "the first scan is not over yet; ask again",
        );
    };
    let format =
        query.into_iter().flat_map(|q| q.split('&')).find_map(|q| q.strip_prefix("format="));
    let body = match format {
        Some("text") => &current.text,
        None if wants_text(headers) => &current.text,
        None | Some("json") => &current.json,
        Some(_) => return refusal(StatusCode::BAD_REQUEST, "format must be json or text"),
    };
    let known = headers.get(IF_NONE_MATCH).is_some_and(|tags| matches(tags, &body.etag));
    let (status, bytes) = match (current.available, known) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, body.bytes.clone()),
        (true, true) => (StatusCode::NOT_MODIFIED, Bytes::new()),
        (true, false) => (StatusCode::OK, body.bytes.clone()),
    };
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    response.headers_mut().clone_from(&body.headers);
    response
}

/// `Accept: text/plain` asks for text; who accepts JSON, or anything, gets JSON.
fn wants_text(headers: &HeaderMap) -> bool {
    accepts(headers, &ACCEPT, "text/plain") && !accepts(headers, &ACCEPT, JSON)
}

/// Whether a header that lists what is accepted names this, and not with a quality of 0.
fn accepts(headers: &HeaderMap, list: &HeaderName, what: &str) -> bool {
    let values = headers.get_all(list).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(what));
        named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn scrape<B>(request: &Request<B>, answers: &Answers) -> Response<Payload> {
    let open = accepts(request.headers(), &ACCEPT, "application/openmetrics-text");
    let format = if open { Format::OpenMetrics } else { Format::Text };
    let gzip = accepts(request.headers(), &ACCEPT_ENCODING, "gzip");
    let encoding = if gzip { ContentEncoding::Gzip } else { ContentEncoding::Identity };
    let mut response = Response::new(if request.method() == Method::HEAD {
        Payload::unknown()
    } else {
        // Before the first scan there is only the process to tell of.
        let current = answers.current().map(|current| current.metrics(format, encoding));
        let process = answers.0.process.read(format, encoding, clock::now());
        Payload::of([current.unwrap_or_default(), process].concat())
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// The page for a person. It needs no script and no other file, and is told to load none.
fn page<B>(request: &Request<B>, current: Option<&Prepared>) -> Response<Payload> {
    let mut response = Response::new(if request.method() == Method::HEAD {
        Payload::unknown()
    } else {
        let now = clock::now();
        current.map_or_else(|| html::render(None).into_bytes(), |current| current.page(now)).into()
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
        ),
    );
    response
}

/// RFC 9110 section 13.1.2: a list of tags, weakly compared, or `*`.
fn matches(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    let Ok(tags) = tags.to_str() else { return false };
    tags.split(',').map(str::trim).any(|tag| {
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Payload> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()).into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refusal(status: StatusCode, why: &'static str) -> Response<Payload> {
    let body = Bytes::from(json::refusal(why) + "\n");
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}
