//! The HTTP endpoint.
//!
//! | request | answer |
//! |---|---|
//! | `GET /expiry` | the report as JSON; 503 while there is no leaf to report |
//! | `GET /expiry?format=text`, or `Accept: text/plain` | the earliest expiry as one line |
//! | `GET /metrics` | the report and both processes, for Prometheus |
//! | `GET /` | a page for a person |
//! | `GET /healthz` | 200 while the loop turns, else 503 |
//! | `GET /readyz` | 200 once the report has settled, else 503 |
//!
//! `HEAD` is answered as `GET` without the body. Anything else is 404, or 405 with `Allow`, with
//! a JSON body that says why. A request head is bounded in size and time, and so is the number of
//! connections: beyond it one of the client that has the most is closed, so that slow clients cannot keep
//! a probe out.
//!
//! Where TLS is configured, whatever does not stay between loopback addresses is encrypted. A client
//! with a certificate of the client CA that is not on the list of names gets 403.

mod answers;
mod cached;
mod connections;
mod heartbeat;
mod payload;
mod prepared;
mod process_metrics;
mod write_deadline;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

pub use answers::Answers;
use answers::{answer, forbidden};
pub use connections::Connections;
use write_deadline::WriteDeadline;

use crate::task::pass_on_panic;
use crate::tls::{ServerTls, Tls};

/// How long a client may take for a request head, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take for an answer once it has to be waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a request head beyond which the answer is 431.
const HEAD_LIMIT: usize = 16 * 1024;

/// How long answers may take to finish once an address is closed, or the server stops.
const DRAIN: Duration = Duration::from_millis(500);

/// Serves until `stop` changes or closes, then lets running answers finish. Each connection is
/// encrypted as `tls` says when it comes in.
pub async fn serve(
    listener: TcpListener,
    answers: Answers,
    tls: watch::Receiver<Tls<ServerTls>>,
    connections: Arc<Connections>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // What comes in once it is to stop, or to be encrypted in another way, is not to be taken any more.
            biased;
            _ = stop.changed() => break,
            accepted = listener.accept() => accepted,
            Some(ended) = tasks.join_next() => {
                pass_on_panic(ended);
                continue;
            }
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = connections.admit(peer.ip());
                let key = place.key();
                let between =
                    |local: SocketAddr| tls.borrow().for_connection(local.ip(), peer.ip());
                let tls = stream.local_addr().map(between);
                let tls = tls.unwrap_or(Tls::Missing);
                let connection = receive(stream, tls, answers.clone(), place, stop.clone());
                connections.hold(key, tasks.spawn(connection));
            }
            Err(error) => refused(&error).await,
        }
        // As many may have ended as were accepted; waiting for one at a time would let them pile up.
        while let Some(ended) = tasks.try_join_next() {
            pass_on_panic(ended);
        }
    }
    let drained = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, drained).await;
}

/// accept(2) fails for the one connection, or for want of descriptors or memory; the latter pass.
async fn refused(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        warn!(%error, "a connection cannot be accepted; trying again in 100 ms");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn receive(
    stream: TcpStream,
    tls: Tls<ServerTls>,
    answers: Answers,
    place: connections::Place,
    stop: watch::Receiver<bool>,
) {
    // Until the client says something, a connection is no more than this.
    let heard = tokio::time::timeout(HEAD_TIMEOUT, stream.readable());
    if !matches!(heard.await, Ok(Ok(()))) {
        return;
    }
    place.heard();
    Box::pin(respond(stream, tls, answers, place, stop)).await;
}

async fn respond(
    stream: TcpStream,
    tls: Tls<ServerTls>,
    answers: Answers,
    place: connections::Place,
    stop: watch::Receiver<bool>,
) {
    // An answer is one write: waiting for more to send would only delay it.
    let _ = stream.set_nodelay(true);
    let used = || place.used();
    match tls {
        Tls::Plaintext => exchange(stream, answers, true, used, stop).await,
        Tls::Missing => debug!("a connection was closed: there is no certificate for TLS yet"),
        Tls::On(server) => {
            let handshake = TlsAcceptor::from(Arc::clone(&server.config)).accept(stream);
            match tokio::time::timeout(HEAD_TIMEOUT, handshake).await {
                Ok(Ok(stream)) => {
                    let admitted = server.admits(stream.get_ref().1);
                    exchange(stream, answers, admitted, used, stop).await;
                }
                Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
                Err(_) => debug!("a TLS handshake took too long"),
            }
        }
    }
}

/// Answers the requests on a connection, calling `used` for each, until it ends or `stop` changes; where `used`
/// says that there is no room for it to stay, it is answered once. Who is not `admitted` gets 403 for all of
/// them.
pub async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: Answers,
    admitted: bool,
    used: impl Fn() -> bool,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let stays = used();
        let mut answer = if admitted { answer(&request, &answers) } else { forbidden() };
        if !stays {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        std::future::ready(Ok::<_, std::convert::Infallible>(answer))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        // A client that has said all that it has to say, as nc does at the end of its input, still listens.
        .half_close(true)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(WriteDeadline::new(stream, ANSWER_TIMEOUT)), service);
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
