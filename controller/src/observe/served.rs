//! The leaf that a member of etcd serves at :2379.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use expiryd_api::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ClusterSecret;
use super::agents::ClientFiles;
use super::certificate::not_after;

/// etcd's client port (etcdadm `constants.go`).
pub(super) const ETCD_PORT: u16 = 2379;

/// The end of the leaf that a member serves, also where the member then refuses, or the leaf has ended.
pub(super) async fn served(address: &str, files: &ClientFiles) -> Result<Timestamp, String> {
    let verifier = Arc::new(Leaf::of(&files.authorities)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(files.pair.key_pem.as_bytes());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
        .with_client_auth_cert(files.pair.chain.clone(), key.map_err(|_| unusable())?)
        .map_err(|_| unusable())?;
    let stream = TcpStream::connect((address, ETCD_PORT)).await.map_err(|e| e.to_string())?;
    let name = ServerName::try_from(address.to_owned()).map_err(|error| error.to_string())?;
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let shown = verifier.shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    shown.ok_or_else(|| shaken.err().map_or("it showed none".to_owned(), |e| e.to_string()))
}

/// A parser's own words would quote what it read.
fn unusable() -> String {
    format!(
        "tls.crt and tls.key of the Secret CLUSTER-{} cannot be used",
        ClusterSecret::EtcdClient
    )
}

/// Takes any leaf that etcd's CA has issued, whatever its dates and names, and keeps when it ends, once the
/// server has shown that it has the key.
#[derive(Debug)]
struct Leaf {
    inner: Arc<WebPkiServerVerifier>,
    shown: Mutex<Option<Timestamp>>,
}

impl Leaf {
    fn signed(
        &self,
        certificate: &CertificateDer<'_>,
        verified: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        if verified.is_ok() {
            *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = not_after(certificate);
        }
        verified
    }

    fn of(authorities: &[CertificateDer<'static>]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { inner, shown: Mutex::new(None) })
    }
}

impl ServerCertVerifier for Leaf {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // At its own end, when it is valid yet: whether a leaf has ended is looked at before who signed it, so an
        // error that says so tells nothing of that.
        let end = not_after(leaf).and_then(|end| u64::try_from(end.unix()).ok());
        let end = end.ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let end = UnixTime::since_unix_epoch(Duration::from_secs(end));
        match self.inner.verify_server_cert(leaf, chain, name, ocsp, end) {
            Ok(_)
            | Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.inner.verify_tls12_signature(message, certificate, signature);
        self.signed(certificate, verified)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.inner.verify_tls13_signature(message, certificate, signature);
        self.signed(certificate, verified)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use testkit::authority::{Authority, Pair};
    use testkit::dates::in_days;
    use testkit::etcd_pki;

    use super::*;

    fn der(pair: &Pair) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()
    }

    /// Whether etcd's CA is found to have issued this leaf.
    fn is_issued(authority: &Authority, leaf: &Pair) -> bool {
        let authorities = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
        let verifier = Leaf::of(&[authorities]).unwrap();
        let name = ServerName::from(SocketAddr::from(([192, 0, 2, 1], 0)).ip());
        verifier.verify_server_cert(&der(leaf), &[], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn a_leaf_is_believed_by_who_issued_it_whether_it_has_ended_or_is_for_another_name() {
        let [ours, theirs] = [Authority::new("etcd"), Authority::new("etcd")];
        for days in [-1, 300] {
            for address in ["192.0.2.1", "192.0.2.2"] {
                let leaf = |by| etcd_pki::server(by, address, in_days(days, 0));
                assert!(is_issued(&ours, &leaf(&ours)), "{days} {address}");
                assert!(!is_issued(&ours, &leaf(&theirs)), "{days} {address}");
            }
        }
    }
}
