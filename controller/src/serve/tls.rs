//! The endpoint's certificate: read at the start, and anew for each client.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tracing::warn;

use super::ServeError;

/// A certificate with its chain, and its key, in PEM; read anew for each client.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The last pair that could be used, and where the next one is.
pub(super) struct Renewed {
    files: TlsFiles,
    last: TlsAcceptor,
}

impl Renewed {
    /// Reads the pair for the first time.
    ///
    /// # Errors
    /// It cannot be used.
    pub(super) fn read(files: TlsFiles) -> Result<Self, ServeError> {
        Ok(Self { last: files.acceptor()?, files })
    }

    /// The pair as it is now. Whoever renews the certificate need not know of us.
    pub(super) fn acceptor(&mut self) -> TlsAcceptor {
        match self.files.acceptor() {
            Ok(renewed) => self.last = renewed,
            Err(error) => warn!("{error}; the one that was read before is served"),
        }
        self.last.clone()
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
