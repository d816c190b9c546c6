//! The endpoint: where it listens, with which certificate, and whom it answers.
//!
//! The clusters' names and dates are nobody's business: beyond loopback they are told over TLS alone, and to
//! those alone whom the API server lets read the path, as Cluster API's own managers have it.

pub mod answers;
mod clients;
mod connections;
mod tls;

use std::io::{self, ErrorKind::AddrInUse};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use kube::Client;
use thiserror::Error;
use tokio::net::TcpListener;
use tracing::{debug, info};

pub use self::clients::Bounds;
use self::clients::answer_all;
pub use self::connections::Limit;
use self::tls::Renewed;
pub use self::tls::TlsFiles;
use crate::clock::now;
use crate::fleet::Fleet;
use crate::review::Reviewer;

/// Where to listen, and with what.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Of everything.
    pub address: SocketAddr,
    /// Needed for an address that is not loopback.
    pub tls: Option<TlsFiles>,
    /// Of `/healthz` and `/readyz` alone, in plain text, for the kubelet; `[::]` for both families.
    pub health: Option<SocketAddr>,
    /// What clients may take of each of the two.
    pub bounds: Bounds,
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

/// Listens, and answers until the program ends; the address with the port that it was given.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    endpoint: &Endpoint,
    fleet: Fleet,
    client: Client,
) -> Result<SocketAddr, ServeError> {
    let is_local = endpoint.address.ip().is_loopback();
    let tls = match endpoint.tls.clone() {
        Some(files) => Some(Renewed::read(files)?),
        None if is_local => None,
        None => return Err(ServeError::PlainText(endpoint.address)),
    };
    let (listener, address) = listen(endpoint.address).await?;
    let mut told = answers::told(now);
    if !is_local {
        let reviewer = Arc::new(Reviewer::new(client));
        told = told.layer(middleware::from_fn_with_state(reviewer, reviewed));
    }
    let all = answers::guarded(told.merge(answers::health())).with_state(fleet.clone());
    if let Some(address) = endpoint.health {
        let (listener, _) = listen_for_kubelet(address).await?;
        let health = answers::health().with_state(fleet);
        // Bounds of its own: no flood of the other address keeps the kubelet out.
        tokio::spawn(answer_all(listener, None, health, endpoint.bounds));
    }
    tokio::spawn(answer_all(listener, tls, all, endpoint.bounds));
    Ok(address)
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        info!(%address, "listening");
        Ok((listener, address))
    };
    bound.await.map_err(|source| ServeError::Listen { address, source })
}

/// `[::]` is every address of both families; where the kernel has no IPv6 it is those of IPv4, as `:PORT` is for
/// Cluster API's own managers. So one manifest does for every cluster.
async fn listen_for_kubelet(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let is_of_all = address.ip() == Ipv6Addr::UNSPECIFIED;
    match listen(address).await {
        Err(ServeError::Listen { source, .. }) if is_of_all && source.kind() != AddrInUse => {
            info!(%address, "there is no IPv6 here, IPv4 alone is listened on: {source}");
            listen((Ipv4Addr::UNSPECIFIED, address.port()).into()).await
        }
        bound => bound,
    }
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
