//! TLS on the endpoint: the certificate in force, and who may ask.
//!
//! The files are read with every look, so that a renewal in place is picked up without a restart. A
//! connection keeps what it began with. Files that do not go together, as in the middle of a renewal,
//! leave in force what was in force before, and are a problem in the report.

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{ServerConfig, ServerConnection};
use tracing::info;

use crate::host_root::{HostPath, HostRoot};
use crate::layout::Watched;
use crate::pki::holder::names;
use crate::problem::{Problem, Reason};
use crate::publish::credentials;

/// Which files to serve with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// `server.crt`, `server.key` and `ca.crt` of this etcd machine's own PKI: whoever may talk to
    /// etcd may ask here, with the trust they have.
    Etcd,
    /// These.
    Named(Paths),
}

/// Files of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// PEM of the server's certificate and its chain.
    pub certificate: HostPath,
    /// PEM of its key. The only `*.key` that expiryd ever opens.
    pub key: HostPath,
    /// PEM of the CAs that clients' certificates must come from; without it no certificate is asked
    /// for.
    pub client_ca: Option<HostPath>,
}

impl Paths {
    fn of_etcd(pki: &HostPath) -> Self {
        Self {
            certificate: pki.join("server.crt"),
            key: pki.join("server.key"),
            client_ca: Some(pki.join("ca.crt")),
        }
    }
}

/// What the configuration says of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which files to serve with.
    pub files: Files,
    /// Common names and subject alternative names of clients that may ask; all when it is empty.
    pub client_names: Vec<String>,
}

/// How addresses that other machines reach are served.
#[derive(Debug, Clone)]
pub enum Tls {
    /// In plain text, which the configuration allows.
    Off,
    /// Not at all: no certificate could be read yet.
    Missing,
    /// With this.
    On(Arc<Server>),
}

/// A certificate with its key, and who may ask.
#[derive(Debug)]
pub struct Server {
    pub(super) config: Arc<ServerConfig>,
    client_names: Vec<String>,
    /// Tells one state of the files from another.
    fingerprint: [u8; 32],
}

impl Tls {
    /// How to serve a connection between these addresses. What never leaves the machine is plain, for
    /// `curl` and the kubelet's probes. Both ends are looked at: with `route_localnet` another machine
    /// reaches a loopback address.
    pub(super) fn between(&self, local: IpAddr, peer: IpAddr) -> Self {
        let both = [local, peer].iter().all(|address| address.to_canonical().is_loopback());
        if both { Self::Off } else { self.clone() }
    }
}

impl Server {
    /// Whether this client may ask. Its certificate was verified already.
    pub(super) fn admits(&self, connection: &ServerConnection) -> bool {
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        self.client_names.is_empty() || shown.is_some_and(|shown| self.knows(shown))
    }

    fn knows(&self, certificate: &CertificateDer<'_>) -> bool {
        names(certificate).iter().any(|name| self.client_names.contains(name))
    }
}

/// Keeps what the files hold.
#[derive(Debug)]
pub struct Keeper {
    settings: Option<Settings>,
    last: Option<Arc<Server>>,
}

impl Keeper {
    /// Has read nothing yet. Without settings there is nothing to read.
    pub const fn new(settings: Option<Settings>) -> Self {
        Self { settings, last: None }
    }

    /// Reads the files as they are now. What is wrong with them leaves the last good ones in force.
    /// `etcd_pki` is where an etcd machine keeps its PKI.
    pub fn look(&mut self, root: &HostRoot, etcd_pki: &HostPath) -> (Tls, Option<Problem>) {
        let Some(settings) = &self.settings else { return (Tls::Off, None) };
        let problem = match load(root, settings, &settings.paths(etcd_pki)) {
            Ok(server) => {
                if self.last.as_ref().is_none_or(|last| last.fingerprint != server.fingerprint) {
                    info!(certificate = %settings.paths(etcd_pki).certificate, "TLS serves with");
                    self.last = Some(Arc::new(server));
                }
                None
            }
            Err((path, why)) => Some(Problem {
                path,
                index: None,
                reason: Reason::TlsUnavailable,
                message: format!(
                    "{why}; {}",
                    if self.last.is_some() {
                        "TLS goes on with what was in force"
                    } else {
                        "until this is mended, only loopback addresses answer"
                    }
                ),
            }),
        };
        (self.last.clone().map_or(Tls::Missing, Tls::On), problem)
    }

    /// The files that it reads.
    pub fn files(&self, etcd_pki: &HostPath) -> Vec<HostPath> {
        let Some(settings) = &self.settings else { return Vec::new() };
        let Paths { certificate, key, client_ca } = settings.paths(etcd_pki);
        [Some(certificate), Some(key), client_ca].into_iter().flatten().collect()
    }

    /// The directories in which a renewal can be seen.
    pub fn watched(&self, etcd_pki: &HostPath) -> Vec<Watched> {
        let directories = self.files(etcd_pki).into_iter().filter_map(|file| file.parent());
        directories.map(|directory| Watched { directory, name: None, awaited: false }).collect()
    }
}

impl Settings {
    fn paths(&self, etcd_pki: &HostPath) -> Paths {
        match &self.files {
            Files::Etcd => Paths::of_etcd(etcd_pki),
            Files::Named(paths) => paths.clone(),
        }
    }
}

/// Reads the files; else says which one is wrong and why.
fn load(root: &HostRoot, settings: &Settings, paths: &Paths) -> Result<Server, (HostPath, String)> {
    let mut digest = Sha256::new();
    let mut read = |path: &HostPath| {
        let bytes =
            if *path == paths.key { credentials::read_key } else { credentials::read }(root, path)
                .map_err(|e| (path.clone(), e.to_string()))?;
        digest.update(Sha256::digest(&*bytes));
        Ok(bytes)
    };
    let wrong = |path: &HostPath| {
        let path = path.clone();
        move |why: &str| (path, why.to_owned())
    };
    let chain =
        credentials::chain(&read(&paths.certificate)?).map_err(wrong(&paths.certificate))?;
    let key = credentials::key(&read(&paths.key)?).map_err(wrong(&paths.key))?;
    let config = ServerConfig::builder();
    let config = match &paths.client_ca {
        None => config.with_no_client_auth(),
        Some(path) => {
            let roots = credentials::roots(&read(path)?).map_err(wrong(path))?;
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            config.with_client_cert_verifier(verifier.map_err(|e| (path.clone(), e.to_string()))?)
        }
    };
    let mut config = config.with_single_cert(chain, key).map_err(|error| {
        let certificate = &paths.certificate;
        (paths.key.clone(), format!("it and {certificate} do not work together: {error}"))
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would outlive the CA and the names that it was admitted by.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Server {
        config: Arc::new(config),
        client_names: settings.client_names.clone(),
        fingerprint: digest.finalize().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_both_ends_on_the_machine_is_plain() {
        let plain = |local: &str, peer: &str| {
            let (local, peer) = (local.parse().unwrap(), peer.parse().unwrap());
            matches!(Tls::Missing.between(local, peer), Tls::Off)
        };
        assert!(plain("127.0.0.1", "127.0.0.1") && plain("::1", "::1"));
        assert!(plain("::ffff:127.0.0.1", "127.0.0.2"));
        assert!(!plain("127.0.0.1", "192.0.2.7"));
        assert!(!plain("192.0.2.1", "127.0.0.1"));
    }
}
