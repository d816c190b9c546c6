//! TLS on the endpoint: the certificate in force, and who may ask.
//!
//! The files are read with every scan, so that a renewal in place is picked up without a restart. A
//! connection keeps what it began with. Files that do not go together, as in the middle of a renewal,
//! leave in force what was in force before, and are a problem in the report.

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{ServerConfig, ServerConnection};
use tracing::info;

use crate::config::{TlsConfig, TlsFiles, TlsPaths};
use crate::host_root::{HostPath, HostRoot};
use crate::layout::Watched;
use crate::pki::subject_names::subject_names;
use crate::problem::{Problem, Reason};
use crate::tls::pem;

/// How addresses that other machines reach are served.
#[derive(Debug, Clone)]
pub enum Tls {
    /// In plain text, which the configuration allows.
    Plaintext,
    /// Not at all: no certificate could be read yet.
    Missing,
    /// With this.
    On(Arc<ServerTls>),
}

/// A certificate with its key, and who may ask.
#[derive(Debug)]
pub struct ServerTls {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    client_names: Vec<String>,
    /// Tells one state of the files from another.
    fingerprint: [u8; 32],
}

impl Tls {
    /// How to serve a connection between these addresses. What never leaves the machine is plain, for
    /// `curl` and the kubelet's probes. Both ends are looked at: with `route_localnet` another machine
    /// reaches a loopback address.
    #[must_use]
    pub fn for_connection(&self, local: IpAddr, peer: IpAddr) -> Self {
        let both = [local, peer].iter().all(|address| address.to_canonical().is_loopback());
        if both { Self::Plaintext } else { self.clone() }
    }
}

impl ServerTls {
    /// Whether this client may ask. Its certificate was verified already.
    pub fn admits(&self, connection: &ServerConnection) -> bool {
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        self.client_names.is_empty() || shown.is_some_and(|shown| self.knows(shown))
    }

    fn knows(&self, certificate: &CertificateDer<'_>) -> bool {
        subject_names(certificate).iter().any(|name| self.client_names.contains(name))
    }
}

/// Reads the endpoint's certificate again and again, and keeps the last that works.
#[derive(Debug)]
pub struct CertificateReloader {
    config: Option<TlsConfig>,
    last: Option<Arc<ServerTls>>,
}

impl CertificateReloader {
    /// Has read nothing yet. Without a configuration there is nothing to read.
    pub const fn new(config: Option<TlsConfig>) -> Self {
        Self { config, last: None }
    }

    /// Reads the files as they are now. What is wrong with them leaves the last good ones in force.
    /// `etcd_pki` is where an etcd machine keeps its PKI.
    pub fn reload(&mut self, root: &HostRoot, etcd_pki: &HostPath) -> (Tls, Option<Problem>) {
        let Some(config) = &self.config else { return (Tls::Plaintext, None) };
        let problem = match load(root, config, &paths(config, etcd_pki)) {
            Ok(server) => {
                if self.last.as_ref().is_none_or(|last| last.fingerprint != server.fingerprint) {
                    info!(certificate = %paths(config, etcd_pki).certificate, "TLS serves with");
                    self.last = Some(Arc::new(server));
                }
                None
            }
            Err((path, why)) => {
                let then = if self.last.is_some() {
                    "the previous certificate stays in use"
                } else {
                    "until this is mended, only loopback addresses answer"
                };
                Some(Problem::new(&path, Reason::TlsUnavailable, format!("{why}; {then}")))
            }
        };
        (self.last.clone().map_or(Tls::Missing, Tls::On), problem)
    }

    /// The files that it reads.
    pub fn files(&self, etcd_pki: &HostPath) -> Vec<HostPath> {
        let Some(config) = &self.config else { return Vec::new() };
        let TlsPaths { certificate, key, client_ca } = paths(config, etcd_pki);
        [Some(certificate), Some(key), client_ca].into_iter().flatten().collect()
    }

    /// The directories in which a renewal can be seen.
    pub fn watched(&self, etcd_pki: &HostPath) -> Vec<Watched> {
        let directories = self.files(etcd_pki).into_iter().filter_map(|file| file.parent());
        directories.map(|directory| Watched { directory, name: None, awaited: false }).collect()
    }
}

fn paths(config: &TlsConfig, etcd_pki: &HostPath) -> TlsPaths {
    match &config.files {
        TlsFiles::Etcd => TlsPaths {
            certificate: etcd_pki.join("server.crt"),
            key: etcd_pki.join("server.key"),
            client_ca: Some(etcd_pki.join("ca.crt")),
        },
        TlsFiles::Named(paths) => paths.clone(),
    }
}

/// Reads the files; else says which one is wrong and why.
fn load(
    root: &HostRoot,
    tls: &TlsConfig,
    paths: &TlsPaths,
) -> Result<ServerTls, (HostPath, String)> {
    let mut digest = Sha256::new();
    let mut read = |path: &HostPath| {
        let bytes = if *path == paths.key { pem::read_key } else { pem::read }(root, path)
            .map_err(|e| (path.clone(), e.to_string()))?;
        digest.update(Sha256::digest(&*bytes));
        Ok(bytes)
    };
    let wrong = |path: &HostPath| {
        let path = path.clone();
        move |why: &str| (path, why.to_owned())
    };
    let chain = pem::chain(&read(&paths.certificate)?).map_err(wrong(&paths.certificate))?;
    let key = pem::key(&read(&paths.key)?).map_err(wrong(&paths.key))?;
    let config = ServerConfig::builder();
    let config = match &paths.client_ca {
        None => config.with_no_client_auth(),
        Some(path) => {
            let roots = pem::roots(&read(path)?).map_err(wrong(path))?;
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
    Ok(ServerTls {
        config: Arc::new(config),
        client_names: tls.client_names.clone(),
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
            matches!(Tls::Missing.for_connection(local, peer), Tls::Plaintext)
        };
        assert!(plain("127.0.0.1", "127.0.0.1") && plain("::1", "::1"));
        assert!(plain("::ffff:127.0.0.1", "127.0.0.2"));
        assert!(!plain("127.0.0.1", "192.0.2.7"));
        assert!(!plain("192.0.2.1", "127.0.0.1"));
    }
}
