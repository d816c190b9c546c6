//! Takes clients in and answers them, each within its bounds: a slow or greedy one costs the others nothing.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::serve::Listener;
use futures::future::Abortable;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::connections::{Connections, Limit, Place};
use super::tls::Renewed;

/// Bytes of a request head beyond which the answer is 431.
const HEAD_LIMIT: usize = 16 * 1024;

/// What clients may take of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections that have asked nothing yet.
    pub arriving: Limit,
    /// Connections that have asked something. Each may hold an answer, of 1,000 clusters 5 MB, and the manifests
    /// give the pod 128 MiB.
    pub asking: Limit,
    /// How long a client may take for a TLS handshake or a request head, and how long a connection may be idle.
    pub head: Duration,
    /// How long an answer may wait for a client that takes nothing of it.
    pub answer: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            arriving: Limit { all: 256, of_client: 64 },
            asking: Limit { all: 8, of_client: 4 },
            head: Duration::from_secs(10),
            answer: Duration::from_secs(30),
        }
    }
}

/// Answers for as long as it is polled; over TLS where there is a certificate.
pub(super) async fn answer_all(
    mut listener: TcpListener,
    mut tls: Option<Renewed>,
    answers: Router,
    bounds: Bounds,
) {
    let answers = TowerToHyperService::new(answers);
    let connections = Connections::new(bounds.arriving, bounds.asking);
    loop {
        let (stream, client) = Listener::accept(&mut listener).await;
        let (place, end) = connections.admit(client.ip());
        let tls = tls.as_mut().map(Renewed::acceptor);
        tokio::spawn(Abortable::new(receive(stream, tls, answers.clone(), place, bounds), end));
        // Those that have come in are heard first: a question that is there already is out of reach of a flood.
        tokio::task::yield_now().await;
    }
}

async fn receive(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    answers: TowerToHyperService<Router>,
    place: Place,
    bounds: Bounds,
) {
    // An answer is one write: waiting for more to send would only delay it.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = tls else { return exchange(stream, answers, place, bounds).await };
    match timeout(bounds.head, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => exchange(stream, answers, place, bounds).await,
        Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
        Err(_) => debug!("a TLS handshake took too long"),
    }
}

/// Answers the requests on a connection until it ends; where there is no room for it to stay, it is answered once.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite,
    answers: TowerToHyperService<Router>,
    place: Place,
    bounds: Bounds,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let stays = place.asks();
        let answer = answers.call(request);
        async move {
            let mut answer = answer.await?;
            if !stays {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(bounds.answer));
    let ended = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        // A client that has said all that it has to say, as nc does at the end of its input, still listens.
        .half_close(true)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
        .await;
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}
