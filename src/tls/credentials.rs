//! What the endpoint shows and whom it admits: as files hold it, and as rustls wants it.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{ServerConfig, ServerConnection};
use zeroize::Zeroizing;

use super::pem;
use crate::pki::subject_names::subject_names;

/// PEM as it was read, and who may ask. Erased from memory when dropped.
#[derive(Clone)]
pub struct Credentials {
    /// The certificate and its chain.
    pub certificate: Zeroizing<Vec<u8>>,
    /// Its private key.
    pub key: Zeroizing<Vec<u8>>,
    /// The CAs of clients; without any, nobody is asked who they are.
    pub client_ca: Option<Zeroizing<Vec<u8>>>,
    /// Names of the clients that may ask; all of the CA's where there is none.
    pub client_names: Vec<String>,
}

/// What of credentials cannot be used, and the second half of a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The certificate.
    #[error("the certificate: {0}")]
    Certificate(&'static str),
    /// The key.
    #[error("the key: {0}")]
    Key(&'static str),
    /// The CAs of clients.
    #[error("the CAs of clients: {0}")]
    ClientCa(String),
    /// The certificate and the key, together.
    #[error("the certificate and the key do not work together: {0}")]
    Pair(String),
}

/// Credentials that are ready for use.
#[derive(Debug)]
pub struct ServerTls {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    client_names: Vec<String>,
}

impl Credentials {
    /// Tells one state of the files from another.
    pub fn fingerprint(&self) -> [u8; 32] {
        let parts = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        let mut digest = Sha256::new();
        for part in parts.into_iter().flatten() {
            digest.update(Sha256::digest(&**part));
        }
        digest.finalize().into()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("client_names", &self.client_names)
            .finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Makes credentials ready for use.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn new(credentials: &Credentials) -> Result<Self, Unusable> {
        let chain = pem::chain(&credentials.certificate).map_err(Unusable::Certificate)?;
        let key = pem::key(&credentials.key).map_err(Unusable::Key)?;
        let config = ServerConfig::builder();
        let config = match &credentials.client_ca {
            None => config.with_no_client_auth(),
            Some(ca) => {
                let unusable = |why: &dyn ToString| Unusable::ClientCa(why.to_string());
                let roots = pem::roots(ca).map_err(|why| unusable(&why))?;
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                let verifier = verifier.map_err(|error| unusable(&error))?;
                config.with_client_cert_verifier(verifier)
            }
        };
        let mut config = config
            .with_single_cert(chain, key)
            .map_err(|error| Unusable::Pair(error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would outlive the CA and the names that it was admitted by.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), client_names: credentials.client_names.clone() })
    }

    /// Whether this client may ask. Its certificate was verified already.
    pub fn admits(&self, connection: &ServerConnection) -> bool {
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        self.client_names.is_empty() || shown.is_some_and(|shown| self.knows(shown))
    }

    fn knows(&self, certificate: &CertificateDer<'_>) -> bool {
        subject_names(certificate).iter().any(|name| self.client_names.contains(name))
    }
}
