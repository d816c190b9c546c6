//! The endpoint: the page, `/clusters`, `/metrics`, and the two paths that a kubelet asks.
//!
//! The clusters' names and dates are nobody's business: beyond loopback they are told over TLS alone, and to
//! those alone whom the API server lets read the path, as Cluster API's own managers have it.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use kube::Client;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use crate::clock::now;
use crate::fleet::Fleet;
use crate::render::{metrics, page};
use crate::review::Reviewer;

/// How long a client may take to say who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes that go on at once; further clients wait.
const HANDSHAKES: usize = 32;

/// Where to listen, and with what.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Of everything.
    pub address: SocketAddr,
    /// Needed for an address that is not loopback.
    pub tls: Option<TlsFiles>,
    /// Of `/healthz` and `/readyz` alone, in plain text, for the kubelet.
    pub health: Option<SocketAddr>,
}

/// A certificate with its chain, and its key, in PEM; read anew for each client.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Why it does not listen.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Others could read it.
    #[error(
        "{0} is not a loopback address, so a certificate is needed: give --tls-certificate and --tls-key"
    )]
    PlainText(SocketAddr),
    /// The certificate or its key cannot be used.
    #[error("{path}: {why}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The address is not there, or taken.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Listens, and answers until the program ends.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(endpoint: &Endpoint, fleet: Fleet, client: Client) -> Result<(), ServeError> {
    let is_local = endpoint.address.ip().is_loopback();
    let tls = match endpoint.tls.clone() {
        Some(files) => Some((files.acceptor()?, files)),
        None if is_local => None,
        None => return Err(ServeError::PlainText(endpoint.address)),
    };
    let listener = listen(endpoint.address).await?;
    let mut told = Router::new()
        .route("/", get(fleet_page))
        .route("/clusters", get(clusters))
        .route("/metrics", get(fleet_metrics));
    if !is_local {
        let reviewer = Arc::new(Reviewer::new(client));
        told = told.layer(middleware::from_fn_with_state(reviewer, reviewed));
    }
    let all = told.merge(health()).layer(middleware::map_response(guarded));
    let all = all.with_state(fleet.clone());
    if let Some(address) = endpoint.health {
        let listener = listen(address).await?;
        let health = health().with_state(fleet);
        tokio::spawn(async move { axum::serve(listener, health).await });
    }
    match tls {
        None => tokio::spawn(async move { axum::serve(listener, all).await }),
        Some((acceptor, files)) => {
            let listener = TlsListener::new(listener, files, acceptor);
            tokio::spawn(async move { axum::serve(listener, all).await })
        }
    };
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        info!(address = %listener.local_addr()?, "listening");
        Ok(listener)
    };
    bound.await.map_err(|source| ServeError::Listen { address, source })
}

fn health() -> Router<Fleet> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

async fn healthz(State(fleet): State<Fleet>) -> Response {
    if fleet.read(|state| state.is_alive(Instant::now())) {
        "ok\n".into_response()
    } else {
        let why = "the loop has not come round for ten minutes\n";
        (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
    }
}

async fn readyz(State(fleet): State<Fleet>) -> Response {
    if fleet.read(|state| state.is_ready) {
        "ok\n".into_response()
    } else {
        let why = "the API server was not heard, or serves no Cluster API\n";
        (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
    }
}

async fn fleet_page(State(fleet): State<Fleet>) -> Response {
    let page = fleet.read(|state| page::render(state, now()));
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

async fn clusters(State(fleet): State<Fleet>) -> Response {
    let text = fleet.read(|state| {
        let clusters: Vec<_> = state.clusters.values().collect();
        json!({ "leads": state.leads, "clusters": clusters }).to_string()
    });
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn fleet_metrics(State(fleet): State<Fleet>) -> Response {
    ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], metrics::render(&fleet)).into_response()
}

/// What no answer goes without: no page of somebody else's shows it, and it runs nothing.
async fn guarded(mut response: Response) -> Response {
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the API server lets whoever asks read the path.
async fn reviewed(
    State(reviewer): State<Arc<Reviewer>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = token.and_then(|value| value.strip_prefix("Bearer ")) else {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let why = "give a token that the management cluster's API server knows\n";
        return (StatusCode::UNAUTHORIZED, challenge, why).into_response();
    };
    match reviewer.may_read(token, request.uri().path()).await {
        Ok(true) => next.run(request).await,
        Ok(false) => (
            StatusCode::FORBIDDEN,
            "this token may not read it; bind it to a ClusterRole with this nonResourceURL\n",
        )
            .into_response(),
        Err(error) => {
            debug!(%error, "a token cannot be reviewed");
            let why = "the API server does not say whether this token may read it\n";
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    }
}

impl TlsFiles {
    fn acceptor(&self) -> Result<TlsAcceptor, ServeError> {
        let unusable = |path: &PathBuf, why: &dyn Display| ServeError::Tls {
            path: path.clone(),
            why: why.to_string(),
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unusable(&self.certificate, &error))?;
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| unusable(&self.key, &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&self.certificate, &error))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| unusable(&self.certificate, &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Clients that speak TLS; one that does not say so keeps nobody waiting.
struct TlsListener {
    address: io::Result<SocketAddr>,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    fn new(mut listener: TcpListener, files: TlsFiles, mut acceptor: TlsAcceptor) -> Self {
        let address = listener.local_addr();
        let (done, ready) = mpsc::channel(1);
        let places = Arc::new(Semaphore::new(HANDSHAKES));
        tokio::spawn(async move {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let (stream, client) = Listener::accept(&mut listener).await;
                // Whoever renews the certificate need not know of us.
                match files.acceptor() {
                    Ok(renewed) => acceptor = renewed,
                    Err(error) => warn!("{error}; the one that was read before is served"),
                }
                let (acceptor, done) = (acceptor.clone(), done.clone());
                tokio::spawn(async move {
                    let shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
                    drop(place);
                    match shaken {
                        Ok(Ok(stream)) => {
                            let _ = done.send((stream, client)).await;
                        }
                        Ok(Err(error)) => debug!(%client, %error, "no TLS"),
                        Err(_) => debug!(%client, "no TLS in time"),
                    }
                });
            }
        });
        Self { address, ready }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address.as_ref().copied().map_err(|error| error.kind().into())
    }
}
