//! `tls` of the configuration.

use std::path::PathBuf;

use super::settings::{TlsFrom, TlsSettings, TlsTable};
use super::{ConfigError, wrong};
use crate::host_root::HostPath;

/// Which files the endpoint serves with, and who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Which files to serve with.
    pub files: TlsFiles,
    /// Common names and subject alternative names of clients that may ask; all when it is empty.
    pub client_names: Vec<String>,
}

/// Which files to serve with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFiles {
    /// `server.crt`, `server.key` and `ca.crt` of this etcd machine's own PKI: whatever may talk to
    /// etcd may ask here, with the trust they have.
    Etcd,
    /// These.
    Named(TlsPaths),
}

/// Files of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPaths {
    /// PEM of the server's certificate and its chain.
    pub certificate: HostPath,
    /// PEM of its key. The only `*.key` that expiryd ever opens.
    pub key: HostPath,
    /// PEM of the CAs that clients' certificates must come from; without it no certificate is asked
    /// for.
    pub client_ca: Option<HostPath>,
}

/// `tls` of the configuration as the endpoint takes it.
pub(super) fn resolve(settings: TlsSettings) -> Result<TlsConfig, ConfigError> {
    let TlsTable { from, certificate, key, client_ca, client_names } = match settings {
        TlsSettings::From(from) => TlsTable { from: Some(from), ..TlsTable::default() },
        TlsSettings::Table(table) => table,
    };
    let path = |path: PathBuf| HostPath::new(path).map_err(|why| wrong("tls", why));
    let files = match (from, certificate, key) {
        (Some(TlsFrom::Etcd), None, None) if client_ca.is_none() => TlsFiles::Etcd,
        (None, Some(certificate), Some(key)) => TlsFiles::Named(TlsPaths {
            certificate: path(certificate)?,
            key: path(key)?,
            client_ca: client_ca.map(path).transpose()?,
        }),
        _ => {
            return Err(wrong(
                "tls",
                "it must have either certificate and key, and client-ca if clients are to show \
                 certificates, or from = \"etcd\" without them"
                    .to_owned(),
            ));
        }
    };
    if !client_names.is_empty()
        && matches!(files, TlsFiles::Named(TlsPaths { client_ca: None, .. }))
    {
        return Err(wrong(
            "tls.client-names",
            "nobody is asked for a certificate without a client-ca, so no name would ever be seen; \
             set tls.client-ca too"
                .to_owned(),
        ));
    }
    Ok(TlsConfig { files, client_names })
}
