//! A server that does nothing but shake hands, and one that does not even do that.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

use crate::authority::{Authority, Pair};

/// It shows a certificate to whoever comes.
pub struct TlsServer {
    pub address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
}

impl TlsServer {
    /// Speaks these versions, and refuses whoever has no certificate of `clients`.
    pub fn start(
        pair: &Pair,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<&Authority>,
    ) -> Self {
        let config = Arc::new(Mutex::new(Arc::new(configuration(pair, versions, clients))));
        let shown = Arc::clone(&config);
        let address = listen(move |stream| {
            let config = Arc::clone(&shown.lock().unwrap());
            let _ = shake(stream, config);
        });
        Self { address, config }
    }

    /// Shows another certificate from now on, as after a restart.
    pub fn show(&self, pair: &Pair) {
        *self.config.lock().unwrap() = Arc::new(configuration(pair, rustls::ALL_VERSIONS, None));
    }
}

fn configuration(
    pair: &Pair,
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<&Authority>,
) -> ServerConfig {
    let builder = ServerConfig::builder_with_protocol_versions(versions);
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    builder.with_single_cert(chain.unwrap(), key).unwrap()
}

fn shake(mut stream: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    let mut connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    // Until the client has gone.
    match stream.read(&mut [0; 64]) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error),
        _ => Ok(()),
    }
}

/// A server that answers a connection with these bytes, and hangs up or keeps still.
pub fn babbler(bytes: Vec<u8>, hangs_up: bool) -> SocketAddr {
    listen(move |mut stream| {
        let _ = stream.write_all(&bytes);
        if !hangs_up {
            thread::sleep(Duration::from_mins(1));
        }
    })
}

fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}
