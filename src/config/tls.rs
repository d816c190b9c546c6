//! `tls` of the configuration.

use std::path::PathBuf;

use super::settings::{TlsFrom, TlsSettings, TlsTable};
use super::{ConfigError, wrong};
use crate::host_root::HostPath;
use crate::publish::http::tls::{Files, Paths, Settings};

/// `tls` of the configuration as the endpoint takes it.
pub(super) fn resolve(settings: TlsSettings) -> Result<Settings, ConfigError> {
    let TlsTable { from, certificate, key, client_ca, client_names } = match settings {
        TlsSettings::From(from) => TlsTable { from: Some(from), ..TlsTable::default() },
        TlsSettings::Table(table) => table,
    };
    let path = |path: PathBuf| HostPath::new(path).map_err(|why| wrong("tls", why));
    let files = match (from, certificate, key) {
        (Some(TlsFrom::Etcd), None, None) if client_ca.is_none() => Files::Etcd,
        (None, Some(certificate), Some(key)) => Files::Named(Paths {
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
    if !client_names.is_empty() && matches!(files, Files::Named(Paths { client_ca: None, .. })) {
        return Err(wrong(
            "tls.client-names",
            "nobody is asked for a certificate without a client-ca, so no name would ever be seen; \
             set tls.client-ca too"
                .to_owned(),
        ));
    }
    Ok(Settings { files, client_names })
}
