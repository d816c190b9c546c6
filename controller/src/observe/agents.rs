//! What stands on etcd's machines: the agent's report at :9797, and the leaf that etcd serves at :2379.
//!
//! Both with the client pair that etcdadm-controller keeps in `<c>-apiserver-etcd-client` and against etcd's
//! CA in `<c>-etcd`. `<c>-managed-etcd`, which has the CA's key, is never read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expiryd_api::{PORT, Status, Timestamp};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::{Client, Config};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::certificate::{first_end, from_pem, not_after, sha256};
use super::{ClusterKey, Reading, heard, said};
use crate::facts::{Expiry, NotHeard, Report, SecretPair};
use crate::objects::Address;

/// etcd's client port (etcdadm `constants.go`).
const ETCD_PORT: u16 = 2379;

/// How long a machine may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a report; one of ten thousand certificates has six million.
const REPORT_LIMIT: usize = 16 << 20;

/// In the order in which etcdadm-controller takes them (`controllers/endpoints.go`).
const ADDRESS_KINDS: [&str; 4] = ["ExternalDNS", "ExternalIP", "InternalDNS", "InternalIP"];

/// The client pair and the CA, as the Secrets have them.
pub(super) struct ClientFiles {
    certificate_pem: String,
    key_pem: String,
    chain: Vec<CertificateDer<'static>>,
    authorities: Vec<CertificateDer<'static>>,
}

impl ClientFiles {
    /// The certificate that is used.
    pub(super) fn pair(&self) -> Option<SecretPair> {
        let der = self.chain.first()?;
        Some(SecretPair { sha256: sha256(der), not_after: not_after(der)? })
    }

    /// When etcd's CA ends.
    pub(super) fn ca_not_after(&self) -> Option<Timestamp> {
        first_end(&self.authorities)
    }
}

impl Reading<'_> {
    /// What to talk to etcd's machines with; `None` where a Secret is missing or cannot be used.
    pub(super) async fn client_files(&self) -> Option<ClientFiles> {
        said(self.key, "etcd's client pair", self.read_client_files().await)
    }

    async fn read_client_files(&self) -> Result<ClientFiles, String> {
        let mut pair = self.secret("apiserver-etcd-client").await?;
        let (certificate_pem, key_pem) = (pair.take("tls.crt")?, pair.take("tls.key")?);
        let authority = self.secret("etcd").await?.take("tls.crt")?;
        Ok(ClientFiles {
            chain: from_pem(certificate_pem.as_bytes())?,
            authorities: from_pem(authority.as_bytes())?,
            certificate_pem,
            key_pem,
        })
    }
}

/// Asks etcd's machines of one cluster.
pub(super) struct Agents<'a> {
    key: &'a ClusterKey,
    files: Option<&'a ClientFiles>,
}

impl<'a> Agents<'a> {
    pub(super) const fn new(key: &'a ClusterKey, files: Option<&'a ClientFiles>) -> Self {
        Self { key, files }
    }

    /// The report of the machine's agent, and the end of the leaf that its etcd serves.
    pub(super) async fn ask(
        &self,
        addresses: &[Address],
    ) -> (Result<Report, NotHeard>, Option<Timestamp>) {
        let of_kind = |kind: &&str| addresses.iter().find(|address| address.kind == **kind);
        let found = ADDRESS_KINDS.iter().find_map(of_kind).zip(self.files);
        let Some((address, files)) = found else { return (Err(NotHeard::NoAnswer), None) };
        let address = address.address.as_str();
        let report = async {
            let answer = tokio::time::timeout(TIMEOUT, report(address, files)).await;
            answer.unwrap_or_else(|_| Err(Unheard::of(format!("no answer within {TIMEOUT:?}"))))
        };
        let served = heard(self.key, "etcd", TIMEOUT, served(address, files));
        let (report, served) = tokio::join!(report, served);
        let report = report.map_err(|Unheard { is, why }| {
            debug!(cluster = %self.key, address, %why, "the agent was not heard");
            is
        });
        (report, served)
    }
}

/// What of a report an etcd machine's decision needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    observed_at: Timestamp,
    status: Status,
    settled: bool,
    machine_rollout: Option<AnsweredExpiry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnsweredExpiry {
    not_after: Timestamp,
    path: String,
}

/// An address as a URL has it.
fn host(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

/// Why an agent was not heard, for the decision and in words.
struct Unheard {
    is: NotHeard,
    why: String,
}

impl Unheard {
    const fn of(why: String) -> Self {
        Self { is: NotHeard::NoAnswer, why }
    }

    /// A certificate for other names is found among the causes of a failed request.
    fn request(error: &kube::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            // An I/O error tells the cause of what it wraps, not the thing itself.
            let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            let tls = match wrapped {
                Some(wrapped) => wrapped.downcast_ref::<Error>(),
                None => error.downcast_ref::<Error>(),
            };
            if let Some(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) = tls
            {
                return Self { is: NotHeard::OtherName, why: error.to_string() };
            }
            cause = error.source();
        }
        Self::of(error.to_string())
    }
}

async fn report(address: &str, files: &ClientFiles) -> Result<Report, Unheard> {
    let url = format!("https://{}:{PORT}", host(address));
    let address = url.parse().map_err(|_| Unheard::of(format!("{url} is no URL")))?;
    let mut config = Config::new(address);
    config.root_cert = Some(files.authorities.iter().map(|der| der.to_vec()).collect());
    config.auth_info.client_certificate_data = Some(STANDARD.encode(&files.certificate_pem));
    config.auth_info.client_key_data = Some(STANDARD.encode(&files.key_pem).into());
    config.connect_timeout = Some(TIMEOUT);
    config.read_timeout = Some(TIMEOUT);
    let client = Client::try_from(config).map_err(|error| Unheard::of(error.to_string()))?;
    let request = http::Request::get("/expiry").body(Body::empty());
    let request = request.map_err(|error| Unheard::of(error.to_string()))?;
    let response = client.send(request).await.map_err(|error| Unheard::request(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), REPORT_LIMIT).collect().await;
    let body = body.map_err(|error| Unheard::of(error.to_string()))?.to_bytes();
    // 503 is a report as well: that there is nothing to report yet.
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|error| Unheard::of(format!("{status}, and it is no report: {error}")))?;
    Ok(Report {
        observed_at: answer.observed_at,
        status: answer.status,
        settled: answer.settled,
        machine_rollout: answer
            .machine_rollout
            .map(|expiry| Expiry { not_after: expiry.not_after, path: Some(expiry.path) }),
        etcd_rollout: None,
    })
}

/// The end of the leaf that a member serves, also where the member then refuses, or the leaf has ended.
async fn served(address: &str, files: &ClientFiles) -> Result<Timestamp, String> {
    let verifier = Arc::new(Leaf::new(files)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(files.key_pem.as_bytes());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
        .with_client_auth_cert(files.chain.clone(), key.map_err(|error| error.to_string())?)
        .map_err(|error| error.to_string())?;
    let stream = TcpStream::connect((address, ETCD_PORT)).await.map_err(|e| e.to_string())?;
    let name = ServerName::try_from(address.to_owned()).map_err(|error| error.to_string())?;
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let shown = verifier.shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    shown.ok_or_else(|| shaken.err().map_or("it showed none".to_owned(), |e| e.to_string()))
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

    fn new(files: &ClientFiles) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(files.authorities.iter().cloned());
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
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.inner.verify_server_cert(leaf, chain, name, ocsp, now) {
            Ok(_)
            | Err(Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. },
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
