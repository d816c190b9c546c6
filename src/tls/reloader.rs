//! Reads the endpoint's certificate with every scan, and keeps the last that works.
//!
//! So a renewal in place is picked up without a restart. Files that do not go together, as in the middle of a
//! renewal, leave in force what was in force before, and are a problem in the report.

use std::sync::Arc;

use tracing::info;

use super::credentials::{Credentials, ServerTls, Unusable};
use super::endpoint::Tls;
use crate::config::{TlsConfig, TlsFiles, TlsPaths};
use crate::host_root::{HostPath, HostRoot, ReadError};
use crate::layout::Watched;
use crate::problem::{Problem, Reason};
use crate::tls::pem;

/// See the module.
#[derive(Debug, Clone)]
pub struct CertificateReloader {
    config: Option<TlsConfig>,
    last: Option<([u8; 32], Arc<Credentials>)>,
}

impl CertificateReloader {
    /// Has read nothing yet. Without a configuration there is nothing to read.
    pub const fn new(config: Option<TlsConfig>) -> Self {
        Self { config, last: None }
    }

    /// Takes the last good ones over from the one before, where they are to be read in the same way.
    pub fn inherit(&mut self, before: &Self) {
        if self.config == before.config {
            self.last.clone_from(&before.last);
        }
    }

    /// Reads the files as they are now. What is wrong with them leaves the last good ones in force.
    /// `etcd_pki` is where an etcd machine keeps its PKI.
    pub fn reload(
        &mut self,
        root: &HostRoot,
        etcd_pki: &HostPath,
    ) -> (Tls<Credentials>, Option<Problem>) {
        let Some(config) = &self.config else { return (Tls::Plaintext, None) };
        let paths = paths(config, etcd_pki);
        let loaded = read(root, config, &paths).and_then(|credentials| {
            let fingerprint = credentials.fingerprint();
            // What was tried works, also when it is read again.
            if self.last.as_ref().is_none_or(|(last, _)| *last != fingerprint) {
                try_out(&credentials, &paths)?;
                info!(certificate = %paths.certificate, "TLS serves with");
                self.last = Some((fingerprint, Arc::new(credentials)));
            }
            Ok(())
        });
        let problem = loaded.err().map(|(path, why)| {
            let then = if self.last.is_some() {
                "the previous certificate stays in use"
            } else {
                "until this is mended, only loopback addresses answer"
            };
            Problem::new(&path, Reason::TlsUnavailable, format!("{why}; {then}"))
        });
        let last = self.last.as_ref().map(|(_, last)| Arc::clone(last));
        (last.map_or(Tls::Missing, Tls::On), problem)
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

/// Which of the files is wrong, and why.
type Wrong = (HostPath, String);

/// Reads the files.
fn read(root: &HostRoot, tls: &TlsConfig, paths: &TlsPaths) -> Result<Credentials, Wrong> {
    let unreadable = |path: &HostPath| {
        let path = path.clone();
        |error: ReadError| (path, error.to_string())
    };
    let read = |path: &HostPath| pem::read(root, path).map_err(unreadable(path));
    Ok(Credentials {
        certificate: read(&paths.certificate)?,
        key: pem::read_key(root, &paths.key).map_err(unreadable(&paths.key))?,
        client_ca: paths.client_ca.as_ref().map(read).transpose()?,
        client_names: tls.client_names.clone(),
    })
}

/// Tries whether what was read serves.
fn try_out(credentials: &Credentials, paths: &TlsPaths) -> Result<(), Wrong> {
    let TlsPaths { certificate, key, client_ca } = paths;
    let wrong = |unusable| match unusable {
        Unusable::Certificate(why) => (certificate.clone(), why.to_owned()),
        Unusable::Key(why) => (key.clone(), why.to_owned()),
        Unusable::ClientCa(why) => (client_ca.as_ref().unwrap_or(certificate).clone(), why),
        Unusable::Pair(why) => {
            (key.clone(), format!("it and {certificate} do not work together: {why}"))
        }
    };
    ServerTls::new(credentials).map(drop).map_err(wrong)
}
