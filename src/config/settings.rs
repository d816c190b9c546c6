//! The keys of the configuration file, as they are written there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use expiryd_api::{EtcdTopology, RenewedBy, Role};
use serde::{Deserialize, Deserializer};

use super::{LogFormat, LogLevel};

/// What a configuration file, or the environment and the command line, set. Nothing is required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// See [`super::Config::host_root`].
    pub host_root: Option<PathBuf>,
    /// See [`super::Config::listen`].
    pub listen: Option<Vec<SocketAddr>>,
    /// Whether addresses that other machines reach may be served without TLS.
    pub allow_plaintext: Option<bool>,
    /// See [`super::Config::tls`].
    pub tls: Option<TlsSettings>,
    /// See [`super::Timing::settle`].
    #[serde(default, deserialize_with = "duration")]
    pub settle: Option<Duration>,
    /// See [`super::Timing::grace`].
    #[serde(default, deserialize_with = "duration")]
    pub grace: Option<Duration>,
    /// See [`super::Config::debounce`].
    #[serde(default, deserialize_with = "duration")]
    pub debounce: Option<Duration>,
    /// See [`super::Config::tick`].
    #[serde(default, deserialize_with = "duration")]
    pub tick: Option<Duration>,
    /// See [`super::Config::served`].
    pub served: Option<bool>,
    /// See [`super::Config::log_format`].
    pub log_format: Option<LogFormat>,
    /// See [`super::Config::log_level`].
    pub log_level: Option<LogLevel>,
    /// Bounds.
    pub limits: LimitSettings,
    /// What kind of machine this is, where detection is not enough.
    pub layout: LayoutSettings,
    /// The way to the Node.
    pub node: NodeSettings,
    /// More sources.
    #[serde(rename = "source")]
    pub sources: Vec<SourceSettings>,
}

/// `tls = "etcd"` or `[tls]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "tls must be \"etcd\" or a table of certificate, key, client-ca, \
                               client-names and from"
)]
pub enum TlsSettings {
    /// The word alone.
    From(TlsFrom),
    /// The table.
    Table(TlsTable),
}

/// Where the files of TLS come from, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TlsFrom {
    /// The certificate, key and CA of the etcd server on this machine
    Etcd,
}

/// `[tls]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TlsTable {
    /// The word instead of the files.
    pub from: Option<TlsFrom>,
    /// See [`super::TlsPaths::certificate`].
    pub certificate: Option<PathBuf>,
    /// See [`super::TlsPaths::key`].
    pub key: Option<PathBuf>,
    /// See [`super::TlsPaths::client_ca`].
    pub client_ca: Option<PathBuf>,
    /// See [`super::TlsConfig::client_names`].
    pub client_names: Vec<String>,
}

/// `[limits]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LimitSettings {
    /// See [`super::Limits::file_size`].
    pub file_size: Option<u64>,
    /// See [`super::Limits::files`].
    pub files: Option<usize>,
    /// See [`super::Config::connections`].
    pub connections: Option<usize>,
}

/// `[layout]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LayoutSettings {
    /// See [`super::LayoutOverrides::role`].
    pub role: Option<Role>,
    /// See [`super::LayoutOverrides::etcd_topology`].
    pub etcd_topology: Option<EtcdTopology>,
    /// See [`super::LayoutOverrides::control_plane_pki`].
    pub control_plane_pki: Option<PathBuf>,
    /// See [`super::LayoutOverrides::etcd_pki`].
    pub etcd_pki: Option<PathBuf>,
}

/// `[node]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NodeSettings {
    /// See [`super::NodeConfig::annotate`].
    pub annotate: Option<bool>,
    /// See [`super::NodeConfig::spread`].
    #[serde(deserialize_with = "duration")]
    pub spread: Option<Duration>,
    /// See [`super::NodeConfig::recheck`].
    #[serde(deserialize_with = "duration")]
    pub recheck: Option<Duration>,
    /// See [`super::NodeConfig::timeout`].
    #[serde(deserialize_with = "duration")]
    pub timeout: Option<Duration>,
    /// See [`super::Extras::condition_window`].
    #[serde(deserialize_with = "duration")]
    pub condition_window: Option<Duration>,
    /// See [`super::Extras::event`].
    pub event: Option<bool>,
}

/// `[[source]]`: exactly one of `file`, `directory`, `glob` and `kubeconfig`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SourceSettings {
    /// A file of certificates.
    pub file: Option<PathBuf>,
    /// A directory: every `*.crt` and `*.pem` in it.
    pub directory: Option<PathBuf>,
    /// A shell pattern.
    pub glob: Option<String>,
    /// A kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// Who renews its certificates.
    #[serde(default = "operator")]
    pub renewed_by: RenewedBy,
}

const fn operator() -> RenewedBy {
    RenewedBy::Operator
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map(Some).map_err(|_| {
        serde::de::Error::custom(format!(
            "{text:?} is not a duration; write it as in 250ms, 10s or 5m"
        ))
    })
}
