//! The HTTP endpoint.
//!
//! | request | answer |
//! |---|---|
//! | `GET /expiry` | the report as JSON; 503 while there is no leaf to report |
//! | `GET /expiry?format=text`, or `Accept: text/plain` | the earliest expiry as one line |
//! | `GET /healthz` | 200 while the loop turns, else 503 |
//! | `GET /readyz` | 200 once the report has settled, else 503 |
//!
//! `HEAD` is answered as `GET` without the body. Anything else is 404, or 405 with `Allow`, with
//! a JSON body that says why. A request head is bounded in size and time, and so is the number of
//! connections: beyond it the one that was idle for longest is closed, so that slow clients
//! cannot keep a probe out.

mod connections;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, IF_NONE_MATCH,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, warn};

use super::page::{JSON, Page, TEXT};
pub use connections::Connections;

/// How long a client may take for a request head, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a request head beyond which the answer is 431.
const HEAD_LIMIT: usize = 16 * 1024;

/// How long answers may take to finish once the agent is told to stop.
const DRAIN: Duration = Duration::from_millis(500);

/// The loop's pulse: it beats at every turn, and whoever asks can tell when it stopped.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    /// Milliseconds from `start` until when the loop promised to turn again.
    due: AtomicU64,
}

impl Pulse {
    /// A pulse that is due within `first`.
    pub fn new(first: Duration) -> Self {
        let pulse = Self { start: Instant::now(), due: AtomicU64::new(0) };
        pulse.beat(first);
        pulse
    }

    /// Beats, and promises the next beat within `next`.
    pub fn beat(&self, next: Duration) {
        let due = self.start.elapsed().saturating_add(next).as_millis();
        self.due.store(u64::try_from(due).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether the promise is kept.
    pub fn alive(&self) -> bool {
        self.start.elapsed().as_millis() <= u128::from(self.due.load(Ordering::Relaxed))
    }
}

/// What the endpoint answers from.
#[derive(Debug, Clone)]
pub struct Answers {
    /// The last report; `None` until the first look is over.
    pub page: watch::Receiver<Option<Arc<Page>>>,
    /// The loop's pulse.
    pub pulse: Arc<Pulse>,
}

/// Serves until `stop` changes or closes, then lets running answers finish.
pub async fn serve(
    listener: TcpListener,
    answers: Answers,
    connections: Arc<Connections>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = tasks.join_next() => {
                pass_on_panic(ended);
                continue;
            }
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let place = connections.admit();
                let key = place.key();
                let connection = converse(stream, answers.clone(), place, stop.clone());
                connections.hold(key, tasks.spawn(connection));
            }
            Err(error) => refused(&error).await,
        }
    }
    let drained = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, drained).await;
}

/// A panic outside the parsers is a bug, and ends the process for its manager to restart.
pub(crate) fn pass_on_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// accept(2) fails for the one connection, or for want of descriptors or memory; the latter pass.
async fn refused(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        warn!(%error, "a connection cannot be accepted; trying again in 100 ms");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn converse(
    stream: TcpStream,
    answers: Answers,
    place: connections::Place,
    mut stop: watch::Receiver<bool>,
) {
    // An answer is one write: waiting for more to send would only delay it.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        place.used();
        std::future::ready(Ok::<_, std::convert::Infallible>(answer(&request, &answers)))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}

/// The answer to one request; the request's body is never read.
fn answer<B>(request: &Request<B>, answers: &Answers) -> Response<Full<Bytes>> {
    let uri = request.uri();
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    match uri.path() {
        "/expiry" | "/healthz" | "/readyz" if !get => {
            let mut response = refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD are answered here; expiryd never changes anything",
            );
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        "/expiry" => expiry(request.headers(), uri.query(), answers.page.borrow().as_deref()),
        "/healthz" if answers.pulse.alive() => plain(StatusCode::OK, "ok\n"),
        "/healthz" => plain(StatusCode::SERVICE_UNAVAILABLE, "the loop has stopped\n"),
        "/readyz" if answers.page.borrow().as_ref().is_some_and(|page| page.report.settled) => {
            plain(StatusCode::OK, "ok\n")
        }
        "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, "the report has not settled yet\n"),
        _ => refusal(
            StatusCode::NOT_FOUND,
            "there is nothing here; ask for /expiry, /healthz or /readyz",
        ),
    }
}

fn expiry(headers: &HeaderMap, query: Option<&str>, page: Option<&Page>) -> Response<Full<Bytes>> {
    let Some(page) = page else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "the first look is not over yet; ask again",
        );
    };
    let format =
        query.into_iter().flat_map(|q| q.split('&')).find_map(|q| q.strip_prefix("format="));
    let body = match format {
        Some("text") => &page.text,
        None if wants_text(headers) => &page.text,
        None | Some("json") => &page.json,
        Some(_) => return refusal(StatusCode::BAD_REQUEST, "format must be json or text"),
    };
    let known = headers.get(IF_NONE_MATCH).is_some_and(|tags| matches(tags, &body.etag));
    let (status, bytes) = match (page.available(), known) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, body.bytes.clone()),
        (true, true) => (StatusCode::NOT_MODIFIED, Bytes::new()),
        (true, false) => (StatusCode::OK, body.bytes.clone()),
    };
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    response.headers_mut().clone_from(&body.headers);
    response
}

/// `Accept: text/plain` asks for text; who accepts JSON, or anything, gets JSON.
fn wants_text(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let types = accepted
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    let (mut text, mut json) = (false, false);
    for range in types {
        text |= range.eq_ignore_ascii_case("text/plain");
        json |= range.eq_ignore_ascii_case(JSON);
    }
    text && !json
}

/// RFC 9110 section 13.1.2: a list of tags, weakly compared, or `*`.
fn matches(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    let Ok(tags) = tags.to_str() else { return false };
    tags.split(',').map(str::trim).any(|tag| {
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refusal(status: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    let body = format!("{{\"error\": {why:?}}}\n");
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthz(due: Duration) -> StatusCode {
        let since = Duration::from_mins(10);
        let start = Instant::now().checked_sub(since).unwrap();
        let due = AtomicU64::new(u64::try_from(due.as_millis()).unwrap());
        let pulse = Arc::new(Pulse { start, due });
        let answers = Answers { page: watch::channel(None).1, pulse };
        answer(&Request::get("/healthz").body(()).unwrap(), &answers).status()
    }

    #[test]
    fn healthz_fails_once_the_loop_is_overdue() {
        assert_eq!(healthz(Duration::from_mins(20)), StatusCode::OK);
        assert_eq!(healthz(Duration::from_mins(9)), StatusCode::SERVICE_UNAVAILABLE);
    }
}
