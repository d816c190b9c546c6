//! What stands on etcd's machines: the agent's report at :9797, and the leaf that etcd serves at :2379.
//!
//! Both with the client pair that etcdadm-controller keeps in `<c>-apiserver-etcd-client` and against etcd's
//! CA in `<c>-etcd`. `<c>-managed-etcd`, which has the CA's key, is never read.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expiryd_api::{PORT, Status, Timestamp};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};
use serde::Deserialize;

use super::bounded::{AskError, get};
use super::certificate::{first_end, from_pem, not_after, sha256};
use super::served::served;
use super::{ClusterSecret, Reading, in_time, path};
use crate::facts::{Expiry, NotHeard, Report, SecretPair};
use crate::objects::{Address, why};

/// How long a machine may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a report; one of an etcd machine's five certificates has some four thousand.
const REPORT_LIMIT: usize = 256 << 10;

/// In the order in which etcdadm-controller takes them (`controllers/endpoints.go`).
const ADDRESS_KINDS: [&str; 4] = ["ExternalDNS", "ExternalIP", "InternalDNS", "InternalIP"];

/// What to talk to etcd's machines with.
pub(super) struct ClientFiles {
    pub(super) pair: ClientFile,
    pub(super) authorities: Vec<CertificateDer<'static>>,
}

/// The client pair, as the Secret has it.
pub(super) struct ClientFile {
    certificate_pem: String,
    pub(super) key_pem: String,
    pub(super) chain: Vec<CertificateDer<'static>>,
}

impl ClientFile {
    /// The certificate that is used.
    pub(super) fn certificate(&self) -> Option<SecretPair> {
        let der = self.chain.first()?;
        Some(SecretPair { sha256: sha256(der), not_after: not_after(der)? })
    }
}

impl ClientFiles {
    /// When etcd's CA ends.
    pub(super) fn ca_not_after(&self) -> Option<Timestamp> {
        first_end(&self.authorities)
    }
}

impl Reading<'_> {
    /// The client pair.
    ///
    /// # Errors
    /// The Secret is missing or cannot be used.
    pub(super) async fn client_file(&self) -> Result<ClientFile, String> {
        let mut pair = self.secret(ClusterSecret::EtcdClient).await?;
        let (certificate_pem, key_pem) = (pair.take("tls.crt")?, pair.take("tls.key")?);
        let chain = certificates(&certificate_pem, ClusterSecret::EtcdClient)?;
        Ok(ClientFile { certificate_pem, key_pem, chain })
    }

    /// Etcd's CA.
    ///
    /// # Errors
    /// The Secret is missing or cannot be used.
    pub(super) async fn etcd_authorities(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let authority = self.secret(ClusterSecret::EtcdAuthority).await?.take("tls.crt")?;
        certificates(&authority, ClusterSecret::EtcdAuthority)
    }
}

/// The certificates of a Secret.
fn certificates(pem: &str, secret: ClusterSecret) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = from_pem(pem.as_bytes())
        .map_err(|why| format!("tls.crt of the Secret CLUSTER-{secret} cannot be used: {why}"))?;
    if certificates.is_empty() {
        return Err(format!("tls.crt of the Secret CLUSTER-{secret} holds no certificate"));
    }
    Ok(certificates)
}

/// What is heard of an etcd machine.
pub(super) struct Heard {
    /// Its address.
    pub(super) address: String,
    /// The report of its agent.
    pub(super) report: Result<Report, Silence>,
    /// The end of the leaf that its etcd serves.
    pub(super) served: Result<Timestamp, String>,
}

/// Asks a machine's agent and its etcd.
///
/// # Errors
/// The machine has no address yet.
pub(super) async fn ask(addresses: &[Address], files: &ClientFiles) -> Result<Heard, String> {
    let of_kind = |kind: &&str| addresses.iter().find(|address| address.kind == **kind);
    let address = ADDRESS_KINDS.iter().find_map(of_kind);
    let address = address.ok_or("its Machine has no address")?.address.clone();
    let report = async {
        let answer = tokio::time::timeout(TIMEOUT, report(&address, files)).await;
        answer.unwrap_or_else(|_| Err(Silence::of(format!("no answer within {TIMEOUT:?}"))))
    };
    let (report, served) = tokio::join!(report, in_time(TIMEOUT, served(&address, files)));
    Ok(Heard { address, report, served })
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
pub(super) struct Silence {
    pub(super) is: NotHeard,
    pub(super) why: String,
}

impl Silence {
    const fn of(why: String) -> Self {
        Self { is: NotHeard::NoAnswer, why }
    }

    fn request(error: &kube::Error) -> Self {
        let is = if is_other_name(error) { NotHeard::OtherName } else { NotHeard::NoAnswer };
        Self { is, why: why(error) }
    }
}

/// Whether a certificate for other names is among the causes of a failed request. An I/O error tells the cause of
/// what it wraps as its own, and may wrap another one.
fn is_other_name(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<Error>() {
        return matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )
        );
    }
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    wrapped.is_some_and(|wrapped| is_other_name(wrapped))
        || error.source().is_some_and(is_other_name)
}

async fn report(address: &str, files: &ClientFiles) -> Result<Report, Silence> {
    let url = format!("https://{}:{PORT}", host(address));
    let address = url.parse().map_err(|_| Silence::of(format!("{url} is no URL")))?;
    let mut config = Config::new(address);
    config.root_cert = Some(files.authorities.iter().map(|der| der.to_vec()).collect());
    config.auth_info.client_certificate_data = Some(STANDARD.encode(&files.pair.certificate_pem));
    config.auth_info.client_key_data = Some(STANDARD.encode(&files.pair.key_pem).into());
    config.default_retry = false;
    config.connect_timeout = Some(TIMEOUT);
    config.read_timeout = Some(TIMEOUT);
    // Why not, in a library's words, could quote the key.
    let client = Client::try_from(config)
        .map_err(|_| Silence::of("the client pair cannot be used".to_owned()))?;
    let answer = get(client, "/expiry", REPORT_LIMIT).await;
    let (status, body) = answer.map_err(|error| match error {
        AskError::Request(error) => Silence::request(&error),
        AskError::Answer(why) => Silence::of(why),
    })?;
    // 503 is a report as well: that there is nothing to report yet.
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|error| Silence::of(format!("{status}, and it is no report: {error}")))?;
    Ok(Report {
        observed_at: answer.observed_at,
        status: answer.status,
        settled: answer.settled,
        machine_rollout: answer
            .machine_rollout
            .map(|expiry| Expiry { not_after: expiry.not_after, path: path(&expiry.path) }),
        etcd_rollout: None,
    })
}
