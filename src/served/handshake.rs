//! A TLS handshake that sends no client certificate, trusts nothing, and keeps the leaf that it was shown.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
};

/// What a look may take in all.
const DEADLINE: Duration = Duration::from_secs(2);

/// What the server showed.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) der: Vec<u8>,
    /// Whether the server signed this handshake with its key.
    pub(super) has_key: bool,
}

/// Shakes hands, and hangs up. A server that refuses afterwards, for want of a client certificate, has shown its
/// own all the same.
///
/// # Errors
/// Why no leaf was seen, as the second half of a sentence that begins with the address.
pub(super) async fn leaf(address: SocketAddr) -> Result<Leaf, String> {
    let witness = Arc::new(Witness::new());
    let shaken = tokio::time::timeout(DEADLINE, shake(address, Arc::clone(&witness))).await;
    let seen = witness.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (seen, shaken) {
        (Some(leaf), _) => Ok(leaf),
        (None, Ok(Err(error))) => Err(said(&error)),
        (None, Ok(Ok(()))) => Err("showed no certificate".to_owned()),
        (None, Err(_)) => Err(format!("said nothing for {}", humantime::format_duration(DEADLINE))),
    }
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "has no server".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "hung up before it showed a certificate".to_owned()
        }
        _ => format!("cannot be asked by TLS: {error}"),
    }
}

async fn shake(address: SocketAddr, witness: Arc<Witness>) -> io::Result<()> {
    let provider = Arc::new(ring::default_provider());
    let config = configuration(provider, witness).map_err(io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    // A handshake that is whole is ended with TLS's goodbye, so that the server has no error to log.
    let mut stream =
        TlsConnector::from(config).connect(ServerName::from(address.ip()), stream).await?;
    poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context)).await
}

fn configuration(
    provider: Arc<CryptoProvider>,
    witness: Arc<Witness>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(witness)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Keeps the leaf, and sees to it that the server has its key; whom it is for and who signed it is for others to
/// judge.
#[derive(Debug)]
struct Witness {
    seen: Mutex<Option<Leaf>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Witness {
    fn new() -> Self {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Self { seen: Mutex::default(), algorithms }
    }

    fn has_key(&self, verified: Result<HandshakeSignatureValid, TlsError>) -> Signed {
        if let Some(leaf) = &mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            leaf.has_key = verified.is_ok();
        }
        verified
    }
}

type Signed = Result<HandshakeSignatureValid, TlsError>;

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let leaf = Leaf { der: leaf.to_vec(), has_key: false };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(leaf);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Signed {
        self.has_key(verify_tls12_signature(message, leaf, signed, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Signed {
        self.has_key(verify_tls13_signature(message, leaf, signed, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
