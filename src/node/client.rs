//! One request to the API server: a connection of its own, TLS always verified, one deadline.
//!
//! A request every few minutes leaves nothing to pool, and a connection that is made for each of
//! them always carries the certificate that the kubelet uses now.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::identity::Identity;

/// Bytes of an answer beyond which it is not read; a Node has some ten thousand. As values in memory they are
/// some forty times as many.
const LIMIT: usize = 1 << 20;

/// What to ask.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    /// With its query.
    pub(super) path: String,
    pub(super) content_type: &'static str,
    pub(super) body: Value,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    /// The object, or the API's Status.
    pub(super) body: Value,
    pub(super) retry_after: Option<Duration>,
}

/// Asks, and waits for the answer; `timeout` is for everything from resolving the server's name on.
///
/// # Errors
/// Which step failed and why, as the second half of a sentence that begins with the server.
pub(super) async fn ask(
    identity: &Identity,
    request: Request,
    timeout: Duration,
) -> Result<Response, String> {
    tokio::time::timeout(timeout, exchange(identity, request)).await.unwrap_or_else(|_| {
        Err(format!("did not answer within {}", humantime::format_duration(timeout)))
    })
}

async fn exchange(identity: &Identity, request: Request) -> Result<Response, String> {
    let (host, port) = &identity.server;
    let stream = TcpStream::connect((host.as_str(), *port))
        .await
        .map_err(|error| format!("cannot be reached: {error}"))?;
    let stream = TlsConnector::from(identity.tls.clone())
        .connect(identity.server_name.clone(), stream)
        .await
        .map_err(|error| format!("TLS failed: {error}"))?;
    let failed = |error: hyper::Error| format!("the request failed: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let request = encode(identity, request)?;
    // The connection does its work while the answer is waited for, and ends with this function.
    let exchange = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let (head, body) = response.into_parts();
        let body =
            Limited::new(body, LIMIT).collect().await.map_err(|e| format!("its answer: {e}"))?;
        Ok::<_, String>((head, body.to_bytes()))
    };
    let (head, body) = answered(exchange, connection).await?;
    let seconds = head.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
    Ok(Response {
        status: head.status,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        retry_after: seconds.map(Duration::from_secs),
    })
}

/// Drives a connection until the answer is there. How a connection ends after a whole answer is of no
/// account: some proxies close without the goodbye of TLS.
async fn answered<T>(
    exchange: impl Future<Output = Result<T, String>>,
    connection: impl Future<Output = Result<(), hyper::Error>>,
) -> Result<T, String> {
    let mut exchange = pin!(exchange);
    let ended = tokio::select! {
        biased;
        answered = exchange.as_mut() => return answered,
        ended = connection => ended,
    };
    match exchange.await {
        Ok(answer) => Ok(answer),
        Err(why) => Err(ended.err().map_or(why, |error| {
            let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            format!("the connection failed: {error}{cause}")
        })),
    }
}

fn encode(identity: &Identity, request: Request) -> Result<hyper::Request<Full<Bytes>>, String> {
    let Request { method, path, content_type, body } = request;
    let (host, port) = &identity.server;
    let host =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let agent = concat!("expiryd/", env!("CARGO_PKG_VERSION"));
    let mut request = hyper::Request::builder()
        .method(method)
        .uri(format!("{}{path}", identity.prefix))
        .header(HOST, host)
        .header(USER_AGENT, agent)
        .header("accept", "application/json")
        .header(CONTENT_TYPE, content_type);
    if let Some(authorization) = &identity.authorization {
        let mut value = HeaderValue::from_str(authorization)
            .map_err(|_| "its token is not a valid header value".to_owned())?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request
        .body(Full::new(body.to_string().into()))
        .map_err(|error| format!("the request cannot be made: {error}"))
}
